"""Turns a composed configuration, as plain values, into a JobSpec; models.py has generators, metrics and judges. A key
that no function reads is refused."""

from __future__ import annotations

from typing import Any

import yaml

from reno.config.checks import (
    cpu_threads,
    device_name,
    distinct,
    flag,
    names,
    number,
    one_of,
    store_folder,
    text,
    whole_number,
)
from reno.config.conf import Chosen, Conf
from reno.config.models import (
    Checkpoints,
    chosen_generator,
    chosen_metric,
    evaluator,
    named_metric,
)
from reno.config.prompt_sets import limited, load_prompts
from reno.config.sections import Section
from reno.config.suites import asked_suite
from reno.config.workers import check_workers
from reno.prompts.formats import PromptFile
from reno.prompts.reader import prompt_from_text
from reno.spec.claims import read_claims
from reno.spec.errors import BadInput, did_you_mean, first_line
from reno.spec.job import (
    DTYPES,
    ON_LONG,
    Execution,
    JobSpec,
    MethodSettings,
    Stop,
)

OPTIMIZERS = {"adam": ("betas", "eps"), "sgd": ("momentum", "nesterov")}
LARGEST_BATCH = 4096
"""Trials side by side. A batch is filled up to its size, so that a larger one costs as if it were full."""


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
    check_workers(values["workers"], "workers" in config.typed)
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
        generator=chosen_generator(models, config, conf, checkpoints),
        metric=chosen_metric(Section(values["metric"], "metric", config.references), checkpoints, conf),
        recorded=tuple(named_metric(name, checkpoints, conf) for name in names("record", values["record"])),
        evaluators=tuple(evaluator(name, checkpoints, conf) for name in names("evaluators", values["evaluators"])),
        usual_judges=usual_judges,
        settings=_settings(values, config.references),
        batch_size=_batch_size(values["batch_size"]),
        device=device_name(values["device"]),
        dtype=one_of("dtype", values["dtype"], DTYPES),
        threads=cpu_threads(values["threads"]),
        results=store_folder("results", values["results"]),
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
        save_every=_save_every(values["save_every"]),
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


def _save_every(value: object) -> int | None:
    return None if value is None else whole_number("save_every", value, at_least=1)


def _checkpointing(value: object) -> bool | None:
    if value != "auto" and not isinstance(value, bool):
        raise BadInput(f"checkpointing must be auto, true or false, not {value!r}")
    return None if value == "auto" else value


def _compile(value: object) -> bool | None:
    if value not in ("auto", "graph") and not isinstance(value, bool):
        raise BadInput(f"compile must be auto, graph, true or false, not {value!r}")
    return None if value == "auto" else value is True
