"""Table 15: how much of the outcome is the prompt, how much the noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.numbers.design import FEWEST_NOISES
from analysis.numbers.effects import noises
from analysis.numbers.slices import Slice, families_of
from analysis.numbers.statistics import FEWEST_PROMPTS
from analysis.numbers.tuning import by_metric
from analysis.numbers.variance import Split, split, split_over_metrics
from analysis.tables.notes import n_note, settings_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import number

ALL = "all metrics"
OUTCOMES = ("after", "change")
COLUMNS = (
    "judge", "kin", "method", "metric", "settings", "outcome", "prompt", "noise", "rest", "variance", "design",
    "prompts", "seeds", "trials",
)  # fmt: skip


def variance(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """One row an outcome x metric x judge. Where prompts have their own noises, all metrics together tell noise from
    rest."""
    rows, shown = [], []
    for one in cell:
        for metric, trials in _parts(by_metric(slices, one)) if one.judge else ():
            for outcome in OUTCOMES:
                found = _split(trials, outcome, metric)
                if found.design != "none":
                    rows.append(_row(one, metric, trials, outcome, found))
                    shown.append(_shown(one, metric, trials, outcome, found))
    title = "The variance of the outcome: prompt, noise and rest"
    if not rows:
        why = (
            f"It takes {FEWEST_PROMPTS} judged prompts with 2 noises of their own each, or with {FEWEST_NOISES} noises "
            "that all of them share."
        )
        return empty_table(cell, 15, "variance", title, COLUMNS, why)
    own = noises(cell[0].rows).own
    notes = [
        "Outcome: is the image fully bound (0 or 1), after, and after minus before. Shares of its variance, "
        "from components of variance; one that comes out negative counts as 0. "
        + (
            "Each prompt has its own noises. Rest: of one metric, the noise and all else, which its images do not tell "
            f"apart; of {ALL}, what the metrics make differently of one noise."
            if own
            else "Rest: the interplay of prompt and noise, and error."
        )
        + f" {settings_note([row for row in rows if row['metric'] != ALL])}",
        f"–: the design does not tell it apart, or the outcome is the same everywhere. {n_note(cell, 'trials')}",
    ]
    return table_of(cell, 15, "variance", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _parts(picked: dict[str, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame]]:
    yield from picked.items()
    if len(picked) > 1:
        together = pd.concat(picked.values())
        if noises(together).own:
            yield ALL, together


def _split(trials: pd.DataFrame, outcome: str, metric: str) -> Split:
    before, after = trials["fully/initial"], trials["fully/best"]
    found = trials[["prompt", "seed", "metric"]].assign(value=after - before if outcome == "change" else after)
    return split_over_metrics(found, "value") if metric == ALL else split(found, "value")


def _row(one: Slice, metric: str, trials: pd.DataFrame, outcome: str, found: Split) -> dict:
    first = trials.iloc[0]
    return {
        "judge": one.judge,
        "kin": one.is_kin(families_of(trials)),
        "method": first["method"],
        "metric": metric,
        "settings": "" if metric == ALL else first["settings"],
        "outcome": outcome,
        "prompt": found.prompt,
        "noise": found.noise,
        "rest": found.rest,
        "variance": found.variance,
        "design": found.design,
        "prompts": found.noises.prompts,
        "seeds": found.noises.seeds,
        "trials": found.trials,
    }


def _shown(one: Slice, metric: str, trials: pd.DataFrame, outcome: str, found: Split) -> dict[str, str]:
    return {
        "metric": metric,
        "judge": one.marked(families_of(trials)),
        "outcome": outcome,
        "prompts": number(found.prompt),
        "noises": number(found.noise),
        "rest": number(found.rest),
        "n": f"{found.noises.times} ({found.trials})",
    }
