"""Tables 10 and 17: how many bindings hold, by kind of attribute, and by single attributes and objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from analysis.numbers.bindings import share, share_value
from analysis.numbers.slices import Slice, families_of
from analysis.numbers.tuning import by_metric
from analysis.tables.columns import bracketed, spread
from analysis.tables.notes import interval_note, settings_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import MISSING, number
from reno.prompts.words import attribute_kind

OTHER = "other"
"""Attributes whose kind is not known."""
NUMBERS = ("bindings", "prompts", "before", "after", "after_low", "after_high", "after_interval")
ABOUT = ("judge", "kin", "method", "metric", "settings")
Group = tuple[tuple[str, ...], pd.DataFrame]
"""What a row is of, and its rows of `binding_fates`."""


def by_kind(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """One row a kind of attribute x judge; the frame has one for each metric too."""
    title = "Bindings that hold, by kind of attribute"
    return _table(cell, slices, 10, "kinds", title, ("kind",), _kinds)


def by_word(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """One row a word x judge, attributes first, then objects; the frame has one for each metric too."""
    title = "Bindings that hold, by attribute and by object"
    return _table(cell, slices, 17, "words", title, ("word", "of"), _words)


def _kinds(fates: pd.DataFrame) -> Iterator[Group]:
    kinds = fates["attribute"].map({word: attribute_kind(word) or OTHER for word in fates["attribute"].unique()})
    yield from (((kind,), fates[kinds == kind]) for kind in _frequent_first(kinds))


def _words(fates: pd.DataFrame) -> Iterator[Group]:
    for what in ("attribute", "object"):
        yield from (((word, what), fates[fates[what] == word]) for word in _frequent_first(fates[what]))


def _frequent_first(words: pd.Series) -> list[str]:
    counts = words.value_counts()
    return sorted(counts.index, key=lambda word: (-counts[word], word))


def _table(
    cell: Sequence[Slice], slices: Sequence[Slice], number: int, name: str, title: str,
    parts: tuple[str, ...], groups: Callable[[pd.DataFrame], Iterator[Group]],
) -> Table:  # fmt: skip
    rows, shown = [], []
    for one in cell:
        picked = by_metric(slices, one)
        if not picked:
            continue
        trials = pd.concat(picked.values())
        fates = one.fates
        fates = fates[fates["trial"].isin(set(trials["trial"]))]
        for labels, own in groups(fates):
            about, judge = dict(zip(parts, labels, strict=True)), one.marked(families_of(trials))
            found = [_row(one, picked[metric], own[own["metric"] == metric], about) for metric in picked]
            rows += [row for row, _ in found]
            shown.append(about | {"judge": judge} | _shown(found))
    if not rows:
        why = "No judge looked at a binding of an optimised image."
        return empty_table(cell, number, name, title, (*ABOUT, *parts, *NUMBERS), why)
    notes = [
        "Share of bindings that hold, before → after, with the interval of after. Bindings: how many the trials of "
        f"each metric ask for. {settings_note(rows)}",
        interval_note([row["after_interval"] for row in rows]),
    ]
    if any(row.get("kind") == OTHER for row in rows):
        notes.insert(1, f"{OTHER.capitalize()}: attributes that are in no list of the program.")
    return table_of(cell, number, name, title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _row(one: Slice, trials: pd.DataFrame, fates: pd.DataFrame, about: dict[str, str]) -> tuple[dict, str]:
    """A row of the frame and its text: of one metric's trials, those bindings that the row is of."""
    first = trials.iloc[0]
    before, after = share_value(fates, fates["was_right"]), share(fates, fates["is_right"])
    row = {
        "judge": one.judge,
        "kin": one.is_kin(first["families"]),
        **{name: first[name] for name in ("method", "metric", "settings")},
        **about,
        "bindings": len(fates),
        "prompts": after.prompts,
        "before": before,
        **spread("after", after.interval),
    }
    text = f"{number(before)} → {bracketed(after.interval, signed=False)}"
    return row, text if len(fates) else MISSING


def _shown(found: Sequence[tuple[dict, str]]) -> dict[str, str]:
    """The numbers of a line, a column a metric."""
    counts = dict.fromkeys(str(row["bindings"]) for row, _ in found)
    prompts = max(row["prompts"] for row, _ in found)
    texts = {row["metric"]: text for row, text in found}
    return {"bindings": " / ".join(counts), "prompts": str(prompts), **texts}
