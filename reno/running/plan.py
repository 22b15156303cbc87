"""A job's plan: its checkpoints on this disk and its trials. It is made once.

Batches are cut from all trials of the plan, not only from the missing ones: kernels round differently at another batch
size, and some at another place of the batch, so a trial that runs again has the place that it had the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from types import ModuleType
from typing import Any, TypeAlias

from reno import methods
from reno.device.choice import choose_device, choose_dtype
from reno.evaluators import JUDGING, Evaluator
from reno.spec.errors import BadInput, did_you_mean
from reno.spec.job import Checkpoint, EvaluatorSpec, GeneratorSpec, JobSpec, MetricSpec, MetricTerm, NamedCheckpoint
from reno.spec.prompts import Prompt
from reno.spec.trial import TrialSpec, digest
from reno.store.store import Store
from reno.store.stored import BROKEN, Damaged, Stored, checked, whole
from reno.weights.architectures import published_folder
from reno.weights.checkpoints import Located, foresee, locate, refuse_name
from reno.weights.fetching import ToFetch
from reno.weights.kinds import check_options, module_of, options_of, short_kind
from reno.weights.parts import folders_read

DEFAULT_GENERATOR = "stable_diffusion"
"""The default kind. A generator's identity names its kind only if it is another."""
LONG_STEP = 1.0
"""The learning rate of SGD from which the user is told that rounding may grow. The paper's is 5."""
GIVEN_TO_A_GENERATOR = ("folder", "variant", "dtype", "device", "decoder", "parts", "embeddings")
GIVEN_TO_A_METRIC = ("folder", "dtype", "device")
"""Arguments of a generator's and of a metric's `load` that are not options."""
Batch: TypeAlias = tuple[TrialSpec, ...]
"""Trials that run side by side."""
Find: TypeAlias = Callable[..., Located]
"""A function like `locate`: from a checkpoint, its knob and its subfolders with weights to its place. Raises
BadInput."""


@dataclass(frozen=True)
class LocatedGenerator:
    """A generator whose checkpoint is on this disk."""

    spec: GeneratorSpec
    checkpoint: Located | None
    decoder: Located | None = None
    """The small decoder that makes the drafts."""
    parts: Mapping[str, Located] = field(default_factory=dict)
    """The parts that are from checkpoints of their own, by name."""

    @property
    def module(self) -> ModuleType:
        return module_of("generator", self.spec.kind, "reno.generators")

    @property
    def plain(self) -> bool:
        """Whether its weights alone identify it: the default kind without options and without a small decoder."""
        alone = not self.options and self.decoder is None and not self.parts
        return self.spec.kind == DEFAULT_GENERATOR and alone and self.checkpoint is not None

    @property
    def options(self) -> dict[str, Any]:
        """The options that decide its images."""
        return getattr(self.module, "identity", dict)(self.spec.options) if self.spec.options else {}

    @property
    def located(self) -> list[Located]:
        """Its checkpoints."""
        return [one for one in (self.checkpoint, self.decoder, *self.parts.values()) if one]

    @property
    def beside(self) -> dict[str, Any]:
        """The arguments of its `load` that say where its small decoder and its parts are; none that it has not."""
        decoder = {"decoder": self.decoder.folder} if self.decoder else {}
        return decoder | ({"parts": dict(self.parts)} if self.parts else {})

    @property
    def identity(self) -> str:
        """The generator's part of a trial's identity."""
        weights = self.checkpoint.identity if self.checkpoint else None
        if self.plain:
            return weights
        decoder = {"decoder": self.decoder.identity} if self.decoder else {}
        parts = {"parts": {name: one.identity for name, one in self.parts.items()}} if self.parts else {}
        return (
            f"{short_kind(self.spec.kind)}:{digest({'weights': weights, 'options': self.options, **decoder, **parts})}"
        )


@dataclass(frozen=True)
class LocatedMetric:
    """A metric whose checkpoints are on this disk."""

    spec: MetricSpec
    checkpoints: tuple[Located | None, ...]
    """One for each term; None for a term without weights."""

    @property
    def identity(self) -> tuple[dict[str, Any], ...]:
        """The metric's part of a trial's identity, one entry for each term."""
        return tuple(
            {
                "kind": short_kind(term.kind),
                "head": None,  # every term has this key; an option `head` replaces the value
                "weight": term.weight,
                "weights": located.identity if located else None,
                **_deciding(term),
            }
            for term, located in zip(self.spec.terms, self.checkpoints, strict=True)
        )


