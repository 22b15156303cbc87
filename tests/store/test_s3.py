"""On a real S3 server, which these tests start, a job makes the store that it makes in a folder, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from reno.spec.addresses import copy_folder
from reno.store import copies
from reno.store.files import FILES
from reno.store.store import Store
from tests.running.workers import essence, wait_until
from tests.store.s3_server import client_of, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ADDRESS = "s3://bucket/study"
JOB = ("prompt=[a red car,a blue cup,a green star]", "seed=[0,1]", "batch_size=2", "threads=1",
       "tracking=disabled")  # fmt: skip
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def s3(monkeypatch):
    """The client of an S3 server with an empty bucket."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'reno-bench[remote]'")
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[s3]' flask")
    with s3_server() as found:
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        copies._copies.clear()
        yield client_of(found)
        copies._copies.clear()


def command(tmp_path, machine, *words, module="reno.run"):
    """A command of a machine with a copy of its own."""
    around = os.environ | {"RENO_STORES": str(tmp_path / machine), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}
    with open(tmp_path / f"{machine}.txt", "a") as said:
        return subprocess.Popen(
            [sys.executable, "-m", module, *words], cwd=tmp_path, env=around, stdout=said, stderr=said
        )


def said(tmp_path, machine):
    return (tmp_path / f"{machine}.txt").read_text()


def keys(s3):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket")
    return [entry["Key"].removeprefix("study/") for page in pages for entry in page.get("Contents", [])]


def whole(s3):
    """How many trials are whole there: those whose record is there. Each of them has all of its files."""
    found = [key.split("/") for key in keys(s3) if key.startswith("trials/")]
    names = Counter(trial for _, trial, _ in found)
    records = [trial for _, trial, name in found if name == "trial.json"]
    assert all(names[trial] == len(FILES) + 1 for trial in records)
    return len(records)


def fetched(monkeypatch, tmp_path, name):
    """The store there, as a machine sees it that has fetched everything."""
    monkeypatch.setenv("RENO_STORES", str(tmp_path / name))
    store = Store(copy_folder("results", ADDRESS))
    store.catch_up(files=FILES)
    return store.root


def begun(tmp_path, *machines):
    """How often each trial was stored, by the jobs' logs of these machines."""
    logs = [log for machine in machines for log in (tmp_path / machine).rglob("job.log")]
    return Counter(line.split()[-1] for log in logs for line in log.read_text().splitlines() if " stored " in line)


def test_two_workers_on_a_bucket_make_the_store_that_one_makes_in_a_folder(s3, tmp_path, monkeypatch):
    assert command(tmp_path, "plain", *JOB, "iterations=3", f"results={tmp_path / 'plain_store'}").wait() == 0
    workers = [command(tmp_path, name, *JOB, "iterations=3", f"results={ADDRESS}") for name in ("one", "two")]
    assert [worker.wait() for worker in workers] == [0, 0], said(tmp_path, "one") + said(tmp_path, "two")
    assert whole(s3) == 6
    assert [key for key in keys(s3) if key.startswith(("claims/", "staging/"))] == []
    assert sorted(begun(tmp_path, "one", "two").values()) == [1] * 6
    root = fetched(monkeypatch, tmp_path, "third")
    assert essence(root) == essence(tmp_path / "plain_store")

    reports = []
    for name, results in (("third", ADDRESS), ("plain", str(tmp_path / "plain_store"))):
        words = (f"results={results}", f"out={tmp_path / f'report_{name}'}", "track=disabled")
        assert command(tmp_path, name, *words, module="analysis").wait() == 0, said(tmp_path, name)
        tables = tmp_path / f"report_{name}" / "tables"
        reports.append({path.name: path.read_text() for path in tables.glob("*.csv") if "cost" not in path.name})
    assert reports[0] == reports[1] and len(reports[0]) > 5

    assert command(tmp_path, "fourth", f"results={ADDRESS}", module="reno.status").wait() == 0
    assert "6 of 6" in said(tmp_path, "fourth")
    trial = next(iter(essence(root)))
    assert command(tmp_path, "fourth", trial[:12], f"results={ADDRESS}", module="reno.reproduce").wait() == 0
    assert "identical" in said(tmp_path, "fourth")
    words = ("evaluators=oracle_analytic", f"results={ADDRESS}", "tracking=disabled")
    assert command(tmp_path, "fifth", *words, module="reno.evaluate").wait() == 0, said(tmp_path, "fifth")
    assert len([key for key in keys(s3) if key.startswith("judgements/oracle_analytic-")]) == 6
    assert command(tmp_path, "sixth", ADDRESS, "results=merged", module="reno.merge").wait() == 0
    assert "6 trials, 6 judgements and 2 jobs added" in said(tmp_path, "sixth")
    assert command(tmp_path, "sixth", "merged", "results=s3://bucket/again", module="reno.merge").wait() == 0
    pages = s3.list_objects_v2(Bucket="bucket", Prefix="again/trials/")["Contents"]
    sent = {entry["Key"].removeprefix("again/") for entry in pages}
    assert sent == {key for key in keys(s3) if key.startswith("trials/")}
    for secret in tmp_path.rglob("*"):
        assert not secret.is_file() or b"AWS_SECRET" not in secret.read_bytes()


def test_a_bucket_that_is_not_there_is_refused_by_a_run_and_by_a_dry_run(s3, tmp_path):
    for words in ((), ("dry_run=true",)):
        assert command(tmp_path, "one", *JOB, "results=s3://nobucket/study", *words).wait() == 2
    assert said(tmp_path, "one").count("s3://nobucket/study cannot be read (The specified bucket does not exist)") == 2
    assert not (tmp_path / "one").exists()


def test_a_worker_that_is_killed_costs_its_batch_and_what_is_not_there_is_not_whole(s3, tmp_path, monkeypatch):
    first = command(tmp_path, "one", *JOB, "iterations=40", f"results={ADDRESS}")
    second = command(tmp_path, "two", *JOB, "iterations=40", f"results={ADDRESS}")
    wait_until(lambda: whole(s3) >= 1, seconds=200)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait() == 0, said(tmp_path, "two")
    assert whole(s3) == 6
    stored = begun(tmp_path, "one", "two")  # the one that was killed may not have logged what it had just stored
    assert 5 <= sum(stored.values()) <= 6 + 2


def test_a_server_that_goes_away_loses_nothing(s3, tmp_path, monkeypatch):
    """The line is cut while the job runs: the trials stay here, and the same command sends them."""
    proxy = subprocess.Popen([sys.executable, "-c", PROXY, os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2]],
                             stdout=subprocess.PIPE, text=True)  # fmt: skip
    straight = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.stdout.readline().strip()}")
    job = command(tmp_path, "one", *JOB, "iterations=40", f"results={ADDRESS}")
    wait_until(lambda: whole(s3) >= 1, seconds=200)
    proxy.kill()
    proxy.wait()
    assert job.wait() == 0, said(tmp_path, "one")
    assert "the same command sends them later" in said(tmp_path, "one")
    assert whole(s3) < 6
    monkeypatch.setenv("AWS_ENDPOINT_URL", straight)
    assert command(tmp_path, "one", *JOB, "iterations=40", f"results={ADDRESS}").wait() == 0
    assert whole(s3) == 6 and "all 6 trials are stored already" in said(tmp_path, "one")


PROXY = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    client, _ = server.accept()
    there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for pair in ((client, there), (there, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""
