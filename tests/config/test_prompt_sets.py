"""Prompts by the name of a set or from a file."""

from __future__ import annotations

import re

import pytest

from reno.config.conf import OWN, Conf
from reno.config.prompt_sets import load_prompts, named_sets
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt


def test_every_named_set_loads():
    assert "report" in named_sets(Conf())
    for name in named_sets(Conf()):
        prompts = load_prompts(name)
        assert prompts and all(prompt.bindings for prompt in prompts), name


def test_a_set_of_ones_own_is_found_and_listed(tmp_path):
    (tmp_path / "prompt_sets").mkdir()
    (tmp_path / "prompt_sets" / "mine.txt").write_text("a red car\n")
    (tmp_path / "prompt_sets" / "lines.jsonl").write_text('{"prompt": "a car"}\n')
    (tmp_path / "prompt_sets" / "notes.md").touch()
    conf = Conf((OWN, tmp_path))
    assert {"mine", "lines", "report"} <= set(named_sets(conf)) and "notes" not in named_sets(conf)
    assert load_prompts("mine", conf) == [Prompt("a red car", (Binding("red", "car"),))]
    assert load_prompts("lines", conf) == [Prompt("a car")]


def test_a_file_has_a_prompt_a_line_without_comments_and_blanks(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("# mine\n  a red car  \n\n \na cup\n")
    assert load_prompts(str(path)) == [Prompt("a red car", (Binding("red", "car"),)), Prompt("a cup")]


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_file_of_json_lines_brings_its_own_bindings(tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    path.write_text('{"prompt": "x of y", "bindings": [["x", "y"]]}\n\n{"prompt": "a red car"}\n')
    one, two = load_prompts(str(path))
    assert one == Prompt("x of y", (Binding("x", "y"),))
    assert two.bindings == (Binding("red", "car"),)
    path.write_text('{"prompt": "a red car", "bindings": []}\n')
    assert load_prompts(str(path)) == [Prompt("a red car")]


@pytest.mark.parametrize(
    "line",
    ['{"text": "no"}', "no json", "[1]", '{"prompt": "a", "bindings": [["x"]]}', '{"prompt": "a", "bindings": 3}'],
)
def test_a_bad_line_of_a_file_is_named(tmp_path, line):
    path = tmp_path / "mine.jsonl"
    path.write_text(f'{{"prompt": "a red car"}}\n{line}\n')
    with pytest.raises(BadInput, match=re.escape(f"{path}, line 2 is not a JSON object such as")):
        load_prompts(str(path))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"prompt": ""}', "is empty"),
        ('{"prompt": 3}', "must be a text, not 3"),
        ('{"prompt": "a\\ud800"}', "holds half of a character, which cannot be stored"),
        ('{"prompt": "a", "bindings": [["\\ud800", "b"]]}', ": a binding holds half of a character"),
        ("[" * 100_000, "is not a JSON object such as"),
    ],
)
def test_a_line_whose_prompt_is_no_text_is_named(tmp_path, line, says):
    path = tmp_path / "mine.jsonl"
    path.write_text(line)
    with pytest.raises(BadInput, match=re.escape(f"{path}, line 1{says if says[0] == ':' else f' {says}'}")):
        load_prompts(str(path))


def test_a_file_without_a_prompt_or_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    with pytest.raises(BadInput, match="holds no prompt; write one prompt per line"):
        load_prompts(str(tmp_path / "empty.txt"))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="give a UTF-8 text file with one prompt per line"):
        load_prompts(str(tmp_path / "binary.txt"))


def test_a_set_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(BadInput) as refused:
        load_prompts("pairs_tets")
    known = ", ".join(named_sets(Conf()))
    assert str(refused.value) == (
        f"prompts=pairs_tets is neither a prompt set ({known}) nor a file; did you mean 'pairs_test'?"
    )
    with pytest.raises(BadInput, match=r"^prompts=\.\./prompt_sets/report is neither"):
        load_prompts("../prompt_sets/report")


def test_a_prompt_that_is_there_twice_with_other_bindings_is_refused(tmp_path, compose):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "bindings": [["red", "car"]]}\n{"prompt": "a", "bindings": [["blue", "car"]]}\n')
    with pytest.raises(BadInput, match="the prompt 'a' is there twice, with different bindings"):
        compose(f"prompts={path}")


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(tmp_path):
    for name, text in (("a.txt", "a red car\n"), ("a.jsonl", '{"prompt": "a red car"}\n')):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert [prompt.text for prompt in load_prompts(str(tmp_path / name))] == ["a red car"]
