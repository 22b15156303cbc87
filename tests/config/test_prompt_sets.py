"""Prompts by the name of a set or from a file."""

from __future__ import annotations

import pytest

from reno.config.conf import OWN, Conf
from reno.config.prompt_sets import load_prompts, named_sets
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt


def test_every_named_set_loads():
    assert "report" in named_sets(Conf())
    for name in named_sets(Conf()):
        prompts = load_prompts(name).prompts
        assert prompts and all(prompt.bindings for prompt in prompts), name


def test_a_set_of_ones_own_is_found_and_listed(tmp_path):
    (tmp_path / "prompt_sets").mkdir()
    (tmp_path / "prompt_sets" / "mine.txt").write_text("a red car\n")
    (tmp_path / "prompt_sets" / "lines.jsonl").write_text('{"prompt": "a car"}\n')
    (tmp_path / "prompt_sets" / "notes.md").touch()
    conf = Conf((OWN, tmp_path))
    assert {"mine", "lines", "report"} <= set(named_sets(conf)) and "notes" not in named_sets(conf)
    assert load_prompts("mine", conf).prompts == (Prompt("a red car", (Binding("red", "car"),)),)
    assert load_prompts("lines", conf).prompts == (Prompt("a car"),)


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
