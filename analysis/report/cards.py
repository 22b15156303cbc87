"""The gallery's cards: a prompt and seed, its image before, and its images by each metric at every setting.

A card holds its images as data URIs and its curves as SVG paths, so that it is whole without JavaScript; the script
moves what is there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.data import Results
from analysis.figures.style import PALETTE
from analysis.numbers.slices import Slice
from analysis.report.exhibits import Exhibit, other_settings
from analysis.report.outcomes import OUTCOMES, BeforeAndAfter, JudgedChanges, in_words, judged_changes
from analysis.report.thumbnails import Strip, data_uri, ends, only_best, strip, thumbnail

MOST_CARDS = 120
"""Cards in a gallery, one a prompt and seed; of more, so many are drawn at random, the same ones each time."""
MOST_BYTES = 8 * 2**20
"""Bytes of images in a gallery, so that the page opens quickly."""
MOST_OTHERS = 8
"""Further settings of one metric in a card."""
MOST_STRIPS = 240
"""Trials of a gallery that are shown at many iterations; the settings that are shown first come first. Of the others
there is the best image."""


@dataclass(frozen=True)
class Side:
    """One trial of a card."""

    metric: str
    settings: str
    order: tuple[float, float, str]
    """Settings are listed in this order: by iterations, then by learning rate."""
    first: bool
    """It is shown before a reader chooses other settings."""
    still: bool
    """Of its images, only the best is here."""
    color: int
    words: str
    outcomes: tuple[str, ...]
    best: int
    """The iteration of the best image."""
    score: str
    """Of the best image, with its iteration."""
    picture: Strip | None
    """None if the images cannot be read."""
    path: str
    """The curve of the score as an SVG path in a box of 100 x 30."""
    curve: tuple[float | None, ...]
    """The score at each iteration; None where it is not finite."""

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs to move the image and the mark."""
        at = self.picture.at if self.picture else ()
        return {"at": at, "count": self.picture.count if self.picture else 0, "curve": self.curve, "best": self.best}


@dataclass(frozen=True)
class Card:
    """One prompt and seed."""

    exhibit: Exhibit
    base: str | None
    """The image before, as a data URI; None if it cannot be read."""
    base_words: str
    sides: tuple[Side, ...]
    shape: str = field(default="1 / 1")
    """Width / height of its images."""

    @property
    def outcomes(self) -> list[str]:
        return [name for name in OUTCOMES if any(name in side.outcomes for side in self.sides)]

    @property
    def last(self) -> int:
        """The last iteration of its longest trial, at least 1."""
        return max([1, *(len(side.curve) - 1 for side in self.sides)])

    @property
    def best(self) -> int:
        """The iteration at which every side that is shown first is at its best image."""
        return max((side.best for side in self.sides if side.first), default=0)

    @property
    def data(self) -> list[dict[str, Any]]:
        return [side.data for side in self.sides]

    @property
    def size(self) -> int:
        """Bytes of its images, about."""
        return sum(len(side.picture.uri) for side in self.sides if side.picture) + len(self.base or "")


def gallery(results: Results, slices: Sequence[Slice], shown: Sequence[Exhibit], judged: JudgedChanges) -> list[Card]:
    """The cards, as many as MOST_CARDS and MOST_BYTES allow. judged: what is said of the trials of `shown`."""
    order = list(range(len(shown)))
    random.Random(0).shuffle(order)
    order = order[:MOST_CARDS]
    others = {
        place: _fewer(rows)
        for place, rows in zip(order, other_settings(slices, [shown[k] for k in order]), strict=True)
    }
    said = _said_of_others(results, [(shown[k].judge, others[k]) for k in order], judged)
    strips = MOST_STRIPS - sum(len(shown[place].trials) for place in order)
    cards, size = {}, 0
    for place in order:
        if size > MOST_BYTES:
            break
        more, one = others[place], shown[place]
        moving = len(more) <= strips
        strips -= len(more) * moving
        if not moving and not results.in_folders:
            more = []  # each image is a request
        cards[place] = _card(results, one, more, said.get(one.judge, {}), moving)
        size += cards[place].size
    return [cards[place] for place in sorted(cards)]


