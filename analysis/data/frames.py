"""Frames from trial records and job records, wherever those come from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from msgspec import UNSET

from analysis.data.names import label_of, settings_names, tail, terms_name, told_apart
from analysis.data.results import (
    ABSENT_COLUMNS,
    JUDGED_COLUMNS,
    MEMBER_COLUMNS,
    SCORE_COLUMNS,
    SETTINGS,
    TRIAL_COLUMNS,
    TYPED,
    VERDICT_COLUMNS,
    Results,
)
from reno.spec.trial import digest
from reno.store.records import FAILED, JUDGED, SCORED, JobRecord, JudgedTrial, Labels, Record, TrialRecord

METHOD_COLUMNS = ("name", "iterations", "lr", "regularization", "grad_clip", "optimizer")
"""Keys of a trial's method that have columns of their own; the others share the column `options`."""


class SharedIdentity(Record, kw_only=True):
    """What the identities of a job's trials have in common."""

    algorithm: int
    generator: str
    metric: tuple[dict[str, Any], ...]
    dtype: str
    method: dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """What the frames take of trial records, before names are made readable."""

    trials: list[dict[str, Any]]
    judged: list[tuple]
    verdicts: list[tuple]
    scores: list[tuple]


@dataclass(frozen=True)
class Raw:
    """`Rows`, as frames."""

    trials: pd.DataFrame
    judged: pd.DataFrame
    verdicts: pd.DataFrame
    """VERDICT_COLUMNS and `identity`."""
    scores: pd.DataFrame


def rows_of(records: Iterable[TrialRecord]) -> Rows:
    """What the frames take of these records, in their order."""
    rows = Rows([], [], [], [])
    for record in records:
        rows.trials.append(_trial_row(record))
        rows.judged.extend(_judged_rows(record))
        rows.verdicts.extend(_verdict_rows(record))
        rows.scores.extend(_score_rows(record))
    return rows


def raw(records: Sequence[TrialRecord]) -> Raw:
    """The frames of these records."""
    rows = rows_of(records)
    return Raw(
        pd.DataFrame(rows.trials),
        pd.DataFrame(rows.judged, columns=list(JUDGED_COLUMNS)),
        pd.DataFrame(rows.verdicts, columns=[*VERDICT_COLUMNS, "identity"]),
        pd.DataFrame(rows.scores, columns=list(SCORE_COLUMNS)),
    )


def tidy(
    records: Sequence[TrialRecord] | Raw,
    jobs: Sequence[JobRecord] = (),
    *,
    root: Path = Path("results"),
    broken: dict[str, str] | None = None,
    unread: Sequence[str] = (),
) -> Results:
    """The frames of at least one trial record, and of job records in the order they ran.

    broken: a sentence for each trial that could not be read, by id. unread: one for each job record."""
    broken = broken or {}
    found = records if isinstance(records, Raw) else raw(records)
    planned = [row for job in jobs for row in _planned_rows(job)]
    stored = set(found.trials["trial"])
    trials, absent = _named(found.trials, pd.DataFrame(_lacking(planned, stored, broken)))
    asked = {}  # the category that a job gave counts before the one that the trial was made with
    members = zip(*(found.trials[name].tolist() for name in MEMBER_COLUMNS), strict=True)
    for *key, category in (*members, *(tuple(row[name] for name in MEMBER_COLUMNS) for row in planned)):
        asked[tuple(key)] = category or asked.get(tuple(key), "")
    judged, verdicts = found.judged, found.verdicts
    judges = _judges_apart(verdicts, trials)
    order = list(dict.fromkeys([*(row["trial"] for row in planned), *found.trials["trial"].tolist()]))
    return Results(
        root=root,
        trials=trials[list(TRIAL_COLUMNS)],
        judged=judged.assign(judge=_keys(judged).map(judges)),
        verdicts=verdicts.assign(judge=_keys(verdicts).map(judges))[list(VERDICT_COLUMNS)],
        scores=found.scores,
        members=pd.DataFrame(
            [(*key, category) for key, category in asked.items() if key[0] in stored], columns=list(MEMBER_COLUMNS)
        ),
        absent=absent,
        damaged=(*broken.values(), *unread),
        commands=tuple(dict.fromkeys(_text(job.command) for job in jobs if job.command)),
        metrics=_metrics(order, found.scores, trials, absent),
        methods=tuple(dict.fromkeys([*(row["method"] for row in planned), *found.trials["method"].tolist()])),
        claims=tuple(_claims(jobs)),
    )


