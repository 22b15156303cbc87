"""The memory that a job needs, measured in a rehearsal: the job itself, run on tensors without values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from reno import methods
from reno.running.batch import run_batch
from reno.running.fit.live_bytes import LiveBytes
from reno.running.fit.rehearsal import META, plan_without_weights, rehearsal
from reno.running.plan import Plan
from reno.running.pool import ModelPool, Models
from reno.spec.job import Execution, JobSpec
from reno.store.staging import scratch

ITERATIONS = 2
"""Enough for the optimiser's state and the previous step's images to be alive while the next step runs."""


@dataclass(frozen=True)
class Prediction:
    """Bytes that the tensors of a job take on its device."""

    dtype: str
    execution: Execution
    image_size: tuple[int, int]
    """(height, width) in pixels."""
    weights: dict[str, int]
    """Bytes of the weights by part, while the noise is optimised."""
    alone: int
    """Peak bytes of a batch of one."""
    pair: np.ndarray
    """Bytes alive after each allocation of a batch of two trials."""
    another: np.ndarray
    """Bytes that each further trial adds to each entry of `pair`."""

    @property
    def weight_bytes(self) -> int:
        return sum(self.weights.values())

    def peak(self, batch: int) -> int:
        """The most bytes alive at once with `batch` trials side by side, weights included. Every entry of the timeline
        is an affine function of the batch size; which entry is the largest may change. A batch of one is rehearsed
        separately, because it skips some copies."""
        return self.alone if batch == 1 else int((self.pair + (batch - 2) * self.another).max())

    def largest_batch(self, allowed: float, most: int = 4096) -> int:
        """The largest batch, up to `most`, whose peak is at most `allowed` bytes; 0 if there is none."""
        fits, too_many = 0, most + 1
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if self.peak(middle) <= allowed else (fits, middle)
        return fits


def predict(job: JobSpec, device_type: str) -> Prediction:
    """Rehearses a job as it would run on a device of that kind (cuda, mps, cpu). It needs no weights and no such
    device, and takes seconds. Raises BadInput as the job would."""
    with scratch("memory") as folder:
        return rehearse(plan_without_weights(job, device_type, folder), device_type)


def rehearse(plan: Plan, device_type: str) -> Prediction:
    """Rehearses a plan whose checkpoints are on this disk. Only their configurations are read."""
    plan = dataclasses.replace(plan, job=_shortened(plan.job))
    with rehearsal(device_type) as live:
        models = ModelPool().load(plan, META)
        alone, pair, three = (_timeline(plan, models, live, batch) for batch in (1, 2, 3))
        weights = _weights_by_part(plan, models)
    assert len(pair) == len(three), "a batch of three runs other operations than a batch of two"
    size = models.generator.image_size
    return Prediction(plan.dtype, models.execution, size, weights, int(alone.max()), pair, three - pair)


def _shortened(job: JobSpec) -> JobSpec:
    return dataclasses.replace(job, settings=methods.shortened(job.settings, ITERATIONS))


def _timeline(plan: Plan, models: Models, live: LiveBytes, batch: int) -> np.ndarray:
    """Bytes alive after each allocation of a batch that repeats the longest prompt. Judges are left out: they see
    finished images, without a graph."""
    longest = max(plan.trials, key=lambda trial: len(trial.prompt.text))
    unjudged = dataclasses.replace(models, evaluators=())
    live.restart()
    for _ in run_batch([longest] * batch, plan.job.settings, plan.job.metric.name, unjudged):
        pass
    return np.array(live.timeline, dtype=np.int64)


def _weights_by_part(plan: Plan, models: Models) -> dict[str, int]:
    """Bytes of parameters and buffers on META, by part. A tensor that two parts share is counted for the first only."""
    counted: set[int] = set()
    parts = {name: _bytes(module, counted) for name, module in _modules(models.generator)}
    for metric in (models.metric, *models.recorded.values()):
        for name, term in zip(metric.names, metric.terms, strict=True):
            parts.setdefault(name, sum(_bytes(module, counted) for _, module in _modules(term)))
    for judge in models.evaluators:
        parts[judge.name] = sum(_bytes(module, counted) for _, module in _modules(judge))
    return {name: size for name, size in parts.items() if size}


def _modules(owner: object) -> list[tuple[str, torch.nn.Module]]:
    """The modules among an object's attributes, and among those attributes' own."""
    found = []
    for name, value in vars(owner).items():
        if isinstance(value, torch.nn.Module):
            found.append((name, value))
        elif isinstance(value, tuple | list):
            found += [(name, one) for one in value if isinstance(one, torch.nn.Module)]
        elif type(value).__module__.startswith("reno.") and hasattr(value, "__dict__"):
            found += _modules(value)
    return found


def _bytes(module: torch.nn.Module, counted: set[int]) -> int:
    total = 0
    for tensor in (*module.parameters(), *module.buffers()):
        storage = tensor.untyped_storage()
        if tensor.is_meta and id(storage) not in counted:
            counted.add(id(storage))
            total += storage.nbytes()
    return total
