"""Which trials are shown side by side: one prompt and seed, not optimised and optimised by each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.data import Results
from analysis.numbers.slices import Slice, families_of
from analysis.numbers.tuning import chosen, reported, usual
from analysis.report.outcomes import JudgedChanges, judged_changes
from analysis.tables import cells
from reno.spec.trial import noise_name


@dataclass(frozen=True)
class Exhibit:
    """One prompt and seed."""

    models: str
    prompt_set: str
    prompt: str
    seed: int
    judge: str
    """The first judge of these trials, related to no metric if there is such a one; empty if there is none."""
    marked: str
    """The judge's name, marked if it is related to a metric that is shown."""
    kin: bool
    """The judge is related to a metric that is shown."""
    trials: dict[str, pd.Series]
    """By metric, a row of TRIAL_COLUMNS: its trial at the settings that are shown first."""
    places: dict[str, int]
    """Of each metric, its place in the order of all metrics of the store, which decides its colour."""

    @property
    def noise(self) -> str:
        """The initial noise in words."""
        return noise_name(self.prompt, self.seed)

    @property
    def base(self) -> pd.Series:
        """A trial whose initial image is the one that was not optimised: the same for every metric."""
        return next(iter(self.trials.values()))


def exhibits(slices: Sequence[Slice]) -> list[Exhibit]:
    """Every prompt and seed with a trial of ReNO (of another method only if ReNO did not run); dev prompts only if
    there are no others. Each metric is at the settings chosen on the dev prompts, else at those of most trials."""
    return [exhibit for cell in cells(reported(slices)) for exhibit in _of(cell[0], slices)]


def other_settings(slices: Sequence[Slice], shown: Sequence[Exhibit]) -> list[list[pd.Series]]:
    """For each exhibit, rows of TRIAL_COLUMNS: the trials of its prompt, seed, metrics and method at all other settings
    than those in it, in the order of tables."""
    found: dict[tuple, list[pd.Series]] = {}
    for cell in cells(slices):
        one = cell[0]
        here = [other for other in shown if (other.models, other.prompt_set) == (one.models, one.prompt_set)]
        if not here:
            continue
        rows = one.rows[one.rows["prompt"].isin({other.prompt for other in here})]
        rows = rows[rows["method"] == here[0].base["method"]]
        first = {row["trial"] for other in here for row in other.trials.values()}
        for _, _, _, trials in one.configurations(rows):
            for _, row in trials[~trials["trial"].isin(first)].iterrows():
                found.setdefault((one.models, one.prompt_set, row["prompt"], row["seed"]), []).append(row)
    return [found.get((other.models, other.prompt_set, other.prompt, other.seed), []) for other in shown]


def changes_of(results: Results, shown: Sequence[Exhibit]) -> JudgedChanges:
    """What each exhibit's judge says of its trials."""
    trials: dict[str, list[str]] = {}
    for one in shown:
        if one.judge:
            trials.setdefault(one.judge, []).extend(row["trial"] for row in one.trials.values())
    return {judge: judged_changes(results, judge, own) for judge, own in trials.items()}


def _of(one: Slice, slices: Sequence[Slice]) -> list[Exhibit]:
    method = one.methods_of(one.rows)[0]
    rows = one.select(method=method)
    shown = {metric: _shown(one, slices, rows[rows["metric"] == metric], metric) for metric in one.metrics_of(rows)}
    together = pd.concat(list(shown.values()))
    families = families_of(together)
    about = {"judge": one.judge, "marked": one.marked(families), "kin": one.is_kin(families)}
    places = {metric: one.metrics.index(metric) for metric in shown}
    found = []
    for (prompt, seed), trials in together.groupby(["prompt", "seed"]):
        by_metric = {row["metric"]: row for _, row in trials.iterrows()}
        ordered = {metric: by_metric[metric] for metric in shown if metric in by_metric}
        found.append(Exhibit(one.models, one.prompt_set, prompt, int(seed), **about, trials=ordered, places=places))
    return found


def _shown(one: Slice, slices: Sequence[Slice], trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    choice = chosen(slices, one, metric, trials["method"].iloc[0])
    return usual(trials) if choice is None else trials[trials["settings"] == choice.settings]
