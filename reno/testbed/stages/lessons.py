"""The three lessons that CLIP and BLIP of this world take, each a training of its own that goes on from the one before.

The first begins with the auxiliary head alone (`grounding`), and the metric is climbed in it (`climbing`). In the
second and the third a batch holds twins with their colours swapped.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch

from reno.testbed.stages import pictures
from reno.testbed.stages.climbing import Climbers
from reno.testbed.stages.loop import train

LESSONS = ("first", "second", "third")
RATES = (1.5e-3, 1e-3, 7e-4)
"""Highest learning rate of each."""
SEEING = 0.2
"""Share of the first lesson that the auxiliary head has to itself, at first."""
SPOILED, SWAPPED = 0.15, 0.3
"""Shares of the later lessons' pictures that are spoiled, and that are twins with their colours swapped."""

Loss = tuple[torch.Tensor, dict[str, float]]


def teach(
    learner: torch.nn.Module,
    pool: pictures.Pool,
    seeing: Callable[[pictures.Pictures], Loss],
    lesson: Callable[[pictures.Pictures, random.Random, int], Loss],
    *,
    folder: Path,
    steps: tuple[int, int, int],
    batch: int,
    seed: int,
    climbers: Climbers | None,
) -> None:
    """Trains `learner`, saving in `folder`, the last lesson, and in `folder/first` and `folder/second`.

    seeing: the loss of the auxiliary head alone. lesson: the loss on a batch in lesson 0, 1 or 2.
    """

    def loss_in(number: int):
        def loss(step: int, rng: random.Random) -> Loss:
            if climbers:
                climbers.join(step if number == 0 else steps[0])
            if number:
                return lesson(pool.draw(rng, batch, spoiled=SPOILED, swapped=SWAPPED), rng, number)
            drawn = pool.draw(rng, batch)
            return seeing(drawn) if step < SEEING * steps[0] else lesson(drawn, rng, number)

        return loss

    for number, (which, length, lr) in enumerate(zip(LESSONS, steps, RATES, strict=True)):
        train(
            f"{folder.name}, {which}",
            learner,
            loss_in(number),
            folder=folder if which == LESSONS[-1] else folder / which,
            steps=length,
            lr=lr,
            seed=seed + 100 * number,
            average=0.995,
            trained_on=pool.fingerprint,
        )
