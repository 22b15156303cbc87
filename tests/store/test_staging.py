"""What dead processes left is cleared, what living ones are writing is not, and no wrong clock changes that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from reno.store.staging import own_name, scratch, write_whole
from reno.store.store import Store

NAME = "import sys; from reno.store.staging import own_name; print(own_name(), flush=True); sys.stdin.read()"


@pytest.fixture(scope="module")
def names():
    """Names by processes: ended, living, this one, of other machines, of older versions."""
    processes = [
        subprocess.Popen([sys.executable, "-c", NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    dead, living = (process.stdout.readline().strip() for process in processes)
    processes[0].communicate()
    machine, _, rest = own_name().partition("@")
    pid, _, rest = rest.partition(".")
    another = re.sub(r"^\d+", lambda start: str(int(start[0]) + 1), rest)
    yield {
        "dead": dead,
        "living": living,
        "own": own_name(),
        "another process with this id": f"{machine}@{pid}.{another}",
        "another machine": f"elsewhere.0123.45@{pid}.{rest}",
        "this machine, before it was started again": re.sub(r"\.[0-9a-f]{16}\.", ".0123456789abcdef.", dead),
        "another container": re.sub(r"\.\d+@", ".7@", dead),
        "an older version": f"{machine.partition('.')[0]}@{pid}-abc",
        "x": "x",
    }
    processes[1].communicate()


DEAD = {"dead", "another process with this id"}


def test_what_a_dead_process_left_is_cleared_and_a_living_ones_is_not(store, names):
    for name in names.values():
        (store.staging / name).mkdir()
        (store.staging / name / "trace.parquet").touch()
    (store.staging / names["dead"].replace("@", "x@")).touch()
    (store.staging / f"probe~{names['dead']}").touch()
    store.prepare()
    left = {path.name for path in store.staging.iterdir()} - {names["dead"].replace("@", "x@")}
    assert left == {name for kind, name in names.items() if kind not in DEAD}


def test_what_is_a_day_old_is_cleared_unless_its_process_is_known_to_live(store, names):
    for name in names.values():
        (store.staging / name).mkdir()
        os.utime(store.staging / name, (time.time() - 86500,) * 2)
    store.prepare()
    assert {path.name for path in store.staging.iterdir()} == {names["living"], names["own"]}
    young = store.staging / names["another machine"]
    young.mkdir()
    os.utime(young, (time.time() - 86300,) * 2)
    store.prepare()
    assert young.exists()


def test_a_clock_that_is_two_days_ahead_clears_nothing_of_a_living_process(store, names, monkeypatch):
    """The age is told by the clock of the file server."""
    for name in names.values():
        (store.staging / name).mkdir()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 2 * 86400)
    store.prepare()
    assert {path.name for path in store.staging.iterdir()} == {n for kind, n in names.items() if kind not in DEAD}


def test_half_written_files_of_dead_processes_are_cleared_once_a_process(tmp_path, names):
    store = Store(tmp_path / "results")
    places = [store.root / "jobs" / "a" / "0", store.root / "judgements" / "vqa-1"]
    for place in places:
        place.mkdir(parents=True)
        for kind in ("dead", "living"):
            (place / f".x.json~{names[kind]}.part").touch()
        (place / "x.json").touch()
        for name, age in (("old.part", 86500), ("new.part", 86300)):
            (place / name).touch()
            os.utime(place / name, (time.time() - age,) * 2)
    store.prepare()
    for place in places:
        assert {path.name for path in place.iterdir()} == {"x.json", "new.part", f".x.json~{names['living']}.part"}


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "x.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    with pytest.raises(OSError):
        write_whole(tmp_path / "a" / "x.json", b"one")
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError):
        write_whole(path, b"one")
    assert list(tmp_path.iterdir()) == [path]


def test_a_scratch_folder_goes_and_so_do_those_of_dead_processes(tmp_path, names, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = [f"reno-memory~{names['living']}", f"reno-memory~{names['another machine']}", "reno-x", f"~{names['dead']}"]
    for name in (*kept, f"reno-memory~{names['dead']}"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").touch()
    with scratch("memory") as folder:
        assert folder.parent == tmp_path and folder.is_dir()
        (folder / "weights").touch()
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


def test_scratch_folders_of_dead_processes_are_looked_for_once_a_process(tmp_path, names, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch("memory"):
        pass
    left = tmp_path / f"reno-memory~{names['dead']}"
    left.mkdir()
    with scratch("image"):
        pass
    assert list(tmp_path.iterdir()) == [left]
