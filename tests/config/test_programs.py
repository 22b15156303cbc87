"""The commands by name, and how messages call them."""

from __future__ import annotations

import importlib.util

import pytest

from reno.config.conf import OWN
from reno.config.programs import PROGRAMS, as_called, called_as, programs

TEXT = "run `python -m reno.run -m lr=1`, or with reno.run; python -m reno.evaluate; python -m analysis results=DIR"


def test_messages_call_a_command_as_the_user_called_it():
    assert as_called(TEXT) == TEXT
    with called_as("reno"):
        assert as_called(TEXT) == "run `reno run -m lr=1`, or with reno run; reno evaluate; reno report results=DIR"
        with called_as("python -m reno"):
            assert as_called("python -m reno.memory [knob=value ...]") == "python -m reno memory [knob=value ...]"
    assert as_called(TEXT) == TEXT


@pytest.mark.parametrize("text", ["/x/reno.run/y", "reno.running.batch", "reno.run.main", "my-reno.run", "analysis"])
def test_other_words_stay(text):
    with called_as("reno"):
        assert as_called(text) == text


def test_a_sentence_may_end_after_a_command():
    with called_as("reno"):
        assert as_called("The knobs are those of reno.run.") == "The knobs are those of reno run."


def test_every_command_that_is_there_has_a_page_and_no_other_is_listed():
    assert {"run", "evaluate", "reproduce", "memory", "report"} <= set(programs())
    for one in PROGRAMS:
        assert (one.name in programs()) == bool(importlib.util.find_spec(one.module))
    for one in programs().values():
        assert importlib.util.find_spec(one.entry) and (OWN / f"{one.page}.yaml").is_file()
