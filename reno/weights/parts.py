"""The parts of a pipeline: each in its own subfolder of one checkpoint, or from a checkpoint of its own.

conf/models names the second kind under `models.generator.parts`: a folder, a subfolder of a checkpoint (`inside:
transformer`), or one file of weights (`inside: NAME.safetensors`), whose configuration is then that of the pipeline's
own part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from reno.weights.checkpoints import Located
from reno.weights.loading import load_part
from reno.weights.reading import is_file, variant_in
from reno.weights.texts import read_config


@dataclass(frozen=True)
class Parts:
    """Where each part of a pipeline is on this disk."""

    folder: Path
    """Of the pipeline, in the layout of diffusers' save_pretrained."""
    variant: str | None = None
    """The wanted precision; a part that is not stored in it is read from its plain files, as diffusers does."""
    others: Mapping[str, Located] = field(default_factory=dict)
    """The parts that are from a checkpoint of their own, by name."""

    def place(self, name: str) -> Path:
        """The folder with a part's configuration."""
        other = self.others.get(name)
        return self.folder / name if other is None or is_file(other.inside) else other.folder / other.inside

    def config(self, name: str) -> dict[str, Any]:
        """A part's configuration; empty if there is none. Raises BadInput if it is damaged."""
        return read_config(self.place(name))

    def load(
        self, model_class, name: str, *, dtype: torch.dtype, device: torch.device, unused: tuple[str, ...] = ()
    ) -> torch.nn.Module:
        """A frozen part, in host memory, or on the meta device if `device` is that; see `load_part`. Raises
        BadInput."""
        other = self.others.get(name)
        place = self.place(name)
        file = other.folder / other.inside if other and is_file(other.inside) else None
        variant = variant_in(place, other.variant if other else self.variant)
        return load_part(
            model_class, place, "", called=name, variant=variant, dtype=dtype, device=device, unused=unused, file=file
        )


def folders_read(folders: Sequence[str], others: Mapping[str, str]) -> tuple[str, ...]:
    """What is read of a pipeline's own checkpoint. folders: those of its parts. others: for each part that is from
    another checkpoint, where in that one it is. Of a part whose weights are one file there, the configuration is read
    here."""
    kept = (f"{name}/config.json" if is_file(others.get(name, "")) else name for name in folders)
    return tuple(name for name in kept if name not in others)
