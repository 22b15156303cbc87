"""The law by which noise decides a scene. The generator is trained to follow it; there is no teacher model.

Thirty low-frequency cosine coefficients of the 8 x 8 x 8 noise decide where the things lie, how large they are, the
background, and two smooth fault maps, which are read where each thing lies:

- the leak map: above a threshold the next thing's colour mixes into the thing's own; the higher the map, the more;
- the vanish map: above a threshold the thing shrinks until it is not drawn.

Every second thing reads the leak map with its sign turned: where one thing leaks, its neighbour seldom does. Swapped
colours are rare for that reason. That is wanted: no gradient can undo a swap, because half-way both things would have
the same colour.

Thresholds differ from colour to colour and object to object, so some prompts are hard. The change at a threshold is
gradual: the further beyond it, the larger the share of the other colour, up to all of it. So there is a gradient to
follow, and mixtures of every share are common. The other 482 dimensions decide nothing; the generator has to learn to
ignore them.

The maps are read at places, instead of one number per thing, because a convolutional network can learn that.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np

from reno.testbed.world import Backdrop, Scene, Thing

CHANNELS, GRID = 8, 8
LEAK_SHARE = {2: 0.44, 3: 0.6}
"""By the number of things: how often a fifth or more of a thing's colour is another's, on average over colours and
objects."""
VANISH_SHARE = 0.05
"""How often a thing is half its size or less."""
SOFTNESS = {"leak": 0.15, "vanish": 0.4}
"""Width of a threshold, in standard deviations of its map."""
BEGINNING, DEPTH = 0.45, 2.2
"""The share of another's colour right beyond the threshold, and the distance beyond it, in standard deviations, at
which only the other's colour is left."""
DRAWN = 0.2
"""A thing is drawn if more than this share of its size is left."""
SPREAD = 0.5
"""Standard deviation of the thresholds over (colour, object) combinations."""

LEAK, VANISH, PLACE, CENTRE, SIZES, TILTS, TINT, SLOPE = range(CHANNELS)
MAP_TERMS = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
TERMS = ((0, 0), (0, 1), (1, 0))


@cache
def cosines() -> np.ndarray:
    """The orthonormal cosine (DCT-II) basis: float64 (GRID frequencies, GRID places)."""
    places = (np.arange(GRID) + 0.5) / GRID
    basis = np.sqrt(2 / GRID) * np.cos(math.pi * np.arange(GRID)[:, None] * places)
    basis[0] /= math.sqrt(2)
    return basis


def coefficients(noise: np.ndarray) -> np.ndarray:
    """Noise (..., 8, 8, 8) to its cosine coefficients (..., channel, vertical, horizontal): again N(0, I)."""
    return cosines() @ noise @ cosines().T


@cache
def steering() -> np.ndarray:
    """Which coefficients decide the scene: bool (8, 8, 8)."""
    mask = np.zeros((CHANNELS, GRID, GRID), bool)
    for channel in range(CHANNELS):
        for u, v in MAP_TERMS if channel in (LEAK, VANISH) else TERMS:
            mask[channel, u, v] = True
    return mask


def scene_of(noise: np.ndarray, pairs: Sequence[tuple[str, str]]) -> Scene:
    """The scene that noise (8, 8, 8) makes of one to three (colour, object) pairs."""
    z = coefficients(noise)
    things = _placed(z, pairs)
    return Scene(tuple(_faulty(z, things, i) for i in range(len(things)) if _shown(z, things, i)), _background(z))


