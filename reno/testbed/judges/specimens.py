"""Images with known answers, to train, calibrate and check the judges: good things, and the bad ones that a generator
may make.

Bad things are two-toned objects, colours between two, halves of objects, fusions of two, one object over another,
half transparent objects (ghosts), and shapes that are no object.
"""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from reno.spec.prompts import Binding
from reno.testbed.judges import PURE, color_names
from reno.testbed.render import SUPERSAMPLE, background_pixels, draw_polygons, outline, placed, render, shaded
from reno.testbed.world import COLORS, OBJECTS, SIDE, Thing, overlap, sample_background, sample_scene

CANVAS = SIDE * SUPERSAMPLE
BAD = ("two_toned", "half", "fusion", "overlay", "ghost", "blob", "polygon")
COMMON = (4, 1, 1, 1, 1, 1, 1)
"""How often each of BAD is drawn. Two-toned objects are the hardest to tell, and the most frequent."""
UNSURE = "?"
"""Stands for an object or a colour that people would disagree on."""


@dataclass(frozen=True)
class TrueThing:
    """What one thing in a specimen is. Lengths are shares of the image's side."""

    x: float
    y: float
    size: float
    object: str | None
    """None for junk."""
    color: str | None
    """None for a mixture."""


def specimen(rng: random.Random, bad: float = 0.3, small: float = 0.1) -> tuple[np.ndarray, list[TrueThing]]:
    """An image, uint8 (SIDE, SIDE, 3), and what it shows: one to three things of any colours and objects.

    `bad` is the share of bad things; `small` the share of things that are half vanished.
    """
    canvas = Image.fromarray(background_pixels(sample_background(rng)))
    canvas = canvas.resize((CANVAS, CANVAS), Image.Resampling.BILINEAR)
    answers = [
        draw_bad(rng, canvas, thing, rng.choices(BAD, COMMON)[0])
        if rng.random() < bad
        else draw_good(rng, canvas, thing)
        for thing in _things(rng, rng.choices((1, 2, 3), (0.2, 0.4, 0.4))[0], small)
    ]
    return np.asarray(canvas.reduce(SUPERSAMPLE)), answers


def held_out(rng: random.Random, count: int) -> tuple[np.ndarray, list[tuple[Binding, bool]]]:
    """A scene of good things, uint8 (SIDE, SIDE, 3), and bindings with whether they hold. Every thing's own binding
    holds. As many are false: with another thing's colour, a colour that nothing has, or an object that is not there."""
    pairs = list(zip(rng.sample(COLORS, count), rng.sample(OBJECTS, count), strict=True))
    asked = [(Binding(*pair), True) for pair in pairs]
    for index, (color, name) in enumerate(pairs):
        absent = rng.choice([other for other in COLORS if other not in dict(pairs)])
        nowhere = rng.choice([other for other in OBJECTS if other not in dict(pairs).values()])
        wrong = ((pairs[index - 1][0], name), (absent, name), (color, nowhere))
        asked.append((Binding(*rng.choice(wrong)), False))
    return render(sample_scene(rng, count, pairs)), asked


def _things(rng: random.Random, count: int, small: float) -> list[Thing]:
    """Things that do not overlap; half of the time each as near to the one before as allowed."""
    low, high = {1: (0.34, 0.62), 2: (0.32, 0.49), 3: (0.27, 0.38)}[count]
    while True:
        things: list[Thing] = []
        for _ in range(count):
            size = rng.uniform(low, high)
            x, y = (rng.uniform(size / 2, 1 - size / 2) for _ in range(2))
            if things and rng.random() < 0.5:
                apart, angle = 0.57 * (size + things[-1].size), rng.uniform(0, 2 * math.pi)
                x, y = things[-1].x + apart * math.cos(angle), things[-1].y + apart * math.sin(angle)
            things.append(Thing(rng.choice(COLORS), rng.choice(OBJECTS), x, y, size, rng.uniform(-14, 14)))
        inside = all(t.size / 2 <= min(t.x, t.y) and max(t.x, t.y) <= 1 - t.size / 2 for t in things)
        if inside and not any(overlap(a, b) for i, a in enumerate(things) for b in things[:i]):
            return [_with(t, size=t.size * rng.uniform(0.4, 0.9)) if rng.random() < small else t for t in things]


