"""Which trials are shown side by side: one prompt and seed, not optimised and optimised by each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.figures.sheets import usual
from analysis.load import Results
from analysis.outcomes import Slice
from analysis.report.words import Told, verdicts
from analysis.tables import cells
from analysis.tables.table import method_order, metrics_of
from analysis.tuning import chosen, reported


@dataclass(frozen=True)
class Exhibit:
    """One prompt and seed."""

    models: str
    prompt_set: str
    prompt: str
    seed: int
    judge: str
    """The first judge of these trials, one that is kin to no metric if there is one; empty if there is none."""
    marked: str
    """The judge's name, marked if it is kin to a metric that is shown."""
    trials: dict[str, pd.Series]
    """By metric, a row of TRIAL_COLUMNS."""

    @property
    def base(self) -> pd.Series:
        """A trial whose initial image is the one that was not optimised: the same for every metric."""
        return next(iter(self.trials.values()))


def exhibits(slices: Sequence[Slice]) -> list[Exhibit]:
    """Every prompt and seed with a trial of ReNO (of another method only where ReNO did not run), dev prompts only
    where there are no others. Each metric at the settings chosen on the dev prompts, else at those that most share."""
    return [exhibit for cell in cells(reported(slices)) for exhibit in _of(cell[0], slices)]


def told_of(results: Results, shown: Sequence[Exhibit]) -> Told:
    """What each exhibit's judge says of its trials."""
    trials: dict[str, list[str]] = {}
    for one in shown:
        if one.judge:
            trials.setdefault(one.judge, []).extend(row["trial"] for row in one.trials.values())
    return {judge: verdicts(results, judge, own) for judge, own in trials.items()}


def _of(one: Slice, slices: Sequence[Slice]) -> list[Exhibit]:
    method = min(one.rows["method"].unique(), key=lambda name: (name == "none", method_order(name)))
    rows = one.select(method=method)
    shown = {metric: _shown(one, slices, rows[rows["metric"] == metric], metric) for metric in metrics_of(rows)}
    together = pd.concat(list(shown.values()))
    marked = one.marked(*together["families"].unique())
    found = []
    for (prompt, seed), trials in together.groupby(["prompt", "seed"]):
        by_metric = {row["metric"]: row for _, row in trials.iterrows()}
        ordered = {metric: by_metric[metric] for metric in shown if metric in by_metric}
        found.append(Exhibit(one.models, one.prompt_set, prompt, int(seed), one.judge, marked, ordered))
    return found


def _shown(one: Slice, slices: Sequence[Slice], trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    choice = chosen(slices, one, metric, trials["method"].iloc[0])
    return usual(trials) if choice is None else trials[trials["settings"] == choice.settings]
