"""Table 9 on records whose shares can be worked out by hand, and the file of published values."""

from __future__ import annotations

import msgspec
import pytest

from analysis.data.frames import tidy
from analysis.numbers.published import Published, published
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.expected import expected
from reno.config.conf import Conf
from reno.config.suites import suite_named
from reno.spec.errors import BadInput
from tests.analysis.conftest import GONE, RIGHT, make_record

ROW = Published(
    source="someone, table 1", models="sd_turbo", suites={"a": "bench/a@1", "b": "bench/a@1", "mean": "bench/a@1"},
    judge="oracle", measure="fully_bound", images=1, method="reno", metric="clip", prompts={"a": 8},
    settings={"optimizer": "adam", "lr": 0.01}, values={"a": 0.5},
)  # fmt: skip


def records(category, count, bound, **more):
    for place in range(count):
        after = RIGHT if place < bound else GONE
        one = make_record(
            f"{category} {place}",
            100 * ord(category) + place,
            "clip",
            more.pop("method", "reno"),
            (GONE,),
            (after,),
            prompts="bench/a@1",
            **more,
        )
        yield msgspec.structs.replace(one, category=category)


def table(found, *rows):
    results = tidy(list(found))
    (cell,) = cells(slices(results))
    return expected(cell, rows)


def changed(**more):
    return msgspec.structs.replace(ROW, **more)


def test_a_published_value_is_inside_our_interval_or_outside_and_the_protocol_is_the_same():
    found = [*records("a", 8, 4)]
    one = table(found, ROW, changed(values={"a": 0.99}))
    assert one.frame["ours"].tolist() == [0.5, 0.5] and one.frame["inside"].tolist() == ["inside", "outside"]
    assert one.frame["protocol"].tolist() == ["the same", "the same"]
    assert one.shown["ours"][0].startswith("0.50 [") and one.shown["published"].tolist() == ["0.5", "0.99"]
    assert one.frame["settings"][0] != "" and one.shown["published is in our interval"].tolist() == ["yes", "no"]


@pytest.mark.parametrize(("published", "ours"), [(0.5, "0.50 ["), (0.235, "0.500 ["), (0.5513, "0.5000 [")])
def test_ours_has_as_many_digits_as_the_published_value(published, ours):
    assert table([*records("a", 8, 4)], changed(values={"a": published})).shown["ours"][0].startswith(ours)


def test_every_difference_of_the_protocol_is_said():
    found = [*records("a", 6, 3, lr=0.05, random_weights=True)]
    (said,) = table(found, changed(images=10, settings={"optimizer": "sgd", "lr": 5.0})).frame["protocol"]
    assert said == (
        "6 of 8 prompts; 1 instead of 10 images per prompt; optimizer adam instead of sgd; lr 0.05 instead of 5.0; "
        "random weights"
    )


def test_a_judge_that_stands_in_for_the_official_one_is_a_difference():
    (said,) = table([*records("a", 8, 4)], changed(official="UniDet")).frame["protocol"]
    assert said == "judged by oracle instead of UniDet"


def test_each_setting_that_ran_has_a_row():
    found = [*records("a", 8, 4), *records("a", 8, 6, lr=0.05)]
    frame = table(found, ROW).frame
    assert frame["ours"].tolist() == [0.5, 0.75] and frame["protocol"].tolist() == [
        "the same",
        "lr 0.05 instead of 0.01",
    ]


def test_a_value_of_the_initial_images_takes_each_once_whatever_was_optimised():
    found = [*records("a", 8, 8), *records("a", 8, 8, lr=0.05)]
    frame = table(found, changed(method="before", metric=None, settings={}, values={"a": 0.0})).frame
    assert frame["ours"].tolist() == [0.0] and len(frame) == 1


def test_a_mean_counts_each_category_once():
    found = [*records("a", 8, 8), *records("b", 16, 0)]
    assert table(found, changed(values={"mean": 0.5})).frame["ours"].tolist() == [0.5]


def test_what_was_not_run_or_not_judged_says_so_and_what_is_of_other_models_is_left_out():
    found = [*records("a", 8, 4)]
    one = table(found, changed(metric="hpsv2"), changed(judge="detector"), changed(models="flux"))
    assert one.frame["protocol"].tolist() == ["not run", "not judged by detector"]
    assert one.shown["ours"].tolist() == ["–", "–"] and one.frame["inside"].tolist() == ["no interval"] * 2
    assert table(found, changed(models="flux")) is None


def test_the_published_values_are_of_suites_and_measures_that_exist():
    for row in published():
        for suite in row.suites.values():
            found = suite_named(suite, Conf()).suite
            assert (found.name, found.protocol.judge, found.protocol.measure.replace("score", "judge_score")) == (
                suite, row.judge, row.measure,
            )  # fmt: skip
            assert bool(found.protocol.official) == bool(row.official)
        assert row.metric or row.method == "before"
    table_1 = {
        row.metric: row.values for row in published() if row.source.endswith("table 1") and "Eyring" in row.source
    }
    assert table_1["clip_vit_h"]["color"] == 0.6625 and table_1["imagereward"]["color"] == 0.7720


@pytest.mark.parametrize("text", ["3", "- {source: x}", "- 3", "a: [", "[{values: {a: 1}}]"])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "expected.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"the published values in .*expected.yaml cannot be read"):
        published(tmp_path / "expected.yaml")


def test_noises_that_prompts_share_are_a_difference():
    found = [
        make_record(f"a {place}", 7, "clip", before=(GONE,), after=(RIGHT,), prompts="bench/a@1") for place in range(8)
    ]
    found = [msgspec.structs.replace(one, category="a") for one in found]
    assert table(found, ROW).frame["protocol"].tolist() == ["all prompts share their noises"]


def test_where_all_prompts_have_one_value_the_interval_still_has_a_width():
    """8 of 8: from 0.68 to 1, by Wilson's score."""
    row = table([*records("a", 8, 8)], ROW).frame.iloc[0]
    assert (row["ours_low"], row["ours_high"]) == (pytest.approx(8 / (8 + 1.959964**2), abs=1e-6), 1)
    assert row["inside"] == ("inside" if row["published"] >= row["ours_low"] else "outside")
