"""Table 11 on transitions that can be counted by hand."""

from __future__ import annotations

import pytest

from analysis.data.frames import tidy
from analysis.numbers.bindings import FAULTS
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.faults import COLUMNS, faults


def table_of(records):
    results = tidy(records)
    found = slices(results)
    (cell,) = cells(found)
    return faults(cell, found)


def test_transitions_by_kind_of_fault_by_hand(record):
    before = ("right", "swapped", "plain", "astray", "gone")
    records = [record(f"p{k}", before=before, after=("swapped", "right", "gone", "astray", "plain")) for k in range(6)]
    records += [record("p6", before=before, after=("right",) * 5)]
    table = table_of(records)
    rows = table.frame.set_index("before")
    assert list(table.frame.columns) == list(COLUMNS)
    after = [name for name in table.frame if name.startswith("after ")]
    assert after == ["after right", *(f"after {fault}" for fault in FAULTS)]
    assert rows[after].to_numpy().tolist() == [
        [1, 6, 0, 0, 0], [7, 0, 0, 0, 0], [1, 0, 0, 0, 6], [1, 0, 0, 6, 0], [1, 0, 6, 0, 0],
    ]  # fmt: skip
    assert rows["bindings"].tolist() == [7] * 5
    assert rows["right"].tolist() == pytest.approx([1 / 7, 1, 1 / 7, 1 / 7, 1 / 7])
    assert rows.loc["attribute elsewhere", "right_interval"] == "score"
    assert table.shown["share right [95%]"].tolist()[1] == "1.00 [0.65, 1.00]"  # Wilson's, of 7 of 7


def test_a_share_is_of_prompts_that_had_the_fault_and_a_state_of_no_binding_has_no_row(record):
    records = [record(f"p{k}", before=("gone", "right"), after=("right", "right")) for k in range(5)]
    records += [record(f"q{k}", before=("right", "right"), after=("right", "right")) for k in range(9)]
    rows = table_of(records).frame.set_index("before")
    assert list(rows.index) == ["right", "both missing"]
    assert rows.loc["both missing", ["bindings", "prompts", "right", "right_interval"]].tolist() == [5, 5, 1, "none"]
    assert rows.loc["right", "prompts"] == 14


def test_each_metric_and_judge_has_its_rows(record):
    records = [record(metric=metric, judges=(("a", "none"), ("b", "blip"))) for metric in ("clip", "blip")]
    table = table_of(records)
    assert table.frame[["judge", "metric", "kin"]].to_numpy().tolist() == [
        ["a", "clip", False], ["a", "blip", False], ["b", "clip", False], ["b", "blip", True],
    ]  # fmt: skip
    assert table.shown["judge"].tolist() == ["a", "a", "b", "b†"]


def test_without_an_optimised_image_the_table_says_so(record):
    assert table_of([record(method="none")]).empty
