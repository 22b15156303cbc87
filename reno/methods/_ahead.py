"""Climbing with the device one step ahead of the host.

Iteration k + 1 is queued before the numbers of iteration k are read, so the device never waits for the host. An
iteration is queued in the hope that all its numbers are finite; the device looks itself, and where they are not, it
moves nothing from then on. The host sees that when it reads the step, and takes the step as `reno.climb` would: so the
steps are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from reno.device.graphs import Record
from reno.device.reading import Reading, Tensors
from reno.methods import Step, TermScores

READ = ("noise", "total", "terms", "losses", "regularizer", "grad_norm", "pixels", "regular")
"""What of an iteration the host reads. The unrounded images stay on the device."""


class Ascent(Protocol):
    """One noise of each trial on its way up, as in reno/methods/reno.py."""

    failures: dict[int, str]

    def look(self, iteration: int) -> Step: ...

    def move(self) -> None: ...

    def advance(self) -> Tensors: ...

    def state(self) -> list[torch.Tensor]: ...


@dataclass(frozen=True)
class Ahead:
    """How a device runs ahead of the host."""

    read: Callable[[Tensors], Reading]
    """Begins to copy tensors to host memory."""
    record: Record | None = None
    """Makes an iteration one that the device replays; None: each kernel is launched by itself."""
    fused: bool = False
    """Whether the optimiser's update is one kernel that keeps its own count of steps on the device."""


def climb_ahead(ascent: Ascent, first: int, end: int, how: Ahead) -> Iterator[Step]:
    """The steps of iterations first to end - 1, each with its gradient. The first one prepares kernels and makes the
    optimiser's state; it is taken plainly, and so is each of which a number is not finite, and all once a trial has
    failed."""
    advance = None
    iteration = first
    while iteration < end:
        if iteration > first and not ascent.failures:
            if advance is None and end - iteration > 1:
                advance = how.record(ascent.advance, ascent.state()) if how.record else ascent.advance
            if advance is not None:
                iteration = yield from _while_regular(advance, iteration, end, how)
        if iteration < end:
            yield ascent.look(iteration)
            ascent.move()
            iteration += 1


def _while_regular(advance: Callable[[], Tensors], iteration: int, end: int, how: Ahead) -> Generator[Step, None, int]:
    """Yields steps until one is not regular; returns its iteration, or `end`."""
    queued = _queue(advance, how)
    while iteration < end:
        following = _queue(advance, how) if iteration + 1 < end else None
        images, reading = queued
        values = reading()
        if not values["regular"]:
            break  # what was queued after it has moved nothing either
        yield _step(iteration, images, values)
        queued = following
        iteration += 1
    return iteration


def _queue(advance: Callable[[], Tensors], how: Ahead) -> tuple[torch.Tensor, Reading]:
    outputs = advance()
    return outputs["images"], how.read({name: outputs[name] for name in READ})


def _step(iteration: int, images: torch.Tensor, values: Tensors) -> Step:
    return Step(
        iteration,
        values["noise"],
        images,
        TermScores(values["total"], values["terms"]),
        values["losses"],
        values["regularizer"],
        values["grad_norm"],
        pixels=values["pixels"].numpy(),
    )
