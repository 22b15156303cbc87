"""A trial of 50 iterations on a GPU, with each of the metrics: seconds, and memory against the prediction."""

from __future__ import annotations

import dataclasses
import time

import torch

from benchmarks.jobs import loaded
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts
from benchmarks.timing import say
from reno.device.residence import out_of_memory
from reno.running.batch import run_batch
from reno.running.fit.cards import CONTEXT, GIB, margin_of
from reno.running.fit.prediction import predict

ITERATIONS = 50
METRICS = ("clip", "blip", "blip_large", "clip_vit_h")
EFFORTS = {"gpu": METRICS}


def measure(setting: Setting) -> list[Row]:
    return [row for metric in EFFORTS[setting.effort] for row in of_metric(setting, metric)]


def of_metric(setting: Setting, metric: str) -> list[Row]:
    job = setting.job(f"metric={metric}", prompts(1), f"iterations={ITERATIONS}", "batch_size=1")
    plan, models, device = loaded(job)
    kept = dataclasses.replace(models.execution, graph=False)  # a graph holds as much as the iteration it repeats
    found = predict(dataclasses.replace(job, execution=kept), "cuda")

    def trial(iterations: int):
        settings = dataclasses.replace(job.settings, iterations=iterations)
        torch.cuda.empty_cache()
        *_, done = run_batch(plan.trials, settings, metric, models)
        return done

    trial(1)  # the first call prepares kernels
    started = time.perf_counter()
    done = trial(ITERATIONS)
    seconds = time.perf_counter() - started
    allocated, reserved = done.device_bytes / GIB, torch.cuda.max_memory_reserved(device) / GIB
    peak = found.optimising(1) / GIB
    spare = margin_of(found.optimising(1), found.weight_bytes) - CONTEXT  # the context is not the allocator's
    granted = peak + spare / GIB
    held = _reserved_within(granted, device, lambda: trial(2))
    say(f"{metric}: {seconds:.1f} s; {granted:.2f} GiB granted, {'too little' if held is None else f'{held:.2f} held'}")
    return [
        Row(f"a trial of {ITERATIONS} iterations, {metric}", seconds, "s"),
        Row(
            f"peak predicted, {metric}", peak, "GiB",
            "allocated", allocated, peak / allocated, at_least=0.9, at_most=1.1,
        ),
        Row(f"peak reserved with memory to spare, {metric}", reserved, "GiB"),
        Row(
            f"peak reserved where no more is granted than predicted, {metric}", held, "GiB",
            "predicted with its margin", granted, None if held is None else held / granted, at_most=1.0,
            note="it runs out of memory" if held is None else "",
        ),
    ]  # fmt: skip


def _reserved_within(gib: float, device: torch.device, run) -> float | None:
    """GiB that the allocator reserves for a run that is limited to `gib`; None if they are not enough."""
    total = torch.cuda.get_device_properties(device).total_memory
    number = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.set_per_process_memory_fraction(gib * GIB / total, number)
    try:
        run()
        return torch.cuda.max_memory_reserved(device) / GIB
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, number)
