"""A job's plan: its checkpoints on this disk, its trials, the batches they run in, and which of them are stored
already.

Batches are cut from the whole plan, not from what happens to be missing: kernels round differently at another batch
size, so a trial that is run again must run beside the trials it first ran beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from reno.checkpoints import Located, locate
from reno.evaluators import JUDGING
from reno.results import Store, Stored
from reno.spec import EvaluatorSpec, JobSpec, MetricSpec, TrialSpec

GENERATOR_PARTS = ("text_encoder", "unet", "vae")


@dataclass(frozen=True)
class LocatedMetric:
    """A metric whose checkpoints are on this disk."""

    spec: MetricSpec
    checkpoints: tuple[Located, ...]
    """One a term."""

    @property
    def identity(self) -> tuple[dict, ...]:
        """What a trial's identity says of its metric, one entry a term."""
        return tuple(
            {"kind": term.kind, "head": term.head, "weight": term.weight, "weights": located.identity}
            for term, located in zip(self.spec.terms, self.checkpoints, strict=True)
        )


@dataclass(frozen=True)
class LocatedEvaluator:
    """A judge whose checkpoints are on this disk."""

    spec: EvaluatorSpec
    checkpoints: dict[str, Located]
    """By the model's name."""

    @property
    def identity(self) -> dict:
        """What decides a judgement besides the image, as JSON values: recorded with every judgement."""
        return {
            "version": JUDGING,
            "kind": self.spec.kind,
            "settings": self.spec.options,
            "weights": {name: located.identity for name, located in self.checkpoints.items()},
        }


@dataclass(frozen=True)
class Plan:
    job: JobSpec
    generator: Located
    metric: LocatedMetric
    recorded: tuple[LocatedMetric, ...]
    dtype: str
    trials: tuple[TrialSpec, ...]
    """In the order of the prompts, then of the seeds."""
    evaluators: tuple[LocatedEvaluator, ...] = ()

    def batches(self) -> Iterator[tuple[TrialSpec, ...]]:
        """One by one while it is not decided how many run side by side."""
        size = self.job.batch_size or 1
        for start in range(0, len(self.trials), size):
            yield self.trials[start : start + size]

    def finished(self, store: Store) -> dict[str, Stored]:
        """The trials that are stored already, by id. Raises BadInput at a damaged one."""
        found = {trial.id: store.find(trial.id) for trial in self.trials}
        return {trial_id: stored for trial_id, stored in found.items() if stored is not None}

    @property
    def random(self) -> bool:
        """Whether the generator's or the metric's weights are random, so that no score means anything."""
        return any(located.random for located in (self.generator, *self.metric.checkpoints))

    @property
    def images(self) -> int:
        """How many images one trial makes."""
        return 1 if self.job.settings.method == "none" else self.job.settings.iterations + 1


Find = Callable[..., Located]
"""As `locate`: a checkpoint, the knob that names it and its subfolders, to where it is. Raises BadInput."""


def make_plan(job: JobSpec) -> Plan:
    """Locates the checkpoints and lists the trials. Raises BadInput."""
    return plan_with(job, locate, _resolve_dtype)


def plan_with(job: JobSpec, find: Find, dtype_of: Callable[[JobSpec], str]) -> Plan:
    """The plan of a job whose checkpoints are where `find` says. Raises BadInput as `find` does."""
    generator = find(job.generator, "models.generator", GENERATOR_PARTS)
    metric = locate_metric(job.metric, find)
    recorded = tuple(locate_metric(spec, find) for spec in job.recorded)
    dtype = dtype_of(job)
    trials = tuple(
        TrialSpec(prompt, seed, generator.identity, metric.identity, dtype, job.settings.identity())
        for prompt in job.prompts
        for seed in job.seeds_for(prompt)
    )
    judges = tuple(locate_evaluator(spec, find) for spec in job.evaluators)
    return Plan(job, generator, metric, recorded, dtype, trials, judges)


def locate_metric(spec: MetricSpec, find: Find = locate) -> LocatedMetric:
    return LocatedMetric(spec, tuple(find(term.checkpoint, f"models.checkpoints.{term.model}") for term in spec.terms))


def locate_evaluator(spec: EvaluatorSpec, find: Find = locate) -> LocatedEvaluator:
    return LocatedEvaluator(spec, {model.name: find(model.checkpoint, model.knob) for model in spec.models})


def _resolve_dtype(job: JobSpec) -> str:
    if job.dtype != "auto":
        return job.dtype
    from reno.reproducibility import choose_device, choose_dtype  # torch is needed to ask for a GPU

    return choose_dtype("auto", choose_device(job.device).type)


def estimate_seconds(
    plan: Plan, store: Store, missing_batches: int, reference: float | None
) -> tuple[float, str] | None:
    """The wall seconds the missing batches will take and what that is read from; None if nothing is known.

    Read from stored trials of the same models, metric and kind of method, else from the models' reference figure.
    """
    wanted = (plan.generator.identity, list(plan.metric.identity), plan.job.settings.method)
    rates = []
    for stored in store:
        spec, timings = stored.record["spec"], stored.record["timings"]
        if (spec["generator"], spec["metric"], spec["method"]["name"]) == wanted:
            rates.append(timings["batch_seconds"] / timings["images"] / timings["batch_size"])
    per_image, origin = (
        (median(rates), f"from {len(rates)} stored trials")
        if rates
        else (reference, "from the reference of conf/models")
    )
    if per_image is None:
        return None
    in_batch = min(plan.job.batch_size or 1, len(plan.trials))
    return missing_batches * in_batch * plan.images * per_image, origin
