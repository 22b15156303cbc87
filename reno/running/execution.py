"""How a job's models run, where the job leaves it open: `checkpointing=auto` and `compile=auto`.

Checkpointing saves memory and costs a third more arithmetic; the numbers are the same to the last bit. So it is on only
if the batch that the job asks for is not predicted to fit without it. The prediction is a rehearsal of the job
(reno/running/fit), which takes seconds and needs no memory.

An iteration is captured as a CUDA graph (reno/device/graphs.py) if it can be, and if the job has enough iterations to
pay for the capture.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping

from reno import methods
from reno.device.checkpointing import worth_checkpointing
from reno.device.residence import free_bytes
from reno.running.fit.cards import GIB, SHARE
from reno.running.fit.prediction import rehearsed_growth
from reno.running.plan import Plan
from reno.running.pool import Models
from reno.spec.errors import BadInput
from reno.spec.job import Execution

log = logging.getLogger(__name__)

LEAST_ITERATIONS = 10
"""A trial of fewer is not captured. The capture takes about as long as three iterations that are launched one kernel at
a time, and a replay saves a part of one: assumed, not measured."""

_growths: dict[str, int] = {}
"""Rehearsed bytes of this process's jobs: the jobs of a sweep ask for the same again."""


def choose_execution(plan: Plan, models: Models) -> Models:
    """The loaded models, which from now on run as the job asks; what it leaves open is decided, with a reason."""
    asked = plan.job.execution
    reasons = {}
    checkpointing = asked.checkpointing
    if checkpointing is None:
        checkpointing, reasons["checkpointing"] = _checkpointing(plan, models)
    execution = dataclasses.replace(asked, checkpointing=checkpointing, compile=bool(asked.compile))
    if asked.graph and (why_not := why_not_captured(plan, models, execution)):
        raise BadInput(f"compile=graph cannot be: {why_not}; use compile=auto")
    if asked.compile is None:
        why_not = why_not_captured(plan, models, execution) or _too_few(plan)
        execution = dataclasses.replace(execution, graph=not why_not)
        reasons["compile"] = why_not or "an iteration is captured once for each batch, and replayed"
    return models.run_as(execution, reasons)


def why_not_captured(plan: Plan, models: Models, execution: Execution) -> str | None:
    """Why an iteration cannot be captured as a CUDA graph; None if it can."""
    device, method = models.generator.device.type, plan.job.settings.method
    if device != "cuda":
        return f"a CUDA graph needs a CUDA GPU, and this is {device}"
    if not getattr(methods.load_method(plan.job.settings), "STATIC", False):
        return f"the iterations of method={method} are not all the same operations"
    if not models.generator.static:
        return f"the generator {plan.generator.spec.kind} does not say that it is static"
    for term, spec in zip(models.metric.terms, plan.metric.spec.terms, strict=True):
        if not term.static:
            return f"the metric {spec.kind} does not say that it is static"
    if plan.job.save_every is not None:
        return "with save_every, the host writes every iteration down before the next one begins"
    if execution.checkpointing:
        return "with checkpointing, blocks run again within the backward pass"
    return None


def _too_few(plan: Plan) -> str | None:
    iterations = plan.job.settings.iterations
    if iterations >= LEAST_ITERATIONS:
        return None
    return f"{iterations} iterations do not pay for the capture"


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
    chosen = {"checkpointing": models.execution.checkpointing, "compile": models.execution.compile}
    if models.execution.graph:
        chosen["compile"] = "graph"
    return [f"{knob}={str(chosen[knob]).lower()}: {why}" for knob, why in models.reasons.items()]


def worth_telling(models: Models) -> list[str]:
    """The choices that a user is told: those of which there was something to weigh. Small images need no checkpointing,
    and only a CUDA GPU has graphs."""
    weighed = {
        "checkpointing": worth_checkpointing(models.generator.image_size),
        "compile": models.generator.device.type == "cuda",
    }
    return [line for line in choices(models) if weighed[line.partition("=")[0]]]


def for_less_memory(plan: Plan, models: Models) -> Models | None:
    """The models with checkpointing, if the job left that open and they run without it although it would save memory;
    None if there is nothing to gain. For a job whose memory ran out after all."""
    execution = models.execution
    if plan.job.execution.checkpointing is not None or execution.checkpointing:
        return None
    if not worth_checkpointing(models.generator.image_size):
        return None
    reasons = models.reasons | {"checkpointing": "memory ran out without it"}
    if execution.graph:
        reasons["compile"] = "with checkpointing, blocks run again within the backward pass"
    return models.run_as(dataclasses.replace(execution, checkpointing=True, graph=False), reasons)


def without_graph(models: Models, why: str) -> Models:
    """The models after a capture that failed."""
    reasons = models.reasons | {"compile": why}
    return models.run_as(dataclasses.replace(models.execution, graph=False), reasons)
