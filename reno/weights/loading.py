"""Frozen modules from folders in the formats of transformers and diffusers.

A folder is read only if it holds the whole module: every file whole, every weight there and of the shape that
config.json asks for. Which weights a checkpoint may lack is decided by what never runs:

- a layer that its own class says a checkpoint may lack (`_keys_to_ignore_on_load_missing`): transformers adds layers
  that it does not use, such as the last norm of Swin in version 5, which no Mask2Former of version 4 has
- the weights of a detector's training loss
- a part that the caller takes out, such as the encoder of the generator's VAE

Weights that a file has and the module has not are left unread: versions before 4.31 stored position numbers, and before
5 Swin's table of relative positions, which later ones compute.

On torch's meta device nothing is read but the configuration: the module has its shapes and no values. That is how a
job's memory is predicted without its weights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reno.device.residence import out_of_memory
from reno.spec.errors import BadInput
from reno.weights.files import AGAIN, read_json, shapes_in, weight_files, weights_entry

TRAINING_ONLY = "criterion."
"""Start of the names of a detector's loss weights."""
LOOKED_AT = 4096
"""The values at the start of each weight that are checked to be finite. A training that diverged leaves NaN everywhere,
and to look at all values of all weights would take as long as to load them; a NaN elsewhere is told at the first step.
"""


def load_model(model_class, folder: Path, dtype: torch.dtype, device: torch.device):
    """A frozen model of transformers in eval mode. Raises BadInput if the folder does not hold a whole model of this
    class."""
    return _load(_Wanted(model_class, folder, model_class.__name__), None, dtype, device).to(device)


def load_part(
    model_class,
    folder: Path,
    name: str,
    *,
    variant: str | None,
    dtype: torch.dtype,
    device: torch.device,
    unused: tuple[str, ...] = (),
    called: str | None = None,
    file: Path | None = None,
):
    """A frozen part of a pipeline's folder, in host memory, or on the meta device if `device` is that.

    name: of the part's subfolder; empty if the folder itself holds the part. unused: the starts of the names of weights
    that the caller takes out, which the folder may lack. called: how errors call it; None: by its name. file: the
    weights, for a part of diffusers, where they are one file elsewhere. Raises BadInput if it does not hold all others.
    """
    named = f"the generator's {called or name or 'decoder'} ({model_class.__name__})"
    return _load(_Wanted(model_class, folder / name, named, unused, file), variant, dtype, device)


def model_type(folder: Path) -> str | None:
    """The kind of model that a folder's config.json names; None if it names none. Raises BadInput if there is no such
    file or it is damaged."""
    return read_json(folder / "config.json").get("model_type")


def model_without_weights(model_class, folder: Path, dtype: torch.dtype):
    """A frozen module of diffusers or transformers on the meta device, built from the folder's config.json alone."""
    with torch.device("meta"):
        if _of_diffusers(model_class):
            model = model_class.from_config(model_class.load_config(folder, local_files_only=True))
        else:
            model = model_class(model_class.config_class.from_pretrained(folder, local_files_only=True))
    model = torch.nn.Module.to(model, dtype)  # diffusers' own `to` warns of missing parts
    if dtype == torch.float16:
        _keep_wide(model)
    return model.eval().requires_grad_(False)


def _keep_wide(model: torch.nn.Module) -> None:
    """Puts the layers back into float32 that transformers, as it loads a model in float16, leaves there: T5's second
    matrix of each block overflows."""
    wide = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    for name, module in model.named_modules():
        if wide & set(name.split(".")):
            module.float()


@dataclass(frozen=True)
class _Wanted:
    """What is to be loaded."""

    model_class: type
    folder: Path
    name: str
    """For errors."""
    unused: tuple[str, ...] = ()
    file: Path | None = None
    """The one file of the weights, if it is not in the folder."""


def _load(wanted: _Wanted, variant: str | None, dtype: torch.dtype, device: torch.device):
    _check_kind(wanted)
    if device.type == "meta":
        try:
            return model_without_weights(wanted.model_class, wanted.folder, dtype)
        except Exception as error:
            raise _refusal(wanted, error) from None
    if wanted.file is not None:
        return _from_file(wanted, dtype)
    diffusers = _of_diffusers(wanted.model_class)
    stem = "diffusion_pytorch_model" if diffusers else "model"
    entry = weights_entry(wanted.folder, stem, variant, index_first=diffusers)
    shapes = {name: shape for file in weight_files(entry) for name, shape in shapes_in(file).items()}
    how = {"torch_dtype": dtype} if diffusers else {"dtype": dtype, "ignore_mismatched_sizes": True}
    try:
        model, report = wanted.model_class.from_pretrained(
            wanted.folder,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **how,
        )
    except Exception as error:  # a value in config.json can raise anything
        if out_of_memory(error):
            raise
        if diffusers:  # it raises at the first weight of another shape
            _check_shapes(wanted, entry, _differing(wanted, shapes, dtype))
        raise _refusal(wanted, error) from None
    _check_shapes(wanted, entry, report["mismatched_keys"])
    _check_whole(wanted, entry, model, report["missing_keys"])
    _check_finite(entry, model)
    return model.eval().requires_grad_(False)


