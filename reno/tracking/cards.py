"""What Weights & Biases is sent of a trial: its card when it starts, its summary and its record when it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from reno.letters.harmless import visible
from reno.running.plan import Plan
from reno.running.recording import labels_of
from reno.spec.prompts import Prompt
from reno.spec.trial import TrialSpec
from reno.store.records import JudgedTrial, Provenance, TrialRecord
from reno.tracking import RunCard

LONGEST_PROMPT = 60
"""Characters of a prompt in a run's name."""
USUAL_ITERATIONS = 50
"""The default of conf/config.yaml, which a name does not repeat."""


def card_of(trial: TrialSpec, plan: Plan, group: str, provenance: Provenance) -> RunCard:
    """A trial's card. Its config has the settings as flat values; the complete spec, the labels and what else can shift
    numbers are under `provenance`."""
    job = plan.job
    name = f"{_asked(trial.prompt)} · {job.metric.name} · {settings_text(trial.method)} · s{trial.seed}"
    return RunCard(
        id=trial.id,
        name=name,
        group=group,
        job_type=job.metric.name,
        config={
            "prompt": trial.prompt.text,
            "seed": trial.seed,
            **shared_config(plan, trial.method),
            "provenance": {
                **provenance.to_json(),
                "spec": trial.identity,
                "labels": labels_of(plan).to_json(),
                "bindings": msgspec.to_builtins(trial.prompt.bindings),
                **({"claims": list(job.claims)} if job.claims else {}),
            },
        },
        tags=tags_of(plan),
    )


def shared_config(plan: Plan, method: Mapping[str, Any]) -> dict[str, Any]:
    """What one filters and groups runs by, of all trials of a job: flat values, by the names of the knobs. A setting
    that the method does not have is left out. method: its part of a trial's identity."""
    job = plan.job
    settings = {name: value for name, value in method.items() if not isinstance(value, dict) and name != "kind"}
    settings["method"] = settings.pop("name")
    optimizer = {"optimizer": method["optimizer"]["name"]} if "optimizer" in method else {}
    return {
        **method.get("options", {}),
        "models": job.models,
        "metric": job.metric.name,
        **settings,
        **optimizer,
        "prompts": job.prompt_set,
        "study": job.study,
        "dtype": plan.dtype,
        "series": series_of(method, job.metric.name),
    }


def tags_of(plan: Plan) -> tuple[str, ...]:
    job = plan.job
    return tuple(tag for tag in (job.models, job.settings.method, job.study) if tag)


def series_of(method: Mapping[str, Any], metric: str) -> str:
    """The runs that a dashboard draws as one line, `clip, lr 0.01`: a panel of W&B can group runs by only one key."""
    name = "" if method["name"] == "reno" else f", {method['name']}"
    lr = f", lr {method['lr']:g}" if "lr" in method else ""
    return f"{metric}{name}{lr}" + "".join(f", {key} {value}" for key, value in method.get("options", {}).items())


def settings_text(method: Mapping[str, Any]) -> str:
    """What tells runs of one metric apart, short: `adam .05`, `adam .05 reg .01 clip .1`, `best_of_n 20`."""
    parts = [] if method["name"] == "reno" else [method["name"]]
    if "optimizer" in method:
        parts += [method["optimizer"]["name"], _short(method["lr"])]
        parts += [f"reg {_short(method['regularization'])}"] if method["regularization"] else []
        parts += [f"clip {_short(method['grad_clip'])}"] if method["grad_clip"] is not None else []
    if method.get("iterations", USUAL_ITERATIONS) != USUAL_ITERATIONS:
        parts.append(f"{method['iterations']} it")
    parts += [f"{key} {value}" for key, value in method.get("options", {}).items()]
    return " ".join(parts)


def _asked(prompt: Prompt) -> str:
    """The bindings, `gold bench + green clock`; the text of a prompt that has none."""
    pairs = " + ".join(f"{one.attribute} {one.object}" for one in prompt.bindings)
    return visible(pairs or prompt.text)[:LONGEST_PROMPT]


def _short(number: float) -> str:
    """`.05` for 0.05."""
    text = f"{number:g}"
    return text[1:] if text.startswith("0.") else text


def numbers_of(record: TrialRecord, judgements: Mapping[str, JudgedTrial]) -> dict[str, float]:
    """A trial's outcome as numbers to chart: `score/clip/best`, `oracle/bound_share/best`, `oracle/fully_bound/gain`.

    `initial`, `best` and `last` name the image; `gain` is best minus initial. A share is of the prompt's bindings. What
    holds or does not is 1 or 0, so that W&B's mean over runs is a share of runs. judgements: those of the record and
    later ones, by judge."""
    values: dict[str, float] = {"best_iteration": record.best_iteration, "seconds": record.timings.seconds}
    images = msgspec.structs.asdict(record.scores)
    for metric, best in record.scores.best.items():
        values |= {f"score/{metric}/{image}": scores[metric] for image, scores in images.items()
                   if scores.get(metric) is not None}  # fmt: skip
        initial = record.scores.initial.get(metric)
        if best is not None and initial is not None:
            values[f"score/{metric}/gain"] = best - initial
    for judge, judged in judgements.items():
        before, after = (_of_verdict(verdict) for verdict in (judged.initial, judged.best))
        for name in before.keys() & after.keys():
            values[f"{judge}/{name}/initial"], values[f"{judge}/{name}/best"] = before[name], after[name]
            if name not in judged.best.faults:
                values[f"{judge}/{name}/gain"] = after[name] - before[name]
    return values


def _of_verdict(verdict: Any) -> dict[str, float]:
    """The numbers of one image by one judge."""
    values: dict[str, float] = {}
    if verdict.judgements:
        values["bound_share"] = verdict.bound / len(verdict.judgements)
        values["fully_bound"] = int(verdict.all_bound)
    values |= {fault: int(there) for fault, there in verdict.faults.items()}
    if verdict.score is not None:
        values["score"] = verdict.score
    if verdict.correct is not None:
        values["correct"] = int(verdict.correct)
    return values


def record_text(record: TrialRecord, judgements: Mapping[str, JudgedTrial]) -> str:
    """trial.json with these judgements, without the parts that the config's provenance has; analysis/data reads it.

    It is a text, since W&B would make a column of each leaf of a nested value and round some of the numbers."""
    values = msgspec.structs.replace(record, judgements=dict(judgements)).to_json()
    kept = {name: value for name, value in values.items() if name not in ("schema", "files", "provenance")}
    return json.dumps(kept, separators=(",", ":"))
