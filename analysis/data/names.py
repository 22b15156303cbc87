"""Readable names for generators, metrics, judges and settings, different wherever what they name is different."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from analysis.data.results import SETTINGS

WRITTEN: dict[str, Callable[[Any], str]] = {
    "iterations": lambda value: f"{value:.0f} it.",
    "lr": lambda value: f"lr {value:g}",
    "regularization": lambda value: f"reg. {value:g}",
    "grad_clip": lambda value: f"clip {value:g}",
    "optimizer": str,
    "options": str,
    "dtype": str,
    "algorithm": lambda value: f"algorithm {value}",
}
"""How the name of a configuration writes each of SETTINGS."""


def label_of(name: str) -> str:
    """The record's label behind a name that `told_apart` may have given a suffix."""
    return name.partition("[")[0]


def told_apart(frame: pd.DataFrame, by: list[str], identity: str, name: Callable[[str], str]) -> pd.Series:
    """The last column of `by`. Where one of its labels stands for several identities, `[name(identity)]` follows it."""
    label = frame[by[-1]].copy()
    apart = (frame.groupby(by, dropna=False)[identity].transform("nunique") > 1) & frame[identity].notna()
    if apart.any():
        label[apart] = label[apart] + "[" + frame.loc[apart, identity].map(name) + "]"
    return label


def tail(identity: str) -> str:
    """Enough of a digest to recognise it."""
    return identity[-8:]


def terms_name(terms: str) -> str:
    """A metric's terms, given as JSON: the weight in the sum, the checkpoint and the options of each."""
    return " ".join(_term_name(**term) for term in json.loads(terms))


def _term_name(kind: str = "", weight: float = 1.0, weights: object = None, **options: object) -> str:
    given = [f"{key}={value}" for key, value in sorted(options.items()) if value is not None]
    return " ".join([f"{weight:g}*{tail(str(weights)) if weights else kind}", *given])


def settings_names(frame: pd.DataFrame) -> pd.Series:
    """`50 it., lr 0.01`, and whatever else varies among the trials of the same method. frame: method and SETTINGS."""
    names = pd.Series("", index=frame.index)
    for _, rows in frame.groupby("method"):
        varied = [name for name in SETTINGS if rows[name].nunique(dropna=False) > 1]
        shown = [name for name in SETTINGS if name in ("iterations", "lr") or name in varied]
        names.loc[rows.index] = _names(rows[list(SETTINGS)].to_numpy(object), shown)
    return names


def _names(rows: Sequence[Sequence[object]], shown: Sequence[str]) -> list[str]:
    """The name of each row of SETTINGS; each distinct row is written once."""
    written: dict[tuple, str] = {}
    names = []
    for row in rows:
        key = tuple(None if _is_missing(value) else value for value in row)
        if key not in written:
            given = dict(zip(SETTINGS, key, strict=True))
            written[key] = ", ".join(WRITTEN[name](given[name]) for name in shown if given[name] is not None)
        names.append(written[key])
    return names


def _is_missing(value: object) -> bool:
    return value is None or value != value
