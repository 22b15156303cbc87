"""Prompts by the name of a set or from a file."""

from __future__ import annotations

import pytest

from reno.config.conf import OWN, Conf
from reno.config.prompt_sets import limited, load_prompts, named_sets
from reno.prompts.formats import PromptFile
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt


def test_every_named_set_loads():
    assert "report" in named_sets(Conf())
    for name in named_sets(Conf()):
        prompts = load_prompts(name).prompts
        assert prompts and all(prompt.bindings for prompt in prompts), name


def test_comments_are_told_of_a_file_of_ones_own_and_not_of_this_projects(tmp_path):
    assert load_prompts("pairs_test").notes == ()
    (tmp_path / "mine.txt").write_text("# a comment\na red car\n")
    assert load_prompts(str(tmp_path / "mine.txt")).notes == ("1 comment line left out",)


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


MANY = PromptFile(tuple(Prompt(f"prompt {number}") for number in range(30)), ("a note",))


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (7, 7), (30, 30), (99, 30), ("5%", 2), ("10%", 3), ("0.1%", 1)])
def test_a_limit_takes_the_first_prompts_and_says_so(limit, count):
    found = limited(MANY, limit, None)
    assert found.prompts == MANY.prompts[:count]
    taken = f"limit={limit}: {count} of 30 prompts, the first"
    assert found.notes == ("a note", f"limit={limit} has no effect: there are 30 prompts" if count == 30 else taken)


def test_a_seeded_limit_draws_other_prompts_the_same_ones_each_time_in_their_order():
    found = limited(MANY, "20%", 3)
    places = [MANY.prompts.index(prompt) for prompt in found.prompts]
    assert len(places) == 6 and places == sorted(places) and places != list(range(6))
    assert limited(MANY, 6, 3).prompts == found.prompts != limited(MANY, 6, 4).prompts
    assert found.notes[-1] == "limit=20%: 6 of 30 prompts, drawn with limit_seed=3"


def test_without_a_limit_all_prompts_are_there():
    assert limited(MANY, None, None) == MANY


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, "x", "0%", "101%", "-5%", "", [], "nan%"])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(BadInput, match="limit must be a count of prompts, 1 or more, or a share above 0%"):
        limited(MANY, limit, None)


def test_a_seed_without_a_limit_or_an_odd_one_is_refused():
    with pytest.raises(BadInput, match="add limit=20"):
        limited(MANY, None, 0)
    with pytest.raises(BadInput, match="limit_seed must be a whole number"):
        limited(MANY, 3, -1)
