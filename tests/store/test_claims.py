"""A lease has one holder; it ends with its worker, and no wrong clock ends it."""

from __future__ import annotations

import os
import threading
import time

import pytest

from reno.store import claims as module
from reno.store.claims import LEASE_SECONDS, Claims, running
from reno.store.staging import own_name
from reno.store.store import Store

ONE, TWO, THREE = (letter * 64 for letter in "abc")
OTHER_MACHINE = f"far.away.0123456789abcdef.45@7.99-{'0' * 32}"


class Server:
    """A file server: it stamps heartbeats with its own clock."""

    def __init__(self, monkeypatch, offset: float = 0.0):
        self.now = time.time() + offset
        written = module._write

        def write(place, text):
            written(place, text)
            os.utime(place, (self.now, self.now))
            return self.now

        monkeypatch.setattr(module, "_write", write)


@pytest.fixture
def worker(tmp_path):
    """worker(): claims of one more worker of this process, with a heartbeat only when a test beats."""
    begun = []

    def make(device=""):
        begun.append(Claims(tmp_path, device, beat=3600).__enter__())
        return begun[-1]

    yield make
    for one in begun:
        one.__exit__()


def held_by(folder, worker, *trials, age=0.0, now=None):
    """Leases of a worker whose last heartbeat is `age` seconds old."""
    folder.mkdir(exist_ok=True)
    (folder / worker).write_text("NVIDIA H100")
    now = time.time() if now is None else now
    os.utime(folder / worker, (now - age, now - age))
    for trial in trials:
        (folder / trial).write_text(worker)


def test_a_trial_is_held_by_one_worker_until_it_is_released(worker):
    first, second = worker(), worker()
    assert first.take([ONE, TWO]) and first.take([ONE, TWO, THREE])
    assert not second.take([ONE])
    first.release([ONE])
    assert second.take([ONE]) and not second.take([TWO])


def test_a_batch_is_claimed_whole_or_not_at_all(worker, tmp_path):
    first, second = worker(), worker()
    first.take([TWO])
    assert not second.take([ONE, TWO, THREE])
    assert sorted(running(tmp_path)) == [TWO]
    assert first.take([ONE, THREE])


