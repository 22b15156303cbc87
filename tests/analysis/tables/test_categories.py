"""Table 8 on records whose shares can be worked out by hand."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.data.frames import tidy
from analysis.numbers.measures import FULLY_BOUND
from analysis.numbers.slices import slices
from analysis.tables import all_tables, cells
from analysis.tables.categories import level_of_groups
from tests.analysis.conftest import GONE, RIGHT, make_job, make_record


def stored(category, place, correct=None, score=None, bound=True, bindings=1, **more):
    """A trial whose best image is as told, and whose initial image is wrong."""
    states = (GONE,) * bindings, (RIGHT if bound else GONE,) * bindings
    made = make_record(f"{category} {place}", 0, "clip", "reno", *states, judges=(("detector", "clip"),), **more)
    said = made.judgements["detector"]
    before = msgspec.structs.replace(said.initial, correct=None if correct is None else False, score=score and 0.0)
    after = msgspec.structs.replace(said.best, correct=correct, score=score)
    judged = msgspec.structs.replace(said, initial=before, best=after)
    return msgspec.structs.replace(made, category=category or msgspec.UNSET, judgements={"detector": judged})


def table_of(records):
    results = tidy(records)
    found = [table for table in all_tables(results, slices(results)) if table.name == "categories"]
    return found[0] if found else None


def test_genevals_scores_are_shares_of_correct_images_and_their_mean_counts_each_task_once():
    records = [stored("counting", place, correct=place < 2, bindings=0) for place in range(8)]
    records += [stored("colors", place, correct=place < 9, bound=place < 5) for place in range(12)]
    table = table_of(records)
    rows = table.frame.set_index("category")
    assert list(rows.index) == ["colors", "counting", "mean of categories"]
    assert rows["correct_after"].tolist() == pytest.approx([0.75, 0.25, 0.5])
    assert rows["correct_before"].tolist() == [0, 0, 0]
    assert np.isnan(rows.loc["counting", "fully_bound_after"]) and rows.loc["colors", "fully_bound_after"] == 5 / 12
    assert rows.loc["mean of categories", "fully_bound_after"] == 5 / 12  # of the one category that has bindings
    assert sum("GenEval's rule" in note for note in table.notes) == 1 and "T2I" not in "".join(table.notes)
    low, high = rows.loc["mean of categories", ["correct_after_low", "correct_after_high"]]
    assert 0.25 < low < 0.5 < high < 0.75
    assert rows["trials"].tolist() == [12, 8, 20]
    assert table.shown["correct images"][1].startswith("0.00 → 0.25 [")
    assert table.shown["prompts fully bound"][1] == "–" and table.shown["judge"][0] == "detector†"


def test_a_judges_score_is_averaged_by_category_and_one_category_has_no_mean():
    records = [stored("color", place, score=place / 10) for place in range(6)]
    rows = table_of(records).frame
    assert rows["category"].tolist() == ["color"] and rows["judge_score_after"].tolist() == pytest.approx([0.25])
    assert "correct_after" not in rows


def test_prompts_of_no_category_are_in_no_row_and_without_any_there_is_no_table():
    assert table_of([stored("", place) for place in range(3)]) is None
    records = [stored("color", 0), stored("", 1, bound=False)]
    assert table_of(records).frame["fully_bound_after"].tolist() == [1.0]


def test_prompts_without_bindings_are_not_called_unjudged():
    records = [stored("counting", place, correct=True, bindings=0) for place in range(2)] + [stored("colors", 0)]
    (note,) = [note for note in table_of(records).all_notes if "without bindings" in note]
    assert note == "2 of the 3 trials have a prompt without bindings: no binding counts them."
    assert not any("did not judge" in note for note in table_of(records).all_notes)


def grouped(*groups):
    """Trials of several categories, one a prompt. groups: their shares."""
    frames = [
        pd.DataFrame({"prompt": [f"{place} {k}" for k in range(len(group))], "fully/best": np.asarray(group, float)})
        for place, group in enumerate(groups)
    ]
    first = np.cumsum([0, *(len(group) for group in groups)])
    return [frame.assign(seed=range(start, start + len(frame))) for start, frame in zip(first, frames, strict=False)]


def test_the_mean_of_groups_counts_each_the_same_and_its_variance_is_that_within_them():
    rng = np.random.default_rng(0)
    groups = grouped(rng.random(400) < 0.1, rng.random(100) < 0.7)
    found = level_of_groups(groups, FULLY_BOUND, "best")
    a, b = (group["fully/best"] for group in groups)
    assert found.value == pytest.approx((a.mean() + b.mean()) / 2) and found.kind == "score"
    count = found.value * (1 - found.value) / ((a.var(ddof=0) / 400 + b.var(ddof=0) / 100) / 4)
    for limit in (
        found.low,
        found.high,
    ):  # by Wilson's definition: so many standard errors, at the limit, from the value
        distance = abs(found.value - limit) / np.sqrt(limit * (1 - limit) / count)
        assert distance == pytest.approx(stats.norm.ppf(0.975), rel=1e-6)
    alike = level_of_groups(grouped(np.ones(9), np.zeros(9)), FULLY_BOUND, "best")
    assert alike.value == 0.5 and alike.high - alike.low > 0.3  # nothing varies within a group: as 18 prompts say
    assert level_of_groups(grouped(np.arange(9) % 2, [1, 0, 1]), FULLY_BOUND, "best").kind == "none"
    assert np.isnan(level_of_groups(grouped([np.nan]), FULLY_BOUND, "best").value)


def test_a_trial_of_two_prompt_sets_has_the_category_of_each():
    one = stored("", 0, correct=True)
    first, second = (
        make_job([one], labels=msgspec.structs.replace(one.labels, prompts=name)) for name in ("mine", "suite")
    )
    named = msgspec.structs.replace(second.trials[0], category="colors")
    results = tidy([one], [first, msgspec.structs.replace(second, trials=(named,))])
    by_set = {cell[0].prompt_set: cell[0].rows["category"].tolist() for cell in cells(slices(results))}
    assert by_set == {"pairs_test": [""], "mine": [""], "suite": ["colors"]}
