"""Table 15 on outcomes whose variance lies where it was put."""

from __future__ import annotations

import pytest

from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.variance import COLUMNS, variance

RIGHT, WRONG = ("right",) * 2, ("gone",) * 2


def table_of(records):
    found = slices(tidy(records))
    (cell,) = cells(found)
    return variance(cell, found)


def test_an_outcome_that_depends_on_the_prompt_alone(record):
    records = [record(f"p{p}", seed, after=RIGHT if p % 2 else WRONG) for p in range(6) for seed in range(3)]
    table = table_of(records)
    assert table.frame["outcome"].tolist() == ["after", "change"]
    assert list(table.frame.columns) == list(COLUMNS)
    assert table.frame[["prompt", "noise", "rest"]].to_numpy().tolist() == [[1, 0, 0]] * 2
    assert table.shown["n"].tolist() == ["6 × 3 (18)"] * 2 and "interplay" in table.notes[0]


def test_an_outcome_that_depends_on_the_noise_alone(record):
    records = [record(f"p{p}", seed, after=RIGHT if seed else WRONG) for p in range(6) for seed in range(3)]
    assert table_of(records).frame[["prompt", "noise", "rest"]].to_numpy()[0] == pytest.approx([0, 1, 0])


def test_own_noises_have_a_row_of_all_metrics_that_tells_noise_from_rest(record):
    records = [
        record(f"p{p}", 10 * p + seed, metric, after=RIGHT if seed else WRONG)
        for p in range(6) for seed in range(2) for metric in ("clip", "blip")
    ]  # fmt: skip
    table = table_of(records)
    rows = table.frame[table.frame["outcome"] == "after"].set_index("metric")
    assert list(rows.index) == ["clip", "blip", "all metrics"]
    assert rows.loc["clip", ["prompt", "rest"]].tolist() == [0, 1] and rows["noise"].isna().tolist() == [
        True,
        True,
        False,
    ]
    assert rows.loc["all metrics", ["prompt", "noise", "rest"]].tolist() == pytest.approx([0, 1, 0])
    assert "what the metrics make differently of one noise" in table.notes[0]
    assert table.shown["noises"].tolist() == ["–", "–", "–", "–", "1.00", "1.00"]


def test_a_store_that_cannot_be_split_says_what_it_takes(record):
    few = [record(f"p{p}", seed) for p in range(6) for seed in range(2)]
    for records in (few, [record(judges=())], [record(method="none")]):
        table = table_of(records)
        assert table.empty and table.notes[0].startswith("It takes 6 judged prompts with 2 noises of their own each")
