"""What a device did during an iteration: the time in kernels, the gaps between them, and the kernels that took most."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from torch.profiler import ProfilerActivity, profile

from reno import methods
from reno.running.batch import run_batch
from reno.running.plan import Plan
from reno.running.pool import Models

SKIPPED, COUNTED, TOP, LONGEST = 5, 6, 10, 60


@dataclass(frozen=True)
class Profile:
    """Milliseconds of an iteration, means of COUNTED."""

    wall: float
    busy: float
    """In kernels; on the CPU, in operations."""
    top: tuple[tuple[str, float], ...]
    """The TOP kernels that took most."""


def profiled(plan: Plan, models: Models) -> Profile:
    """A profile of the plan's first trial, without the first SKIPPED iterations."""
    on_gpu = models.generator.device.type == "cuda"
    settings = methods.shortened(plan.job.settings, SKIPPED + COUNTED + 2)
    bare = dataclasses.replace(models, recorded={}, evaluators=())
    steps = run_batch(plan.trials[:1], settings, plan.job.metric.name, bare)
    for _ in range(SKIPPED):
        next(steps)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        started = time.perf_counter()
        for _ in range(COUNTED):
            next(steps)
        wall = time.perf_counter() - started
    steps.close()
    spent: dict[str, float] = {}
    for event in profiler.key_averages():
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if microseconds:
            spent[event.key[:LONGEST]] = spent.get(event.key[:LONGEST], 0.0) + microseconds / 1000 / COUNTED
    longest = sorted(spent.items(), key=lambda item: -item[1])[:TOP]
    return Profile(wall * 1000 / COUNTED, sum(spent.values()), tuple(longest))
