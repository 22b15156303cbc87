"""Every key of a mapping is read, or refused by name."""

from __future__ import annotations

import pytest

from reno.config.sections import Section
from reno.spec.errors import BadInput


def refusal(call):
    with pytest.raises(BadInput) as refused:
        call()
    return str(refused.value)


def test_a_key_is_read_once_named():
    section = Section({"a": 1, "b": None}, "x")
    assert section.take("a") == 1 and section.take("b", 2) is None and section.take("c", 3) == 3
    section.end()


def test_a_key_that_is_missing_says_how_to_give_it():
    assert refusal(lambda: Section({}, "x.y").take("a")) == "x.y has no a; give it one: x.y.a=..."


def test_the_first_key_that_nobody_read_is_named_with_those_that_were():
    section = Section({"path": 1, "revisoin": 2, "more": 3}, "x.y")
    section.take("path"), section.take("revision", None)
    assert refusal(section.end) == "x.y.revisoin is not a knob; x.y has path; did you mean 'revision'?"


def test_where_none_of_the_known_keys_is_there_all_of_them_are_named():
    section = Section({"q": 1}, "x")
    section.take("path", None), section.take("variant", None)
    assert refusal(section.end) == "x.q is not a knob; x has path, variant"
    assert refusal(Section({"q": 1}, "x").end) == "x.q is not a knob; x has none"


def test_the_rest_is_what_was_not_read_and_counts_as_read():
    section = Section({"a": 1, "b": 2, "c": 3}, "x")
    section.take("a")
    assert section.rest() == {"b": 2, "c": 3} and section.rest() == {}
    section.end()


def test_an_inner_mapping_has_its_own_name():
    section = Section({"inner": {"a": 1}}, "x")
    inner = section.section("inner")
    section.end()
    assert refusal(inner.end) == "x.inner.a is not a knob; x.inner has none"
    assert section.section("other", {}).where == "x.other"
    assert refusal(lambda: section.section("none")) == "x has no none; give it one: x.none=..."


@pytest.mark.parametrize("value", [None, 3, "a", ["a"]])
def test_what_is_no_mapping_is_refused(value):
    assert refusal(lambda: Section({"inner": value}, "x").section("inner")) == (
        f"x.inner must hold keys and values, not {value!r}"
    )


@pytest.mark.parametrize(
    ("reference", "read"),
    [
        ("metric.head", True),  # the key itself
        ("metric.head.size", True),  # something inside it
        ("metric", True),  # all that it is in
        (".head", True),  # relative to its own mapping
        ("metric.header", False),
        ("other.head", False),
        ("head", False),
    ],
)
def test_a_key_that_another_value_refers_to_counts_as_read(reference, read):
    section = Section({"head": "itm"}, "metric", frozenset({reference}))
    assert section.rest() == ({} if read else {"head": "itm"})
    section.end()
    if not read:
        assert "metric.head is not a knob" in refusal(Section({"head": 1}, "metric", frozenset({reference})).end)


def test_inner_mappings_know_the_references_too():
    section = Section({"inner": {"head": 1}}, "metric", frozenset({"metric.inner.head"}))
    section.section("inner").end()
