"""No optimisation: the image of the initial noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reno.methods import Problem, Step, unoptimised
from reno.spec.job import MethodSettings

RESUMES = True


def steps(problem: Problem, settings: MethodSettings) -> Iterator[Step]:
    """Yields one step."""
    yield unoptimised(problem, problem.noise, 0)


def identity(settings: MethodSettings) -> dict[str, Any]:
    return {"name": settings.method}


def images(settings: MethodSettings) -> int:
    return 1
