"""A job's plan: its located models and its trials. It is made once.

Batches are cut from all trials of the plan, not only from the missing ones: kernels round differently at another batch
size, and some at another place of the batch, so a trial that runs again has the place that it had the first time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

from reno import methods
from reno.device.choice import choose_device, choose_dtype
from reno.letters.counting import counted
from reno.running.located import (
    Find,
    LocatedEvaluator,
    LocatedGenerator,
    LocatedMetric,
    locate_generator,
    locate_judges,
    locate_metric,
    refuse_names,
)
from reno.spec.errors import BadInput
from reno.spec.job import JobSpec
from reno.spec.prompts import Prompt
from reno.spec.trial import TrialSpec
from reno.store.store import Store
from reno.store.stored import BROKEN, Damaged, Stored, checked, whole
from reno.weights.checkpoints import foresee, locate
from reno.weights.fetching import ToFetch
from reno.weights.kinds import module_of

LONG_STEP = 1.0
"""The learning rate of SGD from which the user is told that rounding may grow. The paper's is 5."""
Batch: TypeAlias = tuple[TrialSpec, ...]
"""Trials that run side by side."""


@dataclass(frozen=True)
class Plan:
    """What a job runs."""

    job: JobSpec
    generator: LocatedGenerator
    metric: LocatedMetric
    recorded: tuple[LocatedMetric, ...]
    evaluators: tuple[LocatedEvaluator, ...]
    dtype: str
    trials: tuple[TrialSpec, ...]
    """In the order of the prompts, then of the seeds."""

    @property
    def to_fetch(self) -> tuple[ToFetch, ...]:
        """What has to be fetched before the job can run; only `foresee` leaves something. The ids of the trials, which
        weights decide, are then not known."""
        checkpoints = self.generator.located
        checkpoints += [one for metric in (self.metric, *self.recorded) for one in metric.checkpoints]
        checkpoints += [one for judge in self.evaluators for one in judge.checkpoints.values()]
        return tuple(dict.fromkeys(one.to_fetch for one in checkpoints if one and one.to_fetch))

    @property
    def asked(self) -> tuple[LocatedMetric, ...]:
        """The recorded metrics that the method asks besides the one that is optimised."""
        names = methods.asked(self.job.settings)
        return tuple(one for one in self.recorded if one.spec.name in names)

    @property
    def random(self) -> bool:
        """Whether the generator's or the metric's weights are random; the scores are then meaningless."""
        several = (*self.generator.located, *self.metric.checkpoints)
        return any(located.random for located in several if located)

    @property
    def may_amplify_rounding(self) -> bool:
        """Whether the steps are so long that a last digit may become another image, as measured on the testbed with
        the paper's SGD (docs/reproducibility.md). Adam's steps are at most about lr long in each element."""
        settings = self.job.settings
        return "optimizer" in self.trials[0].method and settings.optimizer == "sgd" and settings.lr >= LONG_STEP

    @property
    def images(self) -> int:
        """The number of images per trial."""
        return methods.images(self.job.settings)


def make_plan(job: JobSpec, find: Find = locate, device_type: str | None = None) -> Plan:
    """Locates the checkpoints, checks every option and lists the trials. Raises BadInput.

    find: locates a checkpoint. device_type: cuda, mps or cpu, where the job would run; None: the job's device on this
    machine.
    """
    # What no checkpoint is needed for comes first, before anything is fetched.
    allowed = tuple(getattr(module_of("generator", job.generator.kind, "reno.generators"), "DTYPES", ()))
    dtype = choose_dtype(job.dtype, device_type or choose_device(job.device).type, allowed)
    if find in (locate, foresee):  # a prediction of memory needs no weights
        refuse_names(job)
    generator = locate_generator(job.generator, find)
    metric = locate_metric(job.metric, find)
    recorded = tuple(locate_metric(spec, find) for spec in job.recorded)
    judges = locate_judges(job, find)
    method = methods.identity(job.settings) | _asked_identity(job, metric, recorded)
    if job.save_every is not None and not methods.resumes(job.settings):
        raise BadInput(
            f"save_every={job.save_every}: the method {job.settings.method} does not say that a killed batch can go on "
            "in it (RESUMES in reno/methods/__init__.py); use save_every=null"
        )
    if generator.decoder and methods.decodes(job.settings):
        raise BadInput(
            f"method={job.settings.method} is about the generator's own decoder, which makes all of its images; use "
            "models.generator.decoder=null"
        )
    trials = tuple(
        TrialSpec(prompt, seed, generator.identity, metric.identity, dtype, method)
        for prompt in job.prompts
        for seed in job.seeds_for(prompt)
    )
    return Plan(job, generator, metric, recorded, judges, dtype, trials)


