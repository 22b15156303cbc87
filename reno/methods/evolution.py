"""A genetic algorithm on the noise (after Jajal et al. 2025, arXiv 2506.00299).

    child = (m * a + (1 - m) * b + sigma * e) / sqrt(1 + sigma^2),   m ~ {0, 1} of each element,   e ~ N(0, I)

a and b are two of the best noises so far. Uniform crossover takes each element from either parent, and the division
keeps the variance of a mutated element, so that a child of noises ~ N(0, 1) is ~ N(0, 1) in each element.

Not confirmed from the paper: how parents are selected (here: the best `parents` of all so far, with equal chances), and
the division. The paper also has other evolutionary algorithms, which are not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from reno.config.checks import number, whole_number
from reno.methods import Problem, Step, finite_or_lowest, identity_of_search, leaders, picked, unoptimised
from reno.spec.errors import BadInput
from reno.spec.job import MethodSettings

identity = identity_of_search
RESUMES = True


def steps(
    problem: Problem, settings: MethodSettings, *, population: int = 10, parents: int = 5, sigma: float = 0.1
) -> Iterator[Step]:
    """Yields iterations + 1 steps. The first population is the initial noise and fresh ones.

    population: the noises of each generation. parents: the best of all so far, from which the next generation is made.
    sigma: the size of a mutation.
    """
    noises, scores = [], []
    elders = None
    for iteration in range(settings.iterations + 1):
        if elders is None:
            noise = problem.draw() if iteration else problem.noise
        else:
            noise = child_of(elders[0], problem, sigma)
        step = unoptimised(problem, noise, iteration)
        yield step
        noises.append(step.noise)
        scores.append(finite_or_lowest(step.scores.total))
        if len(noises) == population:
            known = (torch.stack(noises), torch.stack(scores))
            if elders is not None:
                known = tuple(torch.cat(pair) for pair in zip(elders, known, strict=True))
            places = leaders(known[1], parents)
            elders = picked(known[0], places), picked(known[1], places)
            noises, scores = [], []


def child_of(parents: torch.Tensor, problem: Problem, sigma: float) -> torch.Tensor:
    """One child of two different parents for each trial, (B, C, h, w). parents: (N, B, C, h, w)."""
    chances = uniform(problem.draw())
    first = (chances[:, 0] * len(parents)).long()
    second = (first + 1 + (chances[:, 1] * (len(parents) - 1)).long()) % len(parents)
    one, other = picked(parents, torch.stack([first, second]))
    crossed = torch.where(problem.draw() > 0, one, other)
    return (crossed + sigma * problem.draw()) / math.sqrt(1 + sigma**2)


def uniform(noise: torch.Tensor) -> torch.Tensor:
    """Noise ~ N(0, 1) as numbers between 0 and below 1 with equal chances, (B, d): its distribution function."""
    chances = (1 + torch.erf(noise.flatten(1) / math.sqrt(2))) / 2
    return chances.clamp(max=1 - torch.finfo(chances.dtype).eps)


def check(settings: MethodSettings) -> None:
    """Raises BadInput for options that cannot be used."""
    population = whole_number("method.population", settings.options.get("population", 10), at_least=2)
    parents = whole_number("method.parents", settings.options.get("parents", 5), at_least=2)
    number("method.sigma", settings.options.get("sigma", 0.1), at_least=0.0)
    if parents > population:
        raise BadInput(
            f"method.parents={parents} is more than method.population={population}; use {population} or fewer"
        )