def _from_file(wanted: _Wanted, dtype: torch.dtype):
    """A part of diffusers by its folder's configuration, with the weights of one file. They are in memory once, in
    `dtype`."""
    from safetensors import safe_open

    try:
        model = model_without_weights(wanted.model_class, wanted.folder, dtype)
    except Exception as error:  # a value in config.json can raise anything
        raise _refusal(wanted, error) from None
    asked, shapes = model.state_dict(), shapes_in(wanted.file)
    _check_shapes(
        wanted,
        wanted.file,
        [(key, shape, asked[key].shape) for key, shape in shapes.items() if key in asked and shape != asked[key].shape],
    )
    _check_whole(wanted, wanted.file, model, [key for key in asked if key not in shapes])
    with safe_open(wanted.file, "pt") as stored:
        weights = {key: stored.get_tensor(key).to(dtype) for key in asked if key in shapes}
    model.load_state_dict(weights, strict=False, assign=True)
    _check_finite(wanted.file, model)
    return model.eval().requires_grad_(False)


def _of_diffusers(model_class: type) -> bool:
    return hasattr(model_class, "load_config")


def _check_kind(wanted: _Wanted) -> None:
    """Raises BadInput if config.json is damaged or names another kind of model."""
    config = read_json(wanted.folder / "config.json")
    if _of_diffusers(wanted.model_class):
        right, found = wanted.model_class.__name__, config.get("_class_name")
    else:
        kind = wanted.model_class.config_class
        right, found = kind.model_type, config.get("model_type")
        inner = config.get(getattr(kind, "base_config_key", ""))
        if isinstance(inner, dict) and inner.get("model_type", right) == right:
            return  # a whole CLIP, of which its text encoder is read
    if found not in (None, right):
        raise BadInput(
            f"{wanted.folder} holds a {found} model and is not a {wanted.model_class.__name__}; check the path"
        )


def _refusal(wanted: _Wanted, error: Exception) -> BadInput:
    """What the library said, in one line. The weight files were found whole, so config.json is the likely cause."""
    said = " ".join(str(error).split())
    said = said if len(said) <= 200 else f"{said[:199]}…"
    return BadInput(
        f"cannot load {wanted.name} from {wanted.folder} ({type(error).__name__}: {said}); correct its config.json, or "
        f"{AGAIN}"
    )


def _differing(wanted: _Wanted, shapes: dict[str, tuple], dtype: torch.dtype) -> list[tuple[str, Any, Any]]:
    """The weights whose shape in the files is not that of the module: name, shape in the files, shape in the module."""
    try:
        asked = model_without_weights(wanted.model_class, wanted.folder, dtype).state_dict()
    except Exception:  # then this is the reason why the module could not be loaded
        return []
    return [
        (name, shape, asked[name].shape)
        for name, shape in shapes.items()
        if name in asked and shape != asked[name].shape
    ]


def _check_shapes(wanted: _Wanted, entry: Path, differing) -> None:
    """Raises BadInput if there is a weight of another shape than config.json asks for."""
    if differing:
        name, found, asked = min(differing, key=lambda each: each[0])
        raise BadInput(
            f"{entry} and its config.json do not fit together for {wanted.name}: {name} has the shape {list(found)} in "
            f"the file and {list(asked)} by config.json ({len(differing)} such weights); take both from one checkpoint"
        )


def _check_whole(wanted: _Wanted, entry: Path, model: torch.nn.Module, missing) -> None:
    """Raises BadInput if a weight is missing that the module uses."""
    needed = sorted(
        name
        for name in missing
        if not name.startswith((TRAINING_ONLY, *wanted.unused)) and not _is_dispensable(model, name)
    )
    if needed:
        raise BadInput(
            f"{entry} lacks {len(needed)} of the {len(model.state_dict())} weights of {wanted.name}, the first is "
            f"{needed[0]}; check the path, or {AGAIN}"
        )


def _is_dispensable(model: torch.nn.Module, name: str) -> bool:
    """Whether a class of transformers around the weight says that a checkpoint may lack it. transformers itself asks
    only a model and those directly inside, so that a backbone further inside is not heard."""
    path = name.split(".")
    for depth in range(len(path)):
        module = model.get_submodule(".".join(path[:depth]))
        for pattern in getattr(module, "_keys_to_ignore_on_load_missing", None) or ():
            if re.match(pattern, ".".join(path[depth:])):
                return True
    return False


def _check_finite(entry: Path, model: torch.nn.Module) -> None:
    """Raises BadInput if a weight begins with values that are not finite."""
    for name, weight in model.named_parameters():
        begin = None if weight.is_meta else weight.detach().flatten()[:LOOKED_AT]
        if begin is None or begin.isfinite().all():
            continue
        if begin.isnan().any():
            raise BadInput(f"{entry} holds NaN (not a number) in {name}; use another checkpoint")
        kind = str(weight.dtype).removeprefix("torch.")
        raise BadInput(
            f"{entry} has values in {name} that are infinite in {kind}; use dtype=float32 or another checkpoint"
        )
