"""What a shell hands over, in whole commands: odd paths, folders that are not a report's, Ctrl-C, half a character."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.__main__ import main as report
from reno.config.script import STOPPED, Options, a_path, run_script, threads, whole
from reno.run import COMMAND
from reno.run import main as run
from reno.spec.errors import BadInput
from scripts.synthesise_store import synthesise

ROOT = Path(__file__).resolve().parent.parent.parent


# --- Paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweep", [(), ("-m", "lr=0.1,0.2")])
def test_folders_of_any_name_work_as_a_prompt_does(tmp_path, sweep, capsys):
    own = tmp_path / "meine (1) & été#%20"
    (own / "prompt_sets").mkdir(parents=True)
    (own / "prompt_sets" / "à (2).txt").write_text("a red car\n")
    words = ["-cd", str(own), "prompts=à (2)", "study=étude [1] & 1e5", "dry_run=true", f"results={own / 'résultats'}"]
    assert run([*words, *sweep]) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "1 trial, 0 stored, 1 to do" in shown.out
    assert [path.name for path in own.iterdir()] == ["prompt_sets"]


def test_a_command_of_any_length_lets_other_processes_start(monkeypatch, capsys):
    monkeypatch.setenv(COMMAND, "")
    assert run([f"prompt={'a' * 60_000}", f"study={'b' * 60_000}", "--help"]) == 0
    assert subprocess.run(["true"]).returncode == 0 and len(os.environ[COMMAND]) == 100_000


def test_a_refused_job_takes_away_only_the_folders_that_it_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "results" / "jobs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert (
        run(["lr=-1"]) == 2 and run(["lr=-1", "hydra.run.dir="]) == 2 and run(["lr=-1", "hydra.run.dir=a/b/c/d"]) == 2
    )
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["results", "results/jobs"]
    capsys.readouterr()


# --- A report's folder ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store") / "résultats (1)"
    synthesise(root, 2)
    return root


@pytest.mark.parametrize("name", ["README.md", "setup.py", "trials"])
def test_a_report_is_not_written_among_other_files(store, tmp_path, name, capsys):
    (tmp_path / name).touch()
    assert report([f"results={store}", f"out={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert said == f"error: out={tmp_path} holds {name!r}, and is no report; give a new folder: out=DIR\n"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("out", ["", "/", "/dev/null", "."])
def test_nor_where_it_cannot_be_meant(store, out, tmp_path, monkeypatch, capsys):
    (tmp_path / "x").touch()
    monkeypatch.chdir(tmp_path)
    assert report([f"results={store}", f"out={out}"]) == 2
    assert capsys.readouterr().err.startswith("error: out") and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("held", [(), ("tables", "figures"), ("claims.csv", "tables", "notes.txt")])
def test_a_folder_of_its_own_is_written_again(held, tmp_path, monkeypatch, capsys):
    def nothing(root):
        raise BadInput("the folder was taken")

    monkeypatch.setattr("analysis.data.load", nothing)
    for name in held:
        (tmp_path / name).touch()
    assert report(["results", f"out={tmp_path}"]) == 2 and "the folder was taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "says"),
    [
        (
            "track=ofline",
            "track=ofline is not known; use one of auto, online, offline, disabled; did you mean 'offline'?",
        ),
        ("project=a/b", "project='a/b' must be 1 to 128 characters and none of /\\#?%:"),
        ("entity=", "entity='' must be 1 to 128 characters and none of /\\#?%:"),
        (
            "results=/no/such",
            "there is no folder /no/such; give the one that `python -m reno.run` wrote to: results=DIR",
        ),
    ],
)
def test_the_reports_sentences_name_its_own_knobs(word, says, tmp_path, capsys):
    assert report([word, f"out={tmp_path}"]) == 2
    assert capsys.readouterr().err == f"error: {says}\n"


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def test_an_interrupt_while_modules_are_imported_is_one_line():
    code = "import os, signal, reno; reno.end_on_interrupt(); os.kill(os.getpid(), signal.SIGINT); print('went on')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted before anything was done\n")


def test_an_interrupt_that_a_library_turned_into_another_error_is_an_interrupt():
    code = """
