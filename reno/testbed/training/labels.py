"""The labels of the metrics' training: what a picture may be said to show.

A thing between two colours is sometimes named by the one and sometimes by the other. The smaller a half-vanished thing,
the more often it is left out. A score learned from such labels changes steadily from one answer to the other. If such
pictures had no label, the score would have a valley between two colours, which a gradient does not cross.

A `Naming` says how often a mixed colour gets which name. The less pure the colour, the more often it gets none. A judge
calls a thing mixed if it has a quarter of another colour, and the score should rise until then. (Optimising against a
CLIP that was taught that a mixture always has a name left more things mixed.) SQUARE names mixtures more often than
PURE. A metric that learns from captions alone needs that; BLIP, which is also told what is false of a picture, needs it
less.

An image of the trained generator is labelled by the law: as the scene that the law (`layout.scene_of`) drew, with the
colour mixtures that the image shows. An image that does not agree with the law shows nothing that may be named: it is
never a positive, and the caption that it was asked for is false of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from reno.testbed import layout
from reno.testbed.render import render, silhouette
from reno.testbed.world import SIDE, Scene, Thing, caption
from reno.weights.images import to_uint8

AGREES, DISAGREES = 0.10, 0.15
"""Up to AGREES, a generated picture is what the law says; above DISAGREES it is something else; between them it is
unknown. Mean absolute differences, of 1."""
REACH = 4
"""Pixels by which a generated thing may be away from the law's place."""
WHOLE = {1: 0.46, 2: 0.40, 3: 0.32}
"""Size of a thing that has not shrunk, by the number of things asked for."""
UNNAMED, NAMED = 0.35, 0.85
"""A thing below the first share of that size is never named; above the second it always is."""


@dataclass(frozen=True)
class Naming:
    """How a thing with a share of another's colour is named."""

    name: str
    clear: float
    """Up to this share it has its own colour beyond doubt; from 1 - clear on it has the other's."""
    odds: Callable[[float], float]
    """Share of a colour to the probability of being named by it."""
    of_swaps: bool = True
    """Whether that also holds in twins with swapped colours; else those are named only beyond doubt."""

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
"""Half the time by a colour of which it has seven tenths; a quarter of the time by each colour at one half. Not used in
swapped twins: it would sometimes say that both things have one colour."""
PURE = Naming("pure", 0.2, lambda share: share**3)
"""Half the time by a colour of which it has four fifths. A score learns the logarithm of this, which falls from the
pure colour on, more and more steeply."""


@dataclass(frozen=True)
class Dyed(Thing):
    """A thing in a colour that has no name."""

    dye: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def rgb(self) -> tuple[float, float, float]:
        return self.dye


@dataclass
class LabelledPicture:
    """One training picture and what is known of it."""

    image: np.ndarray
    """uint8 (SIDE, SIDE, 3)."""
    asked: list[tuple[str, str]]
    shown: list[tuple[str, str]]
    things: tuple[Thing, ...] = ()
    """What covers the patches; empty if that is unknown."""


def color_of(thing: Thing, naming: Naming, rng: random.Random | None = None) -> str | None:
    """The name of the colour that it shows; None if it has none. Between two colours: by chance, as `naming` says, or
    without an `rng` only beyond doubt."""
    if isinstance(thing, Dyed):
        return None
    if thing.leak is None or thing.leak[0] == thing.color:
        return thing.color
    if rng:
        return naming.now_and_then(thing.color, *thing.leak, rng)
    return naming.beyond_doubt(thing.color, *thing.leak)


def shown_by(scene: Scene, naming: Naming, rng: random.Random | None = None) -> list[tuple[str | None, str]]:
    """The (colour, object) pairs that a scene shows."""
    return [(color_of(thing, naming, rng), thing.object) for thing in scene.things]


def named(scene: Scene, asked: int, naming: Naming, rng: random.Random | None) -> list[tuple[str | None, str]]:
    """What may be said of a scene of which `asked` things were asked for. Without an `rng`: everything beyond doubt, or
    nothing."""
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
) -> list[LabelledPicture]:
    """The generator's images of noise (B, 8, 8, 8) and prompts, labelled by the law. What is between two answers is
    labelled by chance as `naming` says; without an `rng`, as nothing."""
    images = to_uint8(paint(noise, [caption(pairs) for pairs in asked]))
    scenes = [layout.scene_of(z, pairs) for z, pairs in zip(noise.double().numpy(), asked, strict=True)]
    return [by_law(*one, naming, rng) for one in zip(images, scenes, asked, strict=True)]


def by_law(
    image: np.ndarray, scene: Scene, asked: list[tuple[str, str]], naming: Naming, rng: random.Random | None = None
) -> LabelledPicture:
    """An image labelled as what the law says, in the colours that the image has. If it disagrees with the law, it shows
    nothing. If it is unclear whether it agrees, nothing is known, and `asked` is empty."""
    found, off = sought(image, scene)
    if off < AGREES:
        return LabelledPicture(image, asked, named(found, len(asked), naming, rng), found.things)
    return LabelledPicture(image, asked if off > DISAGREES else [], [])


def sought(image: np.ndarray, scene: Scene) -> tuple[Scene, float]:
    """Looks for the law's scene in an image. Answers with the scene, in the shares of leaked colours that the image
    has, and with how far the image differs from it: the largest of the mean absolute differences (of 1) at each thing,
    which may be up to REACH pixels away, and outside all things."""
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
