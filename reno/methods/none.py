"""No optimisation: the image of the initial noise."""

from __future__ import annotations

from collections.abc import Iterator

from reno.methods import Problem, Step, unoptimised
from reno.spec import MethodSettings


def steps(problem: Problem, settings: MethodSettings) -> Iterator[Step]:
    yield unoptimised(problem, problem.noise, 0)
