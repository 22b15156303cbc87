"""The metrics' training pictures: one pool for each naming, made once and kept in `pictures/` of the build folder.

`picture_families` makes the pictures and `labels` says what each shows. Here they are packed, stored and drawn.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from reno.letters.output import say
from reno.spec.errors import BadInput
from reno.testbed.render import silhouette
from reno.testbed.training import captions, picture_families
from reno.testbed.training import vae as vae_stage
from reno.testbed.training.labels import LabelledPicture, Naming, color_of
from reno.testbed.training.loop import claim, fingerprint, load_average
from reno.testbed.training.patch_head import NOTHING, UNGRADED
from reno.testbed.world import TAUGHT_COLORS, TAUGHT_OBJECTS

CHUNK = 1024
"""Pictures in a chunk."""
SIZES = {"drawn": 20, "painted": 12, "spoiled": 6, "swapped": 6}
"""Chunks in the pool."""
GRID = 8


@dataclass(frozen=True)
class Pictures:
    """Training pictures as tensors. Twins are at 2k and 2k + 1."""

    images: torch.Tensor
    """uint8 (N, 3, SIDE, SIDE)."""
    asked: torch.Tensor
    """int8 (N, 3, 2): (colour, object) numbers of the things asked for; -1 where there is none. All -1: nothing is
    known of the picture."""
    shown: torch.Tensor
    """int8 (N, 3, 2): numbers of the things that it shows; colour -1: it has no name. All -1: it shows nothing that may
    be named."""
    patches: torch.Tensor
    """int8 (N, 2, 8, 8): object and colour that cover each patch of 8 x 8 pixels, or NOTHING or UNGRADED."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows) -> Pictures:
        return Pictures(*(getattr(self, field.name)[rows] for field in fields(self)))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        save_file({field.name: getattr(self, field.name).contiguous() for field in fields(self)}, beside)
        beside.replace(path)


def load(path: Path) -> Pictures:
    return Pictures(**load_file(path))


def joined(parts: list[Pictures]) -> Pictures:
    return Pictures(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Pictures)))


def pairs_of(numbers: torch.Tensor) -> captions.Pairs:
    """(3, 2) numbers as (colour, object) words."""
    return [
        (TAUGHT_COLORS[color] if color >= 0 else None, TAUGHT_OBJECTS[name])
        for color, name in numbers.tolist()
        if name >= 0
    ]


def numbers_of(pairs: captions.Pairs) -> np.ndarray:
    numbers = np.full((3, 2), -1, np.int8)
    for i, (color, name) in enumerate(pairs):
        numbers[i] = TAUGHT_COLORS.index(color) if color else -1, TAUGHT_OBJECTS.index(name)
    return numbers


def pooled(records: list[LabelledPicture], naming: Naming) -> Pictures:
    return Pictures(
        torch.from_numpy(np.stack([record.image for record in records])).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack([numbers_of(record.asked) for record in records])),
        torch.from_numpy(np.stack([numbers_of(record.shown) for record in records])),
        torch.from_numpy(np.stack([patch_map(record, naming) for record in records])),
    )


def patch_map(record: LabelledPicture, naming: Naming) -> np.ndarray:
    """int8 (2, 8, 8). A patch counts if a thing covers a quarter of it, or all things less than a twentieth."""
    answer = np.full((2, GRID, GRID), UNGRADED, np.int8)
    if not record.shown:
        return answer
    cover = np.stack([silhouette(thing).reshape(GRID, 8, GRID, 8).mean((1, 3)) for thing in record.things])
    answer[0][cover.sum(0) < 0.05] = NOTHING
    for thing, share in zip(record.things, cover, strict=True):
        answer[0][share >= 0.25] = TAUGHT_OBJECTS.index(thing.object)
        color = color_of(thing, naming)
        answer[1][share >= 0.25] = TAUGHT_COLORS.index(color) if color else UNGRADED
    return answer


