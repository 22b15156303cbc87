"""What a job does when a signal tells it to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from reno.running.ending import ends_when_told

TOLD = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]


@pytest.fixture
def engine(monkeypatch):
    """As in a job of submitit: its handler ends the process. The calls that it got."""
    calls = []

    def handler(number, frame):
        calls.append(number)
        raise SystemExit(3)

    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    before = signal.signal(signal.SIGUSR2, handler)
    yield calls
    assert signal.getsignal(signal.SIGUSR2) is handler
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize("number", TOLD)
def test_the_first_signal_interrupts_and_later_ones_do_not(number):
    with ends_when_told() as ending:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        for again in TOLD:
            os.kill(os.getpid(), again)
    assert ending.told == number and not ending.may_queue_again
    ending.queue_again()  # nobody can


def test_a_command_that_was_told_hears_no_further_signal_until_its_end():
    """Each signal after the first comes after the block, as while the job's record is written."""
    code = (
        "import os, signal, sys, time, reno; reno.end_on_interrupt(); reno.raise_on_interrupt()\n"
        "from reno.running.ending import ends_when_told\n"
        "try:\n"
        "    with ends_when_told(): os.kill(os.getpid(), signal.SIGUSR1); time.sleep(5)\n"
        "except KeyboardInterrupt:\n"
        "    for number in reno.ENDING: os.kill(os.getpid(), number)\n"
        "    sys.exit(130)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 130


@pytest.mark.parametrize("number", TOLD)
def test_a_signal_during_the_imports_ends_a_command_with_one_line(number):
    code = f"import os, reno; reno.end_on_interrupt(); os.kill(os.getpid(), {int(number)}); raise SystemExit(1)"
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "interrupted before anything was done\n")


def test_the_outer_block_hears_the_signal():
    with ends_when_told() as outer:
        with ends_when_told() as inner, pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGUSR1)
        assert inner is outer and outer.told == signal.SIGUSR1
        assert signal.getsignal(signal.SIGUSR1) is outer


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_the_engine_queues_the_job_again_after_the_block(engine, number):
    with ends_when_told() as ending, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert engine == []
    with pytest.raises(SystemExit):
        ending.queue_again()
    assert engine == [number]


def test_a_job_that_was_taken_away_is_not_queued_again(engine):
    with ends_when_told() as ending, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    ending.queue_again()
    assert engine == []


def test_an_engine_that_does_not_queue_it_again_lets_the_job_end():
    with ends_when_told() as ending, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGUSR1)

    def timed_out_too_often(number, frame):
        raise RuntimeError("Job not requeued")

    ending.engine = timed_out_too_often
    ending.queue_again()
