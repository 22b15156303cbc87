"""What a picture may be said to show: the labels of the metrics' training.

What is between two answers is named by either, now and then, and the smaller a half-vanished thing, the more often it
is left out. A score learned from such labels changes steadily from one answer to the other. Were such pictures called
nothing, a valley would lie between two colours, which no gradient crosses.

How often a mixed colour has which name is a `Naming`. The less pure the colour, the fewer names it has, so that a score
rises until a judge, who calls a thing mixed that has a quarter of another colour, says that it is bound: optimising a
CLIP that was taught that a mixture always has one name or the other left more things mixed. SQUARE has more names for a
mixture than PURE. A metric that learns from captions alone needs them; one that is also told what is false of a
picture, as BLIP is, does with fewer.

An image of the trained generator is labelled by the law: as the scene that the law (`layout.scene_of`) drew, in the
mixtures of colours that the image shows. One that is not what the law says shows nothing that may be named: it is never
anyone's positive, and the caption it was asked for is false of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from reno.images import to_uint8
from reno.testbed import layout
from reno.testbed.render import render, silhouette
from reno.testbed.world import SIDE, Scene, Thing, caption

AGREES, DISAGREES = 0.10, 0.15
"""Disagreements with the law up to which a painted picture is what it says, and from which it is something else."""
REACH = 4
"""Pixels that a painted thing may lie off the law's place."""
WHOLE = {1: 0.46, 2: 0.40, 3: 0.32}
"""Sizes, by the number of things asked for, of a thing that has not shrunk."""
UNNAMED, NAMED = 0.35, 0.85
"""Shares of that size up to which a thing is never named, and from which it always is."""


@dataclass(frozen=True)
class Naming:
    """What a thing is called that has a share of another's colour."""

    name: str
    clear: float
    """The share up to which it has its own colour beyond doubt; from 1 - clear on it has the other's."""
    odds: Callable[[float], float]
    """How often it is called by a colour of which it has this share."""
    of_swaps: bool = True
    """Whether it is also called so in twins whose colours are swapped; else only beyond doubt."""

    def beyond_doubt(self, own: str, other: str, share: float) -> str | None:
        if share <= self.clear:
            return own
        return other if share >= 1 - self.clear else None

    def now_and_then(self, own: str, other: str, share: float, rng: random.Random) -> str | None:
        draw = rng.random()
        if draw < self.odds(share):
            return other
        return own if draw < self.odds(share) + self.odds(1 - share) else None


SQUARE = Naming("square", 0.25, lambda share: share**2, of_swaps=False)
"""By the colour of which it has seven tenths half the time; a quarter of the time by each at one half. Of swapped twins
it would now and then say that both things have one colour."""
PURE = Naming("pure", 0.2, lambda share: share**3)
"""By the colour of which it has four fifths half the time. The logarithm, which a score learns, falls from the pure
colour on, and ever more steeply."""


@dataclass(frozen=True)
class Dyed(Thing):
    """A thing in a colour that has no name."""

    dye: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def rgb(self) -> tuple[float, float, float]:
        return self.dye


@dataclass
class Record:
    """One picture before it is pooled."""

    image: np.ndarray
    """uint8 (SIDE, SIDE, 3)."""
    asked: list[tuple[str, str]]
    shown: list[tuple[str, str]]
    things: tuple[Thing, ...] = ()
    """What covers the patches, if anything may be said of it."""


def color_of(thing: Thing, naming: Naming, rng: random.Random | None = None) -> str | None:
    """The colour it shows; None if that has no name. Between two colours as `naming` has it now and then, or without an
    `rng` beyond doubt."""
    if isinstance(thing, Dyed):
        return None
    if thing.leak is None or thing.leak[0] == thing.color:
        return thing.color
    if rng:
        return naming.now_and_then(thing.color, *thing.leak, rng)
    return naming.beyond_doubt(thing.color, *thing.leak)


def shown_by(scene: Scene, naming: Naming, rng: random.Random | None = None) -> list[tuple[str | None, str]]:
    """The things and their colours."""
    return [(color_of(thing, naming, rng), thing.object) for thing in scene.things]


def named(scene: Scene, asked: int, naming: Naming, rng: random.Random | None) -> list[tuple[str | None, str]]:
    """What one who sees the scene of so many things asked for says of it; without an `rng` only what is beyond doubt,
    or nothing."""
    doubts = [(NAMED - thing.size / WHOLE[asked]) / (NAMED - UNNAMED) for thing in scene.things]
    if rng:
        seen = [thing for thing, doubt in zip(scene.things, doubts, strict=True) if rng.random() >= doubt]
        return shown_by(replace(scene, things=tuple(seen)), naming, rng)
    pairs = shown_by(scene, naming)
    return [] if any(doubt > 0.5 for doubt in doubts) or None in [color for color, _ in pairs] else pairs


@torch.no_grad()
def labelled(
    paint,
    noise: torch.Tensor,
    asked: list[list[tuple[str, str]]],
    naming: Naming,
    rng: random.Random | None = None,
) -> list[Record]:
    """The images of noise (B, 8, 8, 8) and prompts, labelled by the law; what is between two answers by `naming`, or
    without an `rng` as nothing."""
    images = to_uint8(paint(noise, [caption(pairs) for pairs in asked]))
    scenes = [layout.scene_of(z, pairs) for z, pairs in zip(noise.double().numpy(), asked, strict=True)]
    return [by_law(*one, naming, rng) for one in zip(images, scenes, asked, strict=True)]


def by_law(
    image: np.ndarray, scene: Scene, asked: list[tuple[str, str]], naming: Naming, rng: random.Random | None = None
) -> Record:
    """Shows what the law says, in the colours that the image has, and nothing nameable if it is not what the law says.
    Where that is hard to say nothing is known: nothing is `asked`."""
    found, off = sought(image, scene)
    if off < AGREES:
        return Record(image, asked, named(found, len(asked), naming, rng), found.things)
    return Record(image, asked if off > DISAGREES else [], [])


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
