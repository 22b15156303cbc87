"""What a user is told."""

from __future__ import annotations

import pytest

from reno.spec.errors import BadInput, did_you_mean, few, first_line, reason, typed_line


@pytest.mark.parametrize(
    ("error", "line", "typed"),
    [
        (ValueError("it broke"), "it broke", "ValueError: it broke"),
        (ValueError("it broke. \nand more"), "it broke", "ValueError: it broke"),
        (OSError(28, "No space left"), "[Errno 28] No space left", "OSError: [Errno 28] No space left"),
        (ValueError("a BOX"), "a BOX", "ValueError: a BOX"),
        (KeyError(), "KeyError", "KeyError"),
        (RuntimeError("  \n "), "RuntimeError", "RuntimeError"),
    ],
)
def test_an_error_has_one_line(error, line, typed):
    assert first_line(error) == line and typed_line(error) == typed


def test_a_reason_is_the_users_sentence_or_the_errors_line():
    assert reason(BadInput("say this.")) == "say this."
    assert reason(ValueError("it broke.\nx")) == "ValueError: it broke"


def test_of_many_sentences_the_first_are_shown_and_the_others_counted():
    assert few(["a", "b"], "words", 2) == ["a", "b"] and few([], "words") == []
    assert few(["a", "b", "c", "d"], "words", 2) == ["a", "b", "... and 2 more words"]


def test_a_near_word_is_offered_and_a_far_one_is_not():
    assert did_you_mean("clop", ["blip", "clip"]) == "; did you mean 'clip'?"
    assert did_you_mean(43, [42, 100]) == "; did you mean '42'?"
    assert did_you_mean("zzz", ["blip", "clip"]) == did_you_mean("x", []) == ""
    assert did_you_mean("ab", ["ax"]) == "; did you mean 'ax'?"  # half of it is enough
    assert did_you_mean("abc", ["axy"]) == ""
