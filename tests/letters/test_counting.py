"""A long reading says how far it is; a short one says nothing."""

from __future__ import annotations

import itertools

import pytest

from reno.letters import counting
from reno.letters.console import PatientConsole
from reno.letters.counting import counted


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock is `clock.step` seconds after the last one."""

    class Clock:
        step = 0.001

    ticks = itertools.count()
    monkeypatch.setattr(counting.time, "monotonic", lambda: next(ticks) * Clock.step)
    return Clock


@pytest.mark.parametrize("terminal", [False, True])
def test_a_short_reading_is_silent_and_yields_everything(clock, capsys, monkeypatch, terminal):
    monkeypatch.setattr(PatientConsole, "live", terminal)
    assert list(counted(iter("abc"), "trials read", 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_elsewhere_than_on_a_terminal_a_line_comes_every_half_minute(clock, capsys):
    clock.step = 10.0
    assert len(list(counted(range(9), "trials read", 9))) == 9
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [  # after 40 s and 80 s: a line at 30 s would be on time, not late
        "  3 of 9 trials read, about 1 min 20 s left",
        "  7 of 9 trials read, about 23 s left",
    ]


def test_more_items_than_foretold_leave_no_time(clock, capsys):
    clock.step = 40.0
    assert len(list(counted(range(3), "trials read", 1))) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "  2 of 1 trials read, about 0 s left"


def test_on_a_terminal_a_bar_moves_and_goes(clock, monkeypatch):
    seen = []

    class Bar(counting.Progress):
        def start(self):
            seen.append("shown")

        def update(self, task, **how):
            seen.append(how["completed"])

        def stop(self):
            seen.append("gone")

    monkeypatch.setattr(counting, "Progress", Bar)
    monkeypatch.setattr(PatientConsole, "live", True)
    clock.step = 1.0
    with pytest.raises(KeyboardInterrupt):
        for item in counted(range(9), "trials read", 9):
            if item == 3:
                raise KeyboardInterrupt
    assert seen == [0, 1, 2, "shown", 3, "gone"]
