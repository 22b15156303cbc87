"""Trials from Weights & Biases, in the frames that the store gives: for studies whose runs came from many machines.

    results = load_wandb("entity/project")        # also: python -m analysis wandb:entity/project OUT

A trial's run holds trial.json in its summary (reno/record.py) and what a job planned in its config. What W&B cannot
tell, and a store can: the trials of batches that never started, the commands, and the prompt sets that a trial was
asked for in again after it had run. Traces and images are fetched when a figure or the page wants
them, frames never.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from analysis.load import WANDB, Results, tidy
from reno.errors import BadInput, first_line

REPORT = "report"
"""The job_type of a study's summary run, which is no trial."""
BESIDE_SPEC = ("prompt", "seed", "bindings", "labels", "series", "provenance")
"""Keys of a run's config that are not of the configuration its job was of."""
GONE = ("crashed", "killed", "preempted")
PAGE = 200
"""Runs an answer of the server."""


@dataclass(frozen=True)
class Tracked(Results):
    """Results whose traces and images lie in W&B."""

    runs: dict[str, Any] = field(default_factory=dict)
    """The run of each trial, by id, as wandb.Api gives it."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The histories fetched so far: a request each."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """trial.json of each trial, by id, as its run holds it."""
    in_folders: ClassVar[bool] = False

    def stored(self, trial: str) -> TrackedTrial:
        return TrackedTrial(self, trial)

    def history(self, trial: str) -> list[dict[str, Any]]:
        """The rows of a trial's iterations. Raises BadInput if they cannot be fetched."""
        if trial not in self.rows:
            try:
                rows = [row for row in self.runs[trial].scan_history() if row.get("iteration") is not None]
            except Exception as error:  # whatever the client, the network or the server raise
                raise BadInput(f"the history of run {trial} cannot be read ({first_line(error)})") from error
            self.rows[trial] = sorted(rows, key=lambda row: row["iteration"])
        return self.rows[trial]

    def traces(self, trials: Iterable[str], columns: Sequence[str] = ("iteration", "loss", "score", "seconds")):
        parts, unread = [], []
        for trial in trials:
            try:
                rows = self.history(trial)
            except BadInput:
                rows = []
            if not rows:
                unread.append(trial)
                continue
            values = {name: [_number(row.get(name)) for row in rows] for name in columns}
            parts.append(pd.DataFrame({"trial": trial, **values}))
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["trial", *columns])
        if "iteration" in columns:
            frame["iteration"] = frame["iteration"].astype("int64")
        frame.attrs["unread"] = tuple(unread)
        return frame


@dataclass(frozen=True)
class TrackedTrial:
    """One trial of W&B, with the face of reno.results.Stored that figures and the report need. Its frames stay where
    they are: they are a request each."""

    results: Tracked
    id: str

    @property
    def record(self) -> dict[str, Any]:
        return self.results.records[self.id]

    def image(self, which: str) -> np.ndarray:
        """The `initial` or `best` image, uint8 (H, W, 3). Raises BadInput if W&B does not have it."""
        from PIL import Image

        wanted = int(self.record["best_iteration"]) if which == "best" else 0
        path = next((r["image"]["path"] for r in self.results.history(self.id)
                     if r["iteration"] == wanted and r.get("image")), None)  # fmt: skip
        if path is None:
            raise BadInput(
                f"run {self.id} has no image at iteration {wanted}; it was logged with tracking.images=false"
            )
        try:
            with tempfile.TemporaryDirectory() as folder:
                self.results.runs[self.id].file(path).download(root=folder, replace=True).close()
                data = (Path(folder) / path).read_bytes()
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert("RGB"))
        except Exception as error:  # as above
            raise BadInput(f"the image {path} of run {self.id} cannot be fetched ({first_line(error)})") from error


