"""An iteration of the loop, traced, tracked, shown and stored, against the floor: the same forward and backward pass
through generator and metric with nothing else."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.apart import Failed
from benchmarks.bare import bare_iteration, seconds_each
from benchmarks.jobs import loaded, ran
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts, seeds
from benchmarks.timing import in_turn, ratio
from reno.running.listeners import Listener, RunningBatch
from reno.running.plan import Plan
from reno.running.pool import Models
from reno.running.progress import BatchRun


@dataclass(frozen=True)
class LoopEffort:
    iterations: int
    """Of a trial: 50, as in a study, unless that takes too long."""
    batches: int
    """Of a job: the frames of one batch are encoded while the next one runs."""
    rounds: int
    at_most: float
    """Largest ratio to the floor that is the target."""


EFFORTS = {
    "quick": LoopEffort(2, 1, 1, 1.15),
    "testbed": LoopEffort(50, 2, 7, 1.15),
    "full": LoopEffort(3, 1, 3, 1.03),
    "gpu": LoopEffort(50, 1, 3, 1.03),
}


def measure(setting: Setting) -> list[Row]:
    effort = EFFORTS[setting.effort]
    side_by_side = setting.job().batch_size
    words = (prompts(1), seeds(side_by_side * effort.batches), f"iterations={effort.iterations}", "tracking=offline")
    job = setting.job(*words)
    plan, models, _ = loaded(job)
    floor(plan, models, side_by_side, 1)  # the first call prepares kernels

    def loop() -> float:
        stopwatch = Stopwatch()
        with tempfile.TemporaryDirectory() as scratch:
            ran(setting.job(*words, f"results={scratch}"), Path(scratch) / "job", stopwatch)
            if len(list(Path(scratch).glob("wandb/offline-run-*"))) != len(plan.trials):
                raise Failed("W&B did not log every trial, so the time would not include it")
        return seconds_per_iteration(stopwatch.clocks, effort.iterations)

    sides = {"floor": lambda: floor(plan, models, side_by_side, effort.iterations), "loop": loop}
    found = in_turn(sides, effort.rounds)
    return [
        Row(
            f"an iteration of a job, {side_by_side} side by side, frames stored and W&B logged offline",
            median(found["loop"]), "s",
            "forward and backward alone", median(found["floor"]), ratio(found["loop"], found["floor"]),
            at_most=effort.at_most,
        )
    ]  # fmt: skip


def floor(plan: Plan, models: Models, side_by_side: int, iterations: int) -> float:
    """Seconds of a forward and backward pass, the mean of `iterations`."""
    return seconds_each(bare_iteration(plan, models, side_by_side), iterations, models.generator.device)


class Stopwatch(Listener):
    """The times at which each step of each batch of a job was done. It is the last listener, so the step has been
    traced, tracked and shown."""

    def __init__(self) -> None:
        self.clocks: list[list[float]] = []

    def batch_begins(self, batch: RunningBatch) -> None:
        self.clocks.append([])

    def step(self, batch: RunningBatch, run: BatchRun) -> None:
        self.clocks[-1].append(time.perf_counter())


def seconds_per_iteration(clocks: list[list[float]], iterations: int) -> float:
    """The mean over the iterations that compute a gradient, without each batch's first, in which prompts are encoded
    and W&B's runs begin. No gradient is computed for the last image."""
    spans = [moments[iterations - 1] - moments[0] for moments in clocks]
    return sum(spans) / (len(spans) * (iterations - 1))
