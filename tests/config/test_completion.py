"""What <TAB> offers, and that bash takes it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from reno.config.completion import SHELLS, TypedLine, completions, parsed_line, script
from reno.config.conf import Conf

ROOT = Path(__file__).resolve().parent.parent.parent
METRICS = Conf().options("metric")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory with files, folders, stored trials and choices of one's own."""
    for name in ("my dir/", "out/", "mine/metric/own.yaml", "mine/experiments/hues.yaml", "results/trials/c0ffee/"):
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text("name: own\nterms: [{kind: mine.metric, channel: red}]\n")
    (tmp_path / "prompts.txt").write_text("a red car\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("reno ev", ["evaluate "]),
        ("reno completion ", ["bash ", "zsh ", "fish "]),
        ("reno run met", ["metric=", "method="]),
        ("reno run metric=", [f"metric={name} " for name in METRICS]),
        ("reno run metric=clip_", ["metric=clip_vit_h ", "metric=clip_vit_l "]),
        ("reno run -cd mine metric=o", ["metric=own "]),
        ("reno run -cd=mine metric=o", ["metric=own "]),
        ("reno run -cd mi", ["mine/"]),
        (
            "reno run -cd mine metric=own metric.",
            [f"metric.{key}=" for key in ("name", "terms.0.kind", "terms.0.channel")],
        ),
        ("reno run -m metric=clip_vit_h,clip_", ["metric=clip_vit_h,clip_vit_l"]),
        ("reno run -m metric=blip,clip+", ["metric=blip,clip+blip"]),
        ("reno run -m metric=clip+blip,clip+", []),
        ("reno run +experiments=cl", ["+experiments=clip_vs_blip "]),
        ("reno run -cd mine +exp", ["+experiments="]),
        ("reno run -cd mine +experiments=h", ["+experiments=hues "]),
        ("reno run dry_run=t", ["dry_run=true "]),
        ("reno run dtype=f", ["dtype=float32 ", "dtype=float16 ", "dtype=float64 "]),
        ("reno run evaluators=[oracle,oracle", ["evaluators=[oracle,oracle_analytic"]),
        ("reno run optimizer=sgd_nesterov optimizer.m", ["optimizer.momentum="]),
        ("reno run prompts=pr", ["prompts=prompts.txt "]),
        ("reno run prompts=pairs_d", ["prompts=pairs_dev "]),
        ("reno run results=m", ["results=mine/", "results=my\\ dir/"]),
        ("reno run results='my", ["results=my dir/"]),
        ("reno run models.generator.path=o", ["models.generator.path=out/"]),
        ("reno run --h", ["--help "]),
        ("reno memory dtype=b", ["dtype=bfloat16 "]),
        ("reno evaluate evaluators=detector_", ["evaluators=detector_open", "evaluators=detector_spatial"]),
        ("reno reproduce c0", ["c0ffee "]),
        ("reno convert h", ["hpsv2 "]),
        ("reno convert hpsv2 h", []),
        ("reno report o", ["out=", "out/"]),
        ("reno report track=d", ["track=disabled "]),
        ("reno nope x", []),
        ("reno run prompt=", []),
        ("reno run results=/no/such/", []),
    ],
)
def test_what_is_offered(here, line, offered):
    assert completions(line, "zsh") == [one.replace("[", "\\[") for one in offered]
    assert completions(line, "fish") == [one.rstrip().replace("\\ ", " ") for one in offered]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("reno run metric=clip_", ["clip_vit_h ", "clip_vit_l "]),  # bash begins a word after =
        ("reno run 'metric=clip_", ["metric=clip_vit_h", "metric=clip_vit_l"]),
        ("reno run results='my", ["my dir/"]),
        ("reno run results=my\\ d", ["my\\ dir/"]),
        ("reno run evaluators=[oracle,oracle", ["[oracle,oracle_analytic"]),
    ],
)
def test_bash_gets_what_follows_the_break(here, line, offered):
    assert completions(line, "bash") == offered


def test_bash_without_breaks_gets_the_whole_word(here):
    assert completions("reno run metric=clip_vit_h", "bash", " \t\n") == ["metric=clip_vit_h "]


def test_a_broken_file_offers_nothing(here):
    (here / "mine" / "metric" / "own.yaml").write_text("terms: [")
    assert completions("reno run -cd mine metric=own metric.", "bash") == []


def test_a_line_is_split_as_a_shell_splits_it():
    assert parsed_line("reno run 'a b' c\\ d \"e f") == TypedLine(("reno", "run", "a b", "c d"), "e f", '"e f', '"')
    assert parsed_line("reno ") == TypedLine(("reno",), "", "", "")


def test_bash_completes_through_its_own_function(here):
    """As `complete -F` calls it, with a `reno` that lies on the path."""
    program = here / "bin" / "reno"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m reno "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    ask = """
eval "$(reno completion bash)"
complete -p reno
COMP_LINE="reno run results=m rest" COMP_POINT=18 COMP_WORDS=(reno run results = m rest) COMP_CWORD=4
_reno reno m =
printf '<%s>' "${COMPREPLY[@]}"
"""
    around = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", ask], env=around, capture_output=True, text=True, check=True)
    assert done.stdout == "complete -o nospace -F _reno reno\n<mine/><my\\ dir/>" and done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_one_that_its_shell_can_read(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "script").write_text(script(shell))
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)
