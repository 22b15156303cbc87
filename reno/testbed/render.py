"""Draws scenes: polygons filled at four times the resolution and averaged down.

Each object is a list of polygons in the square [-1, 1] x [-1, 1] (x right, y down). Each polygon has a shade: 0 is the
thing's colour, below 0 is darker, above 0 is lighter. Shades stay close to the colour, so one object has one colour.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from reno.testbed.world import SIDE, Backdrop, Scene, Thing

SUPERSAMPLE = 4
DARK, LIGHT = -0.35, 0.55


def render(scene: Scene) -> np.ndarray:
    """The scene's image: uint8 (SIDE, SIDE, 3)."""
    canvas = Image.fromarray(background_pixels(scene.background))
    canvas = canvas.resize((SIDE * SUPERSAMPLE, SIDE * SUPERSAMPLE), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(canvas)
    for thing in scene.things:
        draw_polygons(draw, outline(thing.object), thing)
    return np.asarray(canvas.reduce(SUPERSAMPLE))


def silhouette(thing: Thing) -> np.ndarray:
    """The share of each pixel that the thing covers: float32 (SIDE, SIDE) in [0, 1]."""
    canvas = Image.new("L", (SIDE * SUPERSAMPLE, SIDE * SUPERSAMPLE))
    draw = ImageDraw.Draw(canvas)
    for points, _ in outline(thing.object):
        draw.polygon(placed(points, thing), fill=255)
    return np.asarray(canvas.reduce(SUPERSAMPLE), np.float32) / 255


def background_pixels(background: Backdrop) -> np.ndarray:
    """The background alone: uint8 (SIDE, SIDE, 3)."""
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    height, cycles, direction = background.wave
    wave = height * np.sin(math.pi * cycles * (x * math.cos(direction) + y * math.sin(direction)))
    brightness = background.slope[0] * x + background.slope[1] * y + wave
    return np.clip(np.float32(background.tint) + brightness[..., None], 0, 255).astype(np.uint8)


def draw_polygons(draw: ImageDraw.ImageDraw, polygons: list, thing: Thing) -> None:
    for points, shade in polygons:
        draw.polygon(placed(points, thing), fill=shaded(thing.rgb, shade))


def placed(points: np.ndarray, thing: Thing) -> list[tuple[float, float]]:
    """Outline points in [-1, 1] x [-1, 1] to canvas pixels."""
    angle = math.radians(-thing.tilt)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    side = SIDE * SUPERSAMPLE
    at = points @ turn * (thing.size * side / 2) + np.array([thing.x, thing.y]) * side
    return [tuple(point) for point in at]


def shaded(rgb: tuple[float, float, float], shade: float) -> tuple[int, int, int]:
    """Mixes towards black (shade < 0) or white (shade > 0)."""
    goal = 255 if shade > 0 else 0
    return tuple(round((1 - abs(shade)) * value + abs(shade) * goal) for value in rgb)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def arc(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> np.ndarray:
    """Points of an ellipse's arc, degrees clockwise from the right; closed by its chord."""
    angles = np.radians(np.linspace(start, stop, 37))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)


def ring(x: float, y: float, outer: float, inner: float, start: float, stop: float) -> np.ndarray:
    return np.concatenate([arc(x, y, outer, outer, start, stop), arc(x, y, inner, inner, stop, start)])


def path(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points)


@cache
def outline(name: str) -> list[tuple[np.ndarray, float]]:
    """An object's polygons, painted in order, and their shades."""
    return OUTLINES[name]()


def _bench():
    return [
        (box(-0.75, 0.1, -0.55, 0.8), DARK), (box(0.55, 0.1, 0.75, 0.8), DARK),
        (box(-0.8, -0.6, -0.62, 0.2), DARK), (box(0.62, -0.6, 0.8, 0.2), DARK),
        (box(-0.95, -0.6, 0.95, -0.32), 0), (box(-0.95, -0.2, 0.95, 0.04), 0),
        (box(-1, 0.18, 1, 0.46), 0),
    ]  # fmt: skip


def _clock():
    return [
        (arc(-0.5, -0.72, 0.3, 0.3), DARK), (arc(0.5, -0.72, 0.3, 0.3), DARK),
        (path((-0.7, 0.95), (-0.45, 0.5), (-0.25, 0.6)), DARK), (path((0.7, 0.95), (0.45, 0.5), (0.25, 0.6)), DARK),
        (arc(0, 0.08, 0.82, 0.82), 0), (arc(0, 0.08, 0.5, 0.5), 0.75),
        (box(-0.09, -0.34, 0.09, 0.16), DARK), (box(-0.09, 0.0, 0.36, 0.17), DARK),
    ]  # fmt: skip


def _car():
    return [
        (path((-0.6, -0.05), (-0.35, -0.6), (0.3, -0.6), (0.6, -0.05)), 0),
        (path((-0.42, -0.08), (-0.25, -0.45), (-0.05, -0.45), (-0.05, -0.08)), 0.75),
        (path((0.07, -0.08), (0.07, -0.45), (0.22, -0.45), (0.42, -0.08)), 0.75),
        (path((-1, 0.4), (-1, 0.05), (-0.85, -0.1), (0.8, -0.1), (1, 0.1), (1, 0.4)), 0),
        (arc(-0.55, 0.42, 0.26, 0.26), -0.55), (arc(0.55, 0.42, 0.26, 0.26), -0.55),
    ]  # fmt: skip


def _bowl():
    return [
        (box(-0.35, 0.55, 0.35, 0.72), DARK), (arc(0, -0.2, 0.98, 0.85, 0, 180), 0), (arc(0, -0.2, 0.98, 0.24), LIGHT),
    ]  # fmt: skip


def _star():
    angles = np.radians(np.arange(10) * 36 - 90)
    radius = np.where(np.arange(10) % 2, 0.42, 1.0)
    return [(np.stack([radius * np.cos(angles), radius * np.sin(angles) + 0.08], 1), 0)]


def _cup():
    return [
        (ring(0.5, 0.0, 0.46, 0.24, -90, 90), DARK),
        (path((-0.75, -0.72), (0.55, -0.72), (0.45, 0.8), (-0.65, 0.8)), 0),
        (arc(-0.1, -0.72, 0.65, 0.16), LIGHT),
    ]


def _tree():
    return [
        (box(-0.15, 0.5, 0.15, 1), -0.5), (path((0, -0.2), (0.78, 0.62), (-0.78, 0.62)), 0),
        (path((0, -0.62), (0.62, 0.18), (-0.62, 0.18)), 0), (path((0, -1), (0.46, -0.28), (-0.46, -0.28)), 0),
    ]  # fmt: skip


def _house():
    return [
        (box(-0.68, -0.15, 0.68, 0.85), 0), (path((0, -0.95), (0.98, -0.08), (-0.98, -0.08)), -0.25),
        (box(-0.5, 0.1, -0.08, 0.48), 0.75), (box(0.12, 0.2, 0.48, 0.85), 0.75),
    ]  # fmt: skip


def _heart():
    t = np.linspace(0, 2 * math.pi, 60)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [(np.stack([x / 17, (y - 2) / 17], 1), 0)]


def _boat():
    return [
        (box(-0.1, -0.95, 0.02, 0.4), DARK), (path((0.08, -0.9), (0.8, 0.2), (0.08, 0.2)), 0.35),
        (path((-0.16, -0.6), (-0.16, 0.2), (-0.65, 0.2)), 0.35),
        (path((-1, 0.32), (1, 0.32), (0.62, 0.85), (-0.62, 0.85)), 0),
    ]  # fmt: skip


def _fish():
    return [
        (path((0.4, 0), (1, -0.58), (0.86, 0), (1, 0.58)), DARK), (arc(-0.2, 0, 0.8, 0.52), 0),
        (path((-0.2, -0.4), (0.25, -0.75), (0.25, -0.3)), DARK), (arc(-0.58, -0.12, 0.13, 0.13), 0.85),
    ]  # fmt: skip


def _umbrella():
    scallops = [(arc(x, 0.0, 0.34, 0.22, 180, 0), DARK) for x in (-0.65, 0, 0.65)]
    return [
        (box(-0.08, -0.1, 0.08, 0.75), DARK), (ring(0.19, 0.72, 0.27, 0.12, 0, 180), DARK),
        *scallops, (arc(0, 0.02, 0.99, 0.9, 180, 360), 0), (arc(0, 0.02, 0.33, 0.9, 180, 360), 0.3),
    ]  # fmt: skip


def _ball():
    return [(arc(0, 0, 0.9, 0.9), 0), (arc(-0.3, -0.34, 0.22, 0.16), LIGHT)]


def _box():
    return [
        (box(-0.85, -0.5, 0.85, 0.85), 0),
        (box(-0.85, -0.5, 0.85, -0.2), DARK),
        (box(-0.14, -0.5, 0.14, 0.2), LIGHT),
    ]


def _ring():
    return [(ring(0, 0, 0.95, 0.55, 0, 360), 0)]


def _moon():
    return [(np.concatenate([arc(0, 0, 0.95, 0.95, 60, 300), arc(0.32, 0, 0.72, 0.72, 285, 75)]), 0)]


def _kite():
    return [
        (path((0, -1), (0.62, -0.3), (0, 0.6), (-0.62, -0.3)), 0), (path((0, -1), (0.62, -0.3), (0, -0.3)), LIGHT),
        (path((-0.05, 0.55), (0.05, 0.55), (0.3, 1), (0.16, 1)), DARK),
    ]  # fmt: skip


def _arrow():
    return [(path((-1, -0.22), (0.15, -0.22), (0.15, -0.7), (1, 0), (0.15, 0.7), (0.15, 0.22), (-1, 0.22)), 0)]


def _flag():
    return [
        (box(-0.8, -0.95, -0.64, 1), DARK),
        (path((-0.64, -0.9), (0.9, -0.7), (0.6, -0.3), (0.9, 0.15), (-0.64, 0.1)), 0),
    ]


def _mushroom():
    return [
        (path((-0.25, 0), (0.25, 0), (0.34, 0.9), (-0.34, 0.9)), LIGHT), (arc(0, 0.1, 0.95, 0.9, 180, 360), 0),
        (arc(-0.35, -0.3, 0.17, 0.17), 0.75), (arc(0.3, -0.35, 0.2, 0.2), 0.75),
    ]  # fmt: skip


OUTLINES = {
    "bench": _bench, "clock": _clock, "car": _car, "bowl": _bowl, "star": _star, "cup": _cup, "tree": _tree,
    "house": _house, "heart": _heart, "boat": _boat, "fish": _fish, "umbrella": _umbrella,
    "ball": _ball, "box": _box, "ring": _ring, "moon": _moon, "kite": _kite, "arrow": _arrow, "flag": _flag,
    "mushroom": _mushroom,
}  # fmt: skip
