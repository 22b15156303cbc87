"""The store as tidy pandas frames.

    results = load(Path("results"))
    results.trials      one row a stored trial
    results.judged      one row a binding of an image (initial, best) by a judge
    results.scores      one row a metric's score of an image (initial, best, last)
    results.absent      one row a trial that some job planned and the store lacks, with its state and reason
    results.members     one row a trial of a prompt set: a trial is stored once and may belong to several sets
    results.traces(ids) one row an iteration

Nothing is dropped silently: a damaged trial is left out with a sentence in `results.damaged`, and is a row of `absent`
where a job planned it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from reno.errors import BadInput
from reno.results import Store, Stored, identity_digest, read_record, read_trial

WANDB = "wandb:"
"""Before a project's name where a store's folder could stand."""
TYPED = "typed"
"""The prompt set of prompts that were typed and not named."""

SETTINGS = (
    "iterations", "lr", "regularization", "grad_clip", "optimizer", "dtype", "algorithm",
)  # fmt: skip
"""What, besides the metric, tells two configurations of one method apart."""

TRIAL_COLUMNS = (
    "trial", "models", "prompt_set", "study", "metric", "families", "method", "settings", *SETTINGS, "prompt",
    "bindings", "seed", "generator", "random_weights", "best_iteration", "score_initial", "score_best", "score_last",
    "seconds", "images", "batch_size", "peak_host_bytes", "peak_device_bytes", "device", "commit", "finished",
)  # fmt: skip
JUDGED_COLUMNS = (
    "trial", "judge", "kin", "identity", "image", "place", "attribute", "object", "object_present", "attribute_present",
    "bound", "object_confidence", "attribute_confidence", "bound_confidence", "faults",
)  # fmt: skip
SCORE_COLUMNS = ("trial", "image", "metric", "score")
MEMBER_COLUMNS = ("trial", "prompt_set", "study")
ABSENT_COLUMNS = (
    "trial", "models", "prompt_set", "study", "metric", "method", "settings", "prompt", "seed", "state", "reason",
)  # fmt: skip
ABSENT_STATES = ("failed", "damaged", "missing")


@dataclass(frozen=True)
class Results:
    """A results store, read."""

    root: Path
    trials: pd.DataFrame
    """TRIAL_COLUMNS, one row a stored trial. `metric` and `models` are the record's labels, told apart further where
    one label stands for several weights; `settings` is a readable name of SETTINGS, different where they differ."""
    judged: pd.DataFrame
    """JUDGED_COLUMNS, one row a binding x image (initial, best) x judge. `place` is the binding's place in the prompt,
    from 0; confidences are in [0, 1]; `faults` names, separated by spaces, what is wrong with the whole image.
    `identity` is the start of the digest of the judge's weights, settings and version. Where one judge has several on
    the trials of a generator, `judge` is told apart by it: they are different judges, and no number is of both."""
    scores: pd.DataFrame
    """SCORE_COLUMNS, one row a metric that scored an image (initial, best, last). `metric` is the record's label."""
    members: pd.DataFrame
    """MEMBER_COLUMNS, one row a stored trial x prompt set x study it was asked for in."""
    absent: pd.DataFrame
    """ABSENT_COLUMNS, one row a planned trial x prompt set that the store lacks. `state` is failed, damaged or missing;
    `settings` is None where the job's record does not tell."""
    damaged: tuple[str, ...]
    """A sentence for each trial and each job record that could not be read."""
    commands: tuple[str, ...]
    """The commands whose jobs filled the store, in the order they ran."""
    in_folders: ClassVar[bool] = True
    """Each trial lies in its folder with all of its images; else an image is a request to a server."""

    @property
    def lacking(self) -> dict[str, int]:
        """How many planned trials the store lacks, by state, the most frequent first; a trial of several prompt sets
        counts once."""
        return self.absent.drop_duplicates("trial")["state"].value_counts().to_dict()

    def folder(self, trial: str) -> Path:
        return self.root / "trials" / trial

    def stored(self, trial: str) -> Stored:
        """The trial itself, with its images and frames. Raises BadInput if it is damaged."""
        return read_trial(self.folder(trial))

    def traces(self, trials: Iterable[str], columns: Sequence[str] = ("iteration", "loss", "score", "seconds")):
        """One row an iteration of each trial, a frame with `trial` and `columns` of reno.results.TRACE_COLUMNS.

        A trace that cannot be read is left out; `unread` in the frame's attrs names such trials."""
        return _traces(self.root, list(trials), list(columns))

    @cached_property
    def all_traces(self) -> pd.DataFrame:
        """The traces of every trial, read once."""
        return self.traces(self.trials["trial"])


