"""Images optimised against a metric in training, through the generator, as the bench will do it.

Pictures of the generator from random noise teach a metric little about the pictures that its own gradient leads to. So
at two points of its training, images are optimised against the metric as it is then, on prompts that training may show.
An image that still agrees with the law is labelled by the law; if it kept a fault, it is a near miss. An image that
does not agree shows nothing that may be named.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from reno.letters.output import say
from reno.testbed.training import labels, picture_pool
from reno.testbed.world import caption, sample_pairs

WHEN = (0.5, 0.75)
"""Points of the first lesson, as shares of it, at which images are optimised."""
COUNT, BATCH = 128, 16
"""Prompts each time, and how many run side by side."""
ITERATIONS, LR = 20, 0.1

Score = Callable[[torch.Tensor, list[str]], torch.Tensor]
"""score(images, texts) -> (B,): images (B, 3, 64, 64) in [0, 1], one text each, differentiable in the image."""


def climb(
    score: Score, paint, noise: torch.Tensor, texts: list[str], iterations: int = 50, lr: float = 0.05
) -> torch.Tensor:
    """Optimises noise (B, 8, 8, 8) for the score; answers with the noise of each image's best score (ReNO, Eyring et
    al. 2024; Adam, no regulariser)."""
    noise = noise.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([noise], lr=lr)
    best, kept = torch.full((len(noise),), -torch.inf), noise.detach().clone()
    for _ in range(iterations):
        scores = score(paint(noise, texts), texts)
        better = scores.detach() > best
        best = torch.where(better, scores.detach(), best)
        kept[better] = noise.detach()[better]
        (noise.grad,) = torch.autograd.grad(-scores.sum(), noise)
        optimizer.step()
    return kept


class Climbers:
    """Adds the family `climbed` to a stage's pool when it is due: twins from before and after the optimisation."""

    def __init__(self, folder: Path, learner: torch.nn.Module, score: Score, pool, steps: int, count: int):
        """folder: the stage's folder in the build folder. steps: of the first lesson. count: prompts each time."""
        self.folder, self.learner, self.score, self.pool, self.count = folder, learner, score, pool, count
        self.due = {math.ceil(share * steps): index for index, share in enumerate(WHEN)}

    def join(self, step: int) -> None:
        """Adds what is due at a step of the first lesson; it is made if the stage's folder does not have it."""
        for at in [at for at in self.due if at <= step]:
            index = self.due.pop(at)
            path = self.folder / f"climbed-{index}.safetensors"
            if not path.exists():
                self._make(index).save(path)
            self.pool.add("climbed", picture_pool.load(path))

    def _make(self, index: int) -> picture_pool.Pictures:
        from reno.testbed.training.generator import Painter

        rng, paint = random.Random(1009 + index), Painter(self.folder.parent)
        self.learner.eval().requires_grad_(False)
        records = []
        batch = min(BATCH, self.count)
        for _ in range(0, self.count, batch):
            asked = [sample_pairs(rng, rng.choice((2, 2, 3))) for _ in range(batch)]
            noise = np.random.default_rng(rng.getrandbits(32)).standard_normal((batch, 8, 8, 8))
            noise = torch.from_numpy(noise).float()
            after = climb(self.score, paint, noise, [caption(pairs) for pairs in asked], ITERATIONS, LR)
            twins = [labels.labelled(paint, z, asked, self.pool.naming, rng) for z in (noise, after)]
            records += [record for pair in zip(*twins, strict=True) for record in pair]
        self.learner.train().requires_grad_(True)
        nothing = np.mean([not record.shown for record in records[1::2]])
        say(
            f"{self.folder.name}  optimised the images of {self.count} prompts; {nothing:.0%} show nothing that may be "
            "named"
        )
        return picture_pool.pooled(records, self.pool.naming)