def _trial_row(record: TrialRecord) -> dict[str, Any]:
    own, scores, git = record.labels.metric, record.scores, record.provenance.git
    execution = record.provenance.execution
    return {
        "trial": record.id,
        **_label_columns(record.labels),
        **_identity_columns(record.spec),
        "prompt": _text(record.spec.prompt),
        "category": _text(record.category or ""),
        "bindings": len(record.bindings),
        "asked": tuple(_text(f"{one.attribute} {one.object}") for one in record.bindings),
        "cut": _text("; ".join(record.cut or ())),
        "seed": record.spec.seed,
        "best_iteration": record.best_iteration,
        "score_initial": _score(scores.initial.get(own)),
        "score_best": _score(scores.best.get(own)),
        "score_last": _score(scores.last.get(own)),
        "seconds": record.timings.seconds,
        "images": record.timings.images,
        "batch_size": record.provenance.batch.side_by_side,
        "checkpointed": bool(execution) and execution.checkpointing,
        "peak_host_bytes": record.memory.peak_host_bytes,
        "peak_device_bytes": record.memory.peak_device_bytes,
        "device": record.provenance.device,
        "commit": git.commit if git else None,
        "finished": record.finished,
    }


def _planned_rows(job: JobRecord) -> list[dict[str, Any]]:
    """One row a trial of a job. A record without the spec says metric and method by their labels only."""
    shared = _label_columns(job.labels)
    with contextlib.suppress(ValueError):
        shared |= _identity_columns(SharedIdentity.from_json(job.spec))
    return [
        {
            **shared,
            "trial": trial.id,
            "prompt": _text(trial.prompt),
            "seed": trial.seed,
            "category": _text(trial.category or ""),
            "state": trial.state,
            "reason": None if trial.reason is UNSET else _text(trial.reason),
        }
        for trial in job.trials
    ]


def _label_columns(labels: Labels) -> dict[str, Any]:
    return {
        "models": labels.models,
        "metric": labels.metric,
        "method": labels.method,
        "prompt_set": _text(labels.prompts) or TYPED,
        "study": _text(labels.study),
        "random_weights": labels.random_weights,
    }


def _identity_columns(spec: Any) -> dict[str, Any]:
    """The columns that a TrialIdentity or SharedIdentity fills, without prompt and seed."""
    method = spec.method
    optimizer = dict(method.get("optimizer") or {})
    name = optimizer.pop("name", None)
    return {
        "iterations": _or_nan(method.get("iterations")),
        "lr": _or_nan(method.get("lr")),
        "regularization": _or_nan(method.get("regularization")),
        "grad_clip": _or_nan(method.get("grad_clip")),
        "optimizer": name and " ".join([name, *_pairs(optimizer)]),
        "options": " ".join(_pairs(_own_settings(method))) or None,
        "dtype": spec.dtype,
        "algorithm": spec.algorithm,
        "generator": spec.generator,
        "families": " ".join(sorted({_family(term.get("kind", "")) for term in spec.metric})),
        "terms": json.dumps(spec.metric, sort_keys=True),
    }


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _own_settings(method: dict[str, Any]) -> dict[str, Any]:
    """A method's settings that have no column of their own. A metric that it asks is told apart by its weights."""
    listed = (*METHOD_COLUMNS, "kind", "options", "asked")
    settings = {key: value for key, value in method.items() if key not in listed} | method.get("options", {})
    asked = {name: f"{name}:{digest(terms)[:8]}" for name, terms in method.get("asked", {}).items()}
    return {key: asked.get(value, value) if isinstance(value, str) else value for key, value in settings.items()}


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{key}={values[key]}" for key in sorted(values)]


BUILT_ON = {"pickscore": "clip", "hpsv2": "clip", "aesthetic": "clip", "imagereward": "blip", "blip2_itm": "blip"}
"""Kinds of metric that are another kind's model, trained further."""


def _family(kind: str) -> str:
    """A metric's kind, or the one that it is built on; of a user's own module, the last part of its dotted path."""
    return BUILT_ON.get(kind, kind.rpartition(".")[2])