def load(root: Path) -> Results:
    """Reads the store in `root`, or a project: `wandb:entity/project`. Raises BadInput if it holds no whole trial."""
    if str(root).startswith(WANDB):
        from analysis.from_wandb import load_wandb

        return load_wandb(str(root).removeprefix(WANDB))
    records, broken = _read_trials(root)
    jobs, unread = _read_jobs(root)
    damaged = (*broken.values(), *unread)
    if not records:
        raise BadInput(_nothing(root, jobs, damaged))
    return tidy(records, jobs, root=root, broken=broken, unread=unread)


def tidy(
    records: Sequence[dict[str, Any]],
    jobs: Sequence[dict[str, Any]] = (),
    *,
    root: Path = Path("results"),
    broken: dict[str, str] | None = None,
    unread: Sequence[str] = (),
) -> Results:
    """The frames of trial records (trial.json) and job records (job.json, in the order they ran), wherever they come
    from. broken: a sentence for each trial that could not be read, by id; unread: one for each job."""
    broken = dict(broken or {})
    rows, judged, scores = [], [], []
    for record in records:
        try:
            row, of_judges, of_metrics = _trial_row(record), _judged_rows(record), _score_rows(record)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            trial = str(record.get("id"))
            broken[trial] = (
                f"the trial in {root / 'trials' / trial} is left out: its trial.json does not have what this version "
                f"reads ({type(error).__name__}: {error}); delete that folder and run the same command again"
            )
            continue
        rows.append(row)
        judged += of_judges
        scores += of_metrics
    if not rows:
        raise BadInput(_nothing(root, jobs, tuple(broken.values())))
    planned = [row for job in jobs for row in _planned_rows(job)]
    stored = {row["trial"] for row in rows}
    lacking = _lacking(planned, stored, broken)
    trials, absent = _named(pd.DataFrame(rows), pd.DataFrame(lacking))
    asked = dict.fromkeys(tuple(row[name] for name in MEMBER_COLUMNS) for row in (*rows, *planned))
    members = pd.DataFrame([row for row in asked if row[0] in stored], columns=list(MEMBER_COLUMNS))
    return Results(
        root,
        trials[list(TRIAL_COLUMNS)],
        _judges_apart(pd.DataFrame(judged, columns=list(JUDGED_COLUMNS)), trials),
        pd.DataFrame(scores, columns=list(SCORE_COLUMNS)),
        members,
        absent,
        (*broken.values(), *unread),
        tuple(dict.fromkeys(_text(job["command"]) for job in jobs if job.get("command"))),
    )


