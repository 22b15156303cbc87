"""A real offline run holds all of its trial, and each trial has one run whoever shows it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reno.tracking import TrackingSpec, folder, logged, make_tracker
from tests.tracking.offline_runs import read_back
from tests.tracking.shown_trials import CONFIG, IDS, card, directories, picture, show

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.usefixtures("alone")


def test_interleaved_offline_runs_hold_every_row_image_and_setting(results, capfd):
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(), results, warnings.append)
    show(tracker, IDS, iterations=21)
    lines = tracker.close()

    assert warnings == []
    assert capfd.readouterr() == ("", "")
    assert list(Path.cwd().iterdir()) == []
    assert [len(directories(results, trial_id)) for trial_id in IDS] == [1, 1, 1]
    for place, trial_id in enumerate(IDS):
        (directory,) = directories(results, trial_id)
        assert directory.name.startswith("offline-run-")
        records = read_back(directory)

        (run,) = records["run"]
        assert run["run_id"] == trial_id
        assert (run["display_name"], run["run_group"], run["job_type"], run["project"], run["tags"]) == (
            "gold bench", "study", "clip", "reno", ["dev"],
        )  # fmt: skip
        config = run["config"]["update"]
        config.pop("_wandb")
        assert config == CONFIG
        assert {"name": "iteration", "options": {"defined": True}} in records["metric"]
        assert any(m.get("glob_name") == "*" and m["step_metric"] == "iteration" for m in records["metric"])

        rows = [record["item"] for record in records["history"]]
        assert [row["iteration"] for row in rows] == list(range(21))
        assert [row["loss"] for row in rows] == [90.0 - iteration - place for iteration in range(21)]
        assert [row["score"] for row in rows] == [10.0 + iteration for iteration in range(21)]
        assert not any("grad_norm" in row for row in rows)
        for row in rows:
            with Image.open(directory / "files" / row["image.path"]) as image:
                assert np.array_equal(np.array(image), picture(row["iteration"]))

        summary = {name: v for record in records["summary"] for name, v in record.get("update", {}).items()}
        assert summary["score/best"] == 60.0
        assert summary["bound"] is True
        assert summary["verdict"] == "bound"
        assert "absent" not in summary
        assert records["exit"][-1].get("exit_code", 0) == 0
        assert json.loads((results / "wandb" / "logged" / f"{trial_id}.json").read_text()) == {
            "mode": "offline",
            "directory": directory.name,
        }

    (line,) = lines
    assert line.startswith(f"Weights & Biases: 3 runs offline in {results / 'wandb'}; to upload: ")
    command = shlex.split(line.split("to upload: ")[1])
    said = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=60).stderr
    assert "Would sync 3 run(s)" in said


def test_a_failed_trial_ends_failed_and_is_not_logged(results):
    tracker = make_tracker(TrackingSpec(mode="offline", images=False), results, pytest.fail)
    show(tracker, IDS[:1], iterations=2, finish=False)
    tracker.finish(IDS[0], {"score/initial": 1.0}, failed="the gradient is zero")
    tracker.close()
    (directory,) = directories(results)
    records = read_back(directory)
    summary = {name: v for record in records["summary"] for name, v in record.get("update", {}).items()}
    assert summary["failed"] == "the gradient is zero"
    assert records["exit"][-1]["exit_code"] == 1
    assert not any("image.path" in record["item"] for record in records["history"])
    assert not logged(results, IDS[0])


@pytest.mark.parametrize("text", ["", "../a\n'b' \"c\" <script>", "\N{TABLE TENNIS PADDLE AND BALL} " * 99])
def test_any_text_and_any_number_is_taken(results, text):
    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    config = {"prompt": text, text: 1}
    tracker.start(card(IDS[0], name=text, group=text, job_type=text, tags=(text, text, "dev"), config=config))
    tracker.log(IDS[0], 0, {"loss": float("nan"), "score": float("-inf")}, picture(0))
    tracker.finish(IDS[0], {"score/best": float("inf"), "text": text})
    tracker.close()
    (run,) = read_back(*directories(results))["run"]
    assert run["config"]["update"]["prompt"] == text
    assert logged(results, IDS[0])


@pytest.mark.slow
def test_what_an_interrupted_process_left_is_replaced(results):
    script = (
        "import os, sys, time; from pathlib import Path; from reno.tracking import TrackingSpec, logged, make_tracker\n"
        "from tests.tracking.shown_trials import IDS, show\n"
        "tracker = make_tracker(TrackingSpec(mode='offline'), Path(sys.argv[1]), print)\n"
        "show(tracker, IDS[:2], iterations=3, finish=False); tracker.finish(IDS[1], {})\n"
        "while not logged(Path(sys.argv[1]), IDS[1]): time.sleep(0.05)\n"
        "os._exit(9)\n"
    )
    command = [sys.executable, "-c", script, str(results)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60).returncode == 9
    (left,) = directories(results, IDS[0])
    (other,) = directories(results, IDS[1])
    assert [logged(results, trial_id) for trial_id in IDS[:2]] == [False, True]
    while (claim := folder.claim(results, IDS[0])) is None:  # W&B's process sees that its parent is gone, and ends
        time.sleep(0.02)
    folder.release(results, IDS[0], claim)

    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    show(tracker, IDS[:1], iterations=4)
    tracker.close()
    (again,) = directories(results, IDS[0])
    assert len(read_back(again)["history"]) == 4
    assert left != again or len(read_back(left)["history"]) == 4
    assert directories(results, IDS[1]) == [other]
    assert logged(results, IDS[0])


def test_a_trial_open_in_another_worker_is_left_to_it(results):
    mine = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    mine.start(card(IDS[0]))
    while not directories(results):
        time.sleep(0.02)
    other = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    other.start(card(IDS[0]))
    other.log(IDS[0], 0, {"loss": 1.0}, None)
    other.drain(20)  # not closed: that would end the W&B service of this process
    show(mine, IDS[:1], iterations=2)
    assert len(mine.close()) == 1
    assert len(directories(results)) == 1
    assert logged(results, IDS[0])


VARIABLES = {
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "team",
    "WANDB_NAME": "pilot",
    "WANDB_TAGS": "one,two",
    "WANDB_NOTES": "why it ran",
}


def offline_run(results, monkeypatch, **knobs):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    tracker = make_tracker(TrackingSpec(mode="offline", **knobs), results, pytest.fail)
    show(tracker, IDS[:1], iterations=1)
    return tracker.close()


def test_wandbs_variables_are_heeded(results, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_RESUME", "must")  # of another run than this one
    lines = offline_run(results, monkeypatch)
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")
    assert not directories(results) and f"1 run offline in {tmp_path / 'wandb'}" in lines[0]
    (run,) = read_back(directory)["run"]
    assert (run["project"], run["entity"], run["notes"]) == ("theirs", "team", "why it ran")
    assert run["display_name"] == "pilot · gold bench"
    assert run["tags"] == ["dev", "one", "two"]
    assert logged(results, IDS[0])


def test_a_knob_wins_over_wandbs_variable(results, monkeypatch):
    offline_run(results, monkeypatch, project="mine", entity="us", tags=("mine",))
    (run,) = read_back(*directories(results))["run"]
    assert (run["project"], run["entity"], run["tags"]) == ("mine", "us", ["dev", "mine"])


def test_images_say_their_iteration_and_score(results):
    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    show(tracker, IDS[:1], iterations=2)
    tracker.close()
    rows = [record["item"] for record in read_back(*directories(results))["history"]]
    assert [row["image.caption"] for row in rows] == ["iteration 0, score 10.000", "iteration 1, score 11.000"]
