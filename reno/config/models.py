"""Turns the configuration of generators, metrics and judges, as plain values, into frozen values with checkpoints."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from reno.config.checks import at_home, number
from reno.config.conf import Chosen, Conf
from reno.config.sections import Section
from reno.spec.errors import BadInput, did_you_mean
from reno.spec.job import (
    Checkpoint,
    EvaluatorSpec,
    GeneratorSpec,
    JudgeNeeds,
    MetricSpec,
    MetricTerm,
    NamedCheckpoint,
)


class NoCheckpoint(BadInput):
    """Models that take no published checkpoint have none of their own for a metric."""


class Checkpoints:
    """The checkpoints that a job may load: the metrics' and judges' own, unless models.checkpoints gives others."""

    def __init__(self, given: Section, closed: bool, conf: Conf, typed: Collection[str] = ()):
        """given: models.checkpoints. closed: whether a metric may only use the checkpoints that are given there.
        typed: dotted names of the knobs that were typed."""
        self.given, self.closed, self.conf, self.typed = given, closed, conf, typed

    def choose(self, name: str, own: dict[str, Any], for_metric: bool = False) -> NamedCheckpoint:
        """The checkpoint of that name; `own` is what the YAML of its metric or judge says. for_metric: whether it may
        have `options` for the metric's term."""
        knob = f"models.checkpoints.{name}"
        given = {key: value for key, value in self.given.section(name, {}).values.items() if value is not None}
        own = Section(own, f"checkpoints.{name}").values
        options, shared = {}, frozenset()
        if for_metric:
            # A copy in a folder was trained as the published checkpoint was, unless its own entry says otherwise.
            of_metric, of_models = (
                Section(values.get("options", {}), f"{knob}.options").rest() for values in (own, given)
            )
            options = of_metric | of_models
            typed = {key for key in options if f"{knob}.options.{key}" in self.typed}
            shared = frozenset(options) - set(of_metric) - typed
            own, given = ({key: value for key, value in values.items() if key != "options"} for values in (own, given))
        # Another path is another checkpoint: the revision in the metric's own file is not a revision of it.
        another = given.get("path", own.get("path")) != own.get("path")
        found = checkpoint(Section(given if another else {**own, **given}, knob))
        return NamedCheckpoint(name, found, knob, options, shared)

    def of_another_metric(self, name: str) -> dict[str, Any]:
        """What the YAML of another metric says of a checkpoint that models.checkpoints does not give: terms that are
        typed may name any. Raises BadInput if none has it."""
        if self.has(name):
            return {}
        for option in self.conf.options("metric"):
            brought = self.conf.named("metric", "metric", option).values.get("checkpoints") or {}
            if isinstance(brought, dict) and brought.get(name):
                return brought[name]
        remedy = f"give it with models.checkpoints.{name}.path=FOLDER"
        raise BadInput(f"no metric of conf/metric has a checkpoint {name!r}; {remedy}")

    def has(self, name: str) -> bool:
        """Whether models.checkpoints gives a path of that name."""
        entry = self.given.values.get(name)
        return isinstance(entry, dict) and entry.get("path") is not None

    def end(self) -> None:
        """Raises BadInput for a name under models.checkpoints that no metric, no judge and no generator has."""
        if set(self.given.values) - set(self.given.known):
            self.given.known += [
                name
                for group in ("metric", "evaluator")
                for option in self.conf.options(group)
                for name in self.conf.named(group, group, option).values.get("checkpoints") or {}
            ]
            for option in self.conf.options("models"):
                generator = self.conf.named("models", "models", option).values.get("generator")
                self.given.known += (isinstance(generator, dict) and generator.get("decoders")) or []
            self.given.end()


def checkpoint(section: Section, of_a_part: bool = False) -> Checkpoint:
    """A checkpoint's path, revision and variant. Raises BadInput, also for the revision of a folder.

    of_a_part: whether `inside` may say where in it the weights are."""
    path = section.take("path", None)
    if not isinstance(path, str) or not path.strip():
        raise BadInput(f"{section.where}.path must be a folder or a name on the model hub, not {path!r}")
    revision, variant = (section.text(key, None) for key in ("revision", "variant"))
    inside = section.text("inside", None) if of_a_part else None
    section.end()
    if os.path.isdir(at_home(f"{section.where}.path", path)) and revision is not None:
        raise BadInput(
            f"{section.where}.revision={revision} means nothing for the folder {path}, as only checkpoints of the hub "
            f"have revisions; leave it out, or say {section.where}.revision=null"
        )
    return Checkpoint(path, revision, variant, inside or "")


