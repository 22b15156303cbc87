"""Each metric's own best settings, chosen on the dev prompts, so that no metric wins by being better tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Protocol, TypeVar

import pandas as pd

from analysis.numbers.effects import PAIR
from analysis.numbers.slices import Slice


class _HasPromptSet(Protocol):
    @property
    def prompt_set(self) -> str: ...


OfPrompts = TypeVar("OfPrompts", bound=_HasPromptSet)


@dataclass(frozen=True)
class TunedSettings:
    """The settings that were chosen for one metric."""

    metric: str
    settings: str
    dev: float
    """Share of dev images fully bound at these settings, the mean over prompts."""
    among: tuple[str, ...]
    """The settings it was chosen from: those that ran on both the dev and the test prompts."""
    dev_sets: tuple[str, ...]
    pairs: int
    """(prompt, seed) pairs of the dev sets on which all of `among` were compared."""
    common: bool
    """All of `among` were compared on the same pairs; False: they share no pairs, and each was read on its own."""


def is_dev(prompt_set: str) -> bool:
    """Whether a prompt set is for choosing settings; such sets are named *_dev."""
    return Path(prompt_set).stem.endswith("_dev")


def reported(parts: Sequence[OfPrompts]) -> list[OfPrompts]:
    """Those that are not of dev prompts; all of them if there are no others.

    parts: slices, tables, or anything else with a `prompt_set`."""
    return [one for one in parts if not is_dev(one.prompt_set)] or list(parts)


def dev_slices(slices: Sequence[Slice], test: Slice) -> list[Slice]:
    """The dev slices of the same generator and judge."""
    return [one for one in slices if one.models == test.models and one.judge == test.judge and is_dev(one.prompt_set)]


def chosen(slices: Sequence[Slice], one: Slice, metric: str, method: str = "reno") -> TunedSettings | None:
    """The settings that the dev prompts among a store's slices give; None if `one` is of dev prompts itself."""
    return None if is_dev(one.prompt_set) else choose(dev_slices(slices, one), one, metric, method)


def usual(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of the settings that most share; ties go to more iterations, then to the larger lr."""
    counts = trials.groupby("settings").agg(
        count=("trial", "size"), iterations=("iterations", "first"), lr=("lr", "first")
    )
    return trials[trials["settings"] == counts.sort_values(["count", "iterations", "lr"]).index[-1]]


def by_metric(slices: Sequence[Slice], one: Slice) -> dict[str, pd.DataFrame]:
    """The trials of each metric, in the order of tables, at the settings chosen on the dev prompts or else at the usual
    ones. They are ReNO's, or where it did not run those of the first other method that optimises; empty if none did."""
    methods = [name for name in one.methods_of(one.rows) if name != "none"]
    if not methods:
        return {}
    rows = one.select(method=methods[0])
    found = {}
    for metric in one.metrics_of(rows):
        trials, choice = rows[rows["metric"] == metric], chosen(slices, one, metric, methods[0])
        found[metric] = usual(trials) if choice is None else trials[trials["settings"] == choice.settings]
    return found


def choose(dev: Sequence[Slice], test: Slice, metric: str, method: str = "reno") -> TunedSettings | None:
    """The settings with the largest share of dev images fully bound; ties go to the larger share of bindings, then to
    fewer iterations, then to the smaller lr. None without a judged dev trial at settings that the test set has.

    Settings are compared on the (prompt, seed) pairs that all of them have, where there are any.
    """
    if not dev or not test.judge:
        return None
    rows = pd.concat([one.select(metric=metric, method=method) for one in dev]).drop_duplicates("trial")
    rows = rows.dropna(subset=["fully/best"])
    there = test.select(metric=metric, method=method).dropna(subset=["fully/best"])["settings"].unique()
    parts = {settings: part for settings, part in rows.groupby("settings") if settings in there}
    if not parts:
        return None
    pairs = [pd.MultiIndex.from_frame(part[list(PAIR)]) for part in parts.values()]
    shared = reduce(lambda one, other: one.intersection(other), pairs)
    if len(shared):
        parts = {name: part[pd.MultiIndex.from_frame(part[list(PAIR)]).isin(shared)] for name, part in parts.items()}

    def merit(settings: str) -> tuple[float, ...]:
        part = parts[settings]
        means = part.groupby("prompt")[["fully/best", "bound/best"]].mean().mean()
        iterations, lr = part[["iterations", "lr"]].iloc[0].fillna(0)
        return round(means["fully/best"], 12), round(means["bound/best"], 12), -iterations, -lr

    best = max(sorted(parts), key=merit)
    return TunedSettings(
        metric,
        best,
        merit(best)[0],
        tuple(sorted(parts)),
        tuple(sorted({one.prompt_set for one in dev})),
        len(shared) or len(parts[best]),
        bool(len(shared)),
    )
