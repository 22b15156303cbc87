"""Best of n: as many images as ReNO makes, from fresh noises; the first is the one ReNO starts from."""

from __future__ import annotations

from collections.abc import Iterator

from reno.methods import Problem, Step, unoptimised
from reno.spec import MethodSettings


def steps(problem: Problem, settings: MethodSettings) -> Iterator[Step]:
    """Yields iterations + 1 independent images of each trial. Which is best is the consumer's to keep, as for any
    method."""
    for sample in range(settings.iterations + 1):
        yield unoptimised(problem, problem.draw() if sample else problem.noise, sample)
