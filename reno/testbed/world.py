"""The words of the embedded world, its scenes and its captions; no pixels and no torch.

A scene is one to three things, each one object in one colour, on a light background. A fifth of the (colour, object)
combinations is held out: no training image shows one and no training caption names one. A prompt made of them asks for
a composition that the models never saw.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from reno.prompts.reader import read_text
from reno.spec.errors import TYPO, BadInput, did_you_mean
from reno.spec.prompts import Binding, Prompt, with_article

SIDE = 64
"""Images are SIDE x SIDE pixels."""

OBJECTS = (
    "bench", "clock", "car", "bowl", "star", "cup", "tree", "house", "heart", "boat", "fish", "umbrella",
)  # fmt: skip

PALETTE = {
    "red": (214, 30, 36),
    "orange": (246, 128, 20),
    "gold": (204, 168, 36),
    "green": (38, 150, 62),
    "blue": (36, 92, 214),
    "purple": (122, 46, 160),
    "pink": (246, 132, 184),
    "black": (28, 28, 32),
}
"""Each colour's sRGB value. Every two are at least 30 CIE Lab units apart (tests/testbed)."""

COLORS = tuple(PALETTE)

FURTHER_PALETTE = {
    "yellow": (246, 226, 50),
    "lime": (150, 214, 40),
    "olive": (110, 116, 28),
    "teal": (16, 136, 140),
    "cyan": (70, 200, 224),
    "navy": (24, 34, 104),
    "lavender": (172, 146, 228),
    "magenta": (206, 30, 150),
    "maroon": (112, 16, 44),
    "salmon": (244, 142, 122),
    "brown": (124, 74, 34),
    "grey": (130, 130, 132),
}
FURTHER_OBJECTS = ("ball", "box", "ring", "moon", "kite", "arrow", "flag", "mushroom")
"""Colours and objects that only the metrics are taught: the generator, the judges and the prompts do not have them.
With many objects in each colour and many colours of each object, a metric learns colour and object apart, and then
understands a held-out combination."""

TAUGHT_COLORS = (*COLORS, *FURTHER_PALETTE)
TAUGHT_OBJECTS = (*OBJECTS, *FURTHER_OBJECTS)
_RGB = {**PALETTE, **FURTHER_PALETTE}

HELD_OUT = frozenset(
    (color, name) for i, name in enumerate(OBJECTS) for j, color in enumerate(COLORS) if (2 * i + 2 * j + 1) % 5 == 0
)
"""The (colour, object) combinations of no training image and no training caption: 20 of 96, spread evenly."""


@dataclass(frozen=True)
class Thing:
    """One object in one colour. Lengths are shares of the image's side."""

    color: str
    object: str
    x: float = 0.5
    y: float = 0.5
    """Centre, from the left and from the top."""
    size: float = 0.4
    """Side of the square the object is drawn in."""
    tilt: float = 0.0
    """Degrees, anticlockwise."""
    leak: tuple[str, float] | None = None
    """Another colour and the share of it that is mixed in; at 1 the thing has only the other colour."""

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The colour that it is drawn in, 0 to 255."""
        own = _RGB[self.color]
        if self.leak is None:
            return own
        other, share = _RGB[self.leak[0]], self.leak[1]
        return tuple((1 - share) * a + share * b for a, b in zip(own, other, strict=True))


@dataclass(frozen=True)
class Backdrop:
    """A light tint with a slope and a faint wave across it."""

    tint: tuple[float, float, float] = (232.0, 232.0, 232.0)
    """0 to 255, each at least 200."""
    slope: tuple[float, float] = (0.0, 0.0)
    """Change of brightness (0 to 255) from the centre to the right and to the bottom edge."""
    wave: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """A sine: height (0 to 255), cycles across the image, direction in radians."""


@dataclass(frozen=True)
class Scene:
    things: tuple[Thing, ...]
    background: Backdrop = Backdrop()


def allowed(things: Sequence[tuple[str, str]]) -> bool:
    """Whether training may show these (colour, object) pairs: neither they nor a swap of their colours is held out."""
    return all((color, name) not in HELD_OUT for color, _ in things for _, name in things)


def sample_pairs(
    rng: random.Random, count: int, colors: Sequence[str] = COLORS, objects: Sequence[str] = OBJECTS
) -> list[tuple[str, str]]:
    """`count` (colour, object) pairs of distinct colours and distinct objects that training may show."""
    while True:
        pairs = list(zip(rng.sample(colors, count), rng.sample(objects, count), strict=True))
        if allowed(pairs):
            return pairs


def sample_background(rng: random.Random) -> Backdrop:
    tint = tuple(rng.uniform(212, 248) for _ in range(3))
    slope = (rng.uniform(-8, 8), rng.uniform(-8, 8))
    return Backdrop(tint, slope, (rng.uniform(0, 5), rng.uniform(1.5, 3.5), rng.uniform(0, math.pi)))


def overlap(one: Thing, other: Thing) -> bool:
    """Whether two things overlap, or nearly: each counts as a circle a little wider than its drawing."""
    return math.hypot(one.x - other.x, one.y - other.y) < 0.56 * (one.size + other.size)


def sample_scene(rng: random.Random, count: int, pairs: Sequence[tuple[str, str]] | None = None) -> Scene:
    """A scene of `count` things at random places, without overlap; `pairs` gives their (colour, object) in the order of
    drawing."""
    pairs = pairs or sample_pairs(rng, count)
    low, high = {1: (0.36, 0.60), 2: (0.34, 0.48), 3: (0.28, 0.38)}[count]
    while True:
        things = []
        for color, name in pairs:
            size = rng.uniform(low, high)
            x, y = (rng.uniform(size / 2, 1 - size / 2) for _ in range(2))
            things.append(Thing(color, name, x, y, size, rng.uniform(-12, 12)))
        if not any(overlap(a, b) for i, a in enumerate(things) for b in things[:i]):
            return Scene(tuple(things), sample_background(rng))


def caption(pairs: Sequence[tuple[str | None, str]]) -> str:
    """A prompt as T2I-CompBench writes them: "a red car, a bowl and a pink star". A colour without a name (None) is
    left out."""
    phrases = [with_article(f"{color} {name}" if color else name) for color, name in pairs]
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def bindings_of(prompt: Prompt) -> tuple[Binding, ...]:
    """The prompt's bindings. Raises BadInput naming the words that the world does not know, or if it has no
    bindings."""
    bindings = prompt.bindings or read_text(prompt.text).bindings
    if not bindings:
        raise BadInput(
            "the testbed finds no coloured object in it; write it as a list of coloured objects, such as "
            '"a gold bench and a green clock"'
        )
    unknown = {
        "colour": [binding.attribute for binding in bindings if binding.attribute not in COLORS],
        "object": [binding.object for binding in bindings if binding.object not in OBJECTS],
    }
    if any(unknown.values()):
        known = {"colour": COLORS, "object": OBJECTS}
        lacking = " and ".join(
            f"no {role} {word!r}" for role, words in unknown.items() for word in dict.fromkeys(words)
        )
        has = "; ".join(f"its {role}s are {', '.join(known[role])}" for role, words in unknown.items() if words)
        hints = "".join(did_you_mean(word, known[role], TYPO) for role, words in unknown.items() for word in words)
        raise BadInput(f"the testbed has {lacking}; {has}{hints}")
    return bindings
