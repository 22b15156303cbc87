"""W&B's own sweeps: the files that are shipped, and their jobs as `wandb agent` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from reno.config.compose import composed
from reno.config.conf import OWN
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.store.records import TrialRecord
from reno.tracking import TrackingSpec, folder, make_tracker
from reno.tracking.cards import numbers_of
from tests.store.records import golden
from tests.tracking.shown_trials import IDS, KEY, card, show
from tests.tracking.stand_in_server import SWEEP, Server

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted(OWN.glob("wandb_sweep*.yaml"))
RECORD = TrialRecord.from_json(golden("trial_whole"))


def values_of(parameter: dict) -> list:
    return parameter.get("values") or [parameter["min"], parameter["max"]]


def test_a_grid_and_a_search_are_shipped():
    assert {yaml.safe_load(path.read_text())["method"] for path in FILES} == {"grid", "bayes"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("end", [0, -1])
def test_what_a_sweep_file_starts_is_a_job_that_has_what_it_optimises(path, end):
    sweep = yaml.safe_load(path.read_text())
    chosen = {name: {"value": values_of(one)[end]} for name, one in sweep["parameters"].items()}
    filled = create_sweep_command_args({"args": chosen})
    environment, interpreter, *words = sweep["command"]
    assert (environment, interpreter, *words[:2]) == ("${env}", "${interpreter}", "-m", "reno.run")
    typed = [*words[2:-1], *filled[words[-1].strip("${}")]]
    parsed = parse(RUN, typed)
    job = job_from_config(composed(RUN, parsed), parsed.conf)
    assert job.settings.lr == chosen["lr"]["value"]
    assert sweep["metric"]["name"] in numbers_of(RECORD, RECORD.judgements)


@pytest.fixture
def server(alone, monkeypatch):
    served = Server()
    monkeypatch.setenv("WANDB_BASE_URL", served.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    yield served
    served.shutdown()
    served.server_close()


@pytest.mark.slow
def test_wandb_sweep_and_wandb_agent_run_jobs_whose_summaries_the_sweep_can_optimise(server, tmp_path):
    sweep = yaml.safe_load((OWN / "wandb_sweep.yaml").read_text())
    small = ["iterations=1", "limit=2", "threads=1", f"results={tmp_path / 'res'}"]
    sweep["command"][-1:-1] = small
    sweep["parameters"]["lr"]["values"] = [0.05]
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # `python` and `wandb`
        "PYTHONPATH": str(ROOT),
    }

    def wandb(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", *words], env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert f"wandb agent lab/reno/{SWEEP}" in wandb("sweep", str(file))
    said = wandb("agent", f"lab/reno/{SWEEP}")
    assert "given up" not in said and said.count("2 trials run, 0 stored before") == 2

    assert len(server.given) == 2  # one for each metric
    for name, metric in zip(server.given, ("clip", "blip"), strict=True):
        run = server.runs[name]
        assert (run.asked["sweep"], run.asked["jobType"], run.exit_code) == (SWEEP, "job", 0)
        assert (run.config["metric"], run.config["lr"]) == (metric, 0.05)
        assert 0 <= run.summary[sweep["metric"]["name"]] <= 1
        assert run.summary[f"score/{metric}/gain"] >= 0
        assert run.summary["trials"] == run.summary["table"]["nrows"] == 2
    trials = {name: run for name, run in server.runs.items() if name not in server.given}
    assert len(trials) == 4
    for run in trials.values():
        assert (run.asked.get("sweep"), run.asked["groupName"], run.exit_code) == (None, f"sweep {SWEEP}", 0)
    shares = [run.summary["oracle/bound_share/best"] for run in trials.values() if run.config["metric"] == "clip"]
    assert server.runs[server.given[0]].summary["oracle/bound_share/best"] == pytest.approx(sum(shares) / 2)


def test_a_run_that_ended_online_is_amended_there(server, results):
    tracker = make_tracker(TrackingSpec(), results, pytest.fail)
    show(tracker, IDS[:1], iterations=3, finish=False)
    tracker.finish(IDS[0], {"score/best": 1.0}, record="first")
    tracker.close()
    run = server.runs[IDS[0]]
    assert (run.config["provenance"]["record"], run.summary["score/best"]) == ("first", 1.0)

    tracker = make_tracker(TrackingSpec(), results, pytest.fail)
    tracker.amend(IDS[0], {"later/fully_bound/best": 1}, "second")
    assert tracker.close() == [f"Weights & Biases: 1 run at {server.url}/lab/reno"]
    assert run.config["provenance"] == {"spec": "of a trial", "record": "second"}
    assert run.summary["later/fully_bound/best"] == 1
    assert [row["iteration"] for row in run.rows] == [0, 1, 2]  # its history is as it was


def test_a_run_that_is_offline_is_shown_again_by_its_jobs_command(alone, results):
    folder.mark_logged(results, IDS[0], {"mode": "offline", "directory": "x"})
    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    tracker.amend(IDS[0], {}, "record")
    (line,) = tracker.close()
    assert line.startswith("Weights & Biases: 1 run without the new judgements; the command of the job, run again")
    assert not folder.logged(results, IDS[0])


def test_files_are_kept_as_an_artifact(server, results, tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    tracker = make_tracker(TrackingSpec(), results, pytest.fail)
    tracker.start(card(IDS[0]))
    tracker.keep(IDS[0], "results of a/b", "results", {"tables/a.csv": tmp_path / "a.csv"})
    tracker.finish(IDS[0], {})
    tracker.close()
    (made,) = server.artifacts
    assert made["input"]["artifactCollectionName"] == "results-of-a-b"
    assert made["input"]["artifactTypeName"] == "results"
