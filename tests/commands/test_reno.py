"""The program `reno`: its commands, its help, its refusals, exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import reno
from reno.__main__ import main
from reno.run import COMMAND

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def typed(monkeypatch):
    """The program was called by its script."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/reno"])


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(words, capsys):
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: reno COMMAND [knob=value ...]\n")
    listed = [line.split()[0] for line in shown.splitlines() if line.startswith("  ")]
    known = {"run", "evaluate", "reproduce", "memory", "status", "merge", "index", "convert", "report", "completion"}
    assert set(listed) - {"check"} == known


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"reno-bench {reno.__version__}\n"


REFUSED = [
    (["nope"], "nope is not a command of reno; use run, "),
    (["evalute"], "did you mean 'evaluate'?"),
    (["-m", "lr=1"], "-m stands where a command is due; write reno run -m ..."),
    (["metric=clip"], "metric=clip stands where a command is due; write reno run metric=clip ..."),
    (["completion"], "a shell is missing; write reno completion bash or zsh or fish"),
    (["completion", "tcsh"], "tcsh is not a shell that is known here"),
    (["run", "metric=clp"], "did you mean 'clip'?"),
    (["reproduce"], "or its folder: reno reproduce TRIAL"),
    (["memory", "-m", "lr=1"], "reno memory cannot sweep"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED)
def test_a_mistake_gets_one_sentence_in_the_words_of_the_program(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.startswith("error: ") and shown.err.count("\n") == 1
    assert "python -m" not in shown.err and shown.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["run", "evaluate", "reproduce", "memory", "report"])
def test_the_help_of_a_command_calls_it_as_it_was_called(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: reno {name} ") and "python -m" not in shown and "reno.run" not in shown


def test_called_through_python_it_names_itself_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "reno" / "__main__.py")])
    assert main(["run", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: python -m reno run ")


def test_a_job_is_recorded_as_it_was_called(capsys, monkeypatch):
    monkeypatch.setenv(COMMAND, "")
    assert main(["run", "prompt=a b", "--help"]) == 0
    assert os.environ[COMMAND] == "reno run 'prompt=a b' --help"


def test_neither_help_nor_completion_waits_for_torch_or_hydra():
    code = (
        "import sys; from reno.__main__ import main\n"
        "main(['run', '--help']); main(['completion', 'bash', 'reno run m'])\n"
        "sys.exit(bool({'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
