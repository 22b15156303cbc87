"""An iteration of the loop, traced, tracked, shown and stored, against the floor: the same forward and backward pass
through generator and metric with nothing else."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.apart import Failed
from benchmarks.rows import Row
from benchmarks.setting import Setting, loaded, prompts, seeds
from benchmarks.timing import in_turn, ratio
from reno import batch as batches
from reno.job import run_job
from reno.metrics import loss_of
from reno.models import Models
from reno.plan import Plan
from reno.reproducibility import NoiseSource
from reno.spec import LOSS_SCALE


@dataclass(frozen=True)
class Effort:
    iterations: int
    """Of a trial: 50, as in a study, where that is not too long; each trial begins with its run in W&B."""
    batches: int
    """Of a job: the frames of one are encoded beside the next."""
    rounds: int
    at_most: float
    """Target."""


EFFORTS = {
    "quick": Effort(2, 1, 1, 1.15),
    "testbed": Effort(50, 2, 7, 1.15),
    "full": Effort(3, 1, 3, 1.03),
    "gpu": Effort(50, 1, 3, 1.03),
}


def measure(setting: Setting) -> list[Row]:
    effort = EFFORTS[setting.effort]
    side_by_side = setting.job().batch_size
    words = (prompts(1), seeds(side_by_side * effort.batches), f"iterations={effort.iterations}", "tracking=offline")
    job = setting.job(*words)
    plan, models, _ = loaded(job)
    floor(plan, models, side_by_side, 1)  # the first call prepares kernels

    def loop() -> float:
        with tempfile.TemporaryDirectory() as scratch, clocked() as moments:
            run_job(setting.job(*words, f"results={scratch}"), Path(scratch) / "job", group="bench")
            if len(list(Path(scratch).glob("wandb/offline-run-*"))) != len(plan.trials):
                raise Failed("W&B did not log every trial, so this would not be the loop")
        return seconds_per_iteration(moments, effort.iterations)

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
    generator, metric = models.generator, models.metric
    trials = plan.trials[:side_by_side]
    texts = [trial.prompt.text for trial in trials]
    noise = NoiseSource([trial.seed for trial in trials], generator.latent_shape, generator.device).draw()
    noise.requires_grad_(True)
    embeddings, encoded = generator.encode(texts), metric.encode(texts)
    scale = LOSS_SCALE.get(plan.dtype, 1.0)
    _finish(generator.device)
    started = time.perf_counter()
    for _ in range(iterations):
        losses = loss_of(metric(generator(noise, embeddings), encoded), models.total_weight)
        torch.autograd.grad(losses.sum() * scale, noise)
    _finish(generator.device)
    return (time.perf_counter() - started) / iterations


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def clocked() -> Iterator[list[list[float]]]:
    """Within it, the moments at which a job has dealt with each step of each of its batches: traced, tracked, shown."""
    whole = batches.run_batch
    clocks: list[list[float]] = []

    def told(*arguments):
        moments: list[float] = []
        clocks.append(moments)
        for run in whole(*arguments):
            yield run
            moments.append(time.perf_counter())

    batches.run_batch = told
    try:
        yield clocks
    finally:
        batches.run_batch = whole


def seconds_per_iteration(clocks: list[list[float]], iterations: int) -> float:
    """The mean over the iterations that take a gradient, but for each batch's first, in which prompts are read and runs
    begun; the last image takes none."""
    spans = [moments[iterations - 1] - moments[0] for moments in clocks]
    return sum(spans) / (len(spans) * (iterations - 1))
