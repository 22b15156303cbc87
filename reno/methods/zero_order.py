"""Zero-order search (Ma et al. 2025, arXiv 2501.09732): noises near a pivot are tried, and the pivot moves to the best.

    neighbour = s * pivot + sqrt(1 - s^2) * e,   e ~ N(0, I)

A neighbour of a pivot ~ N(0, I) is ~ N(0, I) too, and their cosine similarity is s, up to chance. Where none of a
pivot's neighbours is better than it, a fresh noise is the next pivot.

Not confirmed from the paper: how it measures the distance of a neighbour, and that a pivot without a better neighbour
is replaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from reno.config.checks import number, whole_number
from reno.methods import Problem, Step, better, by_trial, finite_or_lowest, identity_of_search, unoptimised
from reno.spec.job import MethodSettings

identity = identity_of_search
RESUMES = True


def steps(
    problem: Problem, settings: MethodSettings, *, neighbours: int = 4, similarity: float = 0.95
) -> Iterator[Step]:
    """Yields iterations + 1 steps; the first pivot is the initial noise.

    neighbours: how many are tried before the pivot moves. similarity: s, from 0 (every noise is fresh) to below 1.
    """
    pivot = found = problem.noise
    fresh = torch.ones(len(pivot), dtype=torch.bool, device=pivot.device)
    tried = torch.zeros(len(pivot), dtype=torch.long, device=pivot.device)
    for iteration in range(settings.iterations + 1):
        drawn = problem.draw() if iteration else problem.noise
        noise = torch.where(by_trial(fresh, drawn), drawn, near(pivot, drawn, similarity))
        step = unoptimised(problem, noise, iteration)
        yield step
        scores = finite_or_lowest(step.scores.total)
        if iteration == 0:
            top = highest = torch.full_like(scores, float("-inf"))
        # A fresh noise is the pivot whatever it scored; a neighbour is kept if it is the best of the pivot's.
        pivot = torch.where(by_trial(fresh, noise), noise, pivot)
        top = torch.where(fresh, scores, top)
        ahead = ~fresh & better(scores, highest)
        found = torch.where(by_trial(ahead, noise), noise, found)
        highest = torch.where(ahead, scores, highest)
        tried = tried + ~fresh
        done = tried == neighbours
        moves = done & better(highest, top)
        pivot = torch.where(by_trial(moves, pivot), found, pivot)
        top = torch.where(moves, highest, top)
        fresh = done & ~moves
        tried, highest = tried.masked_fill(done, 0), highest.masked_fill(done, float("-inf"))


def near(pivot: torch.Tensor, drawn: torch.Tensor, similarity: float) -> torch.Tensor:
    """A neighbour of the pivot, in the direction of fresh noise; both (B, C, h, w)."""
    return similarity * pivot + math.sqrt(1 - similarity**2) * drawn


def check(settings: MethodSettings) -> None:
    """Raises BadInput for options that cannot be used."""
    whole_number("method.neighbours", settings.options.get("neighbours", 4), at_least=1)
    number("method.similarity", settings.options.get("similarity", 0.95), at_least=0.0, below=1.0)
