"""The published names from beginning to end, on a hub of this machine that serves the tiny checkpoints under them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reno.config.conf import Conf
from reno.spec.trial import digest
from tests.weights.stand_in_hub import Repository, StandInHub, commit

TURBO = Conf().named("models", "models", "sd_turbo").values["generator"]
CLIP = Conf().named("metric", "metric", "clip").values["checkpoints"]["clip"]
WORDS = [
    "models=sd_turbo",
    "record=[]",
    "evaluators=[]",
    "iterations=1",
    "prompt=a red car",
    "threads=1",
    "tracking=disabled",
]


def served(folder: Path, revision: str, plain: str = "") -> Repository:
    """A checkpoint's folder as a repository. Weights of all parts but `plain` are stored in fp16, if it has parts."""
    files = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = file.relative_to(folder).as_posix()
        if "/" in name and plain not in name:
            name = name.replace(".safetensors", ".fp16.safetensors")
        files[name] = file.read_bytes()
    return Repository({revision: files}, {"main": revision})


@pytest.fixture
def hub(tiny):
    """The generator with a plain VAE beside fp16 parts, and CLIP, at the commits that conf/ pins."""
    server = StandInHub()
    server.models = {
        TURBO["path"]: served(tiny / "sd_turbo", TURBO["revision"], plain="vae/"),
        CLIP["path"]: served(tiny / "clip", CLIP["revision"]),
    }
    server.models[CLIP["path"]].commits[CLIP["revision"]]["open_clip_model.safetensors"] = b"not read"
    yield server
    server.close()


def reno(hub: StandInHub, folder: Path, *words: str) -> subprocess.CompletedProcess:
    offline = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "hf"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", *words, f"results={folder / 'results'}"]
    return subprocess.run(command, env={**offline, **own}, capture_output=True, text=True, timeout=200)


def as_stored_before(trial: Path) -> Path:
    """A stored trial as earlier versions wrote it: its weights are known by name and commit."""
    text = (trial / "trial.json").read_text()
    record = json.loads(text)
    origins = record["provenance"]["checkpoints"]
    for origin in (origins["generator"], *origins["metric"]):
        variant = f"[{origin['variant']}]" if origin["variant"] else ""
        text = text.replace(origin["identity"], f"{origin['source']}@{origin['commit']}{variant}")
    former = trial.with_name(digest(json.loads(text)["spec"]))
    shutil.copytree(trial, former)
    values = json.loads(text.replace(trial.name, former.name))
    del values["sha256"]  # which such files did not have
    (former / "trial.json").write_text(json.dumps(values))
    return former


@pytest.mark.slow
def test_a_study_from_the_hub_is_planned_run_resumed_and_reproduced(hub, tmp_path):
    planned = reno(hub, tmp_path, "reno.run", *WORDS, "dry_run=true")
    assert planned.returncode == 0 and not (tmp_path / "hf" / "hub").exists(), planned.stderr
    for name in (TURBO["path"], CLIP["path"]):
        assert f"to fetch first: {name}, " in planned.stdout
    done = reno(hub, tmp_path, "reno.run", *WORDS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("fetching ") == 2 and "open_clip_model.safetensors" not in hub.fetched()
    assert "vae/diffusion_pytorch_model.safetensors" in hub.fetched()

    later = commit("only the README")  # main moves on, and the pin is taken away
    for model in hub.models.values():
        (files,) = model.commits.values()
        model.commits[later], model.branches["main"] = {**files, "README.md": b"new"}, later
    unpinned = ["models.generator.revision=null", "models.checkpoints.clip.path=" + CLIP["path"],
                "models.checkpoints.clip.revision=main"]  # fmt: skip
    hub.asked.clear()
    again = reno(hub, tmp_path, "reno.run", *WORDS, *unpinned)
    assert "all 1 trials are stored already" in again.stdout and not hub.fetched(), again.stderr

    hub.close()
    (trial,) = (tmp_path / "results" / "trials").iterdir()
    reproduced = reno(hub, tmp_path, "reno.reproduce", trial.name[:12])
    assert reproduced.returncode == 0 and "identical" in reproduced.stdout, reproduced.stderr
    assert reproduced.stderr.count("the copy in the cache is used") == 2

    former = as_stored_before(trial)
    reproduced = reno(hub, tmp_path, "reno.reproduce", former.name[:12])
    assert reproduced.returncode == 0 and "identical" in reproduced.stdout, reproduced.stderr
