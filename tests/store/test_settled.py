"""The first worker that writes something down decides for all."""

from __future__ import annotations

import json

import pytest

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
    copies._copies.clear()
    one = there.machine("one").root
    assert settle(one, "key", {"size": 2}) == settled(one, "key") == {"size": 8}


def test_what_cannot_be_used_is_kept_and_all_take_the_same(tmp_path, capsys):
    def usable(values):
        return values.get("size", 0) > 0

    (tmp_path / "settled").mkdir()
    for number, text in enumerate(("{", "[1]", "{}", '{"size": -3}')):
        (tmp_path / "settled" / f"key{f'.{number}' if number else ''}.json").write_text(text)
        assert settled(tmp_path, "key", usable) is None

    def worker(number):
        (tmp_path / f"took {number}").write_text(json.dumps(settle(tmp_path, "key", {"size": number}, usable)))

    assert ended(*[started(lambda n=n: worker(n)) for n in range(1, 7)]) == [0] * 6
    took = {path.read_text() for path in tmp_path.glob("took *")}
    assert took == {json.dumps(settled(tmp_path, "key", usable))} and len(list(tmp_path.glob("settled/*.json"))) == 5
    assert settle(tmp_path, "key", {"size": 9}, usable) == settled(tmp_path, "key", usable)
    assert capsys.readouterr().err == ""  # told by the one that wrote it down


def test_what_cannot_be_used_again_and_again_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"10 files in .*settled cannot be used"):
        settle(tmp_path, "key", {"size": 1}, lambda values: False)
