"""Table 9: published values beside those of the store, and how the two protocols differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.data.names import label_of
from analysis.numbers.effects import noises
from analysis.numbers.measures import CORRECT, FULLY_BOUND, JUDGE_SCORE
from analysis.numbers.published import BEFORE, MEAN, Published, published
from analysis.numbers.slices import Slice
from analysis.numbers.statistics import Interval
from analysis.tables.categories import level_of_groups
from analysis.tables.columns import bracketed, spread
from analysis.tables.notes import interval_note
from analysis.tables.table import Table, table_of
from analysis.text import MISSING

MEASURES = {measure.name: measure for measure in (FULLY_BOUND, CORRECT, JUDGE_SCORE)}
INSIDE, OUTSIDE, OPEN = "inside", "outside", "no interval"


def expected(cell: Sequence[Slice], rows: Sequence[Published] | None = None) -> Table | None:
    """One row a published value of this generator and suite; None if there is none. rows: None for those of
    conf/expected.yaml."""
    first = cell[0]
    found = [
        (row, category)
        for row in (published() if rows is None else rows)
        for category in row.values
        if row.models == first.models and row.suites[category] == first.prompt_set
    ]
    if not found:
        return None
    lines = [line for row, category in found for line in _lines(cell, row, category)]
    frame = pd.DataFrame([line for line, _ in lines])
    shown = pd.DataFrame([text for _, text in lines])
    notes = [
        "Published: as its source prints it. A difference may come from the protocol, which the last column compares.",
        interval_note([line["ours_interval"] for line, _ in lines]),
    ]
    return table_of(cell, 9, "expected", "Expected beside measured", frame, shown, notes)


def _lines(cell: Sequence[Slice], row: Published, category: str) -> Iterator[tuple[dict, dict[str, str]]]:
    """The frame's row and the texts: one for each set of settings that ran, or one that says it was not run."""
    labels = {
        "source": row.source,
        "category": category,
        "method": row.method,
        "metric": row.metric or "",
        "measure": MEASURES[row.measure].title,
        "published": row.values[category],
    }
    judges = [one for one in cell if label_of(one.judge) == row.judge]
    ran = [found for one in judges for found in _ran(one, row)]
    if not ran:
        none = Interval(float("nan"), float("nan"), float("nan"), "none")
        why = "not run" if judges else f"not judged by {row.judge}"
        yield (
            {**labels, "settings": "", **spread("ours", none), "inside": OPEN, "protocol": why},
            _shown(labels, "", none, why),
        )
        return
    for settings, trials in ran:
        parts = _parts(trials, category)
        interval = level_of_groups(parts, MEASURES[row.measure], "initial" if row.method == BEFORE else "best")
        protocol = "; ".join(_differences(row, category, trials, parts)) or "the same"
        inside = _inside(row.values[category], interval)
        line = {**labels, "settings": settings, **spread("ours", interval), "inside": inside, "protocol": protocol}
        yield line, _shown(labels, settings, interval, protocol)


def _ran(one: Slice, row: Published) -> Iterator[tuple[str, pd.DataFrame]]:
    """(settings, trials) that a published row may be compared with: those of its method and metric; of the initial
    images any, each image once."""
    if row.method == BEFORE:
        yield "", one.rows.drop_duplicates(["prompt", "seed"])
        return
    for method, metric, settings, trials in one.configurations(one.rows):
        if (method, label_of(metric)) == (row.method, row.metric):
            yield settings, trials


def _parts(trials: pd.DataFrame, category: str) -> list[pd.DataFrame]:
    """The trials of a category; for the mean those of each."""
    if category != MEAN:
        return [trials[trials["category"] == category]]
    return [part for name, part in trials.groupby("category", sort=False) if name]


def _differences(row: Published, category: str, trials: pd.DataFrame, parts: Sequence[pd.DataFrame]) -> Iterator[str]:
    """How these trials were made otherwise than the published value, in words."""
    if row.official:
        yield f"judged by {row.judge} instead of {row.official}"
    together = pd.concat(parts)
    prompts = together["prompt"].nunique()
    if prompts != row.prompts.get(category, prompts):
        yield f"{prompts} of {row.prompts[category]} prompts"
    images = together.groupby("prompt")["seed"].nunique()
    if len(images) and (images.min(), images.max()) != (row.images, row.images):
        fewest, most = images.min(), images.max()
        yield f"{fewest if fewest == most else f'{fewest} to {most}'} instead of {row.images} images per prompt"
    if prompts > 1 and not noises(together).own:
        yield "all prompts share their noises"
    for name, value in row.settings.items():
        own = trials[name].iloc[0]
        own = own.split()[0] if name == "optimizer" and isinstance(own, str) else own
        if own != value:
            yield f"{name} {own if not isinstance(own, float) else f'{own:g}'} instead of {value}"
    if bool(trials["random_weights"].any()):
        yield "random weights"


def _inside(value: float, interval: Interval) -> str:
    if pd.isna(interval.low):
        return OPEN
    return INSIDE if interval.low <= value <= interval.high else OUTSIDE


def _digits(published: float) -> int:
    """How many digits the published value has after its point, 2 or more: ours is printed with as many."""
    return max(2, len(f"{published:g}".partition(".")[2]))


def _shown(labels: dict, settings: str, interval: Interval, protocol: str) -> dict[str, str]:
    return {
        "source": labels["source"],
        "category": labels["category"],
        "method": labels["method"],
        "metric": labels["metric"],
        "settings": settings,
        "published": f"{labels['published']:g}",
        "ours": MISSING if pd.isna(interval.value) else bracketed(interval, _digits(labels["published"]), signed=False),
        "published is in our interval": {INSIDE: "yes", OUTSIDE: "no"}.get(
            _inside(labels["published"], interval), OPEN
        ),
        "protocol": protocol,
    }