def test_of_many_workers_one_gets_each_lease(tmp_path):
    workers = [Claims(tmp_path) for _ in range(8)]
    got, begin = [], threading.Barrier(8)

    def go(claims):
        with claims:
            begin.wait()
            got.extend(trial for trial in (f"{number:064x}" for number in range(50)) if claims.take([trial]))
            begin.wait()

    threads = [threading.Thread(target=go, args=[claims]) for claims in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [f"{number:064x}" for number in range(50)]
    assert list((tmp_path / "claims").iterdir()) == []


def test_nothing_is_left_at_the_end_and_others_leases_stay(tmp_path, worker):
    other = worker()
    other.take([TWO])
    with Claims(tmp_path) as claims:
        claims.take([ONE])
    assert {path.name for path in (tmp_path / "claims").iterdir()} == {TWO, other.name}


@pytest.mark.parametrize("days", [-400, 0, 3])
def test_a_lease_lasts_by_the_file_servers_clock_alone(tmp_path, worker, monkeypatch, days):
    server = Server(monkeypatch, days * 86400)
    held_by(tmp_path / "claims", OTHER_MACHINE, ONE, now=server.now)
    claims = worker()
    server.now += LEASE_SECONDS - 1
    claims.beat()
    assert not claims.take([ONE])
    server.now += 2
    claims.beat()
    assert claims.take([ONE])
    assert running(tmp_path)[ONE].name == claims.name


def test_a_heartbeat_renews_every_lease_of_its_worker(tmp_path, worker, monkeypatch):
    server = Server(monkeypatch)
    first, second = worker(), worker()
    first.take([ONE, TWO])
    for _ in range(3):
        server.now += LEASE_SECONDS - 1
        first.beat()
        second.beat()
        assert not second.take([ONE]) and not second.take([TWO])


def test_heartbeats_come_by_themselves(tmp_path):
    with Claims(tmp_path, beat=0.01) as claims:
        os.utime(tmp_path / "claims" / claims.name, (0, 0))
        deadline = time.monotonic() + 30
        while os.stat(tmp_path / "claims" / claims.name).st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.stat(tmp_path / "claims" / claims.name).st_mtime > 0


def test_the_lease_of_a_dead_process_of_this_machine_ends_at_once(tmp_path, worker):
    if not (pid := os.fork()):
        Claims(tmp_path).__enter__().take([ONE])
        os._exit(0)
    os.waitpid(pid, 0)
    assert ONE in {path.name for path in (tmp_path / "claims").iterdir()}
    assert running(tmp_path) == {}
    assert worker().take([ONE])


def test_the_lease_of_a_worker_that_ended_without_giving_it_back_is_free(tmp_path, worker):
    held_by(tmp_path / "claims", OTHER_MACHINE, ONE)
    (tmp_path / "claims" / OTHER_MACHINE).unlink()
    assert worker().take([ONE])


def test_a_lease_without_a_name_ends_by_its_own_age(tmp_path, worker):
    """Its worker was killed between making the file and writing into it, or is just doing so."""
    claims = worker()
    place = tmp_path / "claims" / ONE
    place.touch()
    assert not claims.take([ONE])
    os.utime(place, (time.time() - LEASE_SECONDS - 1,) * 2)
    assert claims.take([ONE])


def test_who_is_slower_to_take_over_an_ended_lease_leaves_it_to_the_quicker(tmp_path, worker, monkeypatch):
    first, second = worker(), worker()
    held_by(tmp_path / "claims", OTHER_MACHINE, ONE, age=LEASE_SECONDS + 1)

    def judged_too_early(*about, judge=module._has_ended):
        monkeypatch.setattr(module, "_has_ended", judge)
        ended = judge(*about)
        assert second.take([ONE])
        return ended

    monkeypatch.setattr(module, "_has_ended", judged_too_early)
    assert not first.take([ONE])
    assert running(tmp_path)[ONE].name == second.name
    assert not first.take([ONE])


def test_a_worker_that_slept_leaves_its_lease_to_the_one_that_has_it_now(tmp_path, worker, monkeypatch):
    server = Server(monkeypatch)
    asleep, awake = worker(), worker()
    asleep.take([ONE])
    server.now += LEASE_SECONDS + 1
    awake.beat()
    assert awake.take([ONE])
    asleep.release([ONE])
    assert running(tmp_path)[ONE].name == awake.name


def test_what_dead_workers_left_is_removed_at_the_beginning(tmp_path, worker):
    folder = tmp_path / "claims"
    held_by(folder, OTHER_MACHINE, ONE, age=86401)
    held_by(folder, OTHER_MACHINE.replace("far", "near"), TWO, age=60)
    (folder / f".{THREE}~{OTHER_MACHINE}.part").touch()
    os.utime(folder / f".{THREE}~{OTHER_MACHINE}.part", (1, 1))
    claims = worker()
    assert {path.name for path in folder.iterdir()} == {TWO, OTHER_MACHINE.replace("far", "near"), claims.name}


def test_a_full_disk_leaves_no_half_of_a_batch_claimed(tmp_path, worker, monkeypatch):
    claims = worker()

    def full(handle, data, write=os.write, done=[]):  # noqa: B006 (it counts)
        done.append(handle)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        return write(handle, data)

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        claims.take([ONE, TWO])
    assert {path.name for path in (tmp_path / "claims").iterdir()} == {claims.name}


def test_who_runs_what_is_read_without_writing(tmp_path, worker):
    held_by(tmp_path / "claims", OTHER_MACHINE, ONE, age=60)
    held_by(tmp_path / "claims", OTHER_MACHINE.replace("far", "lost"), TWO, age=LEASE_SECONDS + 60)
    claims = worker("Tesla T4")
    claims.take([THREE])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    found = running(tmp_path)
    assert {trial: (one.machine, one.device) for trial, one in found.items()} == {
        ONE: ("far.away", "NVIDIA H100"), THREE: (own_name().partition("@")[0].rsplit(".", 2)[0], "Tesla T4")
    }  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert running(tmp_path / "no store") == {}


def test_a_store_without_claims_is_prepared_and_read_as_ever(tmp_path):
    Store(tmp_path).prepare()
    assert list(Store(tmp_path)) == [] and running(tmp_path) == {}
