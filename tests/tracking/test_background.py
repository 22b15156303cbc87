"""W&B runs in a thread and a process of its own, where a call that fails or hangs costs one warning and no time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reno.tracking import TrackingSpec, folder, logged, make_tracker
from reno.tracking.apart import IDLE
from tests.tracking.shown_trials import IDS, card, show

ROOT = Path(__file__).resolve().parent.parent.parent
BROKEN = "raise OSError(28, 'No space left on device')"
HANGING = "time.sleep(60)"
CALLS = ["setup", "init", "define_metric", "log", "finish"]

pytestmark = pytest.mark.usefixtures("alone")


def test_log_returns_at_once(results):
    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    tracker.start(card(IDS[0]))
    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    started = time.monotonic()
    for iteration in range(20):
        tracker.log(IDS[0], iteration, {"loss": 1.0}, image)
    assert time.monotonic() - started < 0.4  # encoding these PNGs takes twice as long
    tracker.finish(IDS[0], {})
    tracker.close()
    assert logged(results, IDS[0])


def test_wandb_is_in_another_process_which_the_next_job_has_again(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import of it fails here
    pids = []
    for trial_id in IDS[:2]:
        tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
        show(tracker, [trial_id], iterations=2)
        tracker.close()
        pids += IDLE.pids
    assert len(pids) == 2 and pids[0] == pids[1]
    assert all(logged(results, trial_id) for trial_id in IDS[:2])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = make_tracker(TrackingSpec(), results, pytest.fail)
    show(tracker, IDS[2:], iterations=2)
    tracker.close()
    assert len(IDLE.pids) == 1 and IDLE.pids != pids[:1] and not logged(results, IDS[2])


def test_its_end_costs_one_warning_and_leaves_nothing_locked(results, fake_wandb):
    fake_wandb("log", "import os; os._exit(1)")
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline"), results, warnings.append)
    show(tracker, IDS, iterations=30)
    assert "given up" in tracker.close()[-1]
    assert len(warnings) == 1 and "run.log failed: its process ended" in warnings[0]
    folder.release(results, IDS[0], folder.claim(results, IDS[0]))


@pytest.mark.parametrize("fails", [*CALLS, "teardown"])
def test_a_call_that_fails_costs_one_warning(results, fake_wandb, fails):
    fake_wandb(fails, BROKEN)
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline"), results, warnings.append)
    started = time.monotonic()
    show(tracker, IDS, iterations=300)
    lines = tracker.close()
    assert time.monotonic() - started < 5
    assert len(warnings) == 1
    assert f"{fails} failed: OSError" in warnings[0] and "No space left" in warnings[0]
    assert "given up" in lines[-1] and str(results) in lines[-1]
    assert not list((results / "wandb" / "open").glob("*"))
    if fails != "teardown":
        assert not any(logged(results, trial_id) for trial_id in IDS)


@pytest.mark.parametrize("hangs", [*CALLS, "teardown"])
def test_a_call_that_hangs_costs_one_warning_and_its_timeout(results, fake_wandb, hangs):
    fake_wandb(hangs, HANGING)
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline", timeout=0.5), results, warnings.append)
    started = time.monotonic()
    show(tracker, IDS, iterations=300)  # more rows than may wait
    lines = tracker.close()
    assert time.monotonic() - started < 4
    assert len(warnings) == 1 and f"{hangs} " in warnings[0] and "0.5 s" in warnings[0]
    assert "given up" in lines[-1] and str(results) in lines[-1]

    started = time.monotonic()
    tracker.log(IDS[0], 0, {"loss": 1.0}, None)
    after = make_tracker(TrackingSpec(mode="offline", timeout=0.5), results, warnings.append)
    show(after, IDS, iterations=300)  # the next job of the sweep
    assert "given up" in after.close()[0]
    assert time.monotonic() - started < 0.5
    assert len(warnings) == 1


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the W&B service through /proc")
def test_the_interpreter_exits_although_the_service_hangs(results):
    script = (
        "import os, signal, sys, time; from pathlib import Path; from reno.tracking import TrackingSpec, make_tracker\n"
        "from tests.tracking.shown_trials import IDS, card, directories, picture\n"
        "from tests.tracking.test_background import children\n"
        "tracker = make_tracker(TrackingSpec(mode='offline', timeout=2), Path(sys.argv[1]), print)\n"
        "tracker.start(card(IDS[0]))\n"
        "while not directories(Path(sys.argv[1])): time.sleep(0.05)\n"
        "time.sleep(0.3)\n"
        "(own,) = children(os.getpid())\n"
        "(service,) = [pid for pid in children(own) if 'wandb-core' in Path(f'/proc/{pid}/cmdline').read_text()]\n"
        "os.kill(service, signal.SIGSTOP)\n"
        "print('service', service, flush=True)\n"
        "tracker.log(IDS[0], 0, {'loss': 1.0}, picture(0)); tracker.finish(IDS[0], {})\n"
        "print(tracker.close(), flush=True)\n"
        "print('end', time.time(), flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(results)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(results.parent / "said", "w+") as said:  # a file: the stopped service would hold a pipe open
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            assert process.wait(timeout=30) == 0
            ended = time.time()
        finally:
            process.kill()
            said.seek(0)
            text = said.read()
            if "service " in text:
                pid = int(text.split("service ")[1].split()[0])
                os.kill(pid, 18)  # SIGCONT: it then sees that its parent is gone, and ends
    assert text.count("is given up") == 1, text
    assert "Traceback" not in text
    assert ended - float(text.split("end ")[1].split()[0]) < 2


def test_a_folder_that_cannot_be_made_costs_one_warning(results):
    results.write_text("a file where the folder should be")
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline"), results, warnings.append)
    show(tracker, IDS, iterations=2)
    assert "given up" in tracker.close()[0]
    assert len(warnings) == 1