def draw_good(rng: random.Random, canvas: Image.Image, thing: Thing) -> TrueThing:
    """Draws an object; three in ten have some of another colour mixed in."""
    if rng.random() < 0.3:
        thing = _with(thing, leak=(rng.choice(COLORS), rng.choice((rng.uniform(0, 0.22), rng.random()))))
    draw_polygons(ImageDraw.Draw(canvas), outline(thing.object), thing)
    return answer(thing)


def answer(thing: Thing) -> TrueThing:
    """The right answer for a thing that is drawn whole."""
    nearest, way = color_names(np.array(thing.rgb))
    color = COLORS[int(nearest)] if way < PURE - 0.04 else None if way > PURE + 0.05 else UNSURE
    return TrueThing(thing.x, thing.y, thing.size, thing.object if thing.size > 0.17 else UNSURE, color)


def draw_bad(rng: random.Random, canvas: Image.Image, thing: Thing, kind: str) -> TrueThing:
    """Draws one of BAD in the place of a thing."""
    if kind == "two_toned":
        return two_toned(rng, canvas, thing)
    other = _with(thing, object=rng.choice([name for name in OBJECTS if name != thing.object]))
    color = thing.color
    if kind in ("half", "fusion"):
        one, _ = _cut(rng, thing, 0.4, 0.6)
        canvas.paste(_alone(canvas, thing), mask=one)
        if kind == "fusion":
            if rng.random() < 0.3:
                other, color = _with(other, color=rng.choice(COLORS)), UNSURE
            canvas.paste(_alone(canvas, other), mask=Image.fromarray(255 - np.asarray(one)))
    elif kind == "overlay":
        shift = rng.uniform(0.25, 0.45) * thing.size
        angle = rng.uniform(0, 2 * math.pi)
        if rng.random() < 0.5:
            other, color = _with(other, color=rng.choice(COLORS)), UNSURE
        for each, way in ((thing, -0.5), (other, 0.5)):
            at = {"x": thing.x + way * shift * math.cos(angle), "y": thing.y + way * shift * math.sin(angle)}
            draw_polygons(ImageDraw.Draw(canvas), outline(each.object), _with(each, size=0.8 * thing.size, **at))
    elif kind == "ghost":
        both, color = rng.random() < 0.5, UNSURE
        opacity = rng.uniform(0.4, 0.6) if both else rng.uniform(0.15, 0.4)
        ghost = Image.blend(_alone(canvas, other) if both else canvas, _alone(canvas, thing), opacity)
        canvas.paste(ghost)
    else:
        points = _blob(rng) if kind == "blob" else _polygon(rng)
        draw = ImageDraw.Draw(canvas)
        draw.polygon(placed(points, thing), fill=shaded(thing.rgb, rng.choice((0, 0, -0.3, 0.3))))
        if rng.random() < 0.4:
            inner = _with(thing, size=0.45 * thing.size)
            draw.polygon(placed(points, inner), fill=shaded(thing.rgb, rng.choice((-0.35, 0.55, 0.75))))
        color = UNSURE
    return TrueThing(thing.x, thing.y, thing.size, None, color)


def lone(rng: random.Random, kind: str) -> tuple[np.ndarray, Thing]:
    """An image, uint8 (SIDE, SIDE, 3), that shows only one of BAD, and the thing that it was made from."""
    canvas = Image.fromarray(background_pixels(sample_background(rng)))
    canvas = canvas.resize((CANVAS, CANVAS), Image.Resampling.BILINEAR)
    thing = Thing(rng.choice(COLORS), rng.choice(OBJECTS), 0.5, 0.5, rng.uniform(0.34, 0.5), rng.uniform(-10, 10))
    draw_bad(rng, canvas, thing, kind)
    return np.array(canvas.reduce(SUPERSAMPLE)), thing


