"""The training pictures of the metrics, made once and kept in `pictures/`; stages `clip` and `blip` share them.

Four families, each in twins that were asked for the same things:

- `drawn`: renders, a third of them through the VAE. The second twin has one fault (a colour leaked, swapped or
  replaced, an object replaced or missing) and is labelled as what it shows.
- `painted`: two images of the trained generator, of one prompt and two noises, labelled as what the law
  (`layout.scene_of`) drew, in the mixtures of colours that the image shows. A fifth of the noise is off the prior. An
  image that is not what the law says shows nothing that may be named.
- `spoiled`: a render as asked and one that an optimiser would like to pass for it: two-toned, patchy, blended,
  smeared, cut, fused, a ghost, a chimera of two objects, mixed latents. Half go through the VAE. The spoiled twin
  shows nothing that may be named.
- `swapped`: a render as asked and one with each colour on the next thing, labelled as what it shows; for the second
  lesson, in which a batch is hard because it holds both.

What is between two answers is named by either, as people would: the more of another colour a thing has, the more often
it is named by that, and the smaller a half-vanished thing, the more often it is left out. A score learned from such
labels changes steadily from one answer to the other. Were such pictures called nothing, a valley would lie between two
colours, which no gradient crosses.

A picture that shows nothing that may be named is never anyone's positive; the caption it was asked for is false of it.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from reno.errors import BadInput
from reno.testbed import layout
from reno.testbed.render import render, silhouette
from reno.testbed.stages import captions
from reno.testbed.stages import vae as vae_stage
from reno.testbed.stages.grounding import NOTHING, UNGRADED
from reno.testbed.stages.loop import claim, fingerprint, load_average, tensor_of
from reno.testbed.stages.spoiling import SPOILERS, with_thing
from reno.testbed.world import (
    COLORS,
    HELD_OUT,
    OBJECTS,
    PALETTE,
    SIDE,
    Scene,
    Thing,
    caption,
    sample_pairs,
    sample_scene,
)

CHUNK = 1024
"""Pictures in a chunk."""
SIZES = {"drawn": 20, "painted": 12, "spoiled": 6, "swapped": 6}
"""Chunks in the pool."""
SCALES = (0.7, 1.5)
"""What a fifth of the painted pictures' noise is multiplied by, lowest and highest."""
CLEAR, MIXED = 0.3, 0.7
"""Shares of another's colour up to which a thing has its own beyond doubt, and from which it has the other's."""
AGREES, DISAGREES = 0.10, 0.15
"""Disagreements with the law up to which a painted picture is what it says, and from which it is something else."""
DYED = 0.5
"""Share of drawn twins with things in colours that have no name."""
FAR = 60.0
"""Distance (of 0 to 255, each) of such a colour from those that training may not show the object in."""
REACH = 4
"""Pixels that a painted thing may lie off the law's place."""
WHOLE = {1: 0.46, 2: 0.40, 3: 0.32}
"""Sizes, by the number of things asked for, of a thing that has not shrunk."""
UNNAMED, NAMED = 0.35, 0.85
"""Shares of that size up to which a thing is never named, and from which it always is."""
GRID = 8


@dataclass(frozen=True)
class Pictures:
    """Twins lie at 2k and 2k + 1."""

    images: torch.Tensor
    """uint8 (N, 3, SIDE, SIDE)."""
    asked: torch.Tensor
    """int8 (N, 3, 2): (colour, object) numbers of the things asked for; -1 where there is none. Of a picture of which
    nothing is known, all -1."""
    shown: torch.Tensor
    """int8 (N, 3, 2): of the things it shows; all -1 if it shows nothing that may be named, colour -1 if that has no
    name."""
    patches: torch.Tensor
    """int8 (N, 2, 8, 8): object and colour that cover each patch of 8 x 8 pixels; NOTHING, UNGRADED."""

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
    return [(COLORS[color] if color >= 0 else None, OBJECTS[name]) for color, name in numbers.tolist() if name >= 0]


def numbers_of(pairs: captions.Pairs) -> np.ndarray:
    numbers = np.full((3, 2), -1, np.int8)
    for i, (color, name) in enumerate(pairs):
        numbers[i] = COLORS.index(color) if color else -1, OBJECTS.index(name)
    return numbers


@dataclass(frozen=True)
class Dyed(Thing):
    """A thing in a colour that has no name."""

    dye: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def rgb(self) -> tuple[float, float, float]:
        return self.dye


