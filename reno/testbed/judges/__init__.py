"""Two judges of the embedded world's images: a small network (`learned`) and an analysis of the pixels (`analytic`).

Each says which things an image shows: where they are, and which object and colour they are, if any. `verdict` turns
that into judgements of a prompt's bindings. The judges share no code but the words. Neither is a model under test, so
both may know every colour and object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding, Prompt
from reno.testbed.world import COLORS, OBJECTS, PALETTE, bindings_of

JUNK, MIXED = len(OBJECTS), len(COLORS)
"""The last classes. JUNK, of objects: no object of this world. MIXED, of colours: two colours, or one between two."""

PURE = 0.31
"""A colour keeps its name up to this share of the way from the nearest named colour to the next. About a quarter of
another colour may then be mixed in."""


@dataclass(frozen=True)
class SeenThing:
    """One thing that a judge sees."""

    x: float
    """Centre, from the left and from the top, in shares of the image's side."""
    y: float
    objects: np.ndarray
    """Probabilities of OBJECTS and, last, of junk."""
    colors: np.ndarray
    """Probabilities of COLORS and, last, of a mixture."""

    @property
    def object(self) -> str | None:
        """None for junk."""
        best = int(np.argmax(self.objects))
        return None if best == JUNK else OBJECTS[best]

    @property
    def color(self) -> str | None:
        """None for a mixture."""
        best = int(np.argmax(self.colors))
        return None if best == MIXED else COLORS[best]


class WorldJudge(Protocol):
    def look(self, images: np.ndarray) -> list[list[SeenThing]]:
        """The things in each image, uint8 (B, SIDE, SIDE, 3)."""
        ...


def verdict(found: Sequence[SeenThing], bindings: Sequence[Binding]) -> Verdict:
    """The verdict on bindings, whose words the world must know, by the things that a judge sees.

    Faults: `swapped`, two asked things are there with each other's colours; `missing`, an asked object is not there;
    `junk`, something is no object; `mixed`, an object has two colours or one between two.
    """
    shown = {(thing.object, thing.color) for thing in found}
    asked = [(binding.attribute, binding.object) for binding in bindings]
    judgements = tuple(_judgement(found, shown, asked, color, name) for color, name in asked)
    faults = {
        "swapped": any(
            one[0] != two[0] and {(one[1], two[0]), (two[1], one[0])} <= shown
            for i, one in enumerate(asked)
            for two in asked[:i]
        ),
        "missing": not all(judgement.object_present for judgement in judgements),
        "junk": any(thing.object is None for thing in found),
        "mixed": any(thing.object is not None and thing.color is None for thing in found),
    }
    return Verdict(judgements, faults)


def _judgement(
    found: Sequence[SeenThing], shown: set, asked: Sequence[tuple[str, str]], color: str, name: str
) -> Judgement:
    objects = [float(thing.objects[OBJECTS.index(name)]) for thing in found]
    colors = [float(thing.colors[COLORS.index(color)]) for thing in found]
    return Judgement(
        attribute=color,
        object=name,
        object_present=any(thing == name for thing, _ in shown),
        attribute_present=any(thing == color for _, thing in shown),
        bound=(name, color) in shown,
        object_confidence=max(objects, default=0.0),
        attribute_confidence=max(colors, default=0.0),
        bound_confidence=max((a * b for a, b in zip(objects, colors, strict=True)), default=0.0),
        instead=None if (name, color) in shown else _instead(found, asked, name),
    )


def _instead(found: Sequence[SeenThing], asked: Sequence[tuple[str, str]], name: str) -> str | None:
    """The colour of the surest thing of this name, `mixed` if it has none; None if there is none. One whose colour is
    asked of another thing of this name is taken last."""
    things = [thing for thing in found if thing.object == name]
    place = OBJECTS.index(name)
    things.sort(key=lambda thing: ((thing.color, name) in asked, -thing.objects[place]))
    return (things[0].color or "mixed") if things else None


def agreement(
    images: np.ndarray, prompts: Sequence[Prompt], judges: Sequence[WorldJudge] | None = None
) -> tuple[float, list[int]]:
    """How often two judges agree on images, uint8 (N, SIDE, SIDE, 3), and their prompts.

    judges: by default the learned one as shipped, and the analytic one. Answers with the share of bindings of which
    both say that they hold or both that they do not, and the indices of the images where they differ on some binding.
    Raises BadInput for a word that the world does not know.
    """
    if judges is None:
        from reno.testbed.judges import analytic, learned

        judges = (learned.load(), analytic.AnalyticJudge())
    asked = [bindings_of(prompt) for prompt in prompts]
    one, other = ([verdict(*pair) for pair in zip(judge.look(images), asked, strict=True)] for judge in judges)
    same = [same_bindings(*pair) for pair in zip(one, other, strict=True)]
    return sum(map(sum, same)) / sum(map(len, same)), [index for index, flags in enumerate(same) if not all(flags)]


def same_bindings(one: Verdict, other: Verdict) -> list[bool]:
    """Whether two verdicts agree that a binding holds or does not, for each binding."""
    return [a.bound == b.bound for a, b in zip(one.judgements, other.judgements, strict=True)]


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of sRGB values (..., 3), 0 to 255."""
    values = np.asarray(rgb, np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ.T / (0.9505, 1.0, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
PALETTE_RGB = np.array(list(PALETTE.values()), np.float64)
PALETTE_LAB = lab(PALETTE_RGB)


def color_names(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of sRGB values (..., 3), the index of the nearest colour (...), and how far they are on the way to the next one:
    from 0 to 0.5, where both are equally near.

    The nearest colour is that in Lab. The way is the mean of two: in Lab, which exaggerates it for mixtures of
    saturated blue and red, and in sRGB, in which colours are mixed.
    """
    rgb = np.asarray(rgb, np.float64)
    distances = np.linalg.norm(lab(rgb)[..., None, :] - PALETTE_LAB, axis=-1)
    nearest = distances.argmin(-1)
    plain = np.linalg.norm(rgb[..., None, :] - PALETTE_RGB, axis=-1)
    return nearest, (_way(distances, nearest) + _way(plain, nearest)) / 2


def _way(distances: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    own = np.take_along_axis(distances, nearest[..., None], -1)[..., 0]
    others = distances.copy()
    np.put_along_axis(others, nearest[..., None], np.inf, -1)
    return own / (own + others.min(-1))