def chosen_generator(models: Section, config: Chosen, conf: Conf, checkpoints: Checkpoints) -> GeneratorSpec:
    """The generator of the chosen models. Raises BadInput.

    config: the configuration that they are of: a revision that it has from their file is one of the path in that file.
    checkpoints: those of models.checkpoints, of which one may be a small decoder.
    """
    section = models.section("generator")
    kind = section.text("kind")
    listed = _listed_generator(config.models_file, conf)
    own = _of_this_path(
        {key: section.take(key, None) for key in ("path", "revision", "variant")}, listed, section.where, config
    )
    model = None
    if own["path"] is None:
        for key in ("revision", "variant"):
            if own[key] is not None:
                raise BadInput(
                    f"{section.where}.{key}={own[key]} needs {section.where}.path=FOLDER, or a name on the hub"
                )
    else:
        model = NamedCheckpoint("generator", checkpoint(Section(own, section.where)), section.where)
    decoder = _decoder(section, checkpoints)
    parts = []
    for name, values in section.section("parts", {}).values.items():
        if values is None:
            continue  # then it is the one of the generator's own checkpoint
        where, of_file = f"{section.where}.parts.{name}", (listed.get("parts") or {}).get(name) or {}
        given = _of_this_path(Section(values, where).values, of_file, where, config)
        parts.append(NamedCheckpoint(name, checkpoint(Section(given, where), of_a_part=True), where))
    return GeneratorSpec(kind, model, section.rest(), decoder, tuple(parts))


def _decoder(section: Section, checkpoints: Checkpoints) -> NamedCheckpoint | None:
    """The small decoder that the generator's section names; None if it names none. Raises BadInput."""
    own = section.section("decoders", {}).values
    checkpoints.given.known += own
    name = section.text("decoder", None)
    if name is None:
        return None
    where = f"{section.where}.decoder={name}"
    if name not in own and not checkpoints.has(name):
        known = f"use {' or '.join(own)}" if own else "leave it out"
        raise BadInput(
            f"{where}: these models have {'no such' if own else 'no small'} decoder; {known}, or give one with "
            f"models.checkpoints.{name}.path=FOLDER{did_you_mean(name, list(own))}"
        )
    found = checkpoints.choose(name, own.get(name) or {})
    if found.checkpoint.variant is not None:
        raise BadInput(
            f"{found.knob}.variant means nothing for a decoder, which is read from its plain files; leave it out"
        )
    return found


def _listed_generator(file: str | None, conf: Conf) -> dict[str, Any]:
    """The generator's section in the file of the models; empty if there is none."""
    listed = conf.named("models", "models", file).values.get("generator") if file else None
    return listed if isinstance(listed, dict) else {}


def _of_this_path(given: dict[str, Any], listed: dict[str, Any], where: str, config: Chosen) -> dict[str, Any]:
    """A checkpoint's keys without those that the models' file says of another path: its revision, and where in it the
    weights are if it is a folder that holds them itself. One that was typed stays."""
    if given.get("path") == listed.get("path"):
        return given
    stale = {
        key
        for key in ("revision", "inside")
        if given.get(key) is not None and given[key] == listed.get(key) and f"{where}.{key}" not in config.typed
    }
    if "inside" in stale and not _holds_itself(given["path"], given["inside"]):
        stale.remove("inside")
    return {key: None if key in stale else value for key, value in given.items()}


def _holds_itself(path: Any, inside: str) -> bool:
    """Whether a path is a folder with a part's files, and without what would be inside a copy of the published one."""
    folder = Path(str(path)).expanduser()
    return (folder / "config.json").is_file() and not (folder / inside).exists()


def chosen_metric(section: Section, checkpoints: Checkpoints, conf: Conf) -> MetricSpec:
    """A metric with its terms listed, or a sum of metrics by their names; all of it times `weight`."""
    weight = number("metric.weight", section.take("weight", 1.0), above=0.0)
    if {"weights", "terms"} <= set(section.values):
        raise BadInput(
            "metric.weights sums metrics by their names: choose metric=sum with it; one metric has metric.weight=W"
        )
    metric = (_sum if "weights" in section.values else _listed)(section, checkpoints, conf)
    if weight == 1.0:
        return metric
    return MetricSpec(f"{metric.name}_weight{weight:g}", _times(weight, metric.terms))


def is_sum(name: str, conf: Conf) -> bool:
    """Whether a metric's file only sums other metrics by their names."""
    return "weights" in conf.named("metric", "metric", name).values


def _sum(section: Section, checkpoints: Checkpoints, conf: Conf) -> MetricSpec:
    """The weighted sum of the metrics under `weights`. It has the name of its file while it has that file's weights,
    unless they are none; else a name such as clip+5blip."""
    name, weights = section.text("name"), section.section("weights").values
    section.end()
    summed = {one: number(f"metric.weights.{one}", weight, at_least=0.0) for one, weight in weights.items()}
    summed = {str(one): weight for one, weight in summed.items() if weight}
    if not summed:
        raise BadInput(f"metric={name} sums no metric; give it some, as in 'metric.weights={{clip: 1, blip: 5}}'")
    metrics = {one: named_metric(one, checkpoints, conf, "metric.weights") for one in summed}
    terms = tuple(term for one, metric in metrics.items() for term in _times(summed[one], metric.terms))
    usual = conf.named("metric", "metric", name).values.get("weights") if name in conf.options("metric") else None
    if summed != usual:
        name = "+".join(
            metric.name if summed[one] == 1 else f"{summed[one]:g}{metric.name}" for one, metric in metrics.items()
        )
    return MetricSpec(name, terms)