class PicturePool:
    """The chunks of all families, in memory (12 kB a picture). Chunks that are not on disk are made."""

    def __init__(
        self,
        build_dir: Path,
        naming: Naming,
        *,
        generated: float = 0.4,
        sizes: dict = SIZES,
        chunk: int = CHUNK,
    ):
        """generated: the share of painted pictures among those drawn. Raises BadInput if the earlier stages are not
        trained, or the pool was made from others."""
        needed = ("vae", "generator") if generated else ("vae",)
        for stage in needed:
            if not (build_dir / stage / "average.safetensors").exists():
                raise BadInput(f"{build_dir} holds no trained {stage}; run the stage {stage} first")
        self.naming, self.generated, self.folder = naming, generated, build_dir / "pictures" / naming.name
        self.fingerprint = fingerprint(
            pooled(picture_families.drawn(random.Random(5), None, naming, 2), naming).images.numpy().tobytes(),
            str((naming.name, generated > 0, sizes, chunk)).encode(),
            *(build_dir / stage / "average.safetensors" for stage in needed),
        )
        claim(self.folder, self.fingerprint)
        wanted = [family for family in sizes if generated or family != "painted"]
        due = [(family, index) for family in wanted for index in range(sizes[family])]
        makers = _makers(build_dir, naming)
        for family, index in due:
            if not self._path(family, index).exists():
                rng = random.Random(f"{family} {index}")
                pooled(makers[family](rng, chunk), naming).save(self._path(family, index))
                say(f"pictures/{naming.name}  {family} {index}")
        self.families = {
            family: joined([load(self._path(family, index)) for index in range(sizes[family])]) for family in wanted
        }

    def _path(self, family: str, index: int) -> Path:
        return self.folder / f"{family}-{index:03d}.safetensors"

    def add(self, family: str, pictures: Pictures) -> None:
        self.families[family] = joined([self.families[family], pictures] if family in self.families else [pictures])

    def draw(self, rng: random.Random, count: int, spoiled: float = 0.25, swapped: float = 0.0) -> Pictures:
        """`count` pictures in twins: the given shares of the spoiled and swapped families, `generated` of the painted
        one, and the rest drawn. The family `climbed`, once added, takes a third of the painted ones' share."""
        shares = {"spoiled": spoiled, "swapped": swapped, "painted": self.generated}
        if "climbed" in self.families:
            shares |= {"climbed": self.generated / 3, "painted": self.generated * 2 / 3}
        parts = []
        for family, share in {**shares, "drawn": 1 - spoiled - swapped - self.generated}.items():
            twins = round(share * count / 2) if family != "drawn" else count // 2 - sum(len(p) for p in parts) // 2
            if not twins:
                continue
            pictures = self.families[family]
            first = torch.tensor(rng.sample(range(len(pictures) // 2), twins)) * 2
            parts.append(pictures[torch.stack([first, first + 1], 1).flatten()])
        return joined(parts)


def _makers(build_dir: Path, naming: Naming) -> dict[str, Callable]:
    """The function that makes each family. Models are loaded when first used."""
    models: dict[str, object] = {}

    def coder():
        if "coder" not in models:
            models["coder"] = load_average(build_dir / "vae", vae_stage.build()).requires_grad_(False)
        return models["coder"]

    def painter():
        from reno.testbed.training.generator import Painter

        if "painter" not in models:
            models["painter"] = Painter(build_dir)
        return models["painter"]

    return {
        "drawn": lambda rng, count: picture_families.drawn(rng, coder(), naming, count),
        "painted": lambda rng, count: picture_families.painted(rng, painter(), naming, count),
        "spoiled": lambda rng, count: picture_families.spoiled(rng, coder(), count),
        "swapped": lambda rng, count: picture_families.swapped(rng, coder(), naming, count),
    }


def augmented(images: torch.Tensor) -> torch.Tensor:
    """uint8 (B, 3, H, W) to floats in [0, 1], each a little brighter or darker, noisier and softer at random. A score
    that learns from them is smooth in the image."""
    images = images.float() / 255
    size = (len(images), 1, 1, 1)
    soft = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    images = images + torch.rand(size) * (torch.rand(size) < 0.4) * (soft - images)
    images = (images - 0.5) * (1 + 0.2 * (torch.rand(size) - 0.5)) + 0.5 + 0.12 * (torch.rand(size) - 0.5)
    return (images + 0.05 * torch.rand(size) * torch.randn_like(images)).clamp(0, 1)
