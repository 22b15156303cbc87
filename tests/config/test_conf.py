"""The folders with choices: conf/, and a user's own."""

from __future__ import annotations

import re

import pytest

from reno.config.conf import OWN, Conf, references_in
from reno.config.search import ConfSource, StudySource
from reno.spec.errors import BadInput


@pytest.fixture
def both(tmp_path):
    """Two folders of one's own."""
    for name, files in (("one", ["metric/a.yaml", "metric/b.yaml"]), ("two", ["metric/b.yaml", "metric/c.yml"])):
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"name: {name}\n")
    return Conf((tmp_path / "one", tmp_path / "two"))


def test_choices_are_the_yaml_files_of_every_folder(both):
    assert both.options("metric") == ["a", "b"]
    assert both.options("none such") == []
    assert "clip+blip" in Conf().options("metric") and Conf().folders == (OWN,)


def test_the_first_folder_that_has_a_file_gives_it(both):
    assert both.named("metric", "metric", "b").values == {"name": "one"}
    assert both.path("metric", "b.yaml") == both.folders[0] / "metric" / "b.yaml"
    assert both.path("metric", "z.yaml") is None
    assert Conf((both.folders[1],)).named("metric", "metric", "b").values == {"name": "two"}


@pytest.mark.parametrize("name", ["bb", "../metric/b", "/b"])
def test_a_choice_that_is_not_there_is_refused_with_those_that_are(both, name):
    hint = "; did you mean 'b'?" if name in ("bb", "/b") else ""
    with pytest.raises(BadInput) as refused:
        both.named("record", "metric", name)
    assert str(refused.value) == f"record={name} is not known; use a, b{hint}"
    with pytest.raises(BadInput, match=r"^x=y is not known; use none$"):
        both.named("x", "empty", "y")


@pytest.mark.parametrize("text", ["name: [", "name: ${other}", "a: ${metric.b.c.d}"])
def test_a_file_that_cannot_be_read_is_named(both, text):
    path = both.folders[0] / "metric" / "a.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"^{re.escape(str(path))} cannot be read \\("):
        both.named("metric", "metric", "a")


def test_a_file_that_holds_no_keys_is_refused(both):
    path = both.folders[0] / "metric" / "a.yaml"
    path.write_text("- 1\n")
    with pytest.raises(BadInput, match="must hold keys and values"):
        both.named("metric", "metric", "a")


def test_references_are_resolved_and_known(both):
    (both.folders[0] / "metric" / "a.yaml").write_text(
        "head: itm\nterms: [{h: '${metric.head}', r: '${...x}'}]\nx: 3\n"
    )
    found = both.named("metric", "metric", "a")
    assert found.values["terms"] == [{"h": "itm", "r": 3}] and found.references == {"metric.head", "...x"}


def test_a_file_that_changes_is_read_anew(both):
    """Files are kept parsed while their text stays; what one caller does to the values, no other sees."""
    path = both.folders[0] / "metric" / "a.yaml"
    path.write_text("terms: [{h: 1}]\n")
    both.named("metric", "metric", "a").values["terms"][0]["h"] = 2
    assert both.named("metric", "metric", "a").values == {"terms": [{"h": 1}]}
    path.write_text("terms: [{h: 3}]\n")
    assert both.named("metric", "metric", "a").values == {"terms": [{"h": 3}]}


@pytest.mark.parametrize("value", ["${oc.env:COLOUR}", "${metric.${oc.env:COLOUR}}"])
def test_a_value_of_the_environment_is_asked_for_each_time(both, monkeypatch, value):
    path = both.folders[0] / "metric" / "a.yaml"
    path.write_text(f"name: '{value}'\nred: red\nblue: blue\n")
    for colour in ("red", "blue"):
        monkeypatch.setenv("COLOUR", colour)
        assert both.named("metric", "metric", "a").values["name"] == colour


def test_references_are_found_at_any_depth():
    values = {"a": "${x.y} and ${z}", "b": [{"c": "${.d}"}, 3, None], "e": "no ${oc.env:HOME} $x {y}"}
    assert references_in(values) == {"x.y", "z", ".d"}
    assert references_in({}) == references_in([]) == references_in(3) == frozenset()


def test_the_checkouts_folder_has_a_name(both):
    (both.folders[0] / "metric" / "a.yaml").write_text("place: ${checkout:}/x\n")
    assert both.named("metric", "metric", "a").values == {"place": f"{OWN.parent}/x"}


def test_studies_lie_beside_conf_and_in_the_users_own_folders(tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "own.yaml").touch()
    assert Conf().path("experiments", "report.yaml") == OWN.parent / "experiments" / "report.yaml"
    assert {"report", "own"} <= set(Conf((OWN, tmp_path)).options("experiments"))


def test_a_file_of_conf_that_changes_is_composed_anew(tmp_path):
    """Hydra gets a copy of its own of what was parsed: it takes the defaults out of it."""
    (tmp_path / "metric").mkdir()
    source = ConfSource("main", f"conf://{tmp_path}")
    for text, weight in (("weight: 1\n", 1), ("weight: 2\n", 2)):
        (tmp_path / "metric" / "a.yaml").write_text("# @package _global_\ndefaults: [b]\n" + text)
        first, second = (source.load_config("metric/a") for _ in range(2))
        assert first.config == {"defaults": ["b"], "weight": weight} and first.header == {"package": "_global_"}
        del first.config["defaults"]
        first.defaults_list = ["c"]
        assert second.config == {"defaults": ["b"], "weight": weight} and second.defaults_list != ["c"]
        assert (second.path, second.provider) == (f"conf://{tmp_path}", "main")


def test_of_the_folder_that_holds_the_studies_hydra_sees_nothing_else(tmp_path):
    """Were results/ a group, results=DIR would choose a file of it."""
    for name in ("experiments/a.yaml", "results/a.yaml", "a.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("lr: 1\n")
    source = StudySource("reno", f"studies://{tmp_path}")
    assert source.is_group("experiments") and source.is_config("experiments/a")
    assert not any(map(source.is_group, ("results", "experiments/a"))) and not any(
        map(source.is_config, ("a", "results/a"))
    )
    assert source.list("", None) == ["experiments"] and source.list("experiments", None) == ["a"]