def _asked_identity(job: JobSpec, metric: LocatedMetric, recorded: Sequence[LocatedMetric]) -> dict[str, Any]:
    """What identifies the metrics that the method asks besides the one that is optimised, under a key of its own.
    Raises BadInput if one is not recorded, or is the one that is optimised."""
    asked = methods.asked(job.settings)
    by_name = {one.spec.name: one for one in recorded}
    for name in asked:
        if name == metric.spec.name:
            raise BadInput(
                f"{name} is the metric that is optimised, so method={job.settings.method} need not ask for it"
            )
        if name not in by_name:
            names = ",".join([*by_name, "NAME"])
            raise BadInput(
                f"method={job.settings.method} asks the metric {name!r}, which is not among those of "
                f"record={','.join(by_name) or '[]'}; another metric is added by "
                f"record=[{names}]"
            )
    return {"asked": {name: by_name[name].identity for name in asked}} if asked else {}


# --- Batches, and what is missing -------------------------------------------------------------------------------------


def cut(trials: Sequence[TrialSpec], size: int) -> list[Batch]:
    """The trials in batches of `size`; the last may be smaller."""
    return [tuple(trials[start : start + size]) for start in range(0, len(trials), size)]


def missing(batches: Iterable[Batch], finished: Collection[str]) -> list[Batch]:
    """The batches with a trial whose id is not in `finished`."""
    return [batch for batch in batches if any(trial.id not in finished for trial in batch)]


def read_finished(trials: Iterable[TrialSpec], store: Store) -> tuple[dict[str, Stored], list[Damaged]]:
    """The trials that are stored already, by id, and those that are damaged, so that they are to be made again. Reads
    every byte of them; of a store elsewhere, the records. Raises BadInput if one cannot be read or is of another
    version, or if the store cannot be reached."""
    trials = list(trials)
    if store.copy is not None:
        store.catch_up([trial.id for trial in trials], jobs=False)
    finished, damaged = {}, []
    there = [one for one in (store.find(trial.id) for trial in trials) if one is not None]
    for found in counted(checked(there), "stored trials compared with what was written", len(there)):
        if isinstance(found, Damaged) and found.state == BROKEN:
            damaged.append(found)
        else:
            finished[whole(found).id] = found
    return finished, damaged


def judged_otherwise(trials: Iterable[TrialSpec], finished: Mapping[str, Stored]) -> str | None:
    """A sentence if stored trials are judged for other bindings, or other lists of GenEval's, than the job's prompts
    have; None if not. A trial keeps those that it was made with."""
    other = [
        trial.prompt.text
        for trial in trials
        if trial.id in finished and _asked(trial.prompt) != _asked(finished[trial.id].record.prompt)
    ]
    if not other:
        return None
    return (
        f"{len(other)} of the stored trials, such as {other[0][:60]!r}, were made for other bindings and are judged "
        "for those; to judge them for this job's, give another results=DIR"
    )


def _asked(prompt: Prompt) -> tuple:
    return prompt.bindings, prompt.wanted, prompt.unwanted


def damaged_judgements(finished: Iterable[Stored]) -> list[str]:
    """A sentence for each later judgement of these trials that cannot be used."""
    return list(dict.fromkeys(damaged.sentence for stored in finished for damaged in stored.later()[1]))


BY_REFERENCE = "on two CPU cores with CLIP, by reference_seconds in conf/models"
"""The source of an estimate where no trial is stored."""


def estimate_seconds(plan: Plan, everything: Iterable[Stored | Damaged], to_run: int) -> tuple[float, str] | None:
    """The wall seconds that `to_run` trials will take, and the source of the estimate; None if there is none.

    The source is stored trials of the same models, metric and method, else the models' `reference_seconds`, on a CPU.
    """
    wanted = (plan.generator.identity, plan.metric.identity, plan.job.settings.method)
    rates = []
    for stored in everything:
        if isinstance(stored, Damaged):
            continue
        record = stored.record
        if (record.spec.generator, record.spec.metric, record.labels.method) == wanted:
            rates.append(record.timings.batch_seconds / record.timings.images / record.provenance.batch.side_by_side)
    if rates:
        return to_run * plan.images * median(rates), f"from {len(rates)} stored trials"
    if plan.job.reference_seconds is None or plan.generator.decoder:  # they are of the generator's own decoder
        return None
    if choose_device(plan.job.device).type != "cpu":
        return None
    return to_run * plan.images * plan.job.reference_seconds, BY_REFERENCE
