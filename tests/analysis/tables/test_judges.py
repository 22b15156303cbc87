"""Table 12 on answers that can be compared by hand."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pandas as pd
import pytest

from analysis.data.frames import tidy
from analysis.data.labels import WHOLE_IMAGE
from analysis.data.results import PEOPLE_COLUMNS
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.judges import COLUMNS, judges
from tests.analysis.conftest import verdict

RIGHT, WRONG, HALF = ("right",) * 2, ("gone",) * 2, ("right", "gone")


def table_of(results):
    (cell,) = cells(slices(results))
    return judges(cell, results)


def two_judges(record, prompt, a, b, **more):
    """A trial whose best image is in the states `a` by judge a and `b` by judge b; both find the initial one wrong."""
    made = record(prompt, before=WRONG, judges=(("a", "none"), ("b", "clip")), **more)
    judged = {
        name: msgspec.structs.replace(made.judgements[name], best=verdict(states))
        for name, states in (("a", a), ("b", b))
    }
    return msgspec.structs.replace(made, judgements=judged)


def made(record):
    pairs = [(RIGHT, RIGHT)] * 3 + [(RIGHT, HALF)] * 2 + [(WRONG, HALF)] + [(WRONG, WRONG)] * 2
    return [two_judges(record, f"p{k}", *pair) for k, pair in enumerate(pairs)]


def test_agreement_by_hand(record):
    table = table_of(tidy(made(record)))
    assert list(table.frame.columns) == list(COLUMNS)
    rows = table.frame.set_index(["of", "image"])
    bindings = rows.loc[("bindings", "best")]
    assert bindings[["both_yes", "only_a", "only_b", "both_no"]].tolist() == [8, 2, 1, 5]
    assert bindings["agree"] == pytest.approx(13 / 16) and bindings["answers"] == 16 and bindings["prompts"] == 8
    expected = (10 * 9 + 6 * 7) / 256
    assert bindings["kappa"] == pytest.approx((13 / 16 - expected) / (1 - expected))
    images = rows.loc[("images", "best")]
    assert images[["both_yes", "only_a", "only_b", "both_no"]].tolist() == [3, 2, 0, 3]
    before = rows.loc[("bindings", "initial")]
    assert before["agree"] == 1 and pd.isna(before["kappa"])


def test_an_image_before_counts_once_and_that_of_no_optimisation_is_not_one_after(record):
    records = [two_judges(record, "p0", RIGHT, WRONG, metric=metric) for metric in ("clip", "blip")]
    records += [two_judges(record, "p0", WRONG, WRONG, method="none")]
    rows = table_of(tidy(records)).frame.set_index(["of", "image"])
    assert rows["answers"].to_dict() == {
        ("bindings", "initial"): 2, ("bindings", "best"): 4, ("images", "initial"): 1, ("images", "best"): 2,
    }  # fmt: skip


def test_people_are_a_judge(record):
    results = tidy(made(record))
    ids = results.trials.set_index("prompt")["trial"]
    answers = [("p0", 0, True), ("p0", 1, True), ("p3", 1, False), ("p7", WHOLE_IMAGE, True)]
    people = pd.DataFrame(
        [("sd_turbo", prompt, 0, "best", ids[prompt], place, holds) for prompt, place, holds in answers]
        + [("other", "p0", 0, "initial", "", 0, True)],
        columns=list(PEOPLE_COLUMNS),
    )
    table = table_of(replace(results, people=people, label_notes=("5 answers.",)))
    rows = table.frame[table.frame["b"] == "people"].set_index(["a", "of", "image"])
    counts = rows[["both_yes", "only_a", "only_b", "both_no"]]
    assert counts.loc[("a", "bindings", "best")].tolist() == [2, 1, 0, 0]
    assert counts.loc[("b", "bindings", "best")].tolist() == [2, 0, 0, 1]
    # p0 is told by both of its bindings; of p3 only one is, which says nothing of the image; of p7 the image is told
    assert counts.loc[("a", "images", "best")].tolist() == [1, 0, 1, 0]
    assert len(rows) == 4 and "5 answers." in table.notes
    assert "a vs people" in table.shown["judges"].tolist()


def test_one_judge_has_nobody_to_agree_with(record):
    table = table_of(tidy([record()]))
    assert table.empty and "No two judges" in table.notes[0]
