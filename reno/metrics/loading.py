"""Loading a metric's model and tokenizer from a folder in transformers' format."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from reno.checkpointing import set_checkpointing
from reno.errors import BadInput, first_line
from reno.residence import bring, send_away
from reno.skeleton import model_without_weights

TRAINING_ONLY = "criterion."
"""Start of the names of a detector's loss weights: a checkpoint may lack them."""


class SingleModel:
    """What the metrics of one model have in common: how it is run, and where it is."""

    model: torch.nn.Module
    device: torch.device
    looking: tuple[torch.nn.Module, ...]
    """The parts that see an image, and are in the device's memory while noise is optimised."""

    def set_checkpointing(self, on: bool) -> None:
        set_checkpointing(self.model, on)

    def bring(self) -> None:
        bring(self.device, *self.looking)

    def leave(self) -> None:
        send_away(self.device, self.model)  # the part that reads, too: loading puts all of it on the device


def load_model(model_class, folder: Path, dtype: torch.dtype, device: torch.device):
    """A frozen model in eval mode. On the meta device no weights are read: it has its shapes and no values. Raises
    BadInput if the folder does not hold one of this class, whole."""
    wanted, kind = model_class.config_class.model_type, model_type(folder)
    if kind not in (None, wanted):
        raise BadInput(f"{folder} holds a {kind} model and is not a {model_class.__name__}; check the path")
    try:
        if device.type == "meta":
            return model_without_weights(model_class, folder, dtype)
        model, report = model_class.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise BadInput(f"cannot load {model_class.__name__} from {folder}: {first_line(error)}") from None
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(TRAINING_ONLY))
    if missing:
        raise BadInput(
            f"{folder} is not a {model_class.__name__}: it lacks {len(missing)} of its weights, {missing[0]} for "
            f"one; check the path"
        )
    return model.eval().requires_grad_(False).to(device)


def model_type(folder: Path) -> str | None:
    """The kind of model that a folder's config.json names; None if it names none."""
    try:
        return json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def load_tokenizer(folder: Path):
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"cannot load the tokenizer in {folder}: {first_line(error)}") from None


def text_limit(tokenizer, text_config) -> int:
    """How many tokens, special ones included, the text encoder has positions for."""
    return min(tokenizer.model_max_length, text_config.max_position_embeddings)
