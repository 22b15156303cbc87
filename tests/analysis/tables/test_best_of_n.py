"""Table 14 on scores and outcomes that can be counted by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.best_of_n import COLUMNS, best_of, best_of_n

RIGHT, WRONG = ("right",) * 2, ("gone",) * 2


def table_of(records, scores=None):
    """scores: by prompt, of all images of its trials; shorter trials have the first of them."""
    results = tidy(records)
    scores = scores or {}
    rows = [
        {"trial": row["trial"], "iteration": k, "score": score}
        for _, row in results.trials.iterrows()
        for k, score in enumerate(scores.get(row["prompt"], [])[: row["images"]])
    ]
    results.__dict__["all_traces"] = pd.DataFrame(rows, columns=["trial", "iteration", "score"])
    (cell,) = cells(slices(results))
    return best_of_n(cell, results)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_expected_best_is_the_mean_over_all_choices(n):
    scores = np.array([0.3, -1.0, 2.0, 2.0, 0.7])
    assert best_of(n, scores) == pytest.approx(np.mean([max(chosen) for chosen in combinations(scores, n)]))


def test_the_best_of_many_images_neither_overflows_nor_exceeds_the_best():
    scores = np.linspace(0, 1, 5001)
    assert best_of(1, scores) == pytest.approx(0.5) and best_of(5001, scores) == pytest.approx(1.0)
    assert best_of(2, scores) == pytest.approx(2 / 3, abs=1e-3)  # of two uniform numbers
    assert np.isnan(best_of(6, scores[:5]))


def test_the_curve_by_hand(record):
    """Trials of 2 and of 4 images: right in 1 of 8 prompts at first, in 4 with 2 images, in all with 4."""
    records = [
        record(f"p{k}", method="best_of_n", iterations=images - 1, before=RIGHT if not k else WRONG,
               after=RIGHT if images == 4 or k < 4 else WRONG)
        for k in range(8) for images in (2, 4)
    ]  # fmt: skip
    table = table_of(records, {f"p{k}": [0.0, 1.0, 2.0, 3.0] for k in range(8)})
    rows = table.frame.set_index("images")
    assert list(table.frame.columns) == list(COLUMNS)
    assert list(rows.index) == [1, 2, 4]
    assert rows["fully_bound"].tolist() == [1 / 8, 4 / 8, 1] and rows["trials"].tolist() == [8, 8, 8]
    assert rows["score"].tolist() == pytest.approx([1.5, (1 + 2 * 2 + 3 * 3) / 6, 3])  # of the trials with 4 images
    assert rows["score_trials"].tolist() == [8] * 3 and rows["score_of"].tolist() == [4] * 3
    assert table.shown["fully bound [95%]"].iloc[0].startswith("0.12 [") and table.shown["n"].iloc[0] == "8 × 1 (8)"


def test_numbers_of_images_that_no_trial_has_show_the_score_alone(record):
    table = table_of([record("p0", method="best_of_n", iterations=5)], {"p0": list(range(6))})
    assert table.frame["images"].tolist() == [1, 2, 4, 6]
    assert table.shown["fully bound [95%]"].tolist() == ["0.00", "–", "–", "1.00"]
    assert table.shown["own score"].tolist()[-1] == "5.00"


def test_without_a_trace_or_a_judge_the_rest_stands(record):
    assert table_of([record("p0", method="best_of_n", iterations=1)]).shown["own score"].tolist() == ["–", "–"]
    bare = table_of([record("p0", method="best_of_n", iterations=1, judges=())], {"p0": [1.0, 3.0]})
    assert bare.shown["own score"].tolist() == ["2.00", "3.00"] and bare.frame["trials"].tolist() == [0, 0]
    empty = table_of([record()])
    assert empty.empty and "+experiments=best_of_n_curve" in empty.notes[0]
