"""The trials that a claim rests on: ReNO's with each of its metrics, at the settings that dev prompts chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.numbers.effects import PAIR
from analysis.numbers.slices import Slice
from analysis.numbers.tuning import chosen
from analysis.text import listed


@dataclass(frozen=True)
class ComparedTrials:
    """ReNO's trials with some metrics. They depend on these metrics alone: nothing else in the store counts."""

    by_metric: dict[str, pd.DataFrame]
    on: tuple[str, ...]
    """The columns that two metrics are paired on."""
    basis: str
    """Which trials, in words."""


def compared_trials(one: Slice, slices: Sequence[Slice], metrics: Sequence[str]) -> ComparedTrials:
    """Of each metric its own best settings, if dev prompts chose some for all of them; else the settings that all of
    them ran."""
    reno = one.select(method="reno")
    by_metric = {metric: reno[reno["metric"] == metric] for metric in metrics}
    choices = {metric: chosen(slices, one, metric) for metric in metrics}
    if metrics and all(choices.values()):
        tuned = {
            metric: by_metric[metric][by_metric[metric]["settings"] == c.settings] for metric, c in choices.items()
        }
        named = "; ".join(f"{metric}: {choice.settings}" for metric, choice in choices.items())
        dev = ", ".join(next(iter(choices.values())).dev_sets)
        own = "each metric at its own best settings" if len(metrics) > 1 else "at its own best settings"
        return ComparedTrials(tuned, PAIR, f"{own}, chosen on {dev} ({named})")
    on = (*PAIR, "settings")
    if len(metrics) < 2:
        return ComparedTrials(by_metric, on, f"all settings of {listed(list(metrics))}" if metrics else "none")
    shared = set.intersection(*(set(rows["settings"]) for rows in by_metric.values()))
    both = f"{listed(list(metrics))} {'both' if len(metrics) == 2 else 'all'}"
    if not shared:
        return ComparedTrials(by_metric, on, f"all settings of each metric; there are none that {both} ran")
    by_metric = {metric: rows[rows["settings"].isin(shared)] for metric, rows in by_metric.items()}
    return ComparedTrials(by_metric, on, f"all settings that {both} ran, paired on them: {'; '.join(sorted(shared))}")
