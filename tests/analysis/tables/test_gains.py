"""Table 13 on gains that can be ranked by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.gains import COLUMNS, gains

RIGHT, WRONG, HALF = ("right",) * 2, ("gone",) * 2, ("right", "gone")


def gained(record, place, gain, after, **more):
    scores = {which: {"clip": 1.0 + gain * (which == "best")} for which in ("initial", "best", "last")}
    return record(f"p{place}", before=WRONG, after=after, scores=scores, **more)


def table_of(records):
    found = slices(tidy(records))
    (cell,) = cells(found)
    return gains(cell, found)


def test_gains_that_rise_together_by_hand(record):
    outcomes = [(0.1, WRONG), (0.2, HALF), (0.4, RIGHT), (0.3, HALF), (0.6, RIGHT), (0.5, RIGHT)]
    row = table_of([gained(record, k, *outcome) for k, outcome in enumerate(outcomes)]).frame.iloc[0]
    # ranks of the own gain: 1 2 4 3 6 5; of the judged gain: 1 2.5 5 2.5 5 5
    assert row["rho"] == pytest.approx(15 / (17.5 * 15) ** 0.5)
    assert row["own_gain"] == pytest.approx(0.35) and row["judged_gain"] == pytest.approx(4 / 6)
    assert row[["prompts", "seeds", "trials"]].tolist() == [6, 1, 6]


def test_a_gain_that_is_the_same_everywhere_has_no_correlation(record):
    table = table_of([gained(record, k, 0.5, RIGHT if k % 2 else WRONG) for k in range(8)])
    assert pd.isna(table.frame["rho"]).all() and table.shown["rho [95%]"].tolist() == ["–"]


def test_each_metric_and_judge_has_a_row_and_a_kin_judge_is_marked(record):
    table = table_of([gained(record, k, k, RIGHT, judges=(("a", "none"), ("b", "clip"))) for k in range(3)])
    assert table.frame[["judge", "kin"]].to_numpy().tolist() == [["a", False], ["b", True]]
    assert table.shown["judge"].tolist() == ["a", "b†"]
    assert list(table.frame.columns) == list(COLUMNS)
    assert table_of([record(judges=())]).empty and table_of([record(method="none")]).empty
