"""A lease of a store elsewhere has one holder, it ends with its worker, and no clock of a machine counts."""

from __future__ import annotations

import datetime
import re
import threading
import time

import pytest

from reno.store.claims import LEASE_SECONDS
from reno.store.leases import Leases, running_there
from reno.store.remote import Remote
from reno.store.staging import own_name
from tests.store.elsewhere import ADDRESS, There

ONE, TWO, THREE = (letter * 64 for letter in "abc")
FAR = f"far.away.0123456789abcdef.45@7.99-{'0' * 32}"


@pytest.fixture
def there(monkeypatch, tmp_path):
    there = There(monkeypatch, tmp_path)
    lock, create = threading.Lock(), there.fs.pipe_file

    def one_at_a_time(*args, **named):  # as a server does
        with lock:
            return create(*args, **named)

    monkeypatch.setattr(there.fs, "pipe_file", one_at_a_time)
    return there


@pytest.fixture
def worker(there):
    begun = []

    def make(device=""):
        begun.append(Leases(Remote(ADDRESS), device, beat=3600).__enter__())
        return begun[-1]

    yield make
    for one in begun:
        one.__exit__()


def held_by(there, name, *trials, number=0):
    there.fs.pipe_file(f"study/claims/{name}", b"NVIDIA H200")
    for trial in trials:
        there.fs.pipe_file(f"study/claims/{trial}.{number}", name.encode())


def later(worker, seconds):
    """The worker's clock after its next heartbeat, which the store stamps so much later."""
    worker.beat()
    worker._heart.clock = (worker._heart.clock[0] + seconds, worker._heart.clock[1])


def test_a_batch_is_claimed_whole_or_not_at_all_and_given_back(worker, there):
    first, second = worker(), worker()
    assert first.take([TWO]) and first.take([TWO])
    assert not second.take([ONE, TWO, THREE])
    assert sorted(running_there(Remote(ADDRESS))) == [TWO]
    first.release([TWO])
    assert second.take([ONE, TWO, THREE]) and not first.take([TWO])


def test_of_many_workers_one_gets_each_lease(there):
    workers, got, begin = [Leases(Remote(ADDRESS)) for _ in range(6)], [], threading.Barrier(6)

    def go(leases):
        with leases:
            begin.wait()
            got.extend(trial for trial in (f"{number:064x}" for number in range(20)) if leases.take([trial]))
            begin.wait()

    threads = [threading.Thread(target=go, args=[leases]) for leases in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [f"{number:064x}" for number in range(20)]
    assert there.held("claims") == []


def test_a_lease_of_another_machine_lasts_by_the_stores_clock(worker, there):
    held_by(there, FAR, ONE)
    claims = worker()
    later(claims, LEASE_SECONDS - 5)
    assert not claims.take([ONE])
    later(claims, LEASE_SECONDS + 5)
    assert claims.take([ONE])
    assert {name.name for name in running_there(Remote(ADDRESS)).values()} == {claims.name}


def test_an_ended_lease_goes_to_one_worker(worker, there):
    held_by(there, FAR, ONE)
    there.fs.store[f"/study/claims/{FAR}"].created -= datetime.timedelta(seconds=2 * LEASE_SECONDS)
    workers = [worker() for _ in range(4)]
    assert sorted(one.take([ONE]) for one in workers) == [False, False, False, True]
    (winner,) = [one for one in workers if one._held]
    winner.release([ONE])
    assert [key for key in there.held("claims") if ONE in key] == []


def test_while_a_lease_is_given_back_one_worker_at_most_gets_it(worker, there, monkeypatch):
    held_by(there, FAR, ONE)
    there.fs.store[f"/study/claims/{FAR}"].created -= datetime.timedelta(seconds=2 * LEASE_SECONDS)
    first, others, got = worker(), [worker() for _ in range(4)], []
    assert first.take([ONE])
    remove = first.remote.remove

    def removed(keys):
        remove(keys)
        got.extend(others.pop().take([ONE]) for _ in range(2))

    monkeypatch.setattr(first.remote, "remove", removed)
    first.release([ONE])
    monkeypatch.undo()
    assert sum(got) == 1 and len(got) == 4


def test_a_day_old_lease_stays_below_one_that_is_held(worker, there):
    held_by(there, FAR, ONE)
    for key in there.held("claims"):
        there.fs.store[f"/study/{key}"].created -= datetime.timedelta(days=3)
    there.fs.pipe_file("study/claims/" + "f" * 64 + ".0", b"\xff")  # somebody else's
    holder = Leases(Remote(ADDRESS), beat=3600)
    holder.beat()
    assert holder.take([ONE]) and not worker().take([ONE])


def test_a_lease_ends_at_once_with_its_process_and_with_its_heartbeat(worker, there):
    held_by(there, re.sub(r"\.\d*-", ".1-", own_name()), ONE)  # of a process that had this one's number
    there.fs.pipe_file(f"study/claims/{TWO}.0", FAR.encode())
    assert worker().take([ONE, TWO])


def test_a_lease_whose_making_was_not_answered_is_held(worker, there):
    claims = worker()
    there.fs.pipe_file(f"study/claims/{ONE}.0", claims.name.encode())
    assert claims.take([ONE])
    claims.release([ONE])
    assert worker().take([ONE])


def test_what_is_a_day_old_is_removed_at_the_beginning(there):
    held_by(there, FAR, ONE)
    for key in there.held("claims"):
        held = there.fs.store[f"/study/{key}"]
        held.created = held.created.replace(year=2020)
    with Leases(Remote(ADDRESS)) as claims:
        assert there.held("claims") == [f"claims/{claims.name}"]


def test_a_heartbeat_is_sent_again_and_again(there):
    with Leases(Remote(ADDRESS), "Tesla T4", beat=0.005) as claims:
        claims.take([ONE])
        deadline = time.monotonic() + 10
        while there.written.count(f"claims/{claims.name}") < 4:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert running_there(Remote(ADDRESS))[ONE].device == "Tesla T4"
    assert there.held("claims") == []