def _text(text: str | None) -> str | None:
    """A text that a frame can hold. Typed bytes that are no UTF-8, which Python keeps as lone surrogates, become
    `\\udc80`."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _score(score: float | None) -> float:
    """NaN for a score that was not finite, which records have as None."""
    return np.nan if score is None else float(score)


def _judged_rows(record: TrialRecord) -> Iterable[tuple]:
    for judge, judged in record.judgements.items():
        identity = _identity(judged)
        for image in JUDGED:
            verdict = getattr(judged, image)
            faults = " ".join(sorted(name for name, there in verdict.faults.items() if there))
            for place, one in enumerate(verdict.judgements):
                yield (
                    record.id, judge, _family(judged.kin), identity, image, place,
                    _text(one.attribute), _text(one.object), one.object_present, one.attribute_present, one.bound,
                    one.object_confidence, one.attribute_confidence, one.bound_confidence,
                    _text(one.instead or ""), faults,
                )  # fmt: skip


def _verdict_rows(record: TrialRecord) -> Iterable[tuple]:
    for judge, judged in record.judgements.items():
        for image in JUDGED:
            said = getattr(judged, image)
            correct = np.nan if said.correct is None else float(said.correct)
            yield record.id, judge, _family(judged.kin), image, correct, _score(said.score), _identity(judged)


def _identity(judged: JudgedTrial) -> str:
    return "untold" if judged.identity is None else digest(judged.identity)[:8]


def _score_rows(record: TrialRecord) -> Iterable[tuple]:
    for image in SCORED:
        for metric, score in getattr(record.scores, image).items():
            yield record.id, image, metric, _score(score)


def _judges_apart(verdicts: pd.DataFrame, trials: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The name of each trial's judge: with a suffix if it has several identities on the trials of one generator."""
    models = verdicts["trial"].map(trials.set_index("trial")["models"])
    names = told_apart(verdicts.assign(models=models), ["models", "judge"], "identity", str)
    return dict(zip(_keys(verdicts), names, strict=True))


def _keys(rows: pd.DataFrame) -> pd.Series:
    """(trial, judge) of each row."""
    pairs = zip(rows["trial"].tolist(), rows["judge"].tolist(), strict=True)
    return pd.Series(list(pairs), index=rows.index, dtype=object)


def _lacking(planned: list[dict[str, Any]], stored: set[str], broken: dict[str, str]) -> list[dict[str, Any]]:
    """The planned trials that are not stored, one row a trial x prompt set, as the latest job left them."""
    latest: dict[tuple, dict[str, Any]] = {}
    for row in planned:
        if row["trial"] in stored:
            continue
        if row["trial"] in broken:
            state, reason = "damaged", broken[row["trial"]]
        elif row["state"] == FAILED:
            state, reason = "failed", row["reason"]
        else:
            state, reason = "missing", None
        latest[row["trial"], row["prompt_set"]] = {**row, "state": state, "reason": reason}
    return list(latest.values())


def _named(trials: pd.DataFrame, absent: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Stored and absent trials, with the names of generators, metrics and settings made from both together."""
    together = pd.concat([trials, absent], ignore_index=True) if len(absent) else trials.copy()
    for column in ("terms", "generator", *SETTINGS):
        if column not in together:
            together[column] = np.nan
    unspecified = together["terms"].isna()
    together["models"] = told_apart(together, ["models"], "generator", tail)
    together["metric"] = told_apart(together, ["models", "metric"], "terms", terms_name)
    together["settings"] = settings_names(together)
    together.loc[unspecified, "settings"] = None
    stored, rest = together.iloc[: len(trials)], together.iloc[len(trials) :]
    return stored.copy(), rest.reindex(columns=list(ABSENT_COLUMNS)).reset_index(drop=True)


def _metrics(order: Sequence[str], scores: pd.DataFrame, trials: pd.DataFrame, absent: pd.DataFrame) -> tuple[str, ...]:
    """The names of the metrics in the order of the trials, then the labels of those that only scored images."""
    pairs = pd.concat([trials, absent])[["trial", "metric"]]
    names = dict(zip(pairs["trial"], pairs["metric"], strict=True))
    optimised = list(dict.fromkeys(names[trial] for trial in order))
    best = scores[scores["image"] == "best"]
    places = {trial: place for place, trial in enumerate(order)}
    in_order = best["trial"].map(places).to_numpy().argsort(kind="stable")
    scored = dict.fromkeys(best["metric"].iloc[in_order])
    known = set(map(label_of, optimised))
    return (*optimised, *(name for name in scored if name not in known))


def _claims(jobs: Sequence[JobRecord]) -> Iterable[dict[str, Any]]:
    """The jobs' claims, equal ones once."""
    found = {}
    for job in jobs:
        for claim in () if job.claims is UNSET else job.claims:
            found.setdefault(msgspec.json.encode(claim), claim)
    return found.values()