def _placed(z: np.ndarray, pairs: Sequence[tuple[str, str]]) -> list[Thing]:
    """The things as asked for: evenly spaced on a circle about a centre, turned by an angle, without overlap."""
    count = len(pairs)
    middle, spread = {1: (0.46, 0.06), 2: (0.40, 0.035), 3: (0.32, 0.025)}[count]
    sizes = [middle + spread * math.tanh(z[SIZES][term]) for term in TERMS][:count]
    largest = max(sizes)
    apart = 1.12 * largest + 0.03 + 0.04 * math.tanh(z[PLACE, 0, 0])
    radius = {1: 0.0, 2: apart / 2, 3: apart / math.sqrt(3)}[count]
    angle = math.atan2(z[PLACE, 1, 0], z[PLACE, 0, 1])
    offsets = [
        (radius * math.cos(angle + 2 * math.pi * k / count), radius * math.sin(angle + 2 * math.pi * k / count))
        for k in range(count)
    ]
    centre = []
    for axis, term in enumerate(((0, 1), (1, 0))):
        low = max(size / 2 - offset[axis] for size, offset in zip(sizes, offsets, strict=True))
        high = min(1 - size / 2 - offset[axis] for size, offset in zip(sizes, offsets, strict=True))
        centre.append((low + high) / 2 + max(0.0, high - low) / 2 * math.tanh(z[CENTRE][term]))
    return [
        Thing(color, name, centre[0] + dx, centre[1] + dy, size, 8 * math.tanh(z[TILTS][term]))
        for (color, name), size, (dx, dy), term in zip(pairs, sizes, offsets, TERMS, strict=False)
    ]


def _faulty(z: np.ndarray, things: Sequence[Thing], index: int) -> Thing:
    """The thing as drawn: with another's colour where the leak map is high, smaller where the vanish map is high."""
    thing = things[index]
    values = dict(thing.__dict__, size=thing.size * _kept(z, thing))
    if len(things) > 1:
        bar = threshold("leak", thing.color, thing.object, LEAK_SHARE[len(things)])
        sign = -1 if index % 2 else 1
        share = leaked_share(sign * field(z[LEAK], thing.x, thing.y) - bar)
        values["leak"] = (things[(index + 1) % len(things)].color, share)
    return Thing(**values)


def _shown(z: np.ndarray, things: Sequence[Thing], index: int) -> bool:
    return _kept(z, things[index]) > DRAWN


def _kept(z: np.ndarray, thing: Thing) -> float:
    """The share of its size that the vanish map leaves a thing."""
    bar = threshold("vanish", "", thing.object, VANISH_SHARE)
    return _sigmoid((bar - field(z[VANISH], thing.x, thing.y)) / SOFTNESS["vanish"])


def _background(z: np.ndarray) -> Backdrop:
    tint = tuple(230 + 12 * math.tanh(z[TINT][term]) for term in TERMS)
    slope = (6 * math.tanh(z[SLOPE, 0, 1]), 6 * math.tanh(z[SLOPE, 1, 0]))
    return Backdrop(tint, slope, (2.5 + 2.5 * math.tanh(z[SLOPE, 0, 0]), 2.0, 0.8))


def field(z: np.ndarray, x: float, y: float) -> float:
    """A smooth map's value at a place. `z` has one channel's coefficients (8, 8). Over random noise the value is
    N(0, 1) at every place."""
    waves = [math.cos(math.pi * u * y) * math.cos(math.pi * v * x) for u, v in MAP_TERMS]
    total = sum(wave * z[term] for wave, term in zip(waves, MAP_TERMS, strict=True))
    return float(total / math.sqrt(sum(wave * wave for wave in waves)))


@cache
def threshold(fault: str, color: str, name: str, share: float) -> float:
    """The value of the map above which a combination has the fault; over all combinations, `share` of the things have
    it."""
    deviate = random.Random(f"{fault} {color}").gauss(0, 1), random.Random(f"{fault} {name}").gauss(0, 1)
    offset = SPREAD * sum(deviate) / math.sqrt(2)
    return _normal_quantile(1 - share) * math.sqrt(1 + SPREAD**2) + offset


def leaked_share(beyond: float) -> float:
    """The share of another's colour at a distance beyond the leak map's threshold, in standard deviations."""
    begun = _sigmoid(beyond / SOFTNESS["leak"])
    return begun * (BEGINNING + (1 - BEGINNING) * min(1.0, max(0.0, beyond / DEPTH)))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, value))))


def _normal_quantile(share: float) -> float:
    return NormalDist().inv_cdf(share)
