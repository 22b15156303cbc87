"""Sweeps by launchers: the same store, messages and exit status as by the plain command; and what is said where one
cannot be had."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from reno.config.compose import explain
from reno.config.conf import OWN, add_resolver
from reno.config.page import RUN
from reno.config.sweep import SCREEN, begin_status, end_status, said_elsewhere, screen, worst_status
from reno.config.words import parse
from reno.config.workers import check_launcher
from reno.device import gpus
from reno.run import main
from reno.spec.errors import BadInput
from reno.store.records import JobRecord, read_json
from tests.running.workers import ended, essence, started, wait_until


def there(launcher):
    return importlib.util.find_spec("hydra_plugins") is not None and (
        importlib.util.find_spec(f"hydra_plugins.hydra_{launcher}_launcher") is not None
    )


# --- What each needs


@pytest.mark.parametrize("dry", [[], ["dry_run=true"]])
@pytest.mark.parametrize(
    ("launcher", "package", "extra"),
    [("gpus", "joblib", "joblib"), ("slurm", "submitit", "slurm"), ("ray", "ray", "ray")],
)
def test_a_launcher_without_its_package_says_what_to_install(tmp_path, capsys, launcher, package, extra, dry):
    if there(package):
        pytest.skip("its package is installed")
    words = ["-m", f"hydra/launcher={launcher}", "lr=0.1,0.2", f"results={tmp_path / 'results'}"]
    more = {"gpus": ["hydra.launcher.n_jobs=2"], "ray": ["hydra.launcher.ray.remote.num_gpus=0"]}.get(launcher, [])
    assert main([*words, *more, *dry]) == 2
    assert capsys.readouterr().err == (
        f"error: this launcher needs the package hydra-{package}-launcher; `pip install 'reno-bench[{extra}]'` brings "
        "it\n"
    )
    assert not (tmp_path / "results").exists()


def test_workers_for_gpus_where_there_are_none_are_refused_in_one_sentence(monkeypatch):
    add_resolver("gpus", gpus.count_gpus)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(Exception, match="BadInput raised") as refused:
        OmegaConf.to_container(OmegaConf.load(OWN / "hydra" / "launcher" / "gpus.yaml"), resolve=True)
    said = explain(refused.value)
    assert said.startswith("hydra/launcher=gpus starts a worker for each GPU, and torch finds none on this machine")
    assert said.endswith("hydra.launcher.n_jobs=2 threads=1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert OmegaConf.load(OWN / "hydra" / "launcher" / "gpus.yaml").n_jobs == 8


@pytest.mark.parametrize(
    ("file", "package", "node"),
    [("gpus", "joblib", "joblib"), ("slurm", "submitit", "submitit_slurm"), ("ray", "ray", "ray")],
)
def test_every_key_that_is_set_is_one_of_the_packages(file, package, node):
    if not there(package):
        pytest.skip("its package is not installed")
    importlib.import_module(f"hydra_plugins.hydra_{package}_launcher.{'_config' if file == 'ray' else 'config'}")
    known = set(ConfigStore.instance().load(f"hydra/launcher/{node}.yaml").node)
    mine = set(OmegaConf.load(OWN / "hydra" / "launcher" / f"{file}.yaml"))
    assert mine <= known
    if file == "slurm":
        assert mine == known


def test_ray_on_a_machine_without_a_gpu_is_refused_unless_its_jobs_need_none(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    words = ["-m", "lr=1,2", "hydra/launcher=ray"]
    with pytest.raises(BadInput, match=r"jobs would wait for ever; .* hydra\.launcher\.ray\.remote\.num_gpus=0"):
        check_launcher(parse(RUN, words))
    check_launcher(parse(RUN, [*words, "hydra.launcher.ray.remote.num_gpus=0"]))
    check_launcher(parse(RUN, [*words, "hydra.launcher.ray.init.address=ray://head:10001"]))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_launcher(parse(RUN, words))


# --- A GPU for each worker


@pytest.mark.parametrize(("typed", "own"), [(None, {"0", "1", "2"}), ("2,5", {"2", "5"}), ("", {""})])
def test_each_worker_has_a_gpu_of_its_own_for_life(tmp_path, monkeypatch, typed, own):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    if typed is not None:
        monkeypatch.setenv(gpus.VISIBLE, typed)

    def worker(number):
        seen = [gpus.take_gpu(tmp_path) and os.environ[gpus.VISIBLE] for _ in range(2)]
        assert seen[0] == seen[1]
        (tmp_path / f"saw {number}").write_text(seen[0] or "")
        wait_until(lambda: len(list(tmp_path.glob("saw *"))) == len(own))

    assert set(ended(*[started(lambda n=n: worker(n)) for n in range(len(own))])) == {0}
    assert {path.read_text() for path in tmp_path.glob("saw *")} == own
    gpus.forget_workers(tmp_path)
    assert all(path.name.startswith("saw") for path in tmp_path.iterdir())


# --- What jobs elsewhere say


def test_what_a_job_said_elsewhere_is_kept_for_the_user(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv(SCREEN, "another machine:1:2")
    begin_status(tmp_path / "0")
    end_status(tmp_path / "0", 2, "error: job 0: no")
    end_status(tmp_path / "1", 0)
    monkeypatch.setenv(SCREEN, screen())
    end_status(tmp_path / "2", 1, "job 2: trials failed")
    assert said_elsewhere(tmp_path) == ["error: job 0: no"]
    assert worst_status(tmp_path) == 2


# --- Whole sweeps


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("joblib", ["hydra/launcher=gpus", "hydra.launcher.n_jobs=2"]),
        ("submitit", ["hydra/launcher=submitit_local"]),
        (
            "ray",
            [
                "hydra/launcher=ray",
                "hydra.launcher.ray.init.num_cpus=2",
                "hydra.launcher.ray.remote.num_cpus=1",
                "hydra.launcher.ray.remote.num_gpus=0",
            ],
        ),
    ],
)
def test_a_launched_sweep_is_the_plain_one(tmp_path, package, words):
    if not there(package):
        pytest.skip("its package is not installed")
    root = Path(__file__).resolve().parents[2]

    def go(name, lrs, *more):
        sweep = [sys.executable, "-m", "reno.run", "-m", "prompt=a red car", "seed=[0,1]", "iterations=2", "threads=1",
                 f"lr={lrs}", "tracking=disabled", f"results={tmp_path / name}", *more]  # fmt: skip
        return subprocess.run(sweep, cwd=root, capture_output=True, text=True)

    plain, launched = go("plain", "0.02,0.05"), go("launched", "0.02,0.05", *words)
    assert (plain.returncode, launched.returncode) == (0, 0), launched.stderr
    assert essence(tmp_path / "launched") == essence(tmp_path / "plain") and len(essence(tmp_path / "plain")) == 4
    jobs = [JobRecord.from_json(read_json(path)) for path in sorted((tmp_path / "launched").rglob("job.json"))]
    assert [(job.status, [trial.state for trial in job.trials]) for job in jobs] == [(0, ["done", "done"])] * 2
    assert all("reno.run -m" in job.command and words[0] in job.command for job in jobs)
    assert "pictures of all jobs" in launched.stdout
    refused = go("launched", "0.02,-1", *words)
    assert refused.returncode == 2
    assert refused.stderr.count("error: job 1: lr must be a number above 0, not -1") == 1
    assert not list((tmp_path / "launched").rglob("status.json"))
    assert not list((tmp_path / "launched").rglob(f"{gpus.MARK}*"))


@pytest.mark.slow
def test_the_workers_of_one_job_share_its_trials_and_make_the_plain_store(tmp_path):
    if not there("joblib"):
        pytest.skip("its package is not installed")
    words = ["prompt=[a red car,a blue cup]", "seed=[0,1,2]", "batch_size=1", "iterations=2", "threads=1",
             "tracking=disabled"]  # fmt: skip
    side_by_side = ["workers=auto", "hydra/launcher=gpus", "hydra.launcher.n_jobs=2"]
    plain, shared = (
        subprocess.run(
            [sys.executable, "-m", "reno.run", *words, *more, f"results={tmp_path / name}"],
            cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True,
        )
        for name, more in (("plain", []), ("shared", side_by_side))
    )  # fmt: skip
    assert (plain.returncode, shared.returncode) == (0, 0), shared.stderr
    assert essence(tmp_path / "shared") == essence(tmp_path / "plain") and len(essence(tmp_path / "plain")) == 6
    jobs = [JobRecord.from_json(read_json(path)) for path in (tmp_path / "shared").rglob("job.json")]
    done = [[trial.id for trial in job.trials if trial.state == "done"] for job in jobs]
    assert len(done) == 2 and sorted(done[0] + done[1]) == sorted(essence(tmp_path / "plain"))
    assert all(trial.state in ("done", "done by another worker") for job in jobs for trial in job.trials)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_job_that_its_engine_interrupts_is_queued_again_and_goes_on(tmp_path, number):
    """SIGTERM takes a job away for good; a warning puts it into the queue again, and it ends as if nothing had been."""
    if not there("submitit"):
        pytest.skip("its package is not installed")
    words = ["-m", "prompt=a red car", "seed=[0,1,2,3]", "batch_size=1", "iterations=15", "threads=1", "lr=0.02",
             "hydra/launcher=submitit_local"]  # fmt: skip
    root, results = Path(__file__).resolve().parents[2], tmp_path / "results"

    def start():
        command = [sys.executable, "-m", "reno.run", *words, f"results={results}"]
        return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with start() as command:
        wait_until(lambda: any((results / "trials").glob("*/trial.json")), 120)
        (heartbeat,) = (path.name for path in (results / "claims").iterdir() if "@" in path.name)
        os.kill(int(heartbeat.partition("@")[2].partition(".")[0]), number)
        said = command.communicate(timeout=240)[1]
    stored = essence(results)
    taken_away = number == signal.SIGTERM
    assert command.returncode == (130 if taken_away else 0), said
    assert ("job 0: interrupted; the same command goes on where this one stopped" in said) == taken_away
    assert (0 < len(stored) < 4) if taken_away else len(stored) == 4
    (record,) = [JobRecord.from_json(read_json(path)) for path in results.rglob("job.json")]
    states = [trial.state for trial in record.trials]
    assert (record.status, states.count("stored before") > 0) == ((130, False) if taken_away else (0, True))
    assert not list((results / "claims").iterdir())
    assert len(list((results / "wandb").glob("offline-run-*"))) >= len(stored)
