"""What a user is told."""

from __future__ import annotations

import errno

import pytest

from reno.spec.errors import (
    BadInput,
    did_you_mean,
    disk_is_full,
    few,
    first_line,
    reason,
    typed_line,
    why_not_written,
)


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
    assert few(["a", "b", "c"], "words", 2) == ["a", "b", "... and 1 more words"]
    assert few(list("abcdefghijk"), "words") == [*"abcdefghij", "... and 1 more words"]


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_full_disk_and_a_spent_quota_are_known(number, full):
    assert disk_is_full(OSError(number, "said by the system")) is full


def test_only_an_error_of_the_system_says_that_a_disk_is_full():
    odd = ValueError("full")
    odd.errno = errno.ENOSPC
    assert not disk_is_full(odd)


def test_why_a_file_was_not_written_is_what_the_system_says():
    assert why_not_written(OSError(28, "No space left on device")) == "No space left on device"
    assert why_not_written(OSError("the tape is full.\nrewind")) == "the tape is full"
    assert why_not_written(ValueError("no such colour")) == "no such colour"


def test_a_near_word_is_offered_and_a_far_one_is_not():
    assert did_you_mean("clop", ["blip", "clip"]) == "; did you mean 'clip'?"
    assert did_you_mean(43, [42, 100]) == "; did you mean '42'?"
    assert did_you_mean("zzz", ["blip", "clip"]) == did_you_mean("x", []) == ""
    assert did_you_mean("ab", ["ax"]) == "; did you mean 'ax'?"  # half of it is enough
    assert did_you_mean("abc", ["axy"]) == ""
