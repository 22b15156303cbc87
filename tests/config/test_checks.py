"""Checks of single values."""

from __future__ import annotations

from pathlib import Path

import pytest

from reno.config.checks import distinct, folder, names, text
from reno.spec.errors import BadInput


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, []), ("none", []), ([], []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ([None, "a", 3], ["a", "3"])],
)
def test_a_knob_may_name_one_several_or_none(value, found):
    assert names("record", value) == found


@pytest.mark.parametrize(
    ("check", "value", "says"),
    [
        (names, ["a", "b", "a"], "knob has 'a' twice; leave one of them out"),
        (names, ["a", True], "knob must be a text, not True"),
        (names, {}, "knob must be a text, not {}"),
        (distinct, [1, 1], "knob has 1 twice; leave one of them out"),
        (text, "", "knob must be a text, not ''"),
        (text, [], "knob must be a text, not []"),
        (text, "a\ud800", r"knob holds half of a character, which cannot be stored: 'a\ud800'"),
        (folder, "~nobody-here/x", "knob=~nobody-here/x: there is no user of that name; give the folder's whole path"),
        (folder, "a" * 300, "knob must be a path, and its 300 letters are more than a disk takes"),
        (folder, "a\0", r"knob must be a path, not 'a\x00'"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(check, value, says):
    with pytest.raises(BadInput) as refused:
        check("knob", value)
    assert str(refused.value) == says


def test_what_can_be_used_is_given_back(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert folder("results", "~/é (1)") == Path("/home/me/é (1)")
    assert (text("study", "étude"), text("study", 2026)) == ("étude", "2026")
