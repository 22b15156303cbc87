"""The peak memory of torch's allocator while a job's trials run."""

from __future__ import annotations

import dataclasses

import torch
from torch.profiler import ProfilerActivity, profile

from reno.device.choice import choose_device
from reno.running.batch import run_batch
from reno.running.plan import Plan, make_plan
from reno.running.pool import ModelPool, Models


def measured_peak(job) -> int:
    """Peak bytes of a batch of all the job's trials: on a GPU as its allocator counts them; on the CPU the weights,
    plus the peak of the running sum of bytes allocated and freed."""
    plan = make_plan(job)
    device = choose_device(job.device)
    models = dataclasses.replace(ModelPool().load(plan, device), evaluators=())
    if device.type == "cuda":
        _run(plan, models)  # resets the allocator's count at its start
        return torch.cuda.max_memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        _run(plan, models)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return _weights(models) + highest


def _run(plan: Plan, models: Models) -> None:
    for _ in run_batch(plan.trials, plan.job.settings, plan.job.metric.name, models):
        pass


def _weights(models: Models) -> int:
    """Bytes of all parameters and buffers; what two models share counts once."""
    holders = [*models.generator.parts, *models.generator.reading]
    metrics = [models.metric, *models.recorded.values()]
    holders += [module for metric in metrics for term in metric.terms for module in (*term.looking, *term.reading)]
    tensors = {t.data_ptr(): t for holder in holders for t in (*holder.parameters(), *holder.buffers())}
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())
