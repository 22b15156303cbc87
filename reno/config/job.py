"""Turns a composed configuration, as plain values, into a JobSpec. A key that no function reads is refused."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import yaml

from reno.config.checks import (
    at_home,
    cpu_threads,
    device_name,
    distinct,
    flag,
    folder,
    names,
    number,
    one_of,
    text,
    whole_number,
)
from reno.config.conf import Chosen, Conf
from reno.config.prompt_sets import limited, load_prompts
from reno.config.sections import Section
from reno.config.suites import asked_suite
from reno.prompts.formats import PromptFile
from reno.prompts.reader import prompt_from_text
from reno.spec.claims import read_claims
from reno.spec.errors import BadInput, did_you_mean, first_line
from reno.spec.job import (
    DTYPES,
    ON_LONG,
    Checkpoint,
    EvaluatorSpec,
    Execution,
    GeneratorSpec,
    JobSpec,
    JudgeNeeds,
    MethodSettings,
    MetricSpec,
    MetricTerm,
    NamedCheckpoint,
    Stop,
)

OPTIMIZERS = {"adam": ("betas", "eps"), "sgd": ("momentum", "nesterov")}
LARGEST_BATCH = 4096
"""Trials side by side. A batch is filled up to its size, so that a larger one costs as if it were full."""


class NoCheckpoint(BadInput):
    """Models that take no published checkpoint have none of their own for a metric."""


def job_from_config(config: Chosen, conf: Conf) -> JobSpec:
    """Checks a composed configuration and freezes it. Raises BadInput."""
    values = config.values
    models = Section(values["models"], "models", config.references)
    closed = flag("models.closed", models.take("closed", False))
    checkpoints = Checkpoints(models.section("checkpoints", {}), closed, conf, config.typed)
    chosen = [knob for knob in ("prompt", "suite") if values[knob] is not None]
    if "prompts" in config.typed and values["prompts"] is not None:  # else it may be the default
        chosen.append("prompts")
    if len(chosen) > 1:
        raise BadInput(
            f"{' and '.join(chosen)} each say what to draw; leave one of them in, and where a study sets the other, "
            f"type {' or '.join(f'{knob}=null' for knob in chosen)}"
        )
    asked = asked_suite(values, conf)
    suite = asked and asked[1]
    read, prompt_set = (asked[0], suite.name) if asked else _prompts(values["prompt"], values["prompts"], conf)
    read = limited(read, values["limit"], values["limit_seed"])
    usual_judges = not closed and not config.typed & {"evaluators", "models.evaluators"}
    usual_judges &= values["evaluators"] == models.take("evaluators", None)
    seconds, size = models.take("reference_seconds", None), models.take("reference_bytes", None)
    job = JobSpec(
        prompts=read.prompts,
        prompt_set=prompt_set,
        suite=suite,
        prompt_notes=read.notes,
        on_long=one_of("on_long", values["on_long"], ON_LONG),
        seeds=_seeds(values["seed"]),
        own_noise=flag("own_noise", values["own_noise"]),
        models=models.text("name"),
        generator=chosen_generator(models, config, conf),
        metric=_metric(Section(values["metric"], "metric", config.references), checkpoints, conf),
        recorded=tuple(named_metric(name, checkpoints, conf) for name in names("record", values["record"])),
        evaluators=tuple(evaluator(name, checkpoints, conf) for name in names("evaluators", values["evaluators"])),
        usual_judges=usual_judges,
        settings=_settings(values, config.references),
        batch_size=_batch_size(values["batch_size"]),
        device=device_name(values["device"]),
        dtype=one_of("dtype", values["dtype"], DTYPES),
        threads=cpu_threads(values["threads"]),
        results=folder("results", values["results"]),
        study=None if values["study"] is None else text("study", values["study"]),
        claims=_claims(values["claims"], conf),
        tracking=Section(values["tracking"], "tracking").values,
        dry_run=flag("dry_run", values["dry_run"]),
        execution=Execution(
            checkpointing=_checkpointing(values["checkpointing"]),
            compile=_compile(values["compile"]),
            graph=values["compile"] == "graph",
            channels_last=flag("channels_last", values["channels_last"]),
        ),
        reference_seconds=None if seconds is None else number("models.reference_seconds", seconds, above=0.0),
        reference_bytes=None if size is None else number("models.reference_bytes", size, above=0.0),
    )
    for knob in ("record", "evaluators", "batch_size", "own_noise", "seed"):  # defaults of the knobs of these names
        models.take(knob, None)
    checkpoints.end()
    models.end()
    distinct("record", [metric.name for metric in job.recorded])  # two files may give one name
    distinct("evaluators", [judge.name for judge in job.evaluators])
    return job


# --- Models -----------------------------------------------------------------------------------------------------------


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
        """Raises BadInput for a name under models.checkpoints that no metric and no judge has."""
        if set(self.given.values) - set(self.given.known):
            self.given.known += [
                name
                for group in ("metric", "evaluator")
                for option in self.conf.options(group)
                for name in self.conf.named(group, group, option).values.get("checkpoints") or {}
            ]
            self.given.end()


def checkpoint(section: Section) -> Checkpoint:
    """A checkpoint's path, revision and variant. Raises BadInput, also for the revision of a folder."""
    path = section.take("path", None)
    if not isinstance(path, str) or not path.strip():
        raise BadInput(f"{section.where}.path must be a folder or a name on the model hub, not {path!r}")
    revision, variant = (section.text(key, None) for key in ("revision", "variant"))
    section.end()
    if os.path.isdir(at_home(f"{section.where}.path", path)) and revision is not None:
        raise BadInput(
            f"{section.where}.revision={revision} means nothing for the folder {path}, as only checkpoints of the hub "
            f"have revisions; leave it out, or say {section.where}.revision=null"
        )
    return Checkpoint(path, revision, variant)


