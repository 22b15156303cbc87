"""No W&B of the person who runs the tests, a folder for results, and a wandb that fails or hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reno.tracking.tracker import forget_hang

FAKE = """
import time
from types import SimpleNamespace as Settings

def call(name, answer=None):
    def made(*_, **__):
        if name == FAULTY:
            HOW
        return answer
    return made

def init(id, dir, **_):
    call("init")()
    calls = {name: call(name) for name in ("define_metric", "log", "finish")}
    return Settings(**calls, summary={}, sync_dir=f"{dir}/wandb/offline-run-{id}")

Image = lambda image, caption: image
found = Settings(mode="offline", run_name=None, run_tags=None, project=None, entity=None)
setup = call("setup", Settings(settings=found))
login = call("login", False)
teardown = call("teardown")
"""


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No key, settings or W&B variables of the person who runs the tests; nothing kept between tests."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name, value in (("HOME", home), ("USERPROFILE", home), ("NETRC", home / ".netrc")):
        monkeypatch.setenv(name, str(value))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    forget_hang()


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "the results"


@pytest.fixture
def fake_wandb(tmp_path, monkeypatch):
    """A module with wandb's face, in wandb's place, whose call `faulty` does `how`."""

    def put(faulty: str, how: str) -> None:
        (tmp_path / "fake").mkdir()
        (tmp_path / "fake" / "wandb.py").write_text(FAKE.replace("FAULTY", repr(faulty)).replace("HOW", how))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))

    return put
