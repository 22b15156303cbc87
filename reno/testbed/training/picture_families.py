"""The four families of the metrics' training pictures. Pictures come in twins that were asked for the same things:

- `drawn`: renders, a third of them through the VAE. The second twin has one fault (a colour leaked, swapped or
  replaced, an object replaced or missing) and is labelled as what it shows.
- `painted`: two images of the trained generator, of one prompt and two noises, labelled by the law. A fifth of the
  noises are smaller or larger than the prior.
- `spoiled`: a render as asked, and a spoiled one, such as an optimiser might produce: two-toned, patchy, blended,
  smeared, cut, fused, a ghost, a chimera of two objects, mixed latents. Half go through the VAE. The spoiled twin shows
  nothing that may be named.
- `swapped`: a render as asked, and one with each colour on the next thing, labelled as what it shows. The later lessons
  use it: a batch with both is hard.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import torch

from reno.testbed.render import render
from reno.testbed.training import captions
from reno.testbed.training.labels import WHOLE, Dyed, LabelledPicture, Naming, labelled, shown_by
from reno.testbed.training.loop import tensor_of
from reno.testbed.training.spoiling import SPOILERS, with_thing
from reno.testbed.world import (
    HELD_OUT,
    PALETTE,
    TAUGHT_COLORS,
    TAUGHT_OBJECTS,
    Scene,
    Thing,
    sample_pairs,
    sample_scene,
)
from reno.weights.images import to_uint8

SCALES = (0.7, 1.5)
"""Lowest and highest factor of the noise of a fifth of the painted pictures."""
TINGE = 0.3
"""Largest share of another's colour in a scene that is as asked."""
DYED = 0.5
"""Share of the drawn twins that have things in colours without a name."""
FAR = 60.0
"""Least sRGB distance of such a colour from the colours in which training may not show the object."""


def taught_pairs(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """`count` pairs, half the time of the world's words, half the time of all that is taught."""
    return sample_pairs(rng, count, *((TAUGHT_COLORS, TAUGHT_OBJECTS) if rng.random() < 0.5 else ()))


def drawn(rng: random.Random, coder, naming: Naming, count: int) -> list[LabelledPicture]:
    """`count` pictures, twins of one prompt: as asked, and with a fault. Every third pair goes through the VAE.

    In some, things have colours without a name, and their captions give only the objects: a metric should know objects
    in any colour.
    """
    records = []
    for _ in range(count // 2):
        pairs = taught_pairs(rng, rng.choices((1, 2, 3), (0.1, 0.6, 0.3))[0])
        twins = [tinged(rng, placed(rng, pairs)), faulty(rng, pairs)]
        if rng.random() < DYED:
            names = {name for _, name in pairs if rng.random() < 0.7}
            twins = [
                replace(s, things=tuple(dyed(rng, t) if t.object in names else t for t in s.things)) for s in twins
            ]
        for scene in twins:
            records.append(LabelledPicture(render(scene), pairs, shown_by(scene, naming, rng), scene.things))
    through_vae(coder, [record for i, record in enumerate(records) if i // 2 % 3 == 2])
    return records


def dyed(rng: random.Random, thing: Thing) -> Dyed:
    """The thing in a random colour that is not light, and is far from the colours in which training may not show it."""
    near = [PALETTE[color] for color, name in HELD_OUT if name == thing.object]
    while True:
        dye = tuple(rng.uniform(10, 250) for _ in range(3))
        if min(dye) < 150 and all(math.dist(dye, other) > FAR for other in near):
            return Dyed(thing.color, thing.object, thing.x, thing.y, thing.size, thing.tilt, dye=dye)


def placed(rng: random.Random, pairs: list[tuple[str, str]]) -> Scene:
    """A scene of the pairs. In three of four scenes, sizes and tilts vary as little as the generator's: about half as
    much as the world allows."""
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


def tinged(rng: random.Random, scene: Scene) -> Scene:
    """Mixes some of another's colour into the things of some scenes, as in generated images whose faults are nearly
    gone."""
    if len(scene.things) == 1 or rng.random() < 0.6:
        return scene
    colors = [thing.color for thing in scene.things]
    things = [
        replace(thing, leak=(rng.choice([c for c in colors if c != thing.color]), rng.uniform(0, TINGE)))
        for thing in scene.things
    ]
    return replace(scene, things=tuple(things))


def faulty(rng: random.Random, pairs: list[tuple[str, str]]) -> Scene:
    """A scene of the prompt with one fault. A single thing gets another colour or object."""
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
def painted(rng: random.Random, paint, naming: Naming, count: int) -> list[LabelledPicture]:
    """`count` images of the generator, two noises to a prompt."""
    records = []
    for start in range(0, count, 64):
        size = min(64, count - start)
        prompts = [sample_pairs(rng, rng.choices((1, 2, 3), (0.05, 0.6, 0.35))[0]) for _ in range(size // 2)]
        asked = [pairs for pairs in prompts for _ in range(2)]
        noise = torch.from_numpy(np.random.default_rng(rng.getrandbits(32)).standard_normal((size, 8, 8, 8))).float()
        scale = [rng.uniform(*SCALES) if rng.random() < 0.2 else 1.0 for _ in range(size)]
        records += labelled(paint, noise * torch.tensor(scale)[:, None, None, None], asked, naming, rng)
    return records


def spoiled(rng: random.Random, coder, count: int) -> list[LabelledPicture]:
    """`count` pictures, twins of one prompt: as asked, and spoiled. Every second pair goes through the VAE."""
    records, coded = [], []
    for index in range(count // 2):
        pairs = taught_pairs(rng, rng.choices((1, 2, 3), (0.1, 0.6, 0.3))[0])
        scene = placed(rng, pairs)
        twins = [
            LabelledPicture(render(scene), pairs, pairs, scene.things),
            LabelledPicture(rng.choice(SPOILERS)(rng, scene), pairs, []),
        ]
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
    """A decoded image of latents that no picture has: patches of two pictures, or a picture with noise added."""
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


def swapped(rng: random.Random, coder, naming: Naming, count: int) -> list[LabelledPicture]:
    """`count` pictures, twins of one prompt: as asked, and each colour on the next thing. Every third pair goes through
    the VAE."""
    records = []
    doubt = rng if naming.of_swaps else None
    for _ in range(count // 2):
        pairs = taught_pairs(rng, rng.choices((2, 3), (0.7, 0.3))[0])
        for scene in (tinged(rng, placed(rng, some)) for some in (pairs, captions.rotated(pairs))):
            records.append(LabelledPicture(render(scene), pairs, shown_by(scene, naming, doubt), scene.things))
    through_vae(coder, [record for i, record in enumerate(records) if i // 2 % 3 == 2])
    return records


@torch.no_grad()
def through_vae(coder, records: list[LabelledPicture]) -> None:
    """Replaces the pictures' images by their reconstructions."""
    for start in range(0, len(records), 64):
        some = records[start : start + 64]
        for record, image in zip(some, decoded(coder, encoded(coder, [r.image for r in some])), strict=True):
            record.image = image


def encoded(coder, images: list[np.ndarray]) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return coder.encode(tensor_of(images) * 2 - 1).latent_dist.mean.float()


def decoded(coder, latents: torch.Tensor) -> list[np.ndarray]:
    with torch.autocast("cpu", torch.bfloat16):
        return list(to_uint8(coder.decode(latents).sample.float() / 2 + 0.5))
