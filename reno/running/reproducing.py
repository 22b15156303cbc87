"""Running a stored trial again from its record, and comparing the two runs.

The trial runs in the same batch of trials and with the same number of threads. On the same machine and versions the two
runs are equal to the last bit.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec import UNSET

from reno.device.choice import choose_device, make_deterministic
from reno.methods import settings_of
from reno.running.batch import run_batch
from reno.running.located import LocatedGenerator
from reno.running.plan import Plan, make_plan
from reno.running.pool import ModelPool
from reno.running.progress import Progress
from reno.running.provenance import Environment, environment
from reno.spec.errors import BadInput
from reno.spec.job import (
    Checkpoint,
    Execution,
    GeneratorSpec,
    JobSpec,
    MetricSpec,
    MetricTerm,
    NamedCheckpoint,
    Stop,
)
from reno.spec.trial import TrialSpec
from reno.store.files import TRACE_COLUMNS
from reno.store.records import ExecutionRecord, GitState, Origin, Origins, Provenance, TrialRecord
from reno.store.stored import Damaged, Stored
from reno.weights.checkpoints import Located

BEFORE_THE_CHOICE = Execution(checkpointing=False)
"""How trials ran whose record is older than its field `execution`."""


@dataclass(frozen=True)
class Comparison:
    """The differences between a trial's two runs."""

    columns: dict[str, float]
    """Largest absolute difference of each column of the trace except `iteration` and `seconds`."""
    levels: int
    """Largest difference of a pixel of the initial or best image, 0 to 255."""
    noise: float
    """Largest absolute difference of the initial or best noise."""
    surroundings: list[str]
    """One line for each difference between the two environments: versions, device, threads, code."""

    @property
    def identical(self) -> bool:
        return not any(self.columns.values()) and self.levels == 0 and self.noise == 0


def reproduce(stored: Stored, pool: ModelPool, device: str | None = None) -> Comparison:
    """Runs a stored trial again. device: None for the one it first ran on. Raises BadInput if the trial is damaged or
    fails this time, or if its checkpoints hold other weights now."""
    if damaged := stored.damage():
        raise BadInput(damaged.sentence)
    record = stored.record
    if record.spec.picture is not UNSET:
        raise BadInput(f"{stored.id[:12]} is a picture that was made elsewhere; only its judgements can be made again")
    job = _checked_job(stored, device or record.provenance.device_type)
    plan = make_plan(job)
    _check_weights(plan, record.trial, record.provenance.checkpoints)
    make_deterministic(job.threads)
    models = pool.load(plan, choose_device(job.device))
    batch = record.provenance.batch
    # As many images as it made: seconds that ended it were those of that machine.
    settings = dataclasses.replace(job.settings, stop=Stop(images=record.timings.images))
    *_, run = run_batch(record.batch, settings, job.metric.name, models, batch.side_by_side)
    again = run.trials[batch.place]
    if again.failure:
        raise BadInput(f"the trial failed this time: {again.failure}")
    return _compare(stored, again, _differences(record.provenance, environment(models.generator.device)))


def _checked_job(stored: Stored, device: str) -> JobSpec:
    """The job that a trial's record describes. Raises BadInput if the record describes none."""
    batch, place = stored.record.batch, stored.record.provenance.batch.place
    try:
        if place >= len(batch) or batch[place].id != stored.id:
            raise ValueError("the trial is not in its batch")
        return _job_of(stored, device)
    except BadInput:
        raise
    except (LookupError, TypeError, ValueError, AttributeError):  # of an odd shape: values of any type may stand there
        why = "trial.json does not say how the trial was made"
        raise BadInput(Damaged(stored.id, stored.folder, why).sentence) from None


def _threads(provenance: Provenance) -> int | None:
    """As many threads as the trial ran with, as far as this machine has cores: many more would bring it to a stop."""
    return None if provenance.threads is None else min(provenance.threads, os.cpu_count() or 1)


def _job_of(stored: Stored, device: str) -> JobSpec:
    """The job that a trial's record describes, without judges, and without recorded metrics that the method does not
    ask: they do not change the trial."""
    record, trial = stored.record, stored.record.trial
    provenance = record.provenance
    origins = provenance.checkpoints
    if origins is UNSET:
        raise BadInput(
            f"the record in {stored.folder} does not say where the weights came from, so the trial cannot run again; "
            "make it anew with reno.run"
        )
    execution = provenance.execution
    return JobSpec(
        prompts=(trial.prompt,),
        prompt_set=None,
        suite=None,
        prompt_notes=(),
        on_long="cut" if trial.prompt.cut else "refuse",
        seeds=(trial.seed,),
        own_noise=False,
        models=record.labels.models,
        generator=_generator(record, origins),
        metric=_metric(record.labels.metric, trial.metric, origins.metric),
        recorded=tuple(
            _metric(name, terms, (origins.asked or {}).get(name, ())) for name, terms in _asked(trial).items()
        ),
        evaluators=(),
        settings=settings_of(trial.method),
        batch_size=provenance.batch.size,
        device=device,
        dtype=trial.dtype,
        threads=_threads(provenance),
        results=stored.folder.parent.parent,
        study=None,
        claims=(),
        tracking={},
        dry_run=False,
        execution=BEFORE_THE_CHOICE if execution is UNSET else _as_it_ran(execution),
    )


