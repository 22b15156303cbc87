"""A trial of 50 iterations on a GPU, with each of the metrics: seconds, and memory against the prediction."""

from __future__ import annotations

import dataclasses
import time

import torch

from benchmarks.rows import Row
from benchmarks.setting import Setting, loaded, prompts
from benchmarks.timing import say
from reno.batch import run_batch
from reno.memory.cards import CONTEXT, GIB, margin
from reno.memory.prediction import predict

ITERATIONS = 50
METRICS = ("clip", "blip", "blip_large", "clip_vit_h")
EFFORTS = {"gpu": METRICS}


def measure(setting: Setting) -> list[Row]:
    rows = []
    for metric in EFFORTS[setting.effort]:
        job = setting.job(f"metric={metric}", prompts(1), f"iterations={ITERATIONS}", "batch_size=1")
        found = predict(job, "cuda")
        plan, models, device = loaded(job)
        for _ in run_batch(plan.trials, dataclasses.replace(job.settings, iterations=1), metric, models):
            pass  # the first call prepares kernels
        torch.cuda.empty_cache()
        started = time.perf_counter()
        *_, done = run_batch(plan.trials, job.settings, metric, models)
        seconds = time.perf_counter() - started
        say(f"{metric}: {seconds:.1f} s")
        allocated, reserved = done.device_bytes / GIB, torch.cuda.max_memory_reserved(device) / GIB
        peak = found.peak(1) / GIB
        with_margin = peak + (margin(found, 1) - CONTEXT) / GIB  # the context is not the allocator's
        rows += [
            Row(f"a trial of {ITERATIONS} iterations, {metric}", seconds, "s"),
            Row(
                f"peak predicted, {metric}", peak, "GiB",
                "allocated", allocated, peak / allocated, at_least=0.9, at_most=1.1,
            ),
            Row(
                f"peak reserved, {metric}", reserved, "GiB",
                "predicted with its margin", with_margin, reserved / with_margin, at_most=1.0,
            ),
        ]  # fmt: skip
    return rows