def _read_trials(root: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The records of the whole trials, with what was judged later, and a sentence for each other, by id."""
    records, broken = [], {}
    folder = Store(root).trials
    for trial in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not trial.is_dir():
            continue  # a file manager's own
        try:
            stored = read_trial(trial)
            records.append({**stored.record, "judgements": stored.judgements()})
        except BadInput as error:
            broken[trial.name] = str(error)
    return records, broken


def _read_jobs(root: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of the jobs, of single runs and of sweeps, oldest first, and a sentence for each unreadable one."""
    jobs, unread = [], []
    for path in sorted((root / "jobs").glob("**/job.json"), key=_job_order):
        try:
            job = read_record(path)
            for trial in job["trials"]:
                trial["id"], trial["prompt"], trial["seed"], trial["state"]
            job["labels"]["metric"], job["labels"]["method"], job["labels"]["models"]
        except (OSError, ValueError, KeyError, TypeError):
            unread.append(f"{path} cannot be read as a job's record; trials that only it names are not counted")
            continue
        jobs.append(job)
    return jobs, unread


def _job_order(path: Path) -> tuple:
    """Folders are named by time; the jobs of a sweep by number, 10 after 9."""
    return tuple((int(part) if part.isdigit() else -1, part) for part in path.parts)


def _nothing(root: Path, jobs: Sequence[dict[str, Any]], damaged: Sequence[str]) -> str:
    """Why there is nothing to report, in one sentence."""
    if not root.is_dir():
        return f"there is no folder {root}; give the one that `python -m reno.run` wrote to: RESULTS=DIR"
    failed = [trial for job in jobs for trial in job["trials"] if trial["state"] == "failed"]
    if damaged:
        return f"{root} holds no whole trial, only {len(damaged)} damaged ones, the first being: {damaged[0]}"
    if failed:
        reason = failed[-1].get("reason", "no reason is recorded")
        return f"{root} holds no trial: all {len(failed)} that were run failed, the last with: {reason}"
    return f"{root} holds no trial; run one first, for example `python -m reno.run results={root}`"


def _trial_row(record: dict[str, Any]) -> dict[str, Any]:
    labels, spec, provenance = record["labels"], record["spec"], record["provenance"]
    own = labels["metric"]
    memory, timings = record["memory"], record["timings"]
    return {
        "trial": record["id"],
        **_label_columns(labels),
        **_spec_columns(spec),
        "prompt": _text(spec["prompt"]),
        "bindings": len(record["bindings"]),
        "seed": spec["seed"],
        "best_iteration": record["best_iteration"],
        "score_initial": _score(record["scores"]["initial"][own]),
        "score_best": _score(record["scores"]["best"][own]),
        "score_last": _score(record["scores"]["last"][own]),
        "seconds": float(timings["seconds"]),
        "images": timings["images"],
        "batch_size": timings["batch_size"],
        "peak_host_bytes": memory["peak_host_bytes"],
        "peak_device_bytes": memory["peak_device_bytes"],
        "device": provenance.get("device"),
        "commit": (provenance.get("git") or {}).get("commit"),
        "finished": record.get("finished"),
    }


def _text(text: str | None) -> str | None:
    """A text that a frame can hold: bytes that were no text, which Python keeps as lone surrogates, as `\\udc80`."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _score(score: float | None) -> float:
    """A score that was not finite is stored as null."""
    return np.nan if score is None else float(score)


def _label_columns(labels: dict[str, Any]) -> dict[str, Any]:
    return {
        "models": labels["models"],
        "metric": labels["metric"],
        "method": labels["method"],
        "prompt_set": _text(labels.get("prompts")) or TYPED,
        "study": _text(labels.get("study")),
        "random_weights": bool(labels.get("random_weights")),
    }


def _spec_columns(spec: dict[str, Any]) -> dict[str, Any]:
    """The columns that a trial's identity fills, without prompt and seed."""
    method = spec["method"]
    optimizer = dict(method.get("optimizer") or {})
    name = optimizer.pop("name", None)
    return {
        "iterations": method.get("iterations", np.nan),
        "lr": method.get("lr", np.nan),
        "regularization": method.get("regularization", np.nan),
        "grad_clip": np.nan if method.get("grad_clip") is None else method["grad_clip"],
        "optimizer": name and " ".join([name, *(f"{key}={optimizer[key]}" for key in sorted(optimizer))]),
        "dtype": spec["dtype"],
        "algorithm": spec["algorithm"],
        "generator": spec["generator"],
        "families": " ".join(sorted({term["kind"] for term in spec["metric"]})),
        "terms": json.dumps(spec["metric"], sort_keys=True),
    }


def _judged_rows(record: dict[str, Any]) -> list[tuple]:
    rows = []
    for judge, judged in record["judgements"].items():
        identity = _identity_name(judged.get("identity"))
        for image in ("initial", "best"):
            verdict = judged[image]
            faults = " ".join(sorted(name for name, there in verdict["faults"].items() if there))
            for place, one in enumerate(verdict["judgements"]):
                rows.append(
                    (
                        record["id"], judge, judged["kin"], identity, image, place,
                        _text(one["attribute"]), _text(one["object"]),
                        bool(one["object_present"]), bool(one["attribute_present"]), bool(one["bound"]),
                        float(one["object_confidence"]), float(one["attribute_confidence"]),
                        float(one["bound_confidence"]), faults,
                    )
                )  # fmt: skip
    return rows


def _identity_name(identity: dict[str, Any] | None) -> str:
    """As it begins the folder of what the judge said later; of a judge that does not tell, `untold`."""
    return "untold" if identity is None else identity_digest(identity)[:8]


def _judges_apart(judged: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """With the identity added to the names of judges that have several on the trials of one generator."""
    models = judged["trial"].map(trials.set_index("trial")["models"])
    return judged.assign(judge=_told_apart(judged.assign(models=models), ["models", "judge"], "identity", str))


def _score_rows(record: dict[str, Any]) -> list[tuple]:
    return [
        (record["id"], image, metric, _score(score))
        for image, scores in record["scores"].items()
        for metric, score in scores.items()
    ]


def _planned_rows(job: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a trial of a job. A record without the spec tells the metric and the method by their labels only."""
    shared = _label_columns(job["labels"])
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        shared |= _spec_columns(job["spec"])
    return [
        {
            **shared,
            "trial": trial["id"],
            "prompt": _text(trial["prompt"]),
            "seed": trial["seed"],
            "state": trial["state"],
            "reason": _text(trial.get("reason")),
        }
        for trial in job["trials"]
    ]


def _lacking(planned: list[dict[str, Any]], stored: set[str], broken: dict[str, str]) -> list[dict[str, Any]]:
    """The planned trials that are not stored, one row a trial x prompt set, as the latest job left them."""
    latest: dict[tuple, dict[str, Any]] = {}
    for row in planned:
        if row["trial"] in stored:
            continue
        if row["trial"] in broken:
            state, reason = "damaged", broken[row["trial"]]
        elif row["state"] == "failed":
            state, reason = "failed", row["reason"]
        else:
            state, reason = "missing", None
        latest[row["trial"], row["prompt_set"]] = {**row, "state": state, "reason": reason}
    return list(latest.values())


def _named(trials: pd.DataFrame, absent: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gives stored and absent trials names that tell generators, metrics and settings apart, the same for both."""
    together = pd.concat([trials, absent], ignore_index=True) if len(absent) else trials.copy()
    for column in ("terms", "generator", *SETTINGS):
        if column not in together:
            together[column] = np.nan
    unspecified = together["terms"].isna()
    together["models"] = _told_apart(together, ["models"], "generator", _tail)
    together["metric"] = _told_apart(together, ["models", "metric"], "terms", _terms_name)
    together["settings"] = _settings_names(together)
    together.loc[unspecified, "settings"] = None
    stored, rest = together.iloc[: len(trials)], together.iloc[len(trials) :]
    return stored.copy(), rest.reindex(columns=list(ABSENT_COLUMNS)).reset_index(drop=True)


def _told_apart(frame: pd.DataFrame, by: list[str], identity: str, name: Callable[[str], str]) -> pd.Series:
    """The last column of `by`, with `name` of the identity added where one label stands for several identities."""
    label = frame[by[-1]].copy()
    apart = (frame.groupby(by, dropna=False)[identity].transform("nunique") > 1) & frame[identity].notna()
    if apart.any():
        label[apart] = label[apart] + "[" + frame.loc[apart, identity].map(name) + "]"
    return label


def _tail(identity: str) -> str:
    return identity[-8:]


def _terms_name(terms: str) -> str:
    """What differs between two metrics of one label: weights of the sum, or the checkpoints."""
    return " ".join(f"{term['weight']:g}*{_tail(str(term['weights']))}" for term in json.loads(terms))


def _settings_names(frame: pd.DataFrame) -> pd.Series:
    """`50 it., lr 0.01`, and whatever else varies among the trials of the same method."""
    names = pd.Series("", index=frame.index)
    for _, rows in frame.groupby("method"):
        varied = [name for name in SETTINGS if rows[name].nunique(dropna=False) > 1]
        shown = [name for name in SETTINGS if name in ("iterations", "lr") or name in varied]
        distinct = rows[list(SETTINGS)].drop_duplicates()
        keys = {tuple(_key(v) for v in values): _settings_name(values, shown) for values in distinct.to_numpy(object)}
        names.loc[rows.index] = [
            keys[tuple(_key(v) for v in values)] for values in rows[list(SETTINGS)].to_numpy(object)
        ]
    return names


def _key(value: object) -> object:
    return None if value is None or value != value else value


def _settings_name(values: Sequence[object], shown: Sequence[str]) -> str:
    write = {
        "iterations": lambda v: f"{v:.0f} it.",
        "lr": lambda v: f"lr {v:g}",
        "regularization": lambda v: f"reg. {v:g}",
        "grad_clip": lambda v: f"clip {v:g}",
        "optimizer": str,
        "dtype": str,
        "algorithm": lambda v: f"algorithm {v}",
    }
    given = dict(zip(SETTINGS, values, strict=True))
    return ", ".join(write[name](given[name]) for name in shown if _key(given[name]) is not None)


def _traces(root: Path, trials: list[str], columns: list[str]) -> pd.DataFrame:
    import pyarrow
    from pyarrow import parquet

    tables, lengths, read, unread = [], [], [], []
    for trial in trials:
        try:
            table = parquet.ParquetFile(root / "trials" / trial / "trace.parquet").read(
                columns=columns, use_threads=False
            )
        except (OSError, pyarrow.ArrowException):
            unread.append(trial)
            continue
        tables.append(table)
        lengths.append(table.num_rows)
        read.append(trial)
    if not tables:
        frame = pd.DataFrame(columns=["trial", *columns])
    else:
        frame = pyarrow.concat_tables(tables).to_pandas()[columns]
        frame.insert(0, "trial", np.repeat(np.array(read, dtype=object), lengths))
    frame.attrs["unread"] = tuple(unread)
    return frame