def _fewer(rows: Sequence[pd.Series]) -> list[pd.Series]:
    """The first MOST_OTHERS trials of each metric."""
    kept: dict[str, list[pd.Series]] = {}
    for row in rows:
        kept.setdefault(row["metric"], []).append(row)
    return [row for own in kept.values() for row in own[:MOST_OTHERS]]


def _said_of_others(
    results: Results, others: Iterable[tuple[str, Sequence[pd.Series]]], judged: JudgedChanges
) -> JudgedChanges:
    """`judged`, with what the judges say of these trials as well."""
    wanted: dict[str, list[str]] = {}
    for judge, rows in others:
        wanted.setdefault(judge, []).extend(row["trial"] for row in rows)
    return {
        judge: {**judged.get(judge, {}), **judged_changes(results, judge, trials)} for judge, trials in wanted.items()
    }


def _card(
    results: Results, one: Exhibit, others: Sequence[pd.Series], said: dict[str, BeforeAndAfter], moving: bool
) -> Card:
    """moving: the other settings are shown at many iterations too."""
    rows = [*one.trials.values(), *others]
    traces = results.traces([row["trial"] for row in rows], ["iteration", "score"])
    curves = {row["trial"]: _curve(traces, row["trial"]) for row in rows}
    spans = _spans(rows, curves)
    sides = []
    for place, row in enumerate(rows):
        first = place < len(one.trials)
        many = results.in_folders and (first or moving)
        draw = strip if many else ends if first else only_best
        changed = said.get(row["trial"], BeforeAndAfter())
        sides.append(_side(results, one, row, curves[row["trial"]], spans[row["metric"]], draw, changed, first))
    sides.sort(key=lambda side: (one.places[side.metric], side.order))
    base = results.shown(one.base["trial"], lambda stored: thumbnail(stored.image("initial")))
    words = in_words(said.get(one.base["trial"], BeforeAndAfter()).before)
    shape = f"{base.width} / {base.height}" if base else "1 / 1"
    return Card(one, data_uri(base) if base else None, words, tuple(sides), shape)


def _side(results, one, row, curve, span, draw, changed: BeforeAndAfter, first: bool) -> Side:
    best = int(row["best_iteration"])
    score = curve[best] if best < len(curve) else None
    return Side(
        metric=row["metric"],
        settings=row["settings"] or row["method"],
        order=(*(0.0 if pd.isna(row[name]) else float(row[name]) for name in ("iterations", "lr")), row["settings"]),
        first=first,
        still=draw is only_best,
        color=one.places[row["metric"]] % len(PALETTE),
        words=in_words(changed.after),
        outcomes=tuple(changed.outcomes),
        best=best,
        score=f"score {'not finite' if score is None else f'{score:.4g}'} at iteration {best} (best)",
        picture=results.shown(row["trial"], lambda stored: draw(stored, max(1, len(curve)))),
        path=svg_path(curve, *span),
        curve=curve,
    )


def _curve(traces: pd.DataFrame, trial: str) -> tuple[float | None, ...]:
    values = traces.loc[traces["trial"] == trial, "score"]
    return tuple(float(f"{value:.5g}") if abs(value) < float("inf") else None for value in map(float, values))


def _spans(rows: Sequence[pd.Series], curves: dict[str, tuple[float | None, ...]]) -> dict[str, tuple[float, float]]:
    """The lowest and the highest score by metric, so that a metric's curves can be compared across settings."""
    known: dict[str, list[float]] = {}
    for row in rows:
        known.setdefault(row["metric"], []).extend(value for value in curves[row["trial"]] if value is not None)
    return {metric: (min(values, default=0.0), max(values, default=0.0)) for metric, values in known.items()}


def svg_path(curve: Sequence[float | None], low: float, high: float) -> str:
    """The curve as the `d` of an SVG path in a box 100 wide and 30 high. A value that is None breaks it, unless most
    are: with a small decoder only some images have a score, and those are joined."""
    sparse = 2 * sum(value is None for value in curve) > len(curve)
    last, height = max(1, len(curve) - 1), high - low or 1.0
    steps, pen = [], "M"
    for at, value in enumerate(curve):
        if value is None:
            pen = pen if sparse else "M"
            continue
        steps.append(f"{pen}{100 * at / last:.1f} {28 - 26 * (value - low) / height:.1f}")
        pen = "L"
    return "".join(steps)
