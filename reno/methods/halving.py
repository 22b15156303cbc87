"""Successive halving of several starts (Karnin et al., ICML 2013; Jamieson and Talwalkar 2016, arXiv 1502.07943): many
noises are scored, the best of them climb by ReNO's steps, and in each round the half with the lower scores is dropped.

Each round has about the same number of images, so that a noise that stays gets twice as many in each next round. The
last noise gets what is left. The source compares arms by their last loss; here a noise counts by its best score so far,
as the result of a trial does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch

from reno.config.checks import whole_number
from reno.methods import Problem, Step, finite_or_lowest, leaders, picked
from reno.methods.reno import Ascent, best_starts
from reno.spec.errors import BadInput
from reno.spec.job import MethodSettings

RESUMES = True


def steps(problem: Problem, settings: MethodSettings, *, starts: int = 16, climbers: int = 4) -> Iterator[Step]:
    """Yields iterations + 1 steps.

    starts: the noises that are scored, of which the first is the initial noise. climbers: how many of them, the best,
    climb; then half as many, and so on down to one. The first image of a climber is that of its start again, with its
    gradient.
    """
    best = yield from best_starts(problem, starts, kept=climbers)
    ascents = [Ascent(problem, noise, settings) for noise in best]
    iteration = starts
    for updates in rounds(settings.iterations + 1 - starts, climbers):
        tops = []
        for ascent in ascents:
            seen = []
            for _ in range(updates):
                step = ascent.look(iteration)
                yield dataclasses.replace(step, failures={})  # another of the trial's noises may be fine
                ascent.move()
                iteration += 1
                seen.append(finite_or_lowest(step.scores.total))
            top = torch.stack(seen).amax(dim=0)
            lost = torch.zeros_like(top, dtype=torch.bool)
            lost[list(ascent.failures)] = True
            tops.append(top.masked_fill(lost, float("-inf")))
        ascents = survivors(ascents, leaders(torch.stack(tops), len(ascents) // 2))
    (only,) = ascents
    for last in range(iteration, settings.iterations):
        yield only.look(last)
        only.move()
    yield only.last(settings.iterations)


def check(settings: MethodSettings) -> None:
    """Raises BadInput if the starts and the rounds leave the last noise no update."""
    starts = whole_number("method.starts", settings.options.get("starts", 16), at_least=1)
    climbers = whole_number("method.climbers", settings.options.get("climbers", 4), at_least=1)
    if climbers > starts:
        raise BadInput(f"method.climbers={climbers} is more than method.starts={starts}; use {starts} or fewer")
    least = _least(starts, climbers)
    if settings.iterations < least:
        raise BadInput(
            f"method.starts={starts} and method.climbers={climbers} need iterations={least} or more, not "
            f"{settings.iterations}; use more iterations, or fewer starts or climbers"
        )


def shortened(settings: MethodSettings, iterations: int) -> MethodSettings:
    """With two starts, of which two climb, where there are several."""
    starts, climbers = (min(settings.options.get(name, 2), 2) for name in ("starts", "climbers"))
    options = settings.options | {"starts": starts, "climbers": climbers}
    return dataclasses.replace(settings, iterations=_least(starts, climbers) + iterations - 1, options=options)


def rounds(images: int, climbers: int) -> list[int]:
    """The updates of each climber in each round but that of the last one, which gets the images that are left."""
    sizes = _sizes(climbers)
    share = images // len(sizes)
    return [max(1, share // size) for size in sizes[:-1]]


def _least(starts: int, climbers: int) -> int:
    """The fewest iterations with an update in each round."""
    return starts + sum(_sizes(climbers))


def _sizes(climbers: int) -> list[int]:
    """How many noises climb in each round."""
    sizes = [climbers]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return sizes


def survivors(ascents: Sequence[Ascent], places: torch.Tensor) -> list[Ascent]:
    """The ascents that go on: the k-th has, for each trial, the noise, the optimiser's state and the failures of the
    ascent at places[k] (count, B). An ascent goes on as if it had been alone."""
    first = ascents[0]
    kept = []
    noises = picked(torch.stack([one.noise.detach() for one in ascents]), places)
    scales = picked(torch.stack([one.scale for one in ascents]), places)
    states = [one.optimizer.state[one.noise] for one in ascents]
    shared = {name: value for name, value in states[0].items() if value.shape != first.noise.shape}
    own = {
        name: picked(torch.stack([state[name] for state in states]), places)
        for name in states[0].keys() - shared.keys()
    }
    for rank, row in enumerate(places.tolist()):
        ascent = Ascent(first.problem, noises[rank], first.settings)
        ascent.scale, ascent.begun = scales[rank].clone(), first.begun
        ascent.failures = {
            trial: ascents[place].failures[trial] for trial, place in enumerate(row) if trial in ascents[place].failures
        }
        ascent.optimizer.state[ascent.noise] = {
            **{name: value.clone() for name, value in shared.items()},
            **{name: value[rank].clone() for name, value in own.items()},
        }
        kept.append(ascent)
    return kept
