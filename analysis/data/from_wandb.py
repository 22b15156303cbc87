"""The frames of a project of Weights & Biases: for studies whose runs came from many machines.

    results = load_wandb("entity/project")        # also: python -m analysis results=wandb:entity/project

The provenance in the config of a trial's run holds what its job planned and, once it has ended, trial.json
(reno/tracking/cards.py). In runs of older versions the config itself and the summary hold them. A store knows what W&B
does not: trials of batches that never started, the commands, and the prompt sets that asked for a
trial again after it had run. Traces and images are fetched when a figure or the page needs them, frames never.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pandas as pd
from msgspec import UNSET, UnsetType
from PIL import Image

from analysis.data.curves import TRACED
from analysis.data.frames import SharedIdentity, tidy
from analysis.data.results import Results
from reno.spec.errors import BadInput, first_line
from reno.store.records import DONE, FAILED, NOT_RUN, BatchMate, BatchRecord, JobRecord, JobTrial, Labels, TrialRecord
from reno.store.staging import scratch

WANDB = "wandb:"
"""Before a project's name where a store's folder could stand."""
REPORT = "report"
"""The job_type of a report's own run, which is no trial."""
GONE = ("crashed", "killed", "preempted")
"""States of runs whose process ended before the trial did."""
PAGE = 200
"""Runs in one answer of the server."""


class RunConfig(SharedIdentity, kw_only=True):
    """What the config of a trial's run holds of its job's plan."""

    prompt: str
    seed: int
    labels: Labels
    provenance: dict[str, Any] = msgspec.field(default_factory=dict)
    claims: tuple[dict[str, Any], ...] | UnsetType = UNSET
    """The claims that the trial's job names."""

    @property
    def mates(self) -> tuple[BatchMate, ...]:
        """The trials that ran side by side; none where an older version did not record their prompts."""
        try:
            batch = BatchRecord.from_json(self.provenance.get("batch"))
        except ValueError:
            return ()
        return tuple(mate for mate in batch.trials if mate.prompt)


@dataclass(frozen=True)
class Tracked(Results):
    """Results whose traces and images are in W&B."""

    runs: dict[str, Any] = field(default_factory=dict)
    """The run of each trial, by id, as wandb.Api gives it."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The histories fetched so far; each is a request."""
    records: dict[str, TrialRecord] = field(default_factory=dict)
    """The record of each trial, by id."""
    in_folders: ClassVar[bool] = False

    def stored(self, trial: str) -> TrackedTrial:
        return TrackedTrial(self, trial)

    def history(self, trial: str) -> list[dict[str, Any]]:
        """The rows of a trial's iterations. Raises BadInput if they cannot be fetched."""
        return [row for row in self.rows_of(trial) if row.get("loss") is not None]

    def rows_of(self, trial: str) -> list[dict[str, Any]]:
        """The rows of a trial: its iterations, and one with the images before and after. Raises BadInput as
        `history`."""
        if trial not in self.rows:
            try:
                rows = [row for row in self.runs[trial].scan_history() if row.get("iteration") is not None]
            except Exception as error:  # whatever the client, the network or the server raise
                raise BadInput(f"the history of run {trial} cannot be read ({first_line(error)})") from error
            self.rows[trial] = sorted(rows, key=lambda row: row["iteration"])
        return self.rows[trial]

    def images_of(self, trial: str) -> dict[str, str]:
        """The files of a trial's initial and best image that the run has, by image. Raises BadInput as `history`."""
        best = self.records[trial].best_iteration
        found = {}
        for row in self.rows_of(trial):
            named = (("initial", row.get("before")), ("best", row.get("after")))
            at = row.get("image")
            named += (
                ("initial", at if row["iteration"] == 0 else None),
                ("best", at if row["iteration"] == best else None),
            )
            found |= {which: image["path"] for which, image in named if image and which not in found}
        return found

    def traces(self, trials: Iterable[str], columns: Sequence[str] = TRACED) -> pd.DataFrame:
        parts, read, unread = [], [], []
        for trial in trials:
            try:
                rows = self.history(trial)
            except BadInput:
                rows = []
            if not rows:
                unread.append(trial)
                continue
            read.append(trial)
            values = {name: [_number(row.get(name)) for row in rows] for name in columns}
            parts.append(pd.DataFrame({"trial": trial, **values}))
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["trial", *columns])
        if "iteration" in columns:
            frame["iteration"] = frame["iteration"].astype("int64")
        frame["trial"] = pd.Categorical(frame["trial"], categories=read)
        frame.attrs["unread"] = tuple(unread)
        return frame


