"""The memory that a job needs, measured in a rehearsal: the job itself, run on tensors without values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from reno import methods
from reno.evaluators import Evaluator
from reno.running.batch import JUDGED_AT_ONCE, run_batch
from reno.running.fit.live_bytes import LiveBytes
from reno.running.fit.rehearsal import META, plan_without_weights, rehearsal, without_weights
from reno.running.located import LocatedEvaluator, locate_evaluator
from reno.running.plan import Plan
from reno.running.pool import ModelPool, Models
from reno.spec.errors import BadInput, typed_line
from reno.spec.job import EvaluatorSpec, Execution, JobSpec
from reno.spec.prompts import Prompt
from reno.spec.trial import TrialSpec
from reno.store.records import JUDGED
from reno.store.staging import scratch

ITERATIONS = 2
"""Enough for the optimiser's state and the previous step's images to be alive while the next step runs."""


@dataclass(frozen=True)
class Judging:
    """What one judge takes after the optimisation, when its weights are on the device beside those of the loop."""

    name: str
    weights: int
    """Bytes of its weights, also of those that are on the device only for a part of its work."""
    alone: int
    """Peak bytes of all tensors on the device, for a batch of one."""
    side_by_side: int
    """Peak bytes for a larger batch; the images are judged JUDGED_AT_ONCE at a time."""
    flops: int
    """Floating-point operations for the two images of a trial, at most; in float32."""

    def peak(self, batch: int) -> int:
        return self.alone if batch == 1 else self.side_by_side


@dataclass(frozen=True)
class Reading:
    """What text encoders take that are let go before anything else is loaded."""

    weights: int
    """Bytes of their weights."""
    peak: int
    """Peak bytes of all tensors on the device, while one prompt is encoded."""


@dataclass(frozen=True)
class Prediction:
    """Bytes that the tensors of a job take on its device. The job has two phases: the optimisation, then the judges,
    one after the other. Before them comes a third where text encoders are let go before the rest is loaded."""

    dtype: str
    execution: Execution
    image_size: tuple[int, int]
    """(height, width) in pixels."""
    weights: dict[str, int]
    """Bytes of the weights by part, while the noise is optimised. On the CPU also those of judges: nothing leaves."""
    alone: int
    """Peak bytes of a batch of one."""
    pair: np.ndarray
    """Bytes alive after each allocation of a batch of two trials."""
    another: np.ndarray
    """Bytes that each further trial adds to each entry of `pair`."""
    judging: tuple[Judging, ...] = ()
    unknown: dict[str, str] = field(default_factory=dict)
    """The judges that could not be rehearsed, by name, each with the reason. They are not in `judging`."""
    reading: Reading | None = None
    """None where the text encoders stay loaded; then they are in `weights` wherever they are on the device."""

    @property
    def weight_bytes(self) -> int:
        return sum(self.weights.values())

    def optimising(self, batch: int) -> int:
        """The most bytes alive at once while `batch` trials are optimised side by side, weights included. Every entry
        of the timeline is an affine function of the batch size; which entry is the largest may change. A batch of one
        is rehearsed separately, because it skips some copies."""
        return self.alone if batch == 1 else int((self.pair + (batch - 2) * self.another).max())

    def peak(self, batch: int) -> int:
        """The most bytes alive at once in any phase."""
        return max(peak for peak, _ in self.phases(batch))

    def phases(self, batch: int) -> list[tuple[int, int]]:
        """The peak bytes of the optimisation, of each judge, and of the reading of prompts if it is a phase of its own;
        and how many of them are weights."""
        judges = [
            (judge.peak(batch), self.weight_bytes + (0 if judge.name in self.weights else judge.weights))
            for judge in self.judging
        ]
        reading = [(self.reading.peak, self.reading.weights)] if self.reading else []
        return [(self.optimising(batch), self.weight_bytes), *judges, *reading]


def predict(job: JobSpec, device_type: str) -> Prediction:
    """Rehearses a job as it would run on a device of that kind (cuda, mps, cpu). It needs no weights and no such
    device, and takes seconds. Raises BadInput as the job would."""
    with scratch("memory") as folder:
        return rehearse(plan_without_weights(job, device_type, folder), device_type)


def predictions(job: JobSpec, device_type: str) -> tuple[Prediction, ...]:
    """As `predict`. Where `checkpointing=auto` depends on the memory that is free, there are two: without checkpointing
    and with it."""
    with_it = predict(job, device_type)
    if job.execution.checkpointing is not None or not with_it.execution.checkpointing:
        return (with_it,)
    kept = dataclasses.replace(job, execution=dataclasses.replace(job.execution, checkpointing=False), evaluators=())
    without = predict(kept, device_type)
    # The judges are the same beside the same weights: they are rehearsed once.
    judges = {name: getattr(with_it, name) for name in ("weights", "judging", "unknown")}
    return dataclasses.replace(without, **judges), with_it


def predict_alone(job: JobSpec, device_type: str) -> list[tuple[int, int]]:
    """The phases, as `Prediction.phases` gives them, of a job with one trial at a time and without judges. One
    rehearsal, where `predict` needs three. Raises BadInput as the job would."""
    with scratch("memory") as folder:
        plan = plan_without_weights(job, device_type, folder)
        plan = dataclasses.replace(plan, job=_shortened(plan.job), evaluators=())
        with rehearsal(device_type) as live:
            reading = _rehearse_reading(plan, live)
            models = ModelPool().load(plan, META)
            peak = int(_timeline(plan, models, live, 1).max())
            loop = peak, sum(_weights_by_part(models, ()).values())
    return [loop, (reading.peak, reading.weights)] if reading else [loop]


def rehearsed_growth(plan: Plan, device_type: str, batch: int) -> int:
    """The most bytes alive at once in a batch of this size, beside the weights. One rehearsal, where `rehearse` needs
    three."""
    plan = dataclasses.replace(plan, job=_shortened(plan.job))
    with rehearsal(device_type) as live:
        models = ModelPool().load(plan, META)
        peak = int(_timeline(plan, models, live, batch).max())
        return peak - sum(_weights_by_part(models, ()).values())


def rehearse(plan: Plan, device_type: str) -> Prediction:
    """Rehearses a plan whose checkpoints are on this disk. Only their configurations are read."""
    loop = dataclasses.replace(plan, job=_shortened(plan.job), evaluators=())
    with rehearsal(device_type) as live:
        reading = _rehearse_reading(loop, live)
        judges, unknown = _load_judges(plan.evaluators, live)
        models = ModelPool().load(loop, META)
        size = models.generator.image_size
        alone, pair, three = (_timeline(loop, models, live, batch) for batch in (1, 2, 3))
        weights = _weights_by_part(models, judges)
        judging = _rehearse_judges(judges, unknown, plan.job.prompts, size, live)
    assert len(pair) == len(three), "a batch of three runs other operations than a batch of two"
    numbers = int(alone.max()), pair, three - pair
    return Prediction(plan.dtype, models.execution, size, weights, *numbers, judging, unknown, reading)


def _rehearse_reading(plan: Plan, live: LiveBytes) -> Reading | None:
    """The longest prompt read by text encoders that are let go afterwards; None where they stay loaded."""
    embeddings = ModelPool().embeddings(plan.generator, getattr(torch, plan.dtype), META)
    if embeddings is None:
        return None
    before = live.now
    encode = embeddings.load()
    weights = live.now - before
    live.restart()
    encode(_longest(plan).prompt.text)
    return Reading(weights, max(live.timeline) - before)


def predict_judging(
    specs: Sequence[EvaluatorSpec], prompts: Sequence[Prompt], size: tuple[int, int], device_type: str
) -> tuple[tuple[Judging, ...], dict[str, str]]:
    """What judges take by themselves, without the models of the loop: they need not be on this disk. size: (height,
    width) of the images in pixels. The second value: the judges that could not be rehearsed, with the reason."""
    with scratch("judges") as folder, rehearsal(device_type) as live:
        found, unknown = [], {}
        for spec in specs:
            try:
                found.append(locate_evaluator(spec, without_weights(folder)))
            except BadInput as error:
                unknown[spec.name] = str(error)
        judges, failed = _load_judges(found, live)
        unknown |= failed
        return _rehearse_judges(judges, unknown, prompts, size, live), unknown


@dataclass(frozen=True)
class _Judge:
    """A judge on META, and the bytes of its weights."""

    evaluator: Evaluator
    weights: int


def _load_judges(judges: Sequence[LocatedEvaluator], live: LiveBytes) -> tuple[list[_Judge], dict[str, str]]:
    """Judges whose weights have left the device, if they can; and those that could not be loaded, with the reason."""
    loaded, unknown, pool = [], {}, ModelPool()
    for located in judges:
        before = live.now
        try:
            evaluator = pool.evaluator(located, META, leave=False)
        except BadInput:
            raise
        except Exception as error:  # a module of the user's may need values
            unknown[located.spec.name] = typed_line(error)
            continue
        loaded.append(_Judge(evaluator, live.now - before))
        evaluator.leave()
    return loaded, unknown


def _rehearse_judges(
    judges: Sequence[_Judge], unknown: dict[str, str], prompts: Sequence[Prompt], size: tuple[int, int], live: LiveBytes
) -> tuple[Judging, ...]:
    """Rehearses judges, beside what is alive, on images of `size`. Adds those that could not be rehearsed to
    `unknown`."""
    found = []
    for judge in judges:
        asked = [prompt for prompt in prompts if judge.evaluator.asks(prompt)]
        if not asked:
            continue
        try:
            found.append(_rehearsed(judge, max(asked, key=lambda prompt: len(prompt.bindings)), size, live))
        except Exception as error:  # a module of the user's may need values
            unknown[judge.evaluator.name] = typed_line(error)
    return tuple(found)


def _rehearsed(judge: _Judge, prompt: Prompt, size: tuple[int, int], live: LiveBytes) -> Judging:
    """One judge at its hardest, with the prompt that has the most bindings."""
    peaks = []
    for images in (1, JUDGED_AT_ONCE):
        live.restart()
        with judge.evaluator.on_device(), FlopCounterMode(display=False) as counter:
            judge.evaluator.work_hardest(torch.zeros(images, 3, *size), [prompt] * images)
        peaks.append(max(live.timeline))
    per_image = counter.get_total_flops() // JUDGED_AT_ONCE
    return Judging(judge.evaluator.name, judge.weights, *peaks, len(JUDGED) * per_image)


def _shortened(job: JobSpec) -> JobSpec:
    return dataclasses.replace(job, settings=methods.shortened(job.settings, ITERATIONS))


def _timeline(plan: Plan, models: Models, live: LiveBytes, batch: int) -> np.ndarray:
    """Bytes alive after each allocation of a batch that repeats the longest prompt, without judges."""
    live.restart()
    for _ in run_batch([_longest(plan)] * batch, plan.job.settings, plan.job.metric.name, models):
        pass
    return np.array(live.timeline, dtype=np.int64)


def _longest(plan: Plan) -> TrialSpec:
    """The trial with the longest prompt."""
    return max(plan.trials, key=lambda trial: len(trial.prompt.text))


def _weights_by_part(models: Models, judges: Sequence[_Judge]) -> dict[str, int]:
    """Bytes of parameters and buffers on META, by part. A tensor that two parts share is counted for the first only."""
    counted: set[int] = set()
    parts = {name: _bytes(module, counted) for name, module in _modules(models.generator)}
    for metric in (models.metric, *models.recorded.values()):
        for name, term in zip(metric.names, metric.terms, strict=True):
            parts.setdefault(name, sum(_bytes(module, counted) for _, module in _modules(term)))
    for judge in judges:  # on the CPU nothing leaves
        parts[judge.evaluator.name] = sum(_bytes(module, counted) for _, module in _modules(judge.evaluator))
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