def two_toned(rng: random.Random, canvas: Image.Image, thing: Thing, low: float = 0.3, high: float = 0.7) -> TrueThing:
    """Draws an object in two colours, divided by a straight line; the second has a share of `low` to `high` of its
    area."""
    other = _with(thing, color=rng.choice([color for color in COLORS if color != thing.color]))
    one, _ = _cut(rng, thing, low, high)
    canvas.paste(_alone(canvas, thing))
    canvas.paste(_alone(canvas, other), mask=one)
    return TrueThing(thing.x, thing.y, thing.size, thing.object if thing.size > 0.17 else UNSURE, None)


def _cut(rng: random.Random, thing: Thing, low: float, high: float) -> tuple[Image.Image, float]:
    """The mask of a half plane that holds a share of `low` to `high` of a thing's area, and that share."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(canvas)
    for points, _ in outline(thing.object):
        draw.polygon(placed(points, thing), fill=255)
    inside = np.asarray(canvas) > 0
    angle, share = rng.uniform(0, 2 * math.pi), rng.uniform(low, high)
    y, x = np.mgrid[:CANVAS, :CANVAS]
    along = x * math.cos(angle) + y * math.sin(angle)
    return Image.fromarray(np.uint8(255 * (along < np.quantile(along[inside], share)))), share


def _alone(canvas: Image.Image, thing: Thing) -> Image.Image:
    copy = canvas.copy()
    draw_polygons(ImageDraw.Draw(copy), outline(thing.object), thing)
    return copy


def _with(thing: Thing, **changes) -> Thing:
    return Thing(**{**thing.__dict__, **changes})


def _blob(rng: random.Random) -> np.ndarray:
    """A smooth closed curve that is no object."""
    angles = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    radius = 0.65 + sum(
        rng.uniform(-0.35, 0.35) / k * np.cos(k * angles + rng.uniform(0, 2 * math.pi)) for k in (1, 2, 3, 4, 5)
    )
    return np.stack([radius * np.cos(angles) * rng.uniform(0.6, 1.1), radius * np.sin(angles)], 1)


def _polygon(rng: random.Random) -> np.ndarray:
    """A polygon of three to eight corners around a centre that is no object."""
    angles = np.sort([rng.uniform(0, 2 * math.pi) for _ in range(rng.randint(3, 8))])
    radius = np.array([rng.uniform(0.5, 1) for _ in angles])
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)


DEGRADATIONS = ("clean", "blur", "noise", "jpeg", "tint", "warp")


def degrade(rng: random.Random, image: np.ndarray, kind: str) -> np.ndarray:
    """An image, uint8 (SIDE, SIDE, 3), made slightly worse by one of DEGRADATIONS."""
    values = image.astype(np.float32)
    if kind == "blur":
        sigma = rng.uniform(0.4, 0.9)
        values = ndimage.gaussian_filter(values, (sigma, sigma, 0))
    elif kind == "noise":
        values = values + np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 8), values.shape)
    elif kind == "jpeg":
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=rng.randint(60, 90), subsampling=0)
        values = np.asarray(Image.open(file), np.float32)
    elif kind == "tint":
        gain = [rng.uniform(0.95, 1.05) * rng.uniform(0.97, 1.03) for _ in range(3)]
        values = (values - 128) * rng.uniform(0.9, 1.08) + 128 + rng.uniform(-8, 8)
        values = values * np.float32(gain)
    elif kind == "warp":
        draw = np.random.default_rng(rng.getrandbits(32))
        shift = ndimage.gaussian_filter(draw.normal(0, 1, (2, SIDE, SIDE)), (0, 6, 6))
        shift *= rng.uniform(0.2, 0.7) / np.abs(shift).std()
        at = np.mgrid[:SIDE, :SIDE] + shift
        values = np.stack([ndimage.map_coordinates(values[..., c], at, order=1, mode="nearest") for c in range(3)], -1)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
