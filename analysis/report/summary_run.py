"""A study's report in Weights & Biases: one run with its tables, images before and after, figures and verdicts, and an
artifact `results-STUDY` with the tables as CSV, of which W&B keeps every version.

    lines = log_summary_run(results, tables, figures, found, files, TrackingSpec(mode="auto"), folder, warn=print)

The run has the job_type `report` and the study as its group, as the study's trials have. Its id comes from the study,
so that a report made again takes the place of the previous one.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.claims import Claim
from analysis.data import Results
from analysis.data.from_wandb import REPORT
from analysis.data.results import ABSENT_STATES
from analysis.figures import Figure
from analysis.tables import Table
from analysis.tables.files import table_stem
from analysis.text import file_name
from reno.letters.harmless import cell
from reno.tracking import RunCard, TrackingSpec, make_tracker
from reno.tracking.shown import Grid, Picture

MOST_TRIALS = 200
"""Trials shown before and after: drawn at random, the same ones each time, where there are more."""
ABOUT = ("prompt", "seed", "models", "prompt_set", "method", "metric", "settings", "score_initial", "score_best")


def log_summary_run(
    results: Results,
    tables: Sequence[Table],
    figures: Sequence[Figure],
    found: Sequence[Claim],
    files: Mapping[str, Path],
    tracking: TrackingSpec,
    folder: Path,
    warn: Callable[[str], None],
) -> list[str]:
    """Logs the run; answers with lines that say where it is. files: the tables' files, by their names in the artifact,
    which the run has as its output. folder: the run is kept in its wandb/.

    Whatever goes wrong with W&B costs a warning: the report is written already."""
    if tracking.mode == "disabled":
        return []
    study = study_of(results)
    models = sorted(results.trials["models"].unique())
    sets = sorted(map(str, results.members["prompt_set"].unique()))
    card = RunCard(
        id=hashlib.sha256(json.dumps([REPORT, study, models, sets]).encode()).hexdigest(),
        name=f"report of {study}",
        group=study,
        job_type=REPORT,
        config={"models": models, "prompts": sets, "metrics": sorted(results.trials["metric"].unique())},
        tags=(REPORT,),
    )
    tracker = make_tracker(tracking, folder, warn)
    tracker.start(card)
    tracker.log(card.id, 0, logged_values(results, tables, figures), None)
    tracker.keep(card.id, f"results {study}", "results", dict(files))
    tracker.finish(card.id, summary_of(results, found))
    return tracker.close()


def study_of(results: Results) -> str:
    """The study's name; several are joined; `no study` if there is none."""
    names = sorted(str(name) for name in results.members["study"].dropna().unique())
    return " + ".join(names) or "no study"


def logged_values(results: Results, tables: Sequence[Table], figures: Sequence[Figure]) -> dict[str, Any]:
    """The one row of the run: `tables/...` and `figures/...`."""
    images = _Images(results)
    values: dict[str, Any] = {"tables/trials": _as_table(_trials(results), images)}
    for table in tables:
        if len(table.frame.columns):
            values[f"tables/{table_stem(table)}"] = _as_table(table.frame, images)
    for figure in figures:
        caption = f"{figure.caption} {figure.note}".strip()
        values[f"figures/{figure.png.stem}"] = Picture(figure.png.read_bytes(), caption)
    return values


def summary_of(results: Results, found: Sequence[Claim]) -> dict[str, int | str]:
    """How many trials the numbers rest on, and each claim's verdict."""
    counts = {state: results.lacking.get(state, 0) for state in ABSENT_STATES}
    verdicts = {
        f"claim/{one.key}/{file_name(one.models, one.prompt_set, one.judge or 'no judge')}": one.verdict
        for one in found
    }
    return {"trials": len(results.trials), **counts, **verdicts}


def _trials(results: Results) -> pd.DataFrame:
    """One row a trial, with the share of bindings that hold before and after by each judge."""
    trials = results.trials
    if len(trials) > MOST_TRIALS:
        trials = trials.iloc[sorted(random.Random(0).sample(range(len(trials)), MOST_TRIALS))]
    shown = trials[["trial", *ABOUT]]
    judged = results.judged
    for judge in sorted(judged["judge"].unique()):
        for image, when in (("initial", "before"), ("best", "after")):
            own = judged[(judged["judge"] == judge) & (judged["image"] == image)]
            held = own.groupby("trial")["bound"].mean()
            shown = shown.assign(**{f"{judge} bound {when}": shown["trial"].map(held)})
    return shown


def _as_table(frame: pd.DataFrame, images: _Images) -> Grid:
    """Every column of the frame; where a row is of one trial, its images too, for the first MOST_TRIALS rows."""
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    columns = [cell(str(name)) for name in frame.columns]
    if "trial" in columns:
        place = columns.index("trial")
        columns += ["before", "after"]
        for number, row in enumerate(rows):
            row += images.of(row[place]) if number < MOST_TRIALS else [None, None]
    return Grid(columns, rows)


def _cell(value: Any) -> Any:
    """A value as JSON has it; a missing one is None. W&B gives a table as CSV: its texts are made safe for that."""
    if pd.api.types.is_scalar(value):
        return None if pd.isna(value) else cell(getattr(value, "item", lambda: value)())
    return cell(str(value))


class _Images:
    """The initial and the best image of trials, each read once; None where it cannot be."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._read: dict[str, list[Picture | None]] = {}

    def of(self, trial: str) -> list[Picture | None]:
        if trial not in self._read:
            self._read[trial] = [self._image(trial, which) for which in ("initial", "best")]
        return self._read[trial]

    def _image(self, trial: str, which: str) -> Picture | None:
        from PIL import Image

        pixels = self._results.shown(trial, lambda stored: stored.image(which))
        if pixels is None:
            return None
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return Picture(file.getvalue())
