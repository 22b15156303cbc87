"""Best of n: as many images as ReNO makes, each from a fresh noise. The first noise is ReNO's initial noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reno.methods import Problem, Step, unoptimised
from reno.spec.job import MethodSettings

RESUMES = True


def steps(problem: Problem, settings: MethodSettings) -> Iterator[Step]:
    """Yields iterations + 1 independent images of each trial. The caller keeps the best, as for any method."""
    for sample in range(settings.iterations + 1):
        yield unoptimised(problem, problem.draw() if sample else problem.noise, sample)


def identity(settings: MethodSettings) -> dict[str, Any]:
    return {"name": settings.method, "iterations": settings.iterations}
