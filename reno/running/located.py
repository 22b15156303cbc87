"""The models of a job with their checkpoints located: on this disk, or to be fetched. Every option is checked, and what
decides a trial's outcome is told as JSON values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from reno.evaluators import JUDGING, Evaluator
from reno.spec.errors import BadInput, did_you_mean
from reno.spec.job import Checkpoint, EvaluatorSpec, GeneratorSpec, JobSpec, MetricSpec, MetricTerm, NamedCheckpoint
from reno.spec.prompts import Prompt
from reno.spec.trial import digest
from reno.weights.architectures import published_folder
from reno.weights.checkpoints import Located, locate, refuse_name
from reno.weights.kinds import check_options, module_of, options_of, short_kind
from reno.weights.parts import folders_read

DEFAULT_GENERATOR = "stable_diffusion"
"""The default kind. A generator's identity names its kind only if it is another."""
GIVEN_TO_A_GENERATOR = ("folder", "variant", "dtype", "device", "decoder", "parts", "embeddings")
GIVEN_TO_A_METRIC = ("folder", "dtype", "device")
"""Arguments of a generator's and of a metric's `load` that are not options."""
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
        return beside(self.decoder.folder if self.decoder else None, self.parts)

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


def beside(decoder: Path | None, parts: Mapping[str, Located]) -> dict[str, Any]:
    """The arguments that say where a generator's small decoder and its parts are; none that it has not."""
    return ({"decoder": decoder} if decoder else {}) | ({"parts": dict(parts)} if parts else {})


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


def refuse_names(job: JobSpec) -> None:
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
    try:
        module.reader(
            places[spec.model.name],
            **beside(places[spec.decoder.name] if spec.decoder else None, parts),
            **spec.options,
        )
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


def locate_judges(job: JobSpec, find: Find) -> tuple[LocatedEvaluator, ...]:
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
