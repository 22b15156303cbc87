"""Makes the records of trials and jobs from the runner's values."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from msgspec import UNSET

from reno.running.located import LocatedMetric
from reno.running.outcome import Outcome
from reno.running.plan import Batch, Plan
from reno.running.pool import Models
from reno.running.progress import BatchRun, Progress
from reno.running.provenance import Environment, peak_host_bytes
from reno.spec.trial import TrialSpec
from reno.store.records import (
    DONE,
    ELSEWHERE,
    FAILED,
    NOT_RUN,
    STORED_BEFORE,
    BatchMate,
    BatchRecord,
    Cut,
    ExecutionRecord,
    JobRecord,
    JobTrial,
    JudgedTrial,
    Labels,
    Memory,
    Origin,
    Origins,
    OwnGenerator,
    Provenance,
    Scores,
    Timings,
    TrialIdentity,
    TrialRecord,
)
from reno.store.store import Finished
from reno.weights.checkpoints import Located


def finished_trial(progress: Progress, run: BatchRun, plan: Plan, provenance: Provenance) -> Finished:
    """A trial that ran to its end, in the form that the store takes."""
    record = trial_record(progress, run, plan, provenance)
    return Finished(record, progress.trace, progress.frames, progress.best, progress.initial_noise, progress.best_noise)


def trial_record(progress: Progress, run: BatchRun, plan: Plan, provenance: Provenance) -> TrialRecord:
    """The record for trial.json, without `files`, which the store fills in."""
    trial = progress.trial
    identities = {located.spec.name: located.identity for located in plan.evaluators}
    return TrialRecord(
        id=trial.id,
        spec=TrialIdentity.from_json(trial.identity),
        bindings=trial.prompt.bindings,
        cut=trial.prompt.cut or UNSET,
        category=trial.prompt.category or UNSET,
        wanted=trial.prompt.wanted or UNSET,
        unwanted=trial.prompt.unwanted or UNSET,
        labels=labels_of(plan),
        scores=Scores(**progress.scores),
        best_iteration=progress.best,
        stopped=progress.stopped if progress.stopped and len(progress.frames) < plan.images else UNSET,
        judgements={
            name: JudgedTrial(kin=kin, initial=initial, best=best, identity=identities.get(name))
            for name, (kin, initial, best) in progress.verdicts.items()
        },
        timings=Timings(
            seconds=progress.seconds / len(run.trials),
            batch_seconds=progress.seconds,
            batch_size=len(run.trials),
            images=len(progress.frames),
        ),
        memory=Memory(peak_host_bytes=peak_host_bytes(), peak_device_bytes=run.device_bytes),
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        provenance=provenance,
    )


def provenances(
    plan: Plan,
    batch: Batch,
    trials: Iterable[TrialSpec],
    sizes: tuple[Cut, int],
    environment: Environment,
    models: Models,
) -> dict[str, Provenance]:
    """The provenance of some trials of a batch, by id. sizes: the size that was chosen, and how many run side by side,
    with copies that fill the batch up."""
    cut, shape = sizes
    origins = Origins(
        generator=_origin(plan.generator.checkpoint),
        decoder=_origin(plan.generator.decoder, plan.generator.spec.decoder.name) if plan.generator.decoder else UNSET,
        parts={name: _origin(one) for name, one in plan.generator.parts.items()} or UNSET,
        metric=_origins(plan.metric),
        asked={one.spec.name: _origins(one) for one in plan.asked} or UNSET,
    )
    mates = tuple(
        BatchMate(
            id=mate.id,
            prompt=mate.prompt.text,
            bindings=mate.prompt.bindings,
            cut=mate.prompt.cut or UNSET,
            seed=mate.seed,
        )
        for mate in batch
    )
    how = vars(models.execution) | {"graph": models.execution.graph or UNSET}
    execution = ExecutionRecord(**how, reasons=models.reasons or UNSET)
    return {
        trial.id: Provenance(
            **vars(environment),
            execution=execution,
            device_type=plan.job.device,
            checkpoints=origins,
            generator=UNSET if plan.generator.plain else own_generator(plan),
            batch=BatchRecord(
                size=len(batch),
                place=batch.index(trial),
                shape=shape if shape > len(batch) else UNSET,
                cut=cut,
                trials=mates,
            ),
        )
        for trial in trials
    }


def own_generator(plan: Plan) -> OwnGenerator:
    """A generator's kind and options, so that the trial can be run again."""
    return OwnGenerator(kind=plan.generator.spec.kind, options=plan.generator.spec.options)


def _origins(metric: LocatedMetric) -> tuple[Origin | None, ...]:
    terms = zip(metric.spec.terms, metric.checkpoints, strict=True)
    return tuple(_origin(located, term.name) for term, located in terms)


def _origin(located: Located | None, model: str | None = None) -> Origin | None:
    if located is None:
        return None
    return Origin(
        model=UNSET if model is None else model,
        source=located.source,
        commit=located.commit,
        variant=located.variant,
        identity=located.identity,
        inside=located.inside or UNSET,
    )


def labels_of(plan: Plan) -> Labels:
    """Readable names; the identity has digests."""
    job = plan.job
    return Labels(
        models=job.models,
        metric=job.metric.name,
        method=job.settings.method,
        prompts=job.prompt_set,
        study=job.study,
        random_weights=plan.random,
    )


def job_record(plan: Plan, outcome: Outcome, group: str, command: str, seconds: float, ended: bool = True) -> JobRecord:
    """The record for job.json. ended: False: of a job that begins; it has no exit status yet."""
    state = (
        dict.fromkeys(outcome.skipped, STORED_BEFORE)
        | dict.fromkeys(outcome.elsewhere, ELSEWHERE)
        | dict.fromkeys(outcome.done, DONE)
        | dict.fromkeys(outcome.failed, FAILED)
    )
    shared = {key: value for key, value in plan.trials[0].identity.items() if key not in ("prompt", "seed", "on_long")}
    return JobRecord(
        group=group,
        labels=labels_of(plan),
        spec=shared,
        command=command,
        status=outcome.status if ended else None,
        seconds=round(seconds, 3),
        trials=tuple(
            JobTrial(
                id=trial.id,
                prompt=trial.prompt.text,
                seed=trial.seed,
                on_long=trial.identity.get("on_long", UNSET),
                category=trial.prompt.category or UNSET,
                state=state.get(trial.id, NOT_RUN),
                reason=outcome.failed.get(trial.id, UNSET),
            )
            for trial in plan.trials
        ),
        suite=plan.job.suite or UNSET,
        claims=plan.job.claims or UNSET,
    )