def _deciding(term: MetricTerm) -> dict[str, Any]:
    """The options of a term that decide its scores."""
    module = module_of("metric", term.kind, "reno.metrics")
    return getattr(module, "identity", dict)(term.options)


@dataclass(frozen=True)
class LocatedEvaluator:
    """A judge whose checkpoints are on this disk."""

    spec: EvaluatorSpec
    checkpoints: dict[str, Located]
    """By the model's name."""
    unable: frozenset[str] = frozenset()
    """The texts of prompts that it does not judge although they ask for something, as the user was told."""

    @property
    def module(self) -> ModuleType:
        return module_of("evaluator", self.spec.kind, "reno.evaluators")

    def asks(self, prompt: Prompt) -> bool:
        """Whether the judge looks at images of this prompt."""
        return prompt.text not in self.unable and getattr(self.module, "asks", Evaluator.asks)(prompt)

    def able(self, prompts: Iterable[Prompt]) -> list[Prompt]:
        """The prompts without those that it leaves out."""
        return [prompt for prompt in prompts if prompt.text not in self.unable]

    @property
    def identity(self) -> dict[str, Any]:
        """Everything besides the image that decides a judgement, as JSON values. It is recorded with each judgement."""
        return {
            "version": JUDGING,
            "kind": short_kind(self.spec.kind),
            "settings": self.spec.options,
            "weights": {name: located.identity for name, located in self.checkpoints.items()},
        }


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
        _refuse_names(job)
    generator = locate_generator(job.generator, find)
    metric = locate_metric(job.metric, find)
    recorded = tuple(locate_metric(spec, find) for spec in job.recorded)
    judges = _judges(job, find)
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


def _refuse_names(job: JobSpec) -> None:
    """Raises BadInput for a checkpoint of the loop that no hub can give, before another one is fetched."""
    _check_parts(job.generator, module_of("generator", job.generator.kind, "reno.generators"))
    terms = [term for metric in (job.metric, *job.recorded) for term in metric.terms]
    for named in (job.generator.model, *job.generator.parts, *(term.model for term in terms)):
        if named is not None:
            refuse_name(named.checkpoint, named.knob)


def locate_generator(spec: GeneratorSpec, find: Find = locate) -> LocatedGenerator:
    """Locates a generator's weights and checks its options. Raises BadInput."""
    module = module_of("generator", spec.kind, "reno.generators")
    check_options(f"generator {spec.kind}", spec.options, module.load, GIVEN_TO_A_GENERATOR)
    taken = options_of(module.load, ())
    if spec.decoder and taken is not None and "decoder" not in taken:
        raise BadInput(
            f"models.generator.decoder={spec.decoder.name}: the generator {spec.kind} takes no small decoder; use "
            "models.generator.decoder=null"
        )
    if spec.model is None:
        _refuse_without_weights(module, f"generator {spec.kind}", "models.generator.path=FOLDER")
    _check_parts(spec, module)
    _check_published(spec, module)
    inside = {part.name: part.checkpoint.inside for part in spec.parts}
    parts = {  # first, since one that cannot be had is told before anything is fetched
        part.name: replace(find(part.checkpoint, part.knob, (inside[part.name],)), inside=inside[part.name])
        for part in spec.parts
    }
    folders = folders_read(getattr(module, "FOLDERS", ("",)), inside)
    checkpoint = find(spec.model.checkpoint, spec.model.knob, folders) if spec.model else None
    return LocatedGenerator(spec, checkpoint, _found(spec.decoder, find), parts)


def _check_parts(spec: GeneratorSpec, module: ModuleType) -> None:
    """Raises BadInput for a part that the generator takes from nowhere else."""
    known = tuple(getattr(module, "PARTS", ()))
    for part in spec.parts:
        if part.name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise BadInput(
                f"{part.knob} is not a part that the generator {spec.kind} takes from elsewhere; {has}"
                f"{did_you_mean(part.name, known)}"
            )


