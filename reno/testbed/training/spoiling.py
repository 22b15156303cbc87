"""Spoiled pictures, such as an optimiser might produce to fool a metric: a scene in, an image uint8 (SIDE, SIDE, 3)
out.

SPOILERS lists the ways. Each spoils one thing, or all; the image then shows nothing that a caption may name.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from reno.testbed.render import background_pixels, render, silhouette
from reno.testbed.world import COLORS, OBJECTS, SIDE, Scene, Thing, sample_scene


def with_thing(scene: Scene, at: int, *things: Thing) -> Scene:
    return replace(scene, things=scene.things[:at] + things + scene.things[at + 1 :])


def another_color(rng: random.Random, thing: Thing, scene: Scene) -> str:
    """Another colour than the thing's own: in seven of ten cases another thing's in the scene."""
    near = [other.color for other in scene.things if other.color != thing.color]
    return rng.choice(near if near and rng.random() < 0.7 else [color for color in COLORS if color != thing.color])


def composed(one: np.ndarray, other: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """A blend of two pictures; share: of the other one, 0 to 1, one number or (SIDE, SIDE)."""
    share = np.float32(share)[..., None] if np.ndim(share) else share
    return (one * (1 - share) + other * share).round().astype(np.uint8)


def half_plane(rng: random.Random, x: float, y: float, softness: float) -> np.ndarray:
    """A mask that goes from 0 to 1 across a line at a random angle through a place (shares of the side). softness:
    width of the slope."""
    angle = rng.uniform(0, 2 * math.pi)
    axis = (np.arange(SIDE) + 0.5) / SIDE
    across = (axis[None] - x) * math.cos(angle) + (axis[:, None] - y) * math.sin(angle)
    return 1 / (1 + np.exp(-np.clip(across / softness, -30, 30)))


def patchwork(rng: random.Random, coarse: int) -> np.ndarray:
    """A mask, 0 to 1, of random blots; `coarse` of them along the side."""
    blots = np.random.default_rng(rng.getrandbits(32)).random((coarse, coarse)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(blots).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return 1 / (1 + np.exp(-12 * (smooth - 0.5)))


def two_toned(rng: random.Random, scene: Scene) -> np.ndarray:
    at = rng.randrange(len(scene.things))
    thing = scene.things[at]
    other = with_thing(scene, at, replace(thing, color=another_color(rng, thing, scene)))
    x, y = (centre + rng.uniform(-0.15, 0.15) * thing.size for centre in (thing.x, thing.y))
    return composed(render(scene), render(other), half_plane(rng, x, y, rng.uniform(0.005, 0.05)))


def patchy(rng: random.Random, scene: Scene) -> np.ndarray:
    at = rng.randrange(len(scene.things))
    thing = scene.things[at]
    other = with_thing(scene, at, replace(thing, color=another_color(rng, thing, scene)))
    return composed(render(scene), render(other), patchwork(rng, rng.randint(6, 16)))


def blended(rng: random.Random, scene: Scene) -> np.ndarray:
    """Blended with a picture of other things, or of the same ones elsewhere: everywhere, or in blots."""
    pairs = [(thing.color, thing.object) for thing in scene.things]
    other = sample_scene(rng, len(pairs), pairs if rng.random() < 0.5 else None)
    share = rng.uniform(0.35, 0.65) if rng.random() < 0.5 else patchwork(rng, rng.randint(3, 8))
    return composed(render(scene), render(other), share)


def smeared(rng: random.Random, scene: Scene) -> np.ndarray:
    """A thing, or all of them, as blobs of their colour: blurred, or with an outline of waves."""
    image = render(scene)
    things = scene.things if rng.random() < 0.4 else (rng.choice(scene.things),)
    place = np.zeros((SIDE, SIDE), np.float32)
    for thing in things:
        place = np.maximum(place, silhouette(replace(thing, size=thing.size * 1.1)))
    place = np.asarray(Image.fromarray(np.uint8(255 * (place > 0))).filter(ImageFilter.MaxFilter(9)), np.float32) / 255
    if rng.random() < 0.5:
        other = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(2.5, 5))))
    else:
        other = warped(rng, image)
    return composed(image, other, place)


def warped(rng: random.Random, image: np.ndarray) -> np.ndarray:
    """Takes each pixel from a place a few pixels away; the offset changes over a few pixels."""
    draw, coarse = np.random.default_rng(rng.getrandbits(32)), rng.randint(10, 18)
    shifts = []
    for _ in range(2):
        blots = draw.uniform(-1, 1, (coarse, coarse)).astype(np.float32)
        shifts.append(np.asarray(Image.fromarray(blots).resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    rows, columns = np.indices((SIDE, SIDE))
    far = rng.uniform(4, 9)
    at = [np.clip(np.round(i + far * s), 0, SIDE - 1).astype(int) for i, s in zip((rows, columns), shifts, strict=True)]
    return np.asarray(Image.fromarray(image[at[0], at[1]]).filter(ImageFilter.GaussianBlur(0.7)))


def cut(rng: random.Random, scene: Scene) -> np.ndarray:
    """Half of a thing, and background where the other half was."""
    at = rng.randrange(len(scene.things))
    thing = scene.things[at]
    x, y = (centre + rng.uniform(-0.1, 0.1) * thing.size for centre in (thing.x, thing.y))
    return composed(render(scene), render(with_thing(scene, at)), half_plane(rng, x, y, 0.01))


def fused(rng: random.Random, scene: Scene) -> np.ndarray:
    """A thing over another, or over a second copy of itself."""
    at = rng.randrange(len(scene.things))
    thing = scene.things[at]
    onto = rng.choice([other for other in scene.things if other is not thing] or [thing])
    near = 0.3 * onto.size
    moved = replace(thing, x=onto.x + rng.uniform(-near, near), y=onto.y + rng.uniform(-near, near))
    return render(replace(scene, things=(*(t for t in scene.things if t is not thing or onto is thing), moved)))


def ghost(rng: random.Random, scene: Scene) -> np.ndarray:
    """A thing half transparent."""
    at = rng.randrange(len(scene.things))
    return composed(render(scene), render(with_thing(scene, at)), rng.uniform(0.4, 0.75))


def chimera(rng: random.Random, scene: Scene) -> np.ndarray:
    """Half of one object and half of another, in one colour or in two."""
    at = rng.randrange(len(scene.things))
    thing = scene.things[at]
    name = rng.choice([name for name in OBJECTS if name != thing.object])
    color = thing.color if rng.random() < 0.6 else another_color(rng, thing, scene)
    other = with_thing(scene, at, replace(thing, object=name, color=color))
    return composed(render(scene), render(other), half_plane(rng, thing.x, thing.y, rng.uniform(0.01, 0.04)))


def nothing(rng: random.Random, scene: Scene) -> np.ndarray:
    """Blots of the scene's colours on its background, or the background alone."""
    image = background_pixels(scene.background)
    for thing in scene.things if rng.random() < 0.8 else ():
        color = np.broadcast_to(np.array(thing.rgb, np.float32), image.shape)
        bump = np.exp(-(half_distance(thing) ** 2) * 4)
        image = composed(image, color, np.clip(bump * 2 * patchwork(rng, rng.randint(4, 9)), 0, 1))
    return image


def half_distance(thing: Thing) -> np.ndarray:
    """Distance of each pixel from a thing's centre, in units of half its size, (SIDE, SIDE)."""
    axis = (np.arange(SIDE) + 0.5) / SIDE
    return np.hypot(axis[None] - thing.x, axis[:, None] - thing.y) / (thing.size / 2)


SPOILERS = (two_toned, two_toned, patchy, patchy, blended, smeared, cut, fused, ghost, chimera, nothing)
