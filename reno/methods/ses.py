"""Spectral evolution search (arXiv 2602.03208): the cross-entropy method on the low band of the noise's Haar transform.

The high band of the initial noise stays. Its low band is drawn from N(mean, std^2), at first N(0, 1); after each
population, mean and std of each coefficient become those of the elites, the noises with the best scores.

An orthonormal Haar transform of level L in two dimensions has, for each square of 2^L x 2^L elements, the low
coefficient (sum of the square) / 2^L. To replace it by another is to add their difference / 2^L to each element of the
square.

Not confirmed from the paper: how mean and std are smoothed between populations (here they are not), and whether a bound
keeps std from zero (here none does).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn.functional import avg_pool2d

from reno.config.checks import whole_number
from reno.methods import Problem, Step, by_trial, finite_or_lowest, identity_of_search, leaders, picked, unoptimised
from reno.spec.errors import BadInput
from reno.spec.job import MethodSettings

identity = identity_of_search
RESUMES = True


def steps(
    problem: Problem, settings: MethodSettings, *, population: int = 10, elites: int = 5, band: int = 4
) -> Iterator[Step]:
    """Yields iterations + 1 steps; the first member of the first population is the initial noise.

    band: the side of the low band, in coefficients. The level of the transform is the largest whose low band is at
    least as large; of latents of 64 x 64 it is 4 with band=4, as in the paper. Latents that are no larger are searched
    whole.
    """
    side = square_side(problem.noise.shape[-2:], band)
    start = low_band(problem.noise, side)
    mean, std = torch.zeros_like(start), torch.ones_like(start)
    lows, scores = [], []
    for iteration in range(settings.iterations + 1):
        low = mean + std * low_band(problem.draw(), side) if iteration else start
        step = unoptimised(problem, with_low_band(problem.noise, low, side), iteration)
        yield step
        lows.append(low)
        scores.append(finite_or_lowest(step.scores.total))
        if len(lows) == population:
            mean, std = fitted(torch.stack(lows), torch.stack(scores), elites, (mean, std))
            lows, scores = [], []


def check(settings: MethodSettings) -> None:
    """Raises BadInput for options that cannot be used."""
    population = whole_number("method.population", settings.options.get("population", 10), at_least=2)
    elites = whole_number("method.elites", settings.options.get("elites", 5), at_least=2)
    whole_number("method.band", settings.options.get("band", 4), at_least=1)
    if elites > population:
        raise BadInput(f"method.elites={elites} is more than method.population={population}; use {population} or fewer")


def square_side(size: tuple[int, int], band: int) -> int:
    """2^L, the side of the squares of the largest level whose low band has at least `band` coefficients a side.
    size: (h, w) of the latents."""
    side = 1
    while all(length % (2 * side) == 0 and length // (2 * side) >= band for length in size):
        side *= 2
    return side


def low_band(noise: torch.Tensor, side: int) -> torch.Tensor:
    """The low coefficients of an orthonormal Haar transform: (B, C, h, w) to (B, C, h / side, w / side)."""
    return avg_pool2d(noise, side) * side


def with_low_band(noise: torch.Tensor, low: torch.Tensor, side: int) -> torch.Tensor:
    """The noise with other low coefficients and the same high ones."""
    change = (low - low_band(noise, side)) / side
    return noise + change.repeat_interleave(side, dim=-2).repeat_interleave(side, dim=-1)


def fitted(
    lows: torch.Tensor, scores: torch.Tensor, elites: int, before: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each coefficient over the elites. Those from before where a score of the elites is
    not finite.

    lows: (population, B, C, h', w'); scores: (population, B).
    """
    places = leaders(scores, elites)
    best = picked(lows, places)
    sound = by_trial(picked(scores, places).isfinite().all(dim=0), lows[0])
    mean, std = best.mean(dim=0), best.std(dim=0, unbiased=False)
    return torch.where(sound, mean, before[0]), torch.where(sound, std, before[1])