import os, signal, sys, reno
from reno.config.command import run_command
from reno.config.page import RUN
reno.end_on_interrupt()
def act(words):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("cannot load module more than once per process")
sys.exit(run_command(RUN, [], act))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, f"{STOPPED}\n")


def test_an_ignored_interrupt_stays_ignored():
    code = "import signal, reno; signal.signal(2, signal.SIG_IGN); reno.end_on_interrupt(); signal.raise_signal(2)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


COMMANDS = {
    "run": ["-m", "reno.run", "prompts=pairs_dev", "tracking=disabled", "results={out}"],
    "memory": ["-m", "reno.memory"],
    "evaluate": ["-m", "reno.evaluate", "evaluators=oracle_analytic", "results={store}"],
    "reproduce": ["-m", "reno.reproduce", "{trial}"],
    "analysis": ["-m", "analysis", "{store}", "{out}"],
    "benchmarks": ["-m", "benchmarks", "--quick", "--out", "{out}"],
    "make_checkpoints": ["scripts/make_checkpoints.py", "--size", "tiny", "--out", "{out}"],
    "synthesise_store": ["scripts/synthesise_store.py", "{out}"],
    "build_dashboard": ["scripts/build_dashboard.py", "--print"],
    "train_testbed": ["scripts/train_testbed.py", "--smoke", "--build", "{out}/build", "--weights", "{out}/weights"],
}


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.5, 4.0])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_at_any_time_is_one_line(command, seconds, store, tmp_path):
    trial = next((store / "trials").iterdir())
    places = {"out": tmp_path / "out", "store": store, "trial": trial}
    words = [sys.executable, *(word.format(**places) for word in COMMANDS[command])]
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(seconds)
    if process.poll() is not None:
        return  # it was quicker
    if process.poll() == 0:
        pytest.skip(f"the command is done within {seconds} s on this machine")
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    lines = [line for line in said.splitlines() if not line.startswith("[")]  # the bench's own progress
    # Python ends by the signal itself where it was already leaving, or had been in an `exec`; a shell has 130 for both.
    assert process.returncode in (130, -signal.SIGINT) and len(lines) <= 1 and "Traceback" not in said, said
    if process.returncode == 130:
        assert len(lines) == 1 and lines[0].startswith("interrupted"), said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["reno.run", "reno.memory", "reno.evaluate", "reno.reproduce", "analysis"])
def test_a_byte_that_is_no_utf_8_gets_a_sentence(command, tmp_path):
    words = [os.fsencode(sys.executable), b"-m", command.encode(), b"results=caf\xe9"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(r"error: 'results=caf\udce9' holds a byte that is no UTF-8; type it in ")


# --- Scripts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--count", "0"], "argument --count: must be a whole number, 1 to 9, not '0'; --help lists the options"),
        (["--count", "nan"], "argument --count: must be a whole number, 1 to 9, not 'nan'; --help lists the options"),
        (["--threads", "999999"], "argument --threads: must be a whole number, 1 to "),
        (["--out", ""], "argument --out: must be a path, not ''; --help lists the options"),
        (
            ["--out", "b" * 300],
            "argument --out: must be a path, and its 300 letters are more than a disk takes",
        ),
        (["--out", "~nobody-here/x"], "argument --out: ~nobody-here/x: there is no user of that name; give the"),
        (["--nothing"], "unrecognized arguments: --nothing; --help lists the options"),
        (["--out", "/proc/none"], "/proc/none cannot be used (No such file or directory); give another"),
        (["--out", "\x1b[31m\n"], "\\x1b[31m\\n cannot be used (No such file or directory); give another"),
    ],
)
def test_a_scripts_wrong_option_gets_one_sentence(words, says, capsys):
    def act():
        parser = Options()
        parser.add_argument("--count", type=whole(1, 9))
        parser.add_argument("--threads", type=threads)
        parser.add_argument("--out", type=a_path)
        return len(parser.parse_args(words).out.read_text())

    assert run_script(act) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {says}") and said.count("\n") == 1


def test_an_error_of_a_scripts_own_is_raised():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 // 0)
