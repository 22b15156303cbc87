"""Two judges of the embedded world's images that share nothing but the words: a small network and an analysis.

Each answers which things an image shows: where, what object or none, what colour or none. `verdict` turns that answer
into judgements of a prompt's bindings. Neither judge is a model under test, so both may know every colour and object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reno.evaluators import Judgement, Verdict
from reno.prompts import Binding, Prompt
from reno.testbed.world import COLORS, OBJECTS, PALETTE, bindings_of

JUNK, MIXED = len(OBJECTS), len(COLORS)
"""The last class of an object and of a colour: no object of this world; two colours, or one between two."""

PURE = 0.31
"""Up to this share of the way from the nearest colour to the next, a colour still has its name: about a quarter of
another colour may be mixed in."""


@dataclass(frozen=True)
class Found:
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


class Judge(Protocol):
    def look(self, images: np.ndarray) -> list[list[Found]]:
        """The things in each image, uint8 (B, SIDE, SIDE, 3)."""
        ...


def verdict(found: Sequence[Found], bindings: Sequence[Binding]) -> Verdict:
    """What the things found say of the bindings asked for, whose words the world must know."""
    shown = {(thing.object, thing.color) for thing in found}
    asked = [(binding.attribute, binding.object) for binding in bindings]
    judgements = tuple(_judgement(found, shown, color, name) for color, name in asked)
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


def _judgement(found: Sequence[Found], shown: set, color: str, name: str) -> Judgement:
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
    )


def agreement(images: np.ndarray, prompts: Sequence[Prompt], judges: Sequence[Judge] | None = None) -> dict:
    """Of images, uint8 (N, SIDE, SIDE, 3), and their prompts: `bound`, the share of bindings of which two judges (the
    learned one as shipped and the analytic one) both say that they hold or that they do not; and `disagreements`, the
    indices of images where they differ on some binding. Raises BadInput for a word that the world does not know."""
    if judges is None:
        from reno.testbed.judges import analytic, learned

        judges = (learned.load(), analytic.AnalyticJudge())
    asked = [bindings_of(prompt) for prompt in prompts]
    said = [[verdict(*pair) for pair in zip(judge.look(images), asked, strict=True)] for judge in judges]
    same = [
        [a.bound == b.bound for a, b in zip(one.judgements, other.judgements, strict=True)]
        for one, other in zip(*said, strict=True)
    ]
    return {
        "bound": sum(map(sum, same)) / sum(map(len, same)),
        "disagreements": [index for index, answers in enumerate(same) if not all(answers)],
    }


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
    """The nearest colour's index (...) of sRGB values (..., 3), and how far they are on the way to the next: from 0,
    and 0.5 where both are equally near.

    The nearest is so in Lab. The way is the mean of its shares in Lab, where saturated blue and red mixtures seem too
    far off, and in sRGB, where colours are mixed.
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
