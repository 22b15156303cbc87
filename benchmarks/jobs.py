"""Running the jobs that the bench measures, on models that are loaded once per process."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from reno.device.choice import choose_device, make_deterministic
from reno.running.execution import choose_execution
from reno.running.listeners import Listener
from reno.running.outcome import Outcome
from reno.running.plan import Plan, make_plan
from reno.running.pool import ModelPool, Models
from reno.running.runner import Runner
from reno.screen.log import JobLog
from reno.screen.screen import Screen
from reno.spec.job import JobSpec
from reno.store.store import Store
from reno.tracking import TrackingSpec
from reno.tracking.listener import Tracking


def loaded(job: JobSpec) -> tuple[Plan, Models, torch.device]:
    """The job's plan, its models, which run as the job would run them, and the device. Models are loaded once per
    process."""
    plan = make_plan(job)
    make_deterministic(job.threads)
    device = choose_device(job.device)
    return plan, choose_execution(plan, pool().load(plan, device)), device


def ran(job: JobSpec, folder: Path, *listeners: Listener) -> Outcome:
    """Runs a job as reno.run does, with W&B as its knobs say. listeners: called after the job's own."""
    heard = [JobLog(), Screen(), Tracking(TrackingSpec.from_knobs(job.tracking)), *listeners]
    return Runner(make_plan(job), Store(job.results), pool(), heard, folder=folder, group="bench").run()


@functools.cache
def pool() -> ModelPool:
    """The models that this process has loaded."""
    return ModelPool()