def _as_it_ran(record: ExecutionRecord) -> Execution:
    values = msgspec.structs.asdict(record)
    return Execution(**{name: value for name, value in values.items() if name != "reasons" and value is not UNSET})


def _generator(record: TrialRecord, origins: Origins) -> GeneratorSpec:
    own, decoder = record.provenance.generator, origins.decoder
    kind, options = ("stable_diffusion", {}) if own is UNSET else (own.kind, own.options)
    small = None if decoder is UNSET else _named(decoder.model, f"models.checkpoints.{decoder.model}", decoder)
    parts = () if origins.parts is UNSET else origins.parts.items()
    return GeneratorSpec(
        kind,
        _named("generator", "models.generator", origins.generator),
        options,
        small,
        tuple(_named(name, f"models.generator.parts.{name}", origin) for name, origin in parts),
    )


def _metric(name: str, terms: Sequence[dict], origins: Sequence[Origin | None]) -> MetricSpec:
    """A metric, from its part of the identity."""
    return MetricSpec(name, tuple(_term(term, origin) for term, origin in zip(terms, origins, strict=True)))


def _asked(trial: TrialSpec) -> dict[str, Sequence[dict]]:
    """The identities of the metrics that the trial's method asked besides, by name."""
    return trial.method.get("asked", {})


def _term(term: dict, origin: Origin | None) -> MetricTerm:
    """A term of the metric, from its part of the identity. Every key that is not listed here is an option."""
    listed = ("kind", "weight", "weights")
    options = {name: value for name, value in term.items() if name not in listed and (name, value) != ("head", None)}
    name = origin.model if origin and origin.model is not UNSET else term["kind"]
    return MetricTerm(term["kind"], _named(name, f"models.checkpoints.{name}", origin), term["weight"], options)


def _named(name: str, knob: str, origin: Origin | None) -> NamedCheckpoint | None:
    if origin is None:
        return None
    return NamedCheckpoint(name, Checkpoint(origin.source, origin.commit, origin.variant, origin.inside or ""), knob)


def _check_weights(plan: Plan, trial: TrialSpec, origins: Origins) -> None:
    """Raises BadInput if a checkpoint holds other weights than the trial was made with."""
    beside = [(plan.generator.decoder, origins.decoder)] if origins.decoder else []
    beside += [(plan.generator.parts[name], origin) for name, origin in (origins.parts or {}).items()]
    for located, origin in beside:
        if located.identity != origin.identity:
            raise _other_weights(located, located.identity, origin.identity)
    if trial.generator not in _generators(plan.generator):
        raise _other_weights(plan.generator.checkpoint, plan.generator.identity, trial.generator)
    metrics = [(plan.metric, trial.metric), *((one, _asked(trial)[one.spec.name]) for one in plan.asked)]
    for metric, terms in metrics:
        for located, term in zip(metric.checkpoints, terms, strict=True):
            if term["weights"] not in (located.identities if located else (None,)):
                raise _other_weights(located, located.identity if located else None, term["weights"])


def _generators(generator: LocatedGenerator) -> set[str]:
    """A generator's identity, and the one that the same weights of the hub had in earlier trials."""
    located = generator.checkpoint
    if located is None:
        return {generator.identity}
    named = (dataclasses.replace(located, identity=identity) for identity in located.identities)
    return {dataclasses.replace(generator, checkpoint=checkpoint).identity for checkpoint in named}


def _other_weights(located: Located | None, now: str | None, then: str | None) -> BadInput:
    source = located.source if located else "a model without a checkpoint"
    return BadInput(
        f"{source} now holds other weights ({now}) than the trial was made with ({then}); put those back, or make the "
        "trial anew with reno.run"
    )


def _compare(stored: Stored, again: Progress, surroundings: list[str]) -> Comparison:
    trace = stored.trace()
    columns = {}
    for name in TRACE_COLUMNS:
        if name in ("iteration", "seconds"):
            continue
        before = trace[name].to_numpy(dtype=float)
        after = np.array([row[name] for row in again.trace], dtype=float)
        unlike = np.isnan(before) != np.isnan(after)
        columns[name] = float("inf") if unlike.any() else float(np.nanmax(np.abs(before - after), initial=0.0))
    images = (("initial", again.frames[0]), ("best", again.frames[again.best]))
    levels = max(int(np.abs(stored.image(which).astype(int) - pixels).max()) for which, pixels in images)
    noise = stored.noise()
    apart = max(
        float(np.abs(noise["initial"] - again.initial_noise).max()),
        float(np.abs(noise["best"] - again.best_noise).max()),
    )
    return Comparison(columns, levels, apart, surroundings)


def _differences(before: Provenance, now: Environment) -> list[str]:
    """One line for each difference between the two environments."""
    lines = [
        f"{package} {before.versions.get(package)} then, {version} now"
        for package, version in now.versions.items()
        if before.versions.get(package, version) != version  # older records name fewer
    ]
    for name in ("platform", "device", "threads", "cpu_capability", "deterministic"):
        then = getattr(before, name)
        if then not in (UNSET, getattr(now, name)):
            lines.append(f"{name} {then} then, {getattr(now, name)} now")
    if before.git != now.git:
        lines.append(f"code {_described(before.git)} then, {_described(now.git)} now")
    return lines


def _described(git: GitState | None) -> str:
    if git is None:
        return "outside a checkout"
    return git.commit[:12] + (" with changes" if git.diff else "")