def dyed(rng: random.Random, thing: Thing) -> Dyed:
    """In any colour that is not light and is far from those that training may not show this object in."""
    near = [PALETTE[color] for color, name in HELD_OUT if name == thing.object]
    while True:
        dye = tuple(rng.uniform(10, 250) for _ in range(3))
        if min(dye) < 150 and all(math.dist(dye, other) > FAR for other in near):
            return Dyed(thing.color, thing.object, thing.x, thing.y, thing.size, thing.tilt, dye=dye)


@dataclass
class Record:
    """One picture before it is pooled."""

    image: np.ndarray
    """uint8 (SIDE, SIDE, 3)."""
    asked: list[tuple[str, str]]
    shown: list[tuple[str, str]]
    things: tuple[Thing, ...] = ()
    """What covers the patches, if anything may be said of it."""


def pooled(records: list[Record]) -> Pictures:
    return Pictures(
        torch.from_numpy(np.stack([record.image for record in records])).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack([numbers_of(record.asked) for record in records])),
        torch.from_numpy(np.stack([numbers_of(record.shown) for record in records])),
        torch.from_numpy(np.stack([patch_map(record) for record in records])),
    )


def patch_map(record: Record) -> np.ndarray:
    """int8 (2, 8, 8); a patch is graded if a thing covers a quarter of it, or nothing a twentieth."""
    answer = np.full((2, GRID, GRID), UNGRADED, np.int8)
    if not record.shown:
        return answer
    cover = np.stack([silhouette(thing).reshape(GRID, 8, GRID, 8).mean((1, 3)) for thing in record.things])
    answer[0][cover.sum(0) < 0.05] = NOTHING
    for thing, share in zip(record.things, cover, strict=True):
        answer[0][share >= 0.25] = OBJECTS.index(thing.object)
        color = color_of(thing)
        answer[1][share >= 0.25] = COLORS.index(color) if color else UNGRADED
    return answer


def color_of(thing: Thing, rng: random.Random | None = None) -> str | None:
    """The colour it shows; None if that has no name. Between two colours either, by `odds`, or None without an
    `rng`."""
    if isinstance(thing, Dyed):
        return None
    if rng and thing.leak:
        return thing.leak[0] if rng.random() < odds(thing.leak[1]) else thing.color
    if thing.leak is None or thing.leak[1] <= CLEAR or thing.leak[0] == thing.color:
        return thing.color
    return thing.leak[0] if thing.leak[1] >= MIXED else None


def odds(share: float) -> float:
    """How often a thing with this share of another colour is named by that: from never to always, half the time at one
    half, its steepest there."""
    return share * share * (3 - 2 * share)


# --- drawn --------------------------------------------------------------------------------------------------