def load_wandb(path: str, api: Any = None) -> Tracked:
    """Reads the trials of a project. Raises BadInput where there is no key, no such project or no whole trial.

    path: `entity/project`, or `project` of the key's own entity. api: what answers, by default wandb.Api().
    """
    place = f"{WANDB}{path}"
    if not 1 <= len(path.split("/")) <= 2 or not all(path.split("/")):
        raise BadInput(f"{place} is no project; write {WANDB}entity/project")
    runs = _fetch(path, api)
    records, broken, notes, found = [], {}, [], {}
    for run in runs:
        if run.state != "finished" or "failed" in run.summary_metrics:
            continue
        record = _record(run)
        if record is None:
            broken[run.id] = (
                f"the run {run.id} in {path} is left out: it ended well and its summary does not hold its trial; an "
                "earlier version logged it, and running its command again with an empty RESULTS/wandb logs it anew"
            )
            continue
        records.append(record)
        found[run.id] = run
    running = sum(run.state in ("running", "pending") for run in runs)
    if running:
        notes.append(f"{running} runs in {path} have not ended; their trials count as missing")
    if not records:
        states = pd.Series([run.state for run in runs], dtype=object).value_counts().to_dict()
        counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none at all"
        raise BadInput(f"{place} holds no whole trial; its runs are: {counts}")
    records.sort(key=lambda record: record["id"])
    results = tidy(records, _jobs(runs, records), root=Path(place), broken=broken, unread=notes)
    return Tracked(
        **{one.name: getattr(results, one.name) for one in fields(Results)},
        runs=found,
        records={record["id"]: record for record in records},
    )


def _fetch(path: str, api: Any) -> list[Any]:
    """The runs of a project that are trials, oldest first, in full: one request for PAGE of them."""
    import wandb

    try:
        if api is None:
            if not wandb.login(prompt=False, verify=False):
                raise BadInput(
                    f"reading {WANDB}{path} needs a key and W&B online; `wandb login` or WANDB_API_KEY gives the key"
                )
            api = wandb.Api(timeout=60)
        runs = list(api.runs(path, order="+created_at", per_page=PAGE, lazy=False))
    except (wandb.errors.Error, ValueError, OSError) as error:
        raise BadInput(f"{WANDB}{path} cannot be read ({first_line(error)})") from error
    return [run for run in runs if run.job_type != REPORT and {"labels", "method", "prompt"} <= set(run.config)]


def _record(run: Any) -> dict[str, Any] | None:
    """trial.json, from a run's summary and config; None if they do not hold it."""
    try:
        record = json.loads(run.summary_metrics["record"])
        return {**record, "provenance": run.config["provenance"]} if record["id"] == run.id else None
    except (KeyError, TypeError, ValueError):
        return None


def _jobs(runs: Sequence[Any], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What job.json would say: the trials of each configuration that has a run, and those that shared its batches."""
    exact = {record["id"]: record for record in records}
    jobs: list[dict[str, Any]] = []
    for run in sorted(runs, key=lambda run: run.id not in exact):  # first those whose numbers W&B did not write anew
        known = exact.get(run.id)
        spec = known["spec"] if known else run.config
        spec = {name: value for name, value in spec.items() if name not in BESIDE_SPEC}
        labels = known["labels"] if known else run.config["labels"]
        job = next((job for job in jobs if job["labels"] == labels and job["spec"] == spec), None)
        if job is None:
            job = {"labels": labels, "spec": spec, "trials": {}}
            jobs.append(job)
        job["trials"][run.id] = {"id": run.id, "prompt": run.config["prompt"], "seed": run.config["seed"], **_end(run)}
        for mate in (run.config.get("provenance") or {}).get("batch", {}).get("trials", ()):
            if {"id", "prompt", "seed"} <= mate.keys():
                planned = {name: mate[name] for name in ("id", "prompt", "seed")}
                job["trials"].setdefault(mate["id"], {**planned, "state": "not run"})
    return [{**job, "trials": list(job["trials"].values())} for job in jobs]


def _end(run: Any) -> dict[str, str]:
    """How a run ended, in the words of job.json."""
    reason = run.summary_metrics.get("failed")
    if reason == "interrupted":  # reno/tracking/runs.py says so of what a person stopped
        return {"state": "not run"}
    if reason is not None or run.state == "failed":
        return {"state": "failed", "reason": str(reason or "its run failed and does not say why")}
    if run.state in GONE:
        return {"state": "failed", "reason": f"its run {run.state}: the process ended before the trial did"}
    return {"state": "done" if run.state == "finished" else "not run"}


def _number(value: Any) -> float:
    """W&B writes what is not finite as a text; what was not logged is None."""
    return np.nan if value is None else float(value)