def _times(weight: float, terms: tuple[MetricTerm, ...]) -> tuple[MetricTerm, ...]:
    return tuple(replace(term, weight=weight * term.weight) for term in terms)


def _listed(section: Section, checkpoints: Checkpoints, conf: Conf) -> MetricSpec:
    name = section.text("name")
    own = section.section("checkpoints", {}).values
    listed = section.take("terms")
    if not isinstance(listed, list) or not listed:
        raise BadInput(f"metric.terms must list the metric's models, each with kind, model and weight, not {listed!r}")
    places = [Section(term, f"metric.terms.{place}", section.references) for place, term in enumerate(listed)]
    terms = tuple(_term(name, place, own, checkpoints) for place in places)
    _refuse_misplaced(section, terms)
    section.end()
    return MetricSpec(name + _suffix(name, terms, conf), terms)


def _refuse_misplaced(section: Section, terms: tuple[MetricTerm, ...]) -> None:
    """Raises BadInput for an option of a term that stands beside the terms."""
    for key in section.values:
        if key not in section.known:
            for place, term in enumerate(terms):
                if key in term.options:
                    where = f"{section.where}.terms.{place}.{key}"
                    raise BadInput(
                        f"{section.where}.{key} is not a knob; {key} is an option of a term: write {where}=..."
                    )


def named_metric(name: str, checkpoints: Checkpoints, conf: Conf, knob: str = "record") -> MetricSpec:
    """The metric of conf/metric/<name>.yaml. knob: where it is named, for the error. Raises BadInput."""
    found = conf.named(knob, "metric", name)
    return chosen_metric(Section(found.values, "metric", found.references), checkpoints, conf)


def _term(metric: str, section: Section, own: dict[str, Any], checkpoints: Checkpoints) -> MetricTerm:
    kind = section.text("kind")
    name = section.text("model", None)
    weight = number(f"weight of metric {metric}", section.take("weight", 1.0), above=0.0)
    options, model = section.rest(), None
    if name is not None and checkpoints.closed and not checkpoints.has(name):
        known = [known for known in checkpoints.given.values if checkpoints.has(known)]
        raise NoCheckpoint(
            f"these models have no checkpoint for metric {metric}: they have {', '.join(known)}; choose one of "
            f"these metrics, another models, or give one with models.checkpoints.{name}.path=FOLDER"
        )
    if name is not None:
        model = checkpoints.choose(name, own.get(name) or checkpoints.of_another_metric(name), for_metric=True)
        # Those that the term does not list wait until its kind is imported: it knows which it has (running/plan.py).
        options |= {key: value for key, value in model.options.items() if key in options and options[key] is None}
    return MetricTerm(kind, model, weight, options)


def _suffix(name: str, terms: tuple[MetricTerm, ...], conf: Conf) -> str:
    """The end of a metric's name: the options that differ from those of its file, as in blip_itc. (The report tells
    other weights and checkpoints apart.)"""
    if name not in conf.options("metric"):
        return ""
    usual = conf.named("metric", "metric", name).values.get("terms")
    if not isinstance(usual, list) or not all(isinstance(own, dict) for own in usual):
        return ""
    found = []
    for term, own in zip(terms, usual, strict=False):
        trained = term.model.options if term.model else {}
        found += [
            f"_{value}" if isinstance(value, str) else f"_{key}{value}"
            for key, value in term.options.items()
            if value != own.get(key) and value != trained.get(key)
        ]
    return "".join(dict.fromkeys(found))


def evaluator(name: str, checkpoints: Checkpoints, conf: Conf) -> EvaluatorSpec:
    """The judge of conf/evaluator/<name>.yaml. Raises BadInput."""
    section = Section(conf.named("evaluators", "evaluator", name).values, f"evaluator {name}")
    own = section.section("checkpoints", {}).values
    models = tuple(checkpoints.choose(model, values or {}) for model, values in own.items())
    needs, ours = section.take("needs", None), any(m.checkpoint.path != own[m.name].get("path") for m in models)
    needs = None if needs is None or ours else _needs(Section(needs, f"{section.where}.needs"))
    return EvaluatorSpec(section.text("name"), section.text("kind"), section.rest(), models, needs)


def _needs(section: Section) -> JudgeNeeds:
    names = ("gb", "gib", "tflop")
    found = JudgeNeeds(*(number(f"{section.where}.{name}", section.take(name), at_least=0.0) for name in names))
    section.end()
    return found
