"""The results of a part as rows of one table: Markdown to read, CSV to compute with."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reno.letters.harmless import cell

COLUMNS = ("part", "on", "what", "measured", "against", "ratio", "target", "reached")


@dataclass(frozen=True)
class Row:
    """One figure and, if there is one, its baseline."""

    what: str
    value: float | None
    """None: it could not be measured; `note` says why."""
    unit: str
    against: str = ""
    """The baseline in words."""
    baseline: float | None = None
    ratio: float | None = None
    """value / baseline; where both were measured in rounds, the median of the rounds' ratios."""
    at_most: float | None = None
    """Target of the ratio."""
    at_least: float | None = None
    note: str = ""

    @property
    def target(self) -> str:
        limits = [f"≥ {self.at_least:g}"] if self.at_least is not None else []
        return ", ".join([*limits, f"≤ {self.at_most:g}"] if self.at_most is not None else limits)

    @property
    def reached(self) -> bool | None:
        """Whether the ratio meets its target; None without a target or a ratio."""
        if self.ratio is None or not self.target:
            return None
        return (self.at_most is None or self.ratio <= self.at_most) and (
            self.at_least is None or self.ratio >= self.at_least
        )


@dataclass(frozen=True)
class Found:
    """The rows of one part on one setting."""

    part: str
    on: str
    rows: tuple[Row, ...]


def markdown(found: Iterable[Found]) -> str:
    """One table of all rows, in the columns COLUMNS."""
    lines = [COLUMNS, ("---", "---", "---", "---:", "---", "---:", "---:", "---")]
    for one in found:
        for row in one.rows:
            against = row.against
            if row.baseline is not None:
                against = f"{_with_unit(row.baseline, row.unit)} ({row.against})"
            reached = {None: "", True: "yes", False: "**no**"}[row.reached]
            what = f"{row.what}; {row.note}" if row.note else row.what
            measured = "not measured" if row.value is None else _with_unit(row.value, row.unit)
            times = "" if row.ratio is None else f"{row.ratio:.3f}"
            lines.append((one.part, one.on, what, measured, against, times, row.target, reached))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def as_csv(found: Iterable[Found]) -> str:
    """The same rows as CSV: every number has all its digits and its own column."""
    page = io.StringIO()
    names = ["part", "on", "what", "value", "unit", "against", "baseline", "ratio", "at_least", "at_most", "reached"]
    table = csv.DictWriter(page, [*names, "note"], lineterminator="\n")
    table.writeheader()
    for one in found:
        for row in one.rows:
            values = {"part": one.part, "on": one.on, "reached": row.reached, **vars(row)}
            table.writerow({name: cell(value) for name, value in values.items()})
    return page.getvalue()


def _with_unit(value: float, unit: str) -> str:
    """Three significant digits; no digits after the point from 100 on."""
    number = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{number} {unit}".strip()


def row_from(values: dict[str, Any]) -> Row:
    return Row(**values)