def chosen_generator(models: Section, config: Chosen, conf: Conf) -> GeneratorSpec:
    """The generator of the chosen models. Raises BadInput.

    config: the configuration that they are of: a revision that it has from their file is one of the path in that file.
    """
    section = models.section("generator")
    kind = section.text("kind")
    own = {key: section.take(key, None) for key in ("path", "revision", "variant")}
    if f"{section.where}.revision" not in config.typed and _revision_of_another(own, config.models_file, conf):
        own["revision"] = None
    model = None
    if own["path"] is None:
        for key in ("revision", "variant"):
            if own[key] is not None:
                raise BadInput(
                    f"{section.where}.{key}={own[key]} needs {section.where}.path=FOLDER, or a name on the hub"
                )
    else:
        model = NamedCheckpoint("generator", checkpoint(Section(own, section.where)), section.where)
    return GeneratorSpec(kind, model, section.rest())


def _revision_of_another(own: dict[str, Any], file: str | None, conf: Conf) -> bool:
    """Whether the models' file gives the revision to another path, so that it is not a revision of this one."""
    if own["revision"] is None or file is None:
        return False
    listed = conf.named("models", "models", file).values.get("generator")
    return isinstance(listed, dict) and listed.get("revision") == own["revision"] and listed.get("path") != own["path"]


def _metric(section: Section, checkpoints: Checkpoints, conf: Conf) -> MetricSpec:
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
    return _metric(Section(found.values, "metric", found.references), checkpoints, conf)


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


# --- Method -----------------------------------------------------------------------------------------------------------


def _settings(values: dict[str, Any], references: frozenset[str]) -> MethodSettings:
    method = Section(values["method"], "method", references)
    optimizer, optimizer_settings = _optimizer(Section(values["optimizer"], "optimizer", references))
    return MethodSettings(
        method=method.text("name"),
        iterations=whole_number("iterations", values["iterations"], at_least=0),
        lr=number("lr", values["lr"], above=0.0),
        regularization=number("regularization", values["regularization"], at_least=0.0),
        grad_clip=None if values["grad_clip"] is None else number("grad_clip", values["grad_clip"], above=0.0),
        optimizer=optimizer,
        optimizer_settings=optimizer_settings,
        kind=method.text("kind", ""),
        options=method.rest(),
        stop=_stop(values["stop"], references),
    )


def _stop(values: object, references: frozenset[str]) -> Stop:
    if not isinstance(values, dict):
        raise BadInput(f"stop={values} does not say what ends a trial; set a key of it, as in stop.patience=10")
    section = Section(values, "stop", references)
    patience, score, seconds = (section.take(name, None) for name in ("patience", "score", "seconds"))
    section.end()
    return Stop(
        patience=None if patience is None else whole_number("stop.patience", patience, at_least=1),
        score=None if score is None else number("stop.score", score),
        seconds=None if seconds is None else number("stop.seconds", seconds, above=0.0),
    )


