"""What is damaged is named by every command, and made again; what may not be read is not taken to be absent."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from reno.evaluate import main as evaluate
from reno.reproduce import main as reproduce
from reno.run import main as run
from reno.store.store import Store
from reno.store.stored import checked
from tests.running.damage import (
    COMMANDS,
    LEFT,
    NAMED,
    RAW,
    SILENT,
    Bench,
    crash_everywhere,
    flipped_bit,
    kill_many,
    spoil_many,
)


@pytest.fixture(scope="module")
def bench():
    room = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to the user that some tests become
    room.chmod(0o755)
    path, sys.path = sys.path, [*sys.path]
    yield Bench(room)
    sys.path = path
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]
    shutil.rmtree(room)


@pytest.fixture
def results(bench, tmp_path):
    """A copy of the bench's store to spoil."""
    return Path(shutil.copytree(bench.whole, tmp_path / "results"))


@pytest.mark.parametrize("name", ["noise.safetensors", "trial.json"])
def test_a_damaged_trial_is_named_moved_aside_and_made_again(bench, results, name, capsys):
    """One bit of a trial that ran beside another one."""
    trial = bench.trials[1]
    place = results / "trials" / trial
    flipped_bit(place / name, random.Random(3))
    data = (place / name).read_bytes()
    capsys.readouterr()
    assert run(bench.run_words(results, "dry_run=true")) == 0
    shown = capsys.readouterr()
    assert "4 trials, 3 stored, 1 to do" in shown.out and f"the trial in {place} is damaged: {name}" in shown.err
    assert reproduce([trial, f"results={results}"]) == 2
    assert f"error: the trial in {place} is damaged: {name}" in capsys.readouterr().err
    shutil.rmtree(results / "judgements")
    assert evaluate(bench.evaluate_words(results)) == 1
    shown = capsys.readouterr()
    assert "3 trials judged, 0 judged before, 1 failed" in shown.out and f"{place} is damaged: {name}" in shown.err
    assert (place / name).read_bytes() == data and not (results / "damaged").exists()
    assert run(bench.run_words(results)) == 0
    shown = capsys.readouterr()
    assert "1 trial run, 3 stored before" in shown.out
    assert f"warning: the trial {trial[:12]} was damaged: {name} " in shown.err and "is made again" in shown.err
    (moved,) = (results / "damaged" / "trials").iterdir()
    assert moved.name.startswith(trial) and (moved / name).read_bytes() == data
    assert bench.differences(results) == []


def test_many_damaged_trials_are_counted(bench, results, capsys):
    for trial in bench.trials:
        (results / "trials" / trial / "best.png").write_bytes(b"")
    assert run(bench.run_words(results)) == 0
    assert capsys.readouterr().err.count("warning: the trial ") == 4
    assert bench.differences(results) == []


def test_a_damaged_judgement_is_named_moved_aside_and_made_again(bench, results, capsys):
    path = next((results / "judgements").rglob(f"{bench.trials[0]}.json"))
    flipped_bit(path, random.Random(3))
    damaged = path.read_bytes()
    capsys.readouterr()
    assert run(bench.run_words(results)) == 0
    assert f"warning: the judgement in {path} is damaged: " in capsys.readouterr().err
    assert evaluate(bench.evaluate_words(results)) == 0
    shown = capsys.readouterr()
    assert "1 trial judged, 3 judged before" in shown.out
    assert f"damaged: the judgement in {path} is damaged: " in shown.err
    (moved,) = (results / "damaged").rglob("*.json-*")
    assert moved.read_bytes() == damaged
    assert evaluate(bench.evaluate_words(results)) == 0
    shown = capsys.readouterr()
    assert "0 trials judged, 4 judged before" in shown.out and shown.err == ""


@pytest.mark.parametrize("way", ["gone", "file"])
def test_the_folder_of_a_damaged_trial_is_a_trial_to_reproduce(bench, results, way, capsys):
    place = results / "trials" / bench.trials[0]
    (place / "trial.json").unlink()
    if way == "file":
        shutil.rmtree(place)
        place.touch()
    assert reproduce([str(place)]) == 2
    why = {"gone": "trial.json is missing", "file": "it is a file, not a folder"}[way]
    assert f"the trial in {place} is damaged: {why}" in capsys.readouterr().err


# --- What may not be read or written ----------------------------------------------------------------------------------


