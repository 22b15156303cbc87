"""Table 16 on faults that can be counted by hand."""

from __future__ import annotations

import msgspec

from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.tables import cells
from analysis.tables.instead import COLUMNS, instead


def told(made, image, *what):
    """The record, whose judge says of an image what each binding's object has instead."""
    said = made.judgements["oracle"]
    verdict = getattr(said, image)
    pairs = zip(verdict.judgements, what, strict=True)
    verdict = msgspec.structs.replace(
        verdict, judgements=tuple(msgspec.structs.replace(one, instead=name) for one, name in pairs)
    )
    judged = msgspec.structs.replace(said, **{image: verdict})
    return msgspec.structs.replace(made, judgements={"oracle": judged})


def table_of(records):
    results = tidy(records)
    found = slices(results)
    (cell,) = cells(found)
    return instead(cell, found)


def test_what_came_instead_by_hand(record):
    """color0 shows green twice and blue once before; clip leaves one green. color1 has no car before, and is mended."""
    records = [
        told(record(f"p{k}", metric="clip", before=("plain", "gone"), after=after), "initial", before, None)
        for k, (before, after) in enumerate(
            (("green", ("right",) * 2), ("blue", ("right",) * 2), ("green", ("swapped", "right")))
        )
    ]
    records[2] = told(records[2], "best", "green", None)
    records.append(record("p0", metric="blip", before=("plain", "gone"), after=("plain", "right")))
    table = table_of(records)
    rows = table.frame.set_index(["asked", "instead", "metric"])
    assert list(table.frame.columns) == list(COLUMNS)
    assert rows.loc[("color0", "green", "clip"), ["bindings", "before", "after"]].tolist() == [3, 2, 1]
    assert rows.loc[("color0", "blue", "clip"), ["before", "after"]].tolist() == [1, 0]
    assert rows.loc[("color1", "both missing", "clip"), ["before", "after"]].tolist() == [3, 0]
    assert rows.loc[("color0", "attribute missing", "blip"), ["bindings", "before", "after"]].tolist() == [1, 1, 1]
    assert table.frame[table.frame["metric"] == "clip"]["before"].sum() == 6
    assert table.shown[["asked", "instead", "clip", "blip"]].to_numpy().tolist() == [
        ["color0", "green", "1", "0"], ["color0", "attribute missing", "0", "1"], ["color0", "blue", "0", "0"],
        ["color1", "both missing", "0", "0"],
    ]  # fmt: skip
    assert table.shown["bindings"].tolist() == ["3 / 1"] * 4


def test_what_is_right_has_no_row_and_a_binding_without_attribute_but_with_its_object_is_told_by_its_fault(record):
    table = table_of([record(before=("right", "swapped"), after=("right", "astray"))])
    assert table.frame[["asked", "instead", "before", "after"]].to_numpy().tolist() == [
        ["color1", "attribute elsewhere", 1, 0], ["color1", "object missing", 0, 1],
    ]  # fmt: skip
    assert table_of([record(before=("right",), after=("right",))]).empty
    assert table_of([record(method="none")]).empty and table_of([record(judges=())]).empty
