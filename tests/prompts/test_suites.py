"""A suite's file: where it is looked for, and what is kept of what a server sends."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from reno.prompts import suites
from reno.prompts.suites import SuiteFiles, cache_folder, check_digest
from reno.spec.errors import BadInput
from reno.spec.suites import Protocol, Suite

LIST = b"a red car\na blue bowl\n"
PROTOCOL = Protocol("Mine", 10, "blip_vqa", "score")


def suite(address: str | None = "https://example.org/lab/bench/list.txt", content: bytes = LIST) -> Suite:
    digest = hashlib.sha256(content).hexdigest()
    return Suite("mine/one@2", PROTOCOL, digest, file="list.txt", path="data/list.txt", address=address)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """server(content): an address that sends this; it answers with what it was asked for, and how much was read."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(content: bytes) -> list[tuple]:
        asked = []

        class Answer(io.BytesIO):
            headers = {"Content-Length": None}  # noqa: RUF012

            def read(self, most=-1):
                asked.append(("read", most))
                return super().read(most)

        def urlopen(address, timeout):
            asked.append((address, timeout))
            return Answer(content)

        monkeypatch.setattr(suites.urllib.request, "urlopen", urlopen)
        return asked

    return make


def test_fetched_files_are_kept_where_the_system_keeps_such_files(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "reno-bench" / "suites"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/reno-bench/suites")


def test_a_server_may_be_silent_for_twenty_seconds_and_send_twenty_megabytes(server):
    asked = server(LIST)
    found, _ = SuiteFiles(None).read(suite())
    assert [prompt.text for prompt in found.prompts] == ["a red car", "a blue bowl"]
    assert asked == [("https://example.org/lab/bench/list.txt", 20.0), ("read", (20 << 20) + 1)]


@pytest.mark.parametrize(("more", "kept"), [(0, True), (1, False)])
def test_an_answer_that_is_no_list_of_prompts_is_not_kept(server, more, kept, monkeypatch):
    monkeypatch.setattr(suites, "MOST_BYTES", 1 << 20)
    content = b"a car\n" + b"x" * ((1 << 20) - 6 + more)
    server(content)
    one = suite(content=content)
    if kept:
        assert len(SuiteFiles(None).read(one)[0].prompts) == 2
    else:
        with pytest.raises(BadInput, match=r"\(ValueError: it has more than 1 MB\); put list\.txt into a folder"):
            SuiteFiles(None).read(one)
        assert not cache_folder().exists()


def test_another_file_than_the_suites_is_told_as_such(server):
    server(b"an html page")
    with pytest.raises(BadInput, match=r"\(ValueError: what came is not the file that the suite was defined with\)"):
        SuiteFiles(None).read(suite())


def test_a_file_is_written_beside_its_place_and_renamed(server, monkeypatch):
    server(LIST)
    place = cache_folder() / "mine" / "one@2" / "list.txt"
    place.parent.mkdir(parents=True)  # by another process
    moved, replace = [], suites.os.replace

    def watched(source, target):
        moved.append((Path(source), target, Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(suites.os, "replace", watched)
    SuiteFiles(None).read(suite())
    ((source, target, content),) = moved
    assert (source.parent, target, content) == (place.parent, place, LIST) and list(place.parent.iterdir()) == [place]


def test_a_copy_may_lie_in_a_folder_of_the_repositorys_name(tmp_path):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "list.txt").write_bytes(LIST)
    assert len(SuiteFiles(tmp_path).read(suite())[0].prompts) == 2


@pytest.mark.parametrize(
    ("where", "address", "remedy"),
    [
        ("cache/reno-bench/suites", "https://example.org/list.txt", "remove {place}, and it is fetched again"),
        (
            "mine",
            "https://example.org/list.txt",
            "take https://example.org/list.txt, or give your own list as prompts={place}",
        ),
        ("mine", None, "take the published file, or give your own list as prompts={place}"),
    ],
)
def test_another_file_in_a_suites_place_is_refused_with_the_remedy(server, tmp_path, where, address, remedy):
    server(LIST)
    place = tmp_path / where / "list.txt"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"a dog\n")
    with pytest.raises(BadInput) as refused:
        check_digest(suite(address), place)
    is_, wanted = (hashlib.sha256(content).hexdigest()[:12] for content in (b"a dog\n", LIST))
    assert str(refused.value) == (
        f"{place} is not the file of mine/one@2: its SHA-256 is {is_}… and not {wanted}…; {remedy.format(place=place)}"
    )
    with pytest.raises(BadInput) as unread:
        check_digest(suite(), place.parent)
    assert str(unread.value) == f"{place.parent} cannot be read (Is a directory)"


def test_a_folder_without_a_file_that_nobody_publishes_names_no_address(tmp_path):
    with pytest.raises(BadInput, match=r"does not hold list\.txt, the prompts of mine/one@2; copy it there$"):
        SuiteFiles(tmp_path).read(suite(address=None))
