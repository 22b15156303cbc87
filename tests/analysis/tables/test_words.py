"""Tables 10 and 17 on bindings that can be counted by hand."""

from __future__ import annotations

import math

import msgspec
import pytest

from analysis.data.frames import tidy
from analysis.numbers.bindings import share, share_value
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.words import ABOUT, NUMBERS, by_kind, by_word

WORDS = (("red", "car"), ("wooden", "cup"))


def worded(made, words=WORDS):
    """The record with these (attribute, object) in its judgements, one a binding."""

    def named(verdict):
        pairs = zip(verdict.judgements, words, strict=True)
        said = tuple(msgspec.structs.replace(one, attribute=word, object=thing) for one, (word, thing) in pairs)
        return msgspec.structs.replace(verdict, judgements=said)

    judged = {
        name: msgspec.structs.replace(said, initial=named(said.initial), best=named(said.best))
        for name, said in made.judgements.items()
    }
    return msgspec.structs.replace(made, judgements=judged)


def made(record):
    """clip makes red right and wood wrong, on 6 prompts; blip all wrong, on 4 of them; gold is in no list of kinds."""
    records = [
        worded(record(f"p{k}", metric="clip", before=("gone", "right"), after=("right", "gone"))) for k in range(6)
    ]
    records += [worded(record(f"p{k}", metric="blip", after=("gone", "plain"))) for k in range(4)]
    odd = (("red", "car"), ("zany", "car"))
    return [*records, worded(record("odd", metric="clip", after=("gone", "right")), odd)]


def tables(records):
    results = tidy(records)
    found = slices(results)
    (cell,) = cells(found)
    return by_kind(cell, found), by_word(cell, found)


def test_bindings_by_kind_by_hand(record):
    table, _ = tables(made(record))
    assert list(table.frame.columns) == [*ABOUT, "kind", *NUMBERS]
    rows = table.frame.set_index(["kind", "metric"])
    assert rows.loc[("color", "clip"), ["bindings", "prompts", "before", "after"]].tolist() == pytest.approx(
        [7, 7, 0, 6 / 7]
    )
    assert rows.loc[("color", "blip"), ["bindings", "prompts", "after"]].tolist() == [4, 4, 0]
    assert rows.loc[("material", "clip"), ["bindings", "before", "after"]].tolist() == [6, 1, 0]
    assert rows.loc[("other", "blip"), "bindings"] == 0
    assert table.shown["kind"].tolist() == ["color", "material", "other"]  # the most frequent first
    color, material, other = table.shown.to_dict("records")
    assert color["bindings"] == "7 / 4" and color["clip"].startswith("0.00 → 0.86 [") and color["blip"] == "0.00 → 0.00"
    assert material["clip"] == "1.00 → 0.00 [0.00, 0.39]" and (other["clip"], other["blip"]) == ("0.00 → 1.00", "–")
    assert any("in no list of the program" in note for note in table.notes)


def test_the_value_alone_is_that_of_the_share_where_prompts_have_different_numbers_of_trials(record):
    results = tidy([record("p0", seed, after=("right", "gone")) for seed in range(3)] + [record("p1")])
    fates = slices(results)[0].fates
    assert share_value(fates, fates["is_right"]) == share(fates, fates["is_right"]).value == 0.75
    assert math.isnan(share_value(fates[:0], fates["is_right"][:0]))


def test_bindings_by_attribute_and_object_by_hand(record):
    _, table = tables(made(record))
    clip = table.frame[table.frame["metric"] == "clip"].set_index(["of", "word"])
    assert clip["bindings"].to_dict() == {
        ("attribute", "red"): 7, ("attribute", "wooden"): 6, ("attribute", "zany"): 1, ("object", "car"): 8,
        ("object", "cup"): 6,
    }  # fmt: skip
    assert clip.loc[("object", "car"), "after"] == pytest.approx(7 / 8)  # of bindings: one prompt has two cars
    assert clip.loc[("object", "car"), "after_interval"] != "none" and clip.loc[("object", "cup"), "prompts"] == 6
    blip = table.frame[table.frame["metric"] == "blip"].set_index("word")
    assert blip.loc["red", "after_interval"] == "none"  # 4 prompts are too few for an interval
    assert table.shown["word"].tolist() == ["red", "wooden", "zany", "car", "cup"]


def test_settings_are_those_chosen_on_dev_prompts_and_otherwise_the_usual_ones(record, tuned):
    table, _ = tables(
        [*(record(f"p{k}", lr=0.05) for k in range(2)), *(record(f"p{k}", after=("gone",) * 2) for k in range(3))]
    )
    assert set(table.frame["settings"]) == {"50 it., lr 0.01"} and table.frame["after"].tolist() == [0]
    assert "clip: reno, 50 it., lr 0.01." in table.notes[0]
    results = tidy(tuned(6))
    found = slices(results)
    test = next(cell for cell in cells(found) if cell[0].prompt_set == "pairs_test")
    chosen = by_kind(test, found).frame.set_index("metric")
    assert chosen["settings"].to_dict() == {"clip": "50 it., lr 0.01", "blip": "50 it., lr 0.05"}
    assert chosen["after"].tolist() == [1, 1]


def test_without_an_optimised_image_the_tables_say_so(record):
    for records in ([record(method="none")], [record(judges=())], [record(before=(), after=())]):
        for table in tables(records):
            assert table.empty and table.notes == ("No judge looked at a binding of an optimised image.",)
