"""make's variables reach the commands as they were typed. A stub stands for .venv/bin/python and prints its words."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STUB = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n'
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
NASTY = "a (b) `touch pwned` $(touch pwned) $(shell touch pwned) $$x \"q\" 'q' ; touch pwned & | é #x \\ %"


@pytest.fixture
def made(tmp_path):
    """made(*words): the words that the stub got when make was called with these."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    stub = tmp_path / ".venv" / "bin" / "python"
    stub.parent.mkdir(parents=True)
    stub.write_text(STUB)
    stub.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".venv" / ".ready").touch()

    def run(*words, **environment):
        clean = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        said = subprocess.run(
            ["make", "-s", *words],
            cwd=tmp_path,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not (tmp_path / "pwned").exists() and said.stderr == ""
        return said.stdout.splitlines()

    return run


def test_a_value_is_one_word_and_is_never_run(made):
    assert made("report", f"RESULTS={NASTY}", f"OUT={NASTY}") == ["-m", "analysis", f"results={NASTY}", f"out={NASTY}"]
    assert made("report", OUT=NASTY)[2:] == ["results=results", f"out={NASTY}"]
    assert made("dashboard", f"PROJECT={NASTY}", f"ENTITY={NASTY}")[1:] == ["--project", NASTY, "--entity", NASTY]


def test_what_is_not_typed_has_its_default(made):
    assert made("report") == ["-m", "analysis", "results=results", "out=report"]
    assert made("dashboard", WANDB_PROJECT="") == ["scripts/build_dashboard.py", "--project", "reno"]
    assert made("dashboard", WANDB_PROJECT=NASTY)[1:] == ["--project", NASTY]
    assert made("run") == ["-m", "reno.run", "-m", "metric=clip,blip", "lr=0.01,0.05"]
    assert made("readme-answer", "RESULTS=r")[2:] == ["results=r", "out=report", "readme=README.md"]


def test_words_stay_words_and_nothing_stays_nothing(made):
    assert made("run", "ARGS=metric=blip prompt='a red car'") == ["-m", "reno.run", "metric=blip", "prompt=a red car"]
    assert made("report", "OUT=")[3] == "out="  # which the command refuses


def test_python_and_the_index_are_values_too(made, tmp_path):
    other = tmp_path / "my python; touch pwned"
    shutil.copy(tmp_path / ".venv" / "bin" / "python", other)
    (tmp_path / ".venv" / ".ready").unlink()
    said = made("setup", f"PYTHON={other}", "TORCH_INDEX=https://x/`touch pwned`")
    assert said[0] == "-c" and "https://x/`touch pwned`" in said and "--index-url" in said
