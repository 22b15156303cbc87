"""GenEval's prompts by rule."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from reno.prompts.formats import read_prompt_file
from reno.prompts.geneval import CLASSES, geneval_prompts
from reno.spec.prompts import Binding, Prompt, Wanted

SUITES = os.environ.get("RENO_SUITES", "")


def test_the_553_prompts_are_the_benchmarks():
    """The digest is that of the texts of the benchmark's own evaluation_metadata.jsonl."""
    found = geneval_prompts()
    tasks = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
    assert Counter(prompt.category for prompt in found) == tasks and len(set(CLASSES)) == 80
    digest = hashlib.sha256("\n".join(prompt.text for prompt in found).encode()).hexdigest()
    assert digest == "4de60dfc3c29f9d3db69ec45cf03a964627c2d82f2c224c3f75645e137f7126b"


def test_what_the_553_prompts_ask_for_is_the_benchmarks():
    """The digest is that of the tags, `include` and `exclude` of the benchmark's own file, as
    `test_they_equal_the_benchmarks_own_file` reads them."""
    asked = [
        [prompt.category, [[each.object, each.count, each.color, each.position] for each in clauses]]
        for prompt in geneval_prompts()
        for clauses in (prompt.wanted, prompt.unwanted)
    ]
    assert (
        hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        == "9a225b1d617847400746d4f0b52ea7933f31c915afb4eba0a8f18c75e5f594e9"
    )


def test_a_prompt_of_each_kind_asks_for_what_its_text_says():
    by_text = {prompt.text: prompt for prompt in geneval_prompts()}
    assert by_text["a photo of a bench"] == Prompt("a photo of a bench", (), "single_object", (Wanted("bench"),))
    knife = by_text["a photo of a hot dog above a knife"]
    assert knife.wanted == (Wanted("knife"), Wanted("hot dog", 1, None, ("above", 0))) and knife.category == "position"
    sheep = by_text["a photo of a purple sheep and a pink banana"]
    assert sheep.bindings == (Binding("purple", "sheep"), Binding("pink", "banana"))
    kites = by_text["a photo of three kites"]
    assert (kites.wanted, kites.unwanted) == ((Wanted("kite", 3),), (Wanted("kite", 4),))


@pytest.mark.skipif(not SUITES, reason="RENO_SUITES names no folder with GenEval's prompt files")
def test_they_equal_the_benchmarks_own_file():
    (path,) = Path(SUITES).rglob("evaluation_metadata.jsonl")
    assert read_prompt_file(path).prompts == geneval_prompts()