def drawn(rng: random.Random, coder, count: int) -> list[Record]:
    """`count` pictures, twins of one prompt: as asked, and with a fault. Every third pair goes through the VAE.

    In some, things have colours without a name, and the caption says only what they are: objects should be known in any
    colour.
    """
    records = []
    for _ in range(count // 2):
        pairs = sample_pairs(rng, rng.choices((1, 2, 3), (0.1, 0.6, 0.3))[0])
        twins = [tinged(rng, placed(rng, pairs)), faulty(rng, pairs)]
        if rng.random() < DYED:
            names = {name for _, name in pairs if rng.random() < 0.7}
            twins = [
                replace(s, things=tuple(dyed(rng, t) if t.object in names else t for t in s.things)) for s in twins
            ]
        for scene in twins:
            records.append(Record(render(scene), pairs, shown_by(scene, rng), scene.things))
    through_vae(coder, [record for i, record in enumerate(records) if i // 2 % 3 == 2])
    return records


def placed(rng: random.Random, pairs: list[tuple[str, str]]) -> Scene:
    """A scene of the pairs; three in four have sizes and tilts as close together as the generator's, two fifths of
    what the world allows."""
    scene = sample_scene(rng, len(pairs), pairs)
    if rng.random() < 0.25:
        return scene
    middle = WHOLE[len(pairs)]
    things = []
    for thing in scene.things:
        size = middle + 0.4 * (thing.size - middle)
        x, y = (min(max(at, size / 2), 1 - size / 2) for at in (thing.x, thing.y))
        things.append(replace(thing, x=x, y=y, size=size, tilt=0.6 * thing.tilt))
    return replace(scene, things=tuple(things))


def shown_by(scene: Scene, rng: random.Random | None = None) -> list[tuple[str, str]]:
    """The things and their colours; between two colours None, or with an `rng` either."""
    return [(color_of(thing, rng), thing.object) for thing in scene.things]


def tinged(rng: random.Random, scene: Scene) -> Scene:
    """Now and then some of another's colour, as the generator's faults have where they are nearly mended."""
    if len(scene.things) == 1 or rng.random() < 0.6:
        return scene
    colors = [thing.color for thing in scene.things]
    things = [
        replace(thing, leak=(rng.choice([c for c in colors if c != thing.color]), rng.uniform(0, CLEAR)))
        for thing in scene.things
    ]
    return replace(scene, things=tuple(things))


def faulty(rng: random.Random, pairs: list[tuple[str, str]]) -> Scene:
    """The prompt with one fault. A single thing is replaced, and so is one that has no other colour to take."""
    shares = {"leaked": 0.25, "swapped": 0.25, "color": 0.2, "object": 0.2, "missing": 0.1}
    kind = rng.choices(list(shares), list(shares.values()))[0]
    if kind in ("color", "object") or len(pairs) == 1:
        changed = captions.replacements(pairs, kind) if kind in ("color", "object") else []
        changed = rng.choice(changed or captions.replacements(pairs, "object") or captions.replacements(pairs, "color"))
        return placed(rng, changed)
    at = rng.randrange(len(pairs))
    other = (at + 1) % len(pairs)
    changed = list(pairs)
    if kind == "missing":
        del changed[at]
    elif kind == "swapped":
        changed[at], changed[other] = (pairs[other][0], pairs[at][1]), (pairs[at][0], pairs[other][1])
    scene = placed(rng, changed)
    if kind == "leaked":
        leaked = replace(scene.things[at], leak=(pairs[other][0], min(1.0, rng.uniform(0.2, 1.3))))
        scene = with_thing(scene, at, leaked)
    return scene


@torch.no_grad()
def through_vae(coder, records: list[Record]) -> None:
    """Replaces the records' images by what the VAE makes of them."""
    for start in range(0, len(records), 64):
        some = records[start : start + 64]
        for record, image in zip(some, decoded(coder, encoded(coder, [r.image for r in some])), strict=True):
            record.image = image


def encoded(coder, images: list[np.ndarray]) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return coder.encode(tensor_of(images) * 2 - 1).latent_dist.mean.float()


def decoded(coder, latents: torch.Tensor) -> list[np.ndarray]:
    with torch.autocast("cpu", torch.bfloat16):
        return to_pixels(coder.decode(latents).sample.float() / 2 + 0.5)


def to_pixels(images: torch.Tensor) -> list[np.ndarray]:
    """(B, 3, H, W) in [0, 1] as uint8 (H, W, 3) each."""
    return list(images.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy())


# --- painted ------------------------------------------------------------------------------------------------


@torch.no_grad()
def painted(rng: random.Random, paint, count: int) -> list[Record]:
    """`count` images of the generator, two noises to a prompt."""
    records = []
    for start in range(0, count, 64):
        size = min(64, count - start)
        prompts = [sample_pairs(rng, rng.choices((1, 2, 3), (0.05, 0.6, 0.35))[0]) for _ in range(size // 2)]
        asked = [pairs for pairs in prompts for _ in range(2)]
        noise = torch.from_numpy(np.random.default_rng(rng.getrandbits(32)).standard_normal((size, 8, 8, 8))).float()
        scale = [rng.uniform(*SCALES) if rng.random() < 0.2 else 1.0 for _ in range(size)]
        records += labelled(paint, noise * torch.tensor(scale)[:, None, None, None], asked, rng)
    return records


@torch.no_grad()
def labelled(
    paint, noise: torch.Tensor, asked: list[list[tuple[str, str]]], rng: random.Random | None = None
) -> list[Record]:
    """The images of noise (B, 8, 8, 8) and prompts, labelled by the law; what is between two answers by either, or
    without an `rng` as nothing."""
    images = to_pixels(paint(noise, [caption(pairs) for pairs in asked]))
    scenes = [layout.scene_of(z, pairs) for z, pairs in zip(noise.double().numpy(), asked, strict=True)]
    return [by_law(*one, rng) for one in zip(images, scenes, asked, strict=True)]


def by_law(image: np.ndarray, scene: Scene, asked: list[tuple[str, str]], rng: random.Random | None = None) -> Record:
    """Shows what the law says, in the colours that the image has, and nothing nameable if it is not what the law says.
    Where that is hard to say nothing is known: nothing is `asked`."""
    found, off = sought(image, scene)
    if off < AGREES:
        return Record(image, asked, named(found, len(asked), rng), found.things)
    return Record(image, asked if off > DISAGREES else [], [])


def named(scene: Scene, asked: int, rng: random.Random | None) -> list[tuple[str, str]]:
    """What one who sees the scene of so many things asked for says of it; without an `rng` only what is beyond doubt,
    or nothing."""
    doubts = [(NAMED - thing.size / WHOLE[asked]) / (NAMED - UNNAMED) for thing in scene.things]
    if rng:
        seen = [thing for thing, doubt in zip(scene.things, doubts, strict=True) if rng.random() >= doubt]
        return shown_by(replace(scene, things=tuple(seen)), rng)
    pairs = shown_by(scene)
    return [] if any(doubt > 0.5 for doubt in doubts) or None in [color for color, _ in pairs] else pairs


def sought(image: np.ndarray, scene: Scene) -> tuple[Scene, float]:
    """The law's scene with the shares of leaked colours that the image has; and how far the image is off it: the mean
    absolute difference (of 1) where it is largest, in the place of a thing, which may lie up to REACH pixels off, or
    outside all of them."""
    image = image.astype(np.float32) / 255
    own, other = (
        render(replace(scene, things=tuple(_leaking(thing, share) for thing in scene.things))).astype(np.float32) / 255
        for share in (0.0, 1.0)
    )
    around = np.pad(image, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    outside, worst, things = np.ones((SIDE, SIDE), bool), 0.0, []
    for thing in scene.things:
        mask = silhouette(thing) > 0.05
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        top, left, height, width = rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1
        box = slice(top, top + height), slice(left, left + width)
        seen = np.lib.stride_tricks.sliding_window_view(around, (height, width), (0, 1))
        seen = seen[top : top + 2 * REACH + 1, left : left + 2 * REACH + 1]  # (offsets, offsets, 3, height, width)
        seen = seen[..., mask[box]]  # (offsets, offsets, 3, pixels)
        start, way = own[box][mask[box]].T, (other - own)[box][mask[box]].T  # (3, pixels)
        share = ((seen - start) * way).sum((-2, -1)) / max(float((way * way).sum()), 1e-6)
        share = np.clip(share, 0, 1)
        error = np.abs(seen - start - share[..., None, None] * way).mean((-2, -1))
        at = np.unravel_index(error.argmin(), error.shape)
        worst = max(worst, float(error[at]))
        things.append(_leaking(thing, float(share[at])))
        grown = slice(max(0, top - REACH), top + height + REACH), slice(max(0, left - REACH), left + width + REACH)
        outside[grown] = False
    far = np.abs(image - own).mean(-1)[outside].mean() if outside.any() else 0.0
    return replace(scene, things=tuple(things)), max(worst, float(far))


def _leaking(thing: Thing, share: float) -> Thing:
    return replace(thing, leak=(thing.leak[0], share)) if thing.leak else thing


# --- spoiled ------------------------------------------------------------------------------------------------


def spoiled(rng: random.Random, coder, count: int) -> list[Record]:
    """`count` pictures, twins of one prompt: as asked, and spoiled. Every second pair goes through the VAE."""
    records, coded = [], []
    for index in range(count // 2):
        pairs = sample_pairs(rng, rng.choices((1, 2, 3), (0.1, 0.6, 0.3))[0])
        scene = placed(rng, pairs)
        twins = [Record(render(scene), pairs, pairs, scene.things), Record(rng.choice(SPOILERS)(rng, scene), pairs, [])]
        if index % 2:
            mixed = rng.random() < 0.3
            coded += twins[:1] if mixed else twins
            if mixed:
                twins[1].image = latents_mixed(rng, scene, coder)
        records += twins
    through_vae(coder, coded)
    return records


@torch.no_grad()
def latents_mixed(rng: random.Random, scene: Scene, coder) -> np.ndarray:
    """What the decoder makes of latents of no image: of two pictures in patches, or with noise on them."""
    pairs = [(thing.color, thing.object) for thing in scene.things]
    latents = encoded(coder, [render(scene), render(placed(rng, pairs))])
    draw = torch.Generator().manual_seed(rng.getrandbits(32))
    if rng.random() < 0.6:
        mask = (torch.rand(8, 8, generator=draw) < rng.uniform(0.3, 0.6)).float()
        mixed = latents[0] * (1 - mask) + latents[1] * mask
    else:
        noise = torch.randn(latents[0].shape, generator=draw)
        mixed = latents[0] + rng.uniform(0.5, 1.2) * latents.std() * noise
    return decoded(coder, mixed[None])[0]


# --- swapped ------------------------------------------------------------------------------------------------


def swapped(rng: random.Random, coder, count: int) -> list[Record]:
    """`count` pictures, twins of one prompt: as asked, and each colour on the next thing. Every third pair goes through
    the VAE."""
    records = []
    for _ in range(count // 2):
        pairs = sample_pairs(rng, rng.choices((2, 3), (0.7, 0.3))[0])
        for scene in (tinged(rng, placed(rng, some)) for some in (pairs, captions.rotated(pairs))):
            records.append(Record(render(scene), pairs, shown_by(scene), scene.things))
    through_vae(coder, [record for i, record in enumerate(records) if i // 2 % 3 == 2])
    return records


# --- the pool -----------------------------------------------------------------------------------------------


class Pool:
    """All families' chunks, in memory (12 kB a picture); what is missing on disk is made."""

    def __init__(
        self,
        build_dir: Path,
        *,
        generated: float = 0.4,
        sizes: dict = SIZES,
        chunk: int = CHUNK,
        backwards: bool = False,
    ):
        """`generated`: the share of painted pictures in what is drawn. `backwards`: makes the last chunks first, so
        that two stages that start together share the work. Raises BadInput if the stages before are not trained, or
        the pool was made from others."""
        needed = ("vae", "generator") if generated else ("vae",)
        for stage in needed:
            if not (build_dir / stage / "average.safetensors").exists():
                raise BadInput(f"{build_dir} holds no trained {stage}; run the stage {stage} first")
        self.generated, self.folder = generated, build_dir / "pictures"
        self.fingerprint = fingerprint(
            pooled(drawn(random.Random(5), None, 2)).images.numpy().tobytes(),
            str((generated > 0, sizes, chunk)).encode(),
            *(build_dir / stage / "average.safetensors" for stage in needed),
        )
        claim(self.folder, self.fingerprint)
        families = [family for family in sizes if generated or family != "painted"]
        due = [(family, index) for family in families for index in range(sizes[family])]
        makers = _makers(build_dir)
        for family, index in reversed(due) if backwards else due:
            if not self._path(family, index).exists():
                rng = random.Random(f"{family} {index}")
                pooled(makers[family](rng, chunk)).save(self._path(family, index))
                print(f"pictures  {family} {index}", flush=True)
        self.families = {
            family: joined([load(self._path(family, index)) for index in range(sizes[family])]) for family in families
        }

    def _path(self, family: str, index: int) -> Path:
        return self.folder / f"{family}-{index:03d}.safetensors"

    def add(self, family: str, pictures: Pictures) -> None:
        self.families[family] = joined([self.families[family], pictures] if family in self.families else [pictures])

    def draw(self, rng: random.Random, count: int, spoiled: float = 0.25, swapped: float = 0.0) -> Pictures:
        """`count` pictures in twins: shares `spoiled` and `swapped` of those families, `generated` of the painted one,
        the rest drawn; a family that was added has a third of the painted ones' place."""
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


def _makers(build_dir: Path) -> dict[str, Callable]:
    """Each family's maker, which loads its models when first used."""
    models: dict[str, object] = {}

    def coder():
        if "coder" not in models:
            models["coder"] = load_average(build_dir / "vae", vae_stage.build()).requires_grad_(False)
        return models["coder"]

    def painter():
        from reno.testbed.stages.generator import Painter

        if "painter" not in models:
            models["painter"] = Painter(build_dir)
        return models["painter"]

    return {
        "drawn": lambda rng, count: drawn(rng, coder(), count),
        "painted": lambda rng, count: painted(rng, painter(), count),
        "spoiled": lambda rng, count: spoiled(rng, coder(), count),
        "swapped": lambda rng, count: swapped(rng, coder(), count),
    }


def augmented(images: torch.Tensor) -> torch.Tensor:
    """uint8 (B, 3, H, W) to floats in [0, 1], each a little brighter or darker, noisier and softer, so that a score
    that learns from them is smooth in the image."""
    images = images.float() / 255
    size = (len(images), 1, 1, 1)
    soft = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    images = images + torch.rand(size) * (torch.rand(size) < 0.4) * (soft - images)
    images = (images - 0.5) * (1 + 0.2 * (torch.rand(size) - 0.5)) + 0.5 + 0.12 * (torch.rand(size) - 0.5)
    return (images + 0.05 * torch.rand(size) * torch.randn_like(images)).clamp(0, 1)
