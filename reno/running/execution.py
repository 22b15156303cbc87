"""How a job's models run, where the job leaves it open: `checkpointing=auto`.

Checkpointing saves memory and costs a third more arithmetic; the numbers are the same to the last bit. So it is on only
if the batch that the job asks for is not predicted to fit without it. The prediction is a rehearsal of the job
(reno/running/fit), which takes seconds and needs no memory.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping

from reno.device.checkpointing import worth_checkpointing
from reno.device.residence import free_bytes
from reno.running.fit.cards import GIB, SHARE
from reno.running.fit.prediction import rehearsed_growth
from reno.running.plan import Plan
from reno.running.pool import Models
from reno.spec.job import Execution

log = logging.getLogger(__name__)

_growths: dict[str, int] = {}
"""Rehearsed bytes of this process's jobs: the jobs of a sweep ask for the same again."""


def choose_execution(plan: Plan, models: Models) -> Models:
    """The loaded models, which from now on run as the job asks; what it leaves open is decided, with a reason."""
    asked = plan.job.execution
    reasons = {}
    checkpointing = asked.checkpointing
    if checkpointing is None:
        checkpointing, reasons["checkpointing"] = _checkpointing(plan, models)
    return models.run_as(dataclasses.replace(asked, checkpointing=checkpointing), reasons)


def _checkpointing(plan: Plan, models: Models) -> tuple[bool, str]:
    """Whether blocks are checkpointed, and why. With `batch_size=auto` one trial has to fit without it."""
    height, width = models.generator.image_size
    if not worth_checkpointing((height, width)):
        return False, f"images of {width} x {height} pixels keep few activations"
    batch = plan.job.batch_size or 1
    needed = (1 + SHARE) * activation_bytes(plan, models, batch)
    free = free_bytes(models.generator.device)
    many = "one trial needs" if batch == 1 else f"{batch} trials side by side need"
    reason = f"without it {many} {needed / GIB:.1f} GiB beside the weights, and {free / GIB:.1f} GiB are free"
    return needed > free, reason


def activation_bytes(plan: Plan, models: Models, batch: int) -> int:
    """The bytes that a batch is predicted to hold at its peak beside the weights, without checkpointing."""
    device_type = models.generator.device.type
    kept = Execution(checkpointing=False, compile=False, channels_last=plan.job.execution.channels_last)
    plan = dataclasses.replace(plan, job=dataclasses.replace(plan.job, execution=kept), evaluators=())
    key = _key(plan, device_type, batch)
    if key not in _growths:
        _growths[key] = rehearsed_growth(plan, device_type, batch)
        log.info("rehearsed a batch of %d: %.2f GiB beside the weights", batch, _growths[key] / GIB)
    return _growths[key]


def _key(plan: Plan, device_type: str, batch: int) -> str:
    """What the rehearsed bytes depend on. A learning rate takes no memory."""
    method: Mapping = dataclasses.asdict(plan.job.settings) | {"lr": None, "iterations": min(plan.images, 2)}
    longest = max(len(trial.prompt.text) for trial in plan.trials)
    models = [plan.generator.identity, plan.metric.identity, [one.identity for one in plan.recorded]]
    return json.dumps([device_type, plan.dtype, batch, longest, models, method], sort_keys=True, default=str)


def choices(models: Models) -> list[str]:
    """A line for each choice that was left open, with its reason."""
    return [f"{knob}={str(getattr(models.execution, knob)).lower()}: {why}" for knob, why in models.reasons.items()]


def worth_telling(models: Models) -> list[str]:
    """The choices that a user is told: of images so small that there was nothing to weigh, none."""
    return choices(models) if worth_checkpointing(models.generator.image_size) else []


def for_less_memory(plan: Plan, models: Models) -> Models | None:
    """The models with checkpointing, if the job left that open and they run without it although it would save memory;
    None if there is nothing to gain. For a job whose memory ran out after all."""
    execution = models.execution
    if plan.job.execution.checkpointing is not None or execution.checkpointing:
        return None
    if not worth_checkpointing(models.generator.image_size):
        return None
    reasons = models.reasons | {"checkpointing": "memory ran out without it"}
    return models.run_as(dataclasses.replace(execution, checkpointing=True), reasons)
