"""Suites: their names, their files, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json

import pytest

from reno.config.conf import OWN, Conf
from reno.config.suites import suite_named, suite_names, suite_prompts
from reno.prompts import suites
from reno.prompts.geneval import geneval_prompts
from reno.run import main
from reno.spec.errors import BadInput

LIST = b"a red car\na blue bowl\na red car\n"


class Answer(io.BytesIO):
    """What a server sends."""

    def __init__(self, content, promised=None):
        super().__init__(content)
        self.headers = {"Content-Length": str(promised or len(content))}


@pytest.fixture
def conf(tmp_path):
    """conf(**entry): with a benchmark `mine`, whose suite `one` has the file list.txt."""

    def make(**entry):
        part = {"version": 2, "file": "list.txt", "commit": "c0ffee", "category": "color",
                "sha256": hashlib.sha256(LIST).hexdigest(),
                "protocol": {"name": "Mine", "images": 10, "judge": "blip_vqa", "measure": "score"}}  # fmt: skip
        one = {key: value for key, value in (part | entry).items() if value != "gone"}
        source = "https://example.org/lab/bench/{commit}/{path}"
        values = {"source": source, "folder": "data", "suites": {"one": one}}
        (tmp_path / "conf" / "benchmarks").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / "benchmarks" / "mine.yaml").write_text(json.dumps(values))
        return Conf((OWN, tmp_path / "conf"))

    return make


@pytest.fixture
def copies(tmp_path):
    """copies(place): a folder with the list there."""

    def make(place="list.txt", content=LIST):
        path = tmp_path / "copies" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return tmp_path / "copies"

    return make


def test_every_suite_of_this_project_has_a_name_that_finds_it():
    names = suite_names(Conf())
    assert "t2i_compbench/color_val@1" in names and "geneval/all@1" in names and len(set(names)) == len(names)
    for name in names:
        suite = suite_named(name, Conf()).suite
        assert suite.name == name and suite.protocol.images >= 1
    color = suite_named("t2i_compbench/color_val", Conf()).suite
    assert (color.protocol.images, color.protocol.judge, color.category) == (10, "blip_vqa", "color")
    assert suite_named("t2i_compbench/color", Conf()).suite.protocol.name == "ReNO's paper"


def test_a_version_or_the_only_part_may_be_left_out(conf):
    assert [suite_named(name, conf()).suite.name for name in ("mine", "mine/one", "mine/one@2")] == ["mine/one@2"] * 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("minne", "did you mean 'mine'"),
        ("mine/two", "mine has one"),
        ("mine/one@1", "has version 2 only; use suite=mine/one@2"),
        ("mine@", "has version 2 only"),
        ("", "suite must name a suite"),
        (["mine"], "suite must name a suite"),
        (3, "suite must name a suite"),
        ("../mine", "is not known"),
    ],
)
def test_a_name_of_no_suite_is_refused(conf, name, says):
    with pytest.raises(BadInput) as refused:
        suite_named(name, conf())
    assert says in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"version": "x"}, "mine.yaml is no benchmark"),
        ({"rule": "geneval"}, "one needs one of file, prompts and rule"),
        ({"file": "gone", "rule": "other"}, "rule other is not known"),
        ({"colour": "red"}, "colour"),
        ({"protocol": {"name": "x", "images": 0, "judge": None, "measure": None}}, "images must be 1 or more, not 0"),
        ({"protocol": {"name": "x", "images": 1, "judge": "nobody", "measure": None}}, "judge 'nobody' is not one of"),
        ({"protocol": {"name": "x", "images": 1, "judge": None, "measure": "scroe"}}, "measure 'scroe' is not one of"),
    ],
)
def test_an_odd_benchmark_is_refused(conf, entry, says):
    with pytest.raises(BadInput, match=says):
        suite_named("mine", conf(**entry))


@pytest.mark.parametrize(
    "place", ["list.txt", "data/list.txt", "mine/list.txt", "mine/data/list.txt", "bench/data/list.txt"]
)
def test_the_users_copy_is_read_wherever_it_lies_in_the_folder(conf, copies, place):
    found, suite = suite_prompts("mine/one@2", copies(place), conf())
    assert [(prompt.text, prompt.category) for prompt in found.prompts] == [
        ("a red car", "color"),
        ("a blue bowl", "color"),
    ]
    assert found.notes[0].endswith(place) and "repeats an earlier prompt" in found.notes[1]
    assert suite.sha256 == hashlib.sha256(LIST).hexdigest()


def test_a_copy_that_is_another_file_is_refused(conf, copies):
    with pytest.raises(BadInput, match=r"is not the file of mine/one@2: its SHA-256 is .* and not .*prompts="):
        suite_prompts("mine", copies(content=LIST + b"x"), conf())


def test_without_a_known_digest_that_of_the_file_is_told(conf, copies):
    found, suite = suite_prompts("mine", copies(), conf(sha256=None))
    assert suite.sha256 == hashlib.sha256(LIST).hexdigest() and suite.sha256 in found.notes[1]


def test_a_folder_without_the_file_says_what_to_copy(conf, copies, tmp_path):
    with pytest.raises(
        BadInput, match=r"does not hold list.txt, .* from https://example.org/lab/bench/c0ffee/data/list.txt"
    ):
        suite_prompts("mine", copies("other.txt"), conf())
    with pytest.raises(BadInput, match="is not a folder"):
        suite_prompts("mine", tmp_path / "nowhere", conf())


def test_a_file_is_fetched_once_and_kept(conf, tmp_path, monkeypatch):
    asked = []

    def urlopen(address, timeout):
        asked.append(address)
        return Answer(LIST)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(suites.urllib.request, "urlopen", urlopen)
    for _ in range(2):
        found, _ = suite_prompts("mine", None, conf())
        assert len(found.prompts) == 2
    assert asked == ["https://example.org/lab/bench/c0ffee/data/list.txt"]
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["list.txt"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: Answer(LIST[:9], len(LIST)), "9 of 32 bytes came"),
        (lambda: Answer(LIST + b"x"), "what came is not the file that the suite was defined with"),
    ],
)
def test_a_download_that_was_cut_off_or_is_another_file_is_not_kept(conf, tmp_path, monkeypatch, answer, says):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(suites.urllib.request, "urlopen", lambda *_, **__: answer())
    with pytest.raises(BadInput, match=says):
        suite_prompts("mine", None, conf())
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_download_that_cannot_be_written_leaves_nothing(conf, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(suites.urllib.request, "urlopen", lambda *_, **__: Answer(LIST))
    monkeypatch.setattr(suites.os, "replace", full)
    with pytest.raises(BadInput, match="No space left on device"):
        suite_prompts("mine", None, conf())
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_prompt_set_of_a_suite_has_its_digest_checked(conf):
    with pytest.raises(BadInput, match="is not the file of mine/one@2"):
        suite_prompts("mine", None, conf(file="gone", commit="gone", prompts="pairs_dev", sha256="abcd"))


def test_what_cannot_be_fetched_says_what_to_do(conf, tmp_path, monkeypatch):
    def urlopen(address, timeout):
        raise OSError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(suites.urllib.request, "urlopen", urlopen)
    with pytest.raises(BadInput, match=r"cannot be fetched from https.*no network.*put list.txt into a folder"):
        suite_prompts("mine", None, conf())
    with pytest.raises(BadInput, match=r"the prompts of mine/one@2 cannot be fetched; put list.txt"):
        suite_prompts("mine", None, conf(commit=None))


def test_genevals_suite_is_its_rule_and_takes_no_folder(tmp_path):
    found, suite = suite_prompts("geneval", None, Conf())
    assert found.prompts == geneval_prompts() and suite.protocol.mean_over == "categories"
    with pytest.raises(BadInput, match="come with this program; leave suites="):
        suite_prompts("geneval", tmp_path, Conf())


def test_the_testbeds_suites_are_its_prompt_sets_with_a_category():
    found, suite = suite_prompts("testbed/triples", None, Conf())
    path = OWN / "prompt_sets" / "triples_test.txt"
    assert {prompt.category for prompt in found.prompts} == {"triples"}
    assert suite.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_job_has_its_suite_and_a_prompt_beside_it_is_refused(compose):
    job = compose("suite=testbed/pairs", "limit=3")
    assert (job.suite.name, job.prompt_set, len(job.prompts)) == ("testbed/pairs@1", "testbed/pairs@1", 3)
    assert compose().suite is None
    with pytest.raises(BadInput, match="prompt and suite each say what to draw"):
        compose("suite=testbed/pairs", "prompt=a red car")
    with pytest.raises(BadInput, match="suite and prompts each say what to draw"):
        compose("suite=testbed/pairs", "prompts=report")
    with pytest.raises(BadInput, match="add suite=NAME"):
        compose("suites=x")


@pytest.mark.parametrize(("study", "knob"), [("suites_testbed", "suite"), ("clip_vs_blip", "prompts")])
def test_the_advice_for_a_prompt_beside_a_study_that_sets_others_can_be_followed(study, knob, tmp_path, capsys):
    few = ["metric=clip", "method=none", "lr=0.01", "iterations=25"]  # of the study's many jobs
    words = ["-m", f"+experiments={study}", *few, "prompt=a red car", f"results={tmp_path / 'r'}", "dry_run=true"]
    assert main(words) == 2
    said = capsys.readouterr().err.splitlines()[0]
    assert said.endswith(f"where a study sets the other, type prompt=null or {knob}=null")
    assert main([*words, f"{knob}=null"]) == 0
    assert "a red car" in capsys.readouterr().out and not (tmp_path / "r").exists()