def _optimizer(section: Section) -> tuple[str, dict[str, Any]]:
    name = one_of("optimizer.name", section.take("name"), OPTIMIZERS)
    settings = section.rest()
    known = OPTIMIZERS[name]
    for key in settings:
        if key not in known:
            has = f"{', '.join(known)}{did_you_mean(key, known)}"
            raise BadInput(f"optimizer {name} has no setting {key!r}; it has {has}")
    if lacking := [key for key in known if key not in settings]:
        raise BadInput(f"optimizer {name} needs {lacking[0]}; give it with +optimizer.{lacking[0]}=...")
    if name == "adam":
        betas = settings["betas"]
        if not isinstance(betas, list) or len(betas) != 2:
            raise BadInput(f"optimizer.betas must be two numbers, not {betas!r}; for example [0.9,0.999]")
        betas = [number("optimizer.betas", beta, at_least=0.0, below=1.0) for beta in betas]
        return name, {**settings, "betas": betas, "eps": number("optimizer.eps", settings["eps"], at_least=0.0)}
    momentum = number("optimizer.momentum", settings["momentum"], at_least=0.0, below=1.0)
    if flag("optimizer.nesterov", settings["nesterov"]) and not momentum:
        raise BadInput("optimizer.nesterov=true needs optimizer.momentum > 0; for example 0.9")
    return name, {**settings, "momentum": momentum}


# --- Prompts and single knobs -----------------------------------------------------------------------------------------


def _prompts(prompt: object, prompts: object, conf: Conf) -> tuple[PromptFile, str | None]:
    """The prompts with what is to be said of them, and the name of their set; None if they were typed."""
    if prompt is not None:
        texts = prompt if isinstance(prompt, list) else [prompt]
        if not texts:
            raise BadInput("prompt=[] holds no prompt; give one text, or leave it out to use prompts")
        found = tuple(prompt_from_text(one, "prompt") for one in texts)
        distinct("prompt", [prompt.text for prompt in found])
        return PromptFile(found, ()), None
    if not isinstance(prompts, str):
        raise BadInput(f"prompts must name one set or file, not {prompts!r}; to type several prompts use prompt=[a,b]")
    return load_prompts(prompts, conf), prompts


def _seeds(seed: object) -> tuple[int, ...]:
    seeds = seed if isinstance(seed, list) else [seed]
    if not seeds:
        raise BadInput("seed=[] holds no seed; give one whole number or a list such as seed=[0,1]")
    return tuple(distinct("seed", [whole_number("seed", value, at_least=0, below=2**63) for value in seeds]))


def _claims(claims: object, conf: Conf) -> tuple[dict[str, Any], ...]:
    """The claims of conf/claim_sets/<claims>.yaml, or those that a study lists itself."""
    if claims is None:
        return ()
    if claims == []:
        raise BadInput("claims=[] states no claim; name a file of conf/claim_sets, or leave it out")
    if isinstance(claims, list):
        return _stated(claims, "claims")
    path = None if "/" in str(claims) else conf.path("claim_sets", f"{claims}.yaml")
    if path is None:
        known = conf.options("claim_sets")
        raise BadInput(f"claims={claims} is not known; use {', '.join(known)}{did_you_mean(claims, known)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadInput(f"the claims in {path} cannot be read ({first_line(error)})") from None
    listed = values.get("claims") if isinstance(values, dict) else values
    return _stated(listed, str(path))


def _stated(claims: object, where: str) -> tuple[dict[str, Any], ...]:
    """Claims that the report can decide. Raises BadInput."""
    keys = {"key", "statement", "definition", "parts"}
    if not isinstance(claims, list) or not all(isinstance(one, dict) and set(one) == keys for one in claims):
        raise BadInput(f"{where} must be a list of claims, each with key, statement, definition and parts")
    stated = read_claims(claims, where)
    twice = [claim.key for place, claim in enumerate(stated) if claim.key in {one.key for one in stated[:place]}]
    if twice:
        raise BadInput(f"{where} has two claims with the key {twice[0]!r}; give each a key of its own")
    return tuple(claims)


def _batch_size(value: object) -> int | None:
    if isinstance(value, str) and value != "auto":
        raise BadInput(f"batch_size must be auto or a whole number, 1 or more, not {value!r}")
    return None if value == "auto" else whole_number("batch_size", value, at_least=1, below=LARGEST_BATCH + 1)


def _checkpointing(value: object) -> bool | None:
    if value != "auto" and not isinstance(value, bool):
        raise BadInput(f"checkpointing must be auto, true or false, not {value!r}")
    return None if value == "auto" else value


def _compile(value: object) -> bool | None:
    if value not in ("auto", "graph") and not isinstance(value, bool):
        raise BadInput(f"compile must be auto, graph, true or false, not {value!r}")
    return None if value == "auto" else value is True