@dataclass(frozen=True)
class TrackedTrial:
    """One trial of W&B: what figures and the page need of reno.store.store.Stored, without frames (each a request)."""

    results: Tracked
    id: str

    @property
    def record(self) -> TrialRecord:
        return self.results.records[self.id]

    def image(self, which: str) -> np.ndarray:
        """The `initial` or `best` image, uint8 (H, W, 3). Raises BadInput if W&B does not have it."""
        path = self.results.images_of(self.id).get(which)
        if path is None:
            raise BadInput(f"run {self.id} has no {which} image; it was logged with tracking.images=false")
        try:
            with scratch("image") as folder:
                self.results.runs[self.id].file(path).download(root=str(folder), replace=True).close()
                data = (folder / path).read_bytes()
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
    records, broken = {}, {}
    for run, config in runs:
        if run.state != "finished" or "failed" in run.summary_metrics:
            continue
        record = _record(run, config)
        if record is None:
            broken[run.id] = (
                f"the run {run.id} in {path} is left out: it finished, but does not have its trial; an older "
                "version logged it; to log it anew, run its command again with an empty RESULTS/wandb"
            )
        else:
            records[run.id] = record
    running = sum(run.state in ("running", "pending") for run, _ in runs)
    notes = [f"{running} runs in {path} have not ended; their trials count as missing"] if running else []
    if not records:
        states = pd.Series([run.state for run, _ in runs], dtype=object).value_counts().to_dict()
        counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none at all"
        raise BadInput(
            f"{place} holds no whole trial; its runs are: {counts} (jobs that ran with tracking.level=summary have no "
            "runs of their trials; make the report of their results folder)"
        )
    ordered = [records[trial] for trial in sorted(records)]
    results = tidy(ordered, _jobs(runs, records), root=Path(place), broken=broken, unread=notes)
    return Tracked(
        **{one.name: getattr(results, one.name) for one in fields(Results)},
        runs={run.id: run for run, _ in runs if run.id in records},
        records=records,
    )


def _fetch(path: str, api: Any) -> list[tuple[Any, RunConfig]]:
    """The runs of a project that are trials, oldest first, each with its config: one request for PAGE of them."""
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
    found = [(run, _config(run)) for run in runs if run.job_type != REPORT]
    return [(run, config) for run, config in found if config is not None]


def _config(run: Any) -> RunConfig | None:
    """None if the run is of something else than a trial."""
    config = dict(run.config)
    told = config.get("provenance")
    if isinstance(told, dict) and isinstance(told.get("spec"), dict):
        config = {**told["spec"], "provenance": told, **{key: told[key] for key in ("labels", "claims") if key in told}}
    try:
        return RunConfig.from_json(config)
    except ValueError:
        return None


def _record(run: Any, config: RunConfig) -> TrialRecord | None:
    """The trial's record, from the run's config, or its summary in older versions; None if they do not have it."""
    try:
        values = json.loads(config.provenance.get("record") or run.summary_metrics["record"])
        record = TrialRecord.from_json({**values, "provenance": config.provenance})
    except (KeyError, TypeError, ValueError):
        return None
    return record if record.id == run.id else None


def _jobs(runs: Sequence[tuple[Any, RunConfig]], records: dict[str, TrialRecord]) -> list[JobRecord]:
    """What job.json would say: the trials of each configuration that has a run, and those that shared its batches."""
    jobs: list[tuple[Labels, SharedIdentity, dict[str, JobTrial], RunConfig]] = []
    # First the runs that have a record: W&B writes the numbers of a config anew, 5.0 as 5, those of a record not.
    for run, config in sorted(runs, key=lambda pair: pair[0].id not in records):
        known = records.get(run.id)
        labels = known.labels if known else config.labels
        shared = _shared(known.spec if known else config)
        trials = next((job[2] for job in jobs if job[0] == labels and job[1] == shared), None)
        if trials is None:
            trials = {}
            jobs.append((labels, shared, trials, config))
        state, reason = _end(run)
        trials[run.id] = JobTrial(id=run.id, prompt=config.prompt, seed=config.seed, state=state, reason=reason)
        for mate in config.mates:
            trials.setdefault(mate.id, JobTrial(id=mate.id, prompt=mate.prompt, seed=mate.seed, state=NOT_RUN))
    return [
        JobRecord(labels=labels, spec=shared.to_json(), trials=tuple(trials.values()), claims=config.claims)
        for labels, shared, trials, config in jobs
    ]


def _shared(spec: Any) -> SharedIdentity:
    """The fields of SharedIdentity, of a TrialIdentity or a RunConfig."""
    return SharedIdentity(**{name: getattr(spec, name) for name in SharedIdentity.__struct_fields__})


def _end(run: Any) -> tuple[str, str | UnsetType]:
    """How a run ended, in the words of job.json: its state, and the reason if it failed."""
    reason = run.summary_metrics.get("failed")
    if reason == "interrupted":  # reno/tracking/runs.py says so of what a person stopped
        return NOT_RUN, UNSET
    if reason is not None or run.state == "failed":
        return FAILED, str(reason or "its run failed and does not say why")
    if run.state in GONE:
        return FAILED, f"its run {run.state}: the process ended before the trial did"
    return (DONE if run.state == "finished" else NOT_RUN), UNSET


def _number(value: Any) -> float:
    """W&B writes a number that is not finite as a text; what was not logged is None."""
    return np.nan if value is None else float(value)
