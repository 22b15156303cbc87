"""The first worker that writes something down decides for all."""

from __future__ import annotations

import json

from reno.store import copies
from reno.store.settled import settle, settled
from tests.running.workers import ended, started
from tests.store.elsewhere import There


def test_the_first_one_decides(tmp_path):
    assert settled(tmp_path, "key") is None
    assert settle(tmp_path, "key", {"size": 4}) == {"size": 4}
    assert settle(tmp_path, "key", {"size": 8}) == settled(tmp_path, "key") == {"size": 4}
    assert settle(tmp_path, "other", {"size": 8}) == {"size": 8}
    assert sorted(path.name for path in (tmp_path / "settled").iterdir()) == ["key.json", "other.json"]


def test_of_several_processes_all_take_the_same(tmp_path):
    def worker(number):
        (tmp_path / f"took {number}").write_text(json.dumps(settle(tmp_path, "key", {"size": number})))

    assert ended(*[started(lambda n=n: worker(n)) for n in range(6)]) == [0] * 6
    took = {path.read_text() for path in tmp_path.glob("took *")}
    assert took == {json.dumps(settled(tmp_path, "key"))}


def test_in_a_store_elsewhere_the_first_machine_decides_for_all(monkeypatch, tmp_path):
    there = There(monkeypatch, tmp_path)
    one = there.machine("one").root
    assert settled(one, "key") is None and settle(one, "key", {"size": 4}) == {"size": 4}
    copies._copies.clear()  # another machine is another process
    two = there.machine("two").root
    assert settled(two, "key") == settle(two, "key", {"size": 8}) == {"size": 4}
    assert there.held("settled") == ["settled/key.json"]
    there.fs.pipe_file("/study/settled/key.json", b"{")
    assert settled(two, "key") is None and settle(two, "key", {"size": 8}) == settled(two, "key") == {"size": 8}


def test_what_cannot_be_read_is_not_there(tmp_path):
    (tmp_path / "settled").mkdir()
    for text in ("{", "[1]"):
        (tmp_path / "settled" / "key.json").write_text(text)
        assert settled(tmp_path, "key") is None
        assert settle(tmp_path, "key", {"size": 2}) == settled(tmp_path, "key") == {"size": 2}
