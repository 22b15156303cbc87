"""Sweeps on a real Slurm of one node, which the tests start: `make test-slurm`."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reno.store.records import JobRecord, read_json
from tests.commands.one_node import LAUNCHED, OneNode, lacking
from tests.running.workers import essence, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
TRIALS = ["prompt=[a red car,a blue cup]", "seed=[0,1]", "batch_size=1", "iterations=4", "threads=1",
          "tracking=disabled"]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if absent := lacking():
        pytest.skip(f"{', '.join(absent)} not found; Debian: apt-get install slurm-wlm munge")
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("hydra-submitit-launcher is not installed; pip install 'reno-bench[slurm]'")
    node = OneNode(tmp_path_factory.mktemp("slurm"))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def begin(cluster, tmp_path):
    """begin(store, *words): the running command."""

    def start(store, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "reno.run", *words, f"results={tmp_path / store}"],
            cwd=ROOT,
            env={**os.environ, **cluster.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def go(begin):
    """go(store, *words): the exit status, what was printed, and what was printed as errors."""

    def run(store, *words):
        with begin(store, *words) as command:
            said, errors = command.communicate(timeout=600)
        return command.returncode, said, errors

    return run


def records(root):
    return [JobRecord.from_json(read_json(path)) for path in sorted(root.rglob("job.json"))]


def states(record):
    return [trial.state for trial in record.trials]


def test_a_sweep_on_slurm_is_the_plain_one(go, tmp_path):
    sweep = ["-m", *TRIALS, "lr=0.02,0.05"]
    assert go("plain", *sweep)[0] == 0
    status, said, errors = go("slurm", *sweep, *LAUNCHED)
    assert status == 0, errors
    assert essence(tmp_path / "slurm") == essence(tmp_path / "plain") and len(essence(tmp_path / "plain")) == 8
    assert [(job.status, states(job)) for job in records(tmp_path / "slurm")] == [(0, ["done"] * 4)] * 2
    assert "pictures of all jobs" in said and not list((tmp_path / "slurm").rglob("status.json"))


def test_a_refused_job_is_told_by_the_command(go, tmp_path):
    status, _, errors = go("slurm", "-m", *TRIALS, "lr=0.02,-1", *LAUNCHED)
    assert status == 2
    assert errors.count("error: job 1: lr must be a number above 0, not -1") == 1
    assert [job.status for job in records(tmp_path / "slurm")] == [0]


def test_the_workers_of_one_job_share_its_trials(go, tmp_path):
    assert go("plain", *TRIALS)[0] == 0
    status, _, errors = go("slurm", *TRIALS, "workers=2", *LAUNCHED)
    assert status == 0, errors
    assert essence(tmp_path / "slurm") == essence(tmp_path / "plain")
    done = [states(job).count("done") for job in records(tmp_path / "slurm")]
    assert len(done) == 2 and sum(done) == 4


LONG = ["-m", "prompt=[a red car,a blue cup]", "batch_size=2", "iterations=40", "save_every=2", "threads=1", "lr=0.02"]


@pytest.fixture
def interrupted(begin, cluster, tmp_path):
    """interrupted(*scancel): the command whose job was told to end in the middle of its batch."""

    def tell(*scancel):
        with begin("slurm", *LONG, *LAUNCHED) as command:
            wait_until(lambda: list((tmp_path / "slurm" / "running").rglob("*.safetensors")), 300)
            (job,) = cluster.jobs()
            cluster.ask("scancel", *scancel, job)
            said, errors = command.communicate(timeout=600)
        return command.returncode, said, errors

    return tell


def test_a_job_that_slurm_warns_is_queued_again_and_goes_on_within_its_batch(interrupted, go, tmp_path):
    assert go("plain", *LONG, "save_every=null")[0] == 0
    status, _, errors = interrupted("--signal=USR1")
    assert status == 0, errors
    assert essence(tmp_path / "slurm") == essence(tmp_path / "plain") and len(essence(tmp_path / "plain")) == 2
    (record,) = records(tmp_path / "slurm")
    assert (record.status, states(record)) == (0, ["done", "done"])
    (said,) = (path.read_text() for path in (tmp_path / "slurm").rglob("*_log.out"))
    assert len(re.findall(r"a batch goes on from image \d*[02468], where it was saved", said)) == 1
    assert not (tmp_path / "slurm" / "running").exists() and not list((tmp_path / "slurm" / "claims").iterdir())


def test_a_job_that_is_taken_away_ends_the_command_as_an_interruption(interrupted, go, cluster, tmp_path):
    status, _, errors = interrupted()
    assert status == 130, errors
    assert "job 0: interrupted; the same command goes on where this one stopped" in errors
    (record,) = records(tmp_path / "slurm")
    assert (record.status, states(record)) == (130, ["not run", "not run"])
    assert not list((tmp_path / "slurm" / "claims").iterdir())
    wait_until(lambda: cluster.jobs() == [])
    assert go("slurm", *LONG)[0] == 0  # here, and from the last save
    assert len(essence(tmp_path / "slurm")) == 2