def _check_published(spec: GeneratorSpec, module: ModuleType) -> None:
    """Raises BadInput for an option that a published checkpoint cannot take, by the configurations that are known here,
    before it is fetched. Of a folder they are read later (running/unloaded.py)."""
    named = [one for one in (spec.model, spec.decoder, *spec.parts) if one]
    places = {one.name: published_folder(one.checkpoint.path) for one in named}
    if spec.model is None or not all(places.values()) or not hasattr(module, "reader"):
        return
    parts = {
        part.name: Located(part.checkpoint.path, places[part.name], "", None, inside=part.checkpoint.inside)
        for part in spec.parts
    }
    beside = {"decoder": places[spec.decoder.name]} if spec.decoder else {}
    beside |= {"parts": parts} if parts else {}
    try:
        module.reader(places[spec.model.name], **beside, **spec.options)
    except BadInput as error:
        said = str(error)
        for one in named:
            said = said.replace(str(places[one.name]), one.checkpoint.path)
        raise BadInput(said) from None


def locate_metric(spec: MetricSpec, find: Find = locate) -> LocatedMetric:
    """Locates a metric's weights and checks its options. Raises BadInput."""
    spec = _as_trained(spec)
    for place, term in enumerate(spec.terms):
        module = module_of("metric", term.kind, "reno.metrics")
        check_options(f"metric {spec.name}", term.options, module.load, GIVEN_TO_A_METRIC)
        if term.model is None:
            _refuse_without_weights(module, f"metric {spec.name}", f"metric.terms.{place}.model=NAME")
    return LocatedMetric(spec, tuple(_found(term.model, find) for term in spec.terms))


def locate_evaluator(spec: EvaluatorSpec, find: Find = locate) -> LocatedEvaluator:
    """Locates a judge's weights and checks its options. Raises BadInput."""
    load = module_of("evaluator", spec.kind, "reno.evaluators").load
    check_options(f"evaluator {spec.name}", spec.options, load, ("name", "checkpoints", "device"))
    return LocatedEvaluator(spec, {model.name: _found(model, find) for model in spec.models})


def _judges(job: JobSpec, find: Find) -> tuple[LocatedEvaluator, ...]:
    """The job's judges. Raises BadInput that says how to go without, if the weights of one cannot be had."""

    def find_or_offer(checkpoint: Checkpoint, knob: str, folders: Sequence[str] = ("",)) -> Located:
        try:
            return find(checkpoint, knob, folders)
        except BadInput as error:
            raise BadInput(f"the judge {name} has no weights: {error}; or go without judges: evaluators=[]") from None

    judges = []
    for spec in job.evaluators:
        name = spec.name
        asks = getattr(module_of("evaluator", spec.kind, "reno.evaluators"), "asks", Evaluator.asks)
        if not job.usual_judges or any(asks(prompt) for prompt in job.prompts):  # else nothing need be fetched for it
            judges.append(locate_evaluator(spec, find_or_offer))
    return tuple(judges)


def _as_trained(spec: MetricSpec) -> MetricSpec:
    """The metric with the options of its checkpoints that its terms leave out. Raises BadInput for one that none of its
    terms has, unless it is there for metrics of other kinds."""
    taken: dict[str, set[str]] = {}
    terms = []
    for term in spec.terms:
        if term.model is not None:
            known = options_of(module_of("metric", term.kind, "reno.metrics").load, GIVEN_TO_A_METRIC)
            trained = {key: value for key, value in term.model.options.items() if known is None or key in known}
            taken.setdefault(term.model.name, set()).update(trained if known is None else known)
            term = replace(term, options={k: v for k, v in trained.items() if v is not None} | term.options)
        terms.append(term)
    for model in filter(None, (term.model for term in terms)):
        for key in model.options:
            near = did_you_mean(key, sorted(taken[model.name]))
            if key not in taken[model.name] and (near or key not in model.shared):
                raise BadInput(f"{model.knob}.options.{key} is not an option of metric {spec.name}{near}")
    return replace(spec, terms=tuple(terms))


def _refuse_without_weights(module: ModuleType, owner: str, knob: str) -> None:
    """Raises BadInput for a kind of this program's own; only a user's kinds may need no weights."""
    if module.__name__.startswith("reno."):
        raise BadInput(f"{owner} needs weights; give them with {knob}")


def _found(model: NamedCheckpoint | None, find: Find) -> Located | None:
    return find(model.checkpoint, model.knob) if model else None


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
    if store.copy is not None:
        trials = list(trials)
        store.catch_up([trial.id for trial in trials], jobs=False)
    finished, damaged = {}, []
    for found in checked(one for one in (store.find(trial.id) for trial in trials) if one is not None):
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