def test_a_trial_that_may_not_be_read_is_not_made_a_second_time(bench, mortal, capsys):
    """Nor is one moved that the system refuses to read: it may be whole."""
    root = mortal(bench.whole)
    place = root / "trials" / bench.trials[0]
    place.chmod(0)
    why = f"the trial in {place} cannot be read: trial.json: Permission denied"
    for command, words in (
        (run, bench.run_words(root)), (run, bench.run_words(root, "dry_run=true")),
        (reproduce, [str(place)]), (reproduce, [bench.trials[0], f"results={root}"]),
    ):  # fmt: skip
        capsys.readouterr()
        assert command(words) == 2
        shown = capsys.readouterr().err
        assert f"error: {why}" in shown and len(shown.strip().splitlines()) == 1
    assert evaluate(bench.evaluate_words(root)) == 1
    assert why in capsys.readouterr().err
    (root / "trials").chmod(0)
    for command, words in (
        (run, bench.run_words(root)), (reproduce, [bench.trials[0], f"results={root}"]),
        (evaluate, bench.evaluate_words(root)),
    ):  # fmt: skip
        assert command(words) == 2
        assert "cannot be read" in (shown := capsys.readouterr().err) and len(shown.strip().splitlines()) == 1
    (root / "trials").chmod(0o700)
    place.chmod(0o700)
    assert len(list(Store(root).whole())) == 4 and not (root / "damaged").exists()


def test_judgements_that_may_not_be_read_are_not_made_a_second_time(bench, mortal, capsys):
    root = mortal(bench.whole)
    path = next((root / "judgements").rglob("*.json"))
    path.chmod(0)
    assert evaluate(bench.evaluate_words(root)) == 1
    assert f"the judgement in {path} cannot be read: Permission denied" in capsys.readouterr().err
    (root / "judgements").chmod(0)
    assert evaluate(bench.evaluate_words(root)) == 1
    shown = capsys.readouterr()
    assert "0 trials judged, 0 judged before, 4 failed" in shown.out and "cannot be read" in shown.err


def test_a_dry_run_needs_no_right_to_write(bench, mortal, capsys):
    root = mortal(bench.whole)
    for path in (*root.rglob("*"), root):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = sorted(root.rglob("*"))
    capsys.readouterr()
    assert run(bench.run_words(root, "dry_run=true")) == 0
    assert "4 trials, 4 stored, 0 to do" in capsys.readouterr().out
    sweep = [word for word in bench.run_words(root) if not word.startswith(("prompt=", "seed="))]
    assert run(["-m", *sweep, "prompt='a red car'", "lr=1,2", "dry_run=true"]) == 0
    assert capsys.readouterr().out.count("1 trial, 0 stored, 1 to do") == 2
    assert sorted(root.rglob("*")) == before
    assert run(bench.run_words(root, "lr=2")) == 2
    assert "cannot be written" in capsys.readouterr().err


# --- At random --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_files_spoilt_at_random_are_never_used_without_a_word(bench):
    """`python -m tests.running.damage 1000 0` spoils more."""
    counts, wrong = spoil_many(bench, 120)
    assert wrong == []
    assert all(counts[command, bad] == 0 for command in COMMANDS for bad in (SILENT, LEFT, RAW))
    assert all(counts[command, NAMED] > 60 for command in COMMANDS)
    assert list(checked(Store(bench.whole))) == list(Store(bench.whole))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_jobs_killed_at_random_and_run_again_lose_double_and_change_nothing(tmp_path):
    """`python -m tests.running.damage 0 100` kills more."""
    counts = kill_many(tmp_path, 6)
    bad = ("changed or lost", "doubled", "damaged", "left behind")
    assert counts["kills"] >= 6 and [counts[name] for name in bad] == [0, 0, 0, 0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_job_that_ends_at_any_change_of_its_store_and_runs_again_loses_doubles_and_changes_nothing(tmp_path):
    """`python -m tests.running.damage 0 0 1` ends it at every change."""
    counts = crash_everywhere(tmp_path, every=5)
    bad = ("changed or lost", "doubled", "damaged", "left behind")
    assert counts["crash points"] > 20 and [counts[name] for name in bad] == [0, 0, 0, 0]
    assert counts["ended there"] == counts["runs to the end"] == len(range(1, counts["crash points"] + 1, 5))
