"""Frozen modules from folders in the formats of transformers and diffusers.

On torch's meta device nothing is read but the configuration: the module has its shapes and no values. That is how a
job's memory is predicted without its weights.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from reno.spec.errors import BadInput, first_line

TRAINING_ONLY = "criterion."
"""Start of the names of a detector's loss weights; a checkpoint may lack them."""


def load_model(model_class, folder: Path, dtype: torch.dtype, device: torch.device):
    """A frozen model of transformers in eval mode. Raises BadInput if the folder does not hold a whole model of this
    class."""
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
            f"{folder} is not a {model_class.__name__}: it lacks {len(missing)} of its weights, for example "
            f"{missing[0]}; check the path"
        )
    return model.eval().requires_grad_(False).to(device)


def load_part(model_class, folder: Path, name: str, *, variant: str | None, dtype: torch.dtype, device: torch.device):
    """A frozen part of a pipeline's folder, in host memory, or on the meta device if `device` is that. Raises
    BadInput."""
    try:
        if device.type == "meta":
            return model_without_weights(model_class, folder / name, dtype)
        model = model_class.from_pretrained(
            folder / name, variant=variant, torch_dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"cannot load {name} of the generator in {folder}: {first_line(error)}") from None
    return model.eval().requires_grad_(False)


def model_type(folder: Path) -> str | None:
    """The kind of model that a folder's config.json names; None if it names none."""
    try:
        return json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def model_without_weights(model_class, folder: Path, dtype: torch.dtype):
    """A frozen module of diffusers or transformers on the meta device, built from the folder's config.json alone."""
    with torch.device("meta"):
        if hasattr(model_class, "load_config"):  # diffusers
            model = model_class.from_config(model_class.load_config(folder, local_files_only=True))
        else:
            model = model_class(model_class.config_class.from_pretrained(folder, local_files_only=True))
    return torch.nn.Module.to(model, dtype).eval().requires_grad_(False)  # diffusers' own `to` warns of missing parts
