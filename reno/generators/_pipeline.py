"""What the generators made of diffusers' pipelines share: knobs that are checked, and the image decoder's dtype."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reno.spec.errors import BadInput
from reno.weights.texts import read_config

MOST_PIXELS = 4096
"""The longest side of an image; a longer one is a slip of the hand."""


@dataclass(frozen=True)
class Family:
    """The pipelines of diffusers that a kind of generator runs."""

    pipelines: str
    """A pattern of their classes."""
    networks: tuple[str, ...]
    """The classes of their denoiser."""
    usual: str
    """The pipeline that a folder is of, in words."""


def check_family(family: Family, folder: Path, network: Mapping[str, Any]) -> None:
    """Raises BadInput if a folder's own files say that it holds another kind of pipeline. Files that say nothing are
    told as the folder is loaded.

    network: the denoiser's configuration."""
    pipeline, denoiser = read_config(folder, "model_index.json").get("_class_name"), network.get("_class_name")
    strange = None
    if isinstance(pipeline, str) and not re.fullmatch(family.pipelines, pipeline):
        strange = pipeline
    elif isinstance(denoiser, str) and denoiser not in family.networks:
        strange = denoiser
    if strange:
        raise BadInput(
            f"{folder} holds a {strange} and this generator is a {family.usual}; give a folder of one with "
            "models.generator.path=FOLDER, or choose other models=NAME"
        )


def image_sides(height: int | None, width: int | None, usual: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The (height, width) of the images, pixels. None: the usual one. Raises BadInput unless both are multiples of
    `multiple`."""
    sides = []
    for name, given, own in (("height", height, usual[0]), ("width", width, usual[1])):
        side = own if given is None else given
        if isinstance(side, bool) or not isinstance(side, int) or side % multiple or not 0 < side <= MOST_PIXELS:
            near = min(max(multiple, round(side / multiple) * multiple), MOST_PIXELS) if _is_number(side) else own
            raise BadInput(
                f"models.generator.{name} must be a multiple of {multiple}, {multiple} to {MOST_PIXELS} pixels, not "
                f"{given!r}; for example {near}"
            )
        sides.append(side)
    return sides[0], sides[1]


def known_sides(
    height: int | None, width: int | None, latents: object, levels: object, patch: int = 1
) -> tuple[int, int] | None:
    """`image_sides` from a pipeline's configurations; None if they do not say.

    latents: a side of the latents that the network was trained with. levels: of the decoder; each but one doubles a
    side. patch: the side of the latents' squares that are one token."""
    if not isinstance(latents, int) or not isinstance(levels, list):
        return None
    scale = 2 ** (len(levels) - 1)
    return image_sides(height, width, (latents * scale, latents * scale), scale * patch)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def check_steps(steps: int, most: int) -> None:
    """Raises BadInput if the generator was not made for so many steps."""
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        allowed = "1" if most == 1 else f"a whole number, 1 to {most}"
        why = ": these weights were trained for one step, and their authors publish others for several" * (most == 1)
        raise BadInput(f"models.generator.steps must be {allowed}, not {steps!r}{why}")


def vae_dtype(dtype: torch.dtype, config: Mapping[str, Any]) -> torch.dtype:
    """The dtype in which an image decoder runs where the rest runs in `dtype`: float32 for one that overflows in
    float16 and says so (`force_upcast`), as diffusers' pipelines have it."""
    return torch.float32 if dtype == torch.float16 and config.get("force_upcast", True) else dtype


def deciding(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide an image: without those that are left to the model, and without `steps` where it is 1."""
    return {key: value for key, value in options.items() if value is not None and (key, value) != ("steps", 1)}
