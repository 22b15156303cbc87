"""What a metric can tell apart on combinations that training held out, and what optimising images against it does."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from reno.letters.output import say
from reno.testbed.render import render
from reno.testbed.training import captions, climbing, labels
from reno.testbed.training.climbing import Score
from reno.testbed.training.loop import tensor_of
from reno.testbed.training.spoiling import SPOILERS
from reno.testbed.world import COLORS, HELD_OUT, OBJECTS, SIDE, Scene, caption, sample_scene
from reno.weights.images import to_uint8

NAMING = labels.PURE
"""Examined pictures are named only beyond doubt; of the two namings this one asks for the purer colours."""

Pairs = list[tuple[str, str]]


def held_out_pairs(rng: random.Random, count: int) -> Pairs:
    """`count` pairs of distinct colours and objects, every one held out from training."""
    while True:
        pairs = rng.sample(sorted(HELD_OUT), count)
        if all(len({pair[i] for pair in pairs}) == count for i in (0, 1)):
            return pairs


def examine(score: Score, paint=None, count: int = 256, seed: int = 77) -> dict[str, float]:
    """Shares of right answers, 0 to 1.

    Each is against one false caption (chance 1/2), or one of Winoground's scores (Thrush et al. 2022; chance 1/4 for
    text and image, 1/6 for the group). `whole`: the picture scores above its spoiled twin. paint: a generator, whose
    images are examined too.
    """
    rng = random.Random(seed)
    scenes = [sample_scene(rng, 2, held_out_pairs(rng, 2)) for _ in range(count)]
    numbers = ranked(
        score, tensor_of([render(scene) for scene in scenes]), [labels.shown_by(s, NAMING) for s in scenes], rng
    )
    numbers |= winoground(score, [labels.shown_by(scene, NAMING) for scene in scenes[: count // 2]], rng)
    numbers["whole"] = above_spoiled(score, scenes, rng)
    if paint is not None:
        images, shown = nameable(paint, count, rng)
        if shown:
            numbers |= {f"painted_{key}": value for key, value in ranked(score, images, shown, rng).items()}
    return numbers


@torch.no_grad()
def ranked(score: Score, images: torch.Tensor, shown: list[Pairs], rng: random.Random) -> dict[str, float]:
    """How often the true caption scores above one with another object, another colour, or swapped colours."""
    true = score(images, [caption(pairs) for pairs in shown])
    numbers = {}
    for kind, change in (("object", with_other_object), ("color", with_other_color), ("swap", captions.rotated)):
        pairs = [change(pairs) if kind == "swap" else change(rng, pairs) for pairs in shown]
        numbers[kind] = (true > score(images, [caption(p) for p in pairs])).float().mean().item()
    return numbers


def with_other_object(rng: random.Random, pairs: Pairs) -> Pairs:
    at = rng.randrange(len(pairs))
    name = rng.choice([name for name in OBJECTS if name not in {name for _, name in pairs}])
    return [*pairs[:at], (pairs[at][0], name), *pairs[at + 1 :]]


def with_other_color(rng: random.Random, pairs: Pairs) -> Pairs:
    at = rng.randrange(len(pairs))
    color = rng.choice([color for color in COLORS if color not in {color for color, _ in pairs}])
    return [*pairs[:at], (color, pairs[at][1]), *pairs[at + 1 :]]


@torch.no_grad()
def winoground(score: Score, prompts: list[Pairs], rng: random.Random) -> dict[str, float]:
    """Text, image and group score of two pictures with their colours swapped and their two captions."""
    texts, images = [], []
    for pairs in prompts:
        both = pairs, captions.rotated(pairs)
        texts.append([caption(one) for one in both])
        images.append(tensor_of([render(sample_scene(rng, 2, one)) for one in both]))
    images = torch.stack(images, 1)  # (2, N, 3, H, W)
    table = [[score(images[i], [pair[t] for pair in texts]) for t in range(2)] for i in range(2)]
    text = (table[0][0] > table[0][1]) & (table[1][1] > table[1][0])
    image = (table[0][0] > table[1][0]) & (table[1][1] > table[0][1])
    shares = {"group_text": text, "group_image": image, "group": text & image}
    return {key: value.float().mean().item() for key, value in shares.items()}


@torch.no_grad()
def above_spoiled(score: Score, scenes: list[Scene], rng: random.Random) -> float:
    """How often a picture scores above a spoiled one of the same scene."""
    texts = [caption(labels.shown_by(scene, NAMING)) for scene in scenes]
    broken = tensor_of([rng.choice(SPOILERS)(rng, scene) for scene in scenes])
    return (score(tensor_of([render(scene) for scene in scenes]), texts) > score(broken, texts)).float().mean().item()


@torch.no_grad()
def nameable(paint, count: int, rng: random.Random) -> tuple[torch.Tensor, list[Pairs]]:
    """Generated images of held-out pairs that show two colours and agree with the law, and what they show. A generator
    that has hardly been trained may have none."""
    noise = torch.from_numpy(np.random.default_rng(rng.getrandbits(32)).standard_normal((count, 8, 8, 8))).float()
    records = labels.labelled(paint, noise, [held_out_pairs(rng, 2) for _ in range(count)], NAMING)
    kept = [r for r in records if len(r.shown) == 2 and len({color for color, _ in r.shown}) == 2]
    images = tensor_of([record.image for record in kept]) if kept else torch.empty(0, 3, SIDE, SIDE)
    return images, [record.shown for record in kept]


def climbed(score: Score, paint, path: Path, count: int = 32, seed: int = 91) -> dict[str, float]:
    """What optimising images of held-out pairs against the metric does, by the law. `bound`: everything is as asked;
    `unclear`: between two answers, or not as the law says. Draws a sheet, before above after."""
    rng = random.Random(seed)
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((count, 8, 8, 8))).float()
    asked = [held_out_pairs(rng, 2) for _ in range(count)]
    texts = [caption(pairs) for pairs in asked]
    after = climbing.climb(score, paint, noise, texts)
    numbers, images, scores = {}, [], []
    for when, z in (("before", noise), ("after", after)):
        records = labels.labelled(paint, z, asked, NAMING)
        numbers[f"bound_{when}"] = float(np.mean([set(r.shown) == set(p) for r, p in zip(records, asked, strict=True)]))
        numbers[f"unclear_{when}"] = float(np.mean([not r.shown for r in records]))
        images.append(tensor_of([record.image for record in records]))
        with torch.no_grad():
            scores.append(score(images[-1], texts))
    numbers["norm_after"] = (after.flatten(1).norm(dim=1).mean() / noise.flatten(1).norm(dim=1).mean()).item()
    numbers["score_before"], numbers["score_after"] = (value.mean().item() for value in scores)
    lines = [[f"{a:.1f}", f"{b:.1f}", *text.split(" and ")] for text, a, b in zip(texts, *scores, strict=True)]
    captioned_sheet(path, list(zip(*images, strict=True)), lines)
    return numbers


def samples(score: Score, path: Path, seed: int = 13, paint=None) -> None:
    """Draws pictures of held-out pairs with the scores of their true caption and of three false ones."""
    rng = random.Random(seed)
    images, shown = [], []
    for _ in range(16):
        scene = sample_scene(rng, 2, held_out_pairs(rng, 2))
        images.append(render(scene))
        shown.append(labels.shown_by(scene, NAMING))
    images = tensor_of(images)
    if paint is not None:
        more, pairs = nameable(paint, 48, rng)
        images, shown = torch.cat([images, more[:16]]), shown + pairs[:16]
    lines = [caption(pairs).split(" and ") for pairs in shown]
    changes = (("", list), ("swap ", captions.rotated), ("colour ", lambda p: with_other_color(rng, p)),
               ("object ", lambda p: with_other_object(rng, p)))  # fmt: skip
    for word, change in changes:
        with torch.no_grad():
            scores = score(images, [caption(change(pairs)) for pairs in shown]).tolist()
        for line, value in zip(lines, scores, strict=True):
            line.append(f"{word}{value:.2f}")
    captioned_sheet(path, [(image,) for image in images], lines)


def captioned_sheet(path: Path, columns: list[tuple[torch.Tensor, ...]], lines: list[list[str]], across: int = 8):
    """Writes a PNG of cells: images (3, H, W) in [0, 1], one above the other, with lines of text under them."""
    side, row = 128, 13
    height = side * len(columns[0]) + row * max(len(line) for line in lines) + 4
    sheet = Image.new("RGB", (across * (side + 4), -(-len(columns) // across) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (images, texts) in enumerate(zip(columns, lines, strict=True)):
        x, y = index % across * (side + 4), index // across * height
        for image in images:
            tile = Image.fromarray(to_uint8(image[None])[0]).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (x, y))
            y += side
        for text in texts:
            draw.text((x + 1, y), text, "black")
            y += row
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def report(build_dir: Path, stage: str, scores: dict[str, Score], examined: int) -> dict:
    """Examines each of a stage's scores; images are optimised against the first."""
    paint = None
    if (build_dir / "generator" / "average.safetensors").exists():
        from reno.testbed.training.generator import Painter

        paint = Painter(build_dir)
    numbers = {}
    for name, score in scores.items():
        numbers |= {f"{name}{key}": value for key, value in examine(score, paint, examined).items()}
    first = next(iter(scores.values()))
    samples(first, build_dir / stage / "samples.png", paint=paint)
    if paint is not None:
        numbers |= climbed(first, paint, build_dir / stage / "climbed.png", min(32, examined // 2))
    say(f"{stage}: " + "  ".join(f"{key} {value:.3f}" for key, value in numbers.items()))
    return numbers
