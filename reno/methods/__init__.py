"""The algorithms that choose a noise, as generators of steps.

A method receives a `Problem` and yields a `Step` per image it makes of each trial. It knows nothing of files,
trackers or progress bars: the job owns those. Tensors have the trials of one batch in their first dimension, and no
trial's numbers depend on another's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from reno.spec import MethodSettings


@dataclass(frozen=True)
class Problem:
    """What a method works on: a batch of B trials."""

    noise: torch.Tensor
    """Initial noise (B, C, h, w) ~ N(0, I), float32 or wider."""
    draw: Callable[[], torch.Tensor]
    """A fresh noise of the same shape, from each trial's own random generator."""
    generate: Callable[[torch.Tensor], torch.Tensor]
    """Noise to images (B, 3, H, W) in [0, 1], through the whole generator."""
    decode: Callable[[torch.Tensor], torch.Tensor]
    """The same by the generator's image decoder alone."""
    score: Callable[[torch.Tensor], torch.Tensor]
    """Images to scores (B,) against the trials' prompts."""
    loss: Callable[[torch.Tensor], torch.Tensor]
    """Scores to losses (B,)."""
    loss_scale: float = 1.0
    """What a loss is multiplied by while its gradient is taken, a power of two; more than 1 where the gradient passes
    through float16, which would round its small numbers to zero."""


@dataclass(frozen=True)
class Step:
    """One image of each trial of the batch, and what it scored."""

    iteration: int
    noise: torch.Tensor
    """(B, C, h, w), detached; changes in place once the next step is asked for."""
    images: torch.Tensor
    """(B, 3, H, W) in [0, 1], detached."""
    scores: torch.Tensor
    """(B,)"""
    losses: torch.Tensor
    """(B,), of the metric alone."""
    regularizer: torch.Tensor
    """(B,), weighted, what is added to the loss."""
    grad_norm: torch.Tensor
    """(B,), before clipping; NaN where no gradient was taken."""
    failures: dict[int, str] = field(default_factory=dict)
    """Trials that cannot go on, by their place in the batch, and why. Their noise no longer moves."""

    @property
    def noise_norm(self) -> torch.Tensor:
        """(B,)"""
        return self.noise.flatten(1).norm(dim=1)


Method = Callable[[Problem, MethodSettings], Iterator[Step]]


def load_method(name: str) -> Method:
    """The method of that name: the function `steps` of the module of that name."""
    return importlib.import_module(f"reno.methods.{name}").steps


def unoptimised(problem: Problem, noise: torch.Tensor, iteration: int) -> Step:
    """The step of a noise that is scored and not optimised."""
    with torch.no_grad():
        images = problem.generate(noise)
        scores = problem.score(images)
    blank = torch.full_like(scores, float("nan"))
    return Step(iteration, noise, images, scores, problem.loss(scores), torch.zeros_like(scores), blank)
