"""Prompts and their bindings."""

from __future__ import annotations

import re

import pytest

from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt, parse_bindings, prompt_from_text, with_article


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a gold bench and a green clock", [("gold", "bench"), ("green", "clock")]),
        ("a red car, a blue bowl and a pink star", [("red", "car"), ("blue", "bowl"), ("pink", "star")]),
        ("A red car, a blue bowl, and an orange cup.", [("red", "car"), ("blue", "bowl"), ("orange", "cup")]),
        ("  the red car ,the blue bowl  ", [("red", "car"), ("blue", "bowl")]),
        ("a green traffic light", [("green", "traffic light")]),
        ("green traffic light", [("green", "traffic light")]),
        ("red car", [("red", "car")]),
        ("a metallic desk lamp and a fluffy sweater", [("metallic", "desk lamp"), ("fluffy", "sweater")]),
        ("a red wooden desk lamp", [("red", "wooden desk lamp")]),
        ("a light-blue child's bowl", [("light-blue", "child's bowl")]),
        ("a sandy beach", [("sandy", "beach")]),
        ("a photo of a bench", []),
        ("a photo of the bench", []),
        ("an old an cup", []),
        ("The red hat was on top of the brown coat rack.", []),
        ("a red very big wooden desk lamp", []),
        ("a red big wooden desk lamp", []),
        ("a red BOX.", [("red", "box")]),
        ("red wooden desk lamp", []),
        ("a red car and dogs", []),
        ("dogs", []),
        ("a dog", []),
        ("the", []),
        ("", []),
        ("a red c@r", []),
        ("../../etc/passwd", []),
    ],
)
def test_bindings_are_read_from_lists_of_phrases_only(text, expected):
    assert [(binding.attribute, binding.object) for binding in parse_bindings(text)] == expected


@pytest.mark.parametrize(
    ("words", "phrase"),
    [("gold bench", "a gold bench"), ("orange cup", "an orange cup"), ("Iron", "an Iron"), ("", "a ")],
)
def test_the_article_is_by_the_first_letter(words, phrase):
    assert with_article(words) == phrase


@pytest.mark.parametrize("letter", "aeiouAEIOU")
def test_every_vowel_takes_an(letter):
    assert with_article(letter).startswith("an ")


def test_a_bindings_phrase_names_attribute_and_object():
    assert Binding("gold", "bench").phrase == "a gold bench" and Binding("orange", "cup").phrase == "an orange cup"


def test_a_prompt_is_kept_as_it_was_typed_with_its_bindings():
    assert prompt_from_text(" A red car. ", "prompt") == Prompt(" A red car. ", (Binding("red", "car"),))
    assert prompt_from_text("../x/\n<script>🐶", "prompt") == Prompt("../x/\n<script>🐶", ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (1, "mine.txt, line 3 must be a text, not 1; put it in quotes, as in prompt='\"1234\"'"),
        (None, "mine.txt, line 3 must be a text, not None; put it in quotes, as in prompt='\"1234\"'"),
        ("", 'mine.txt, line 3 is empty; give a text such as "a gold bench and a green clock"'),
        (" \n ", 'mine.txt, line 3 is empty; give a text such as "a gold bench and a green clock"'),
    ],
)
def test_what_is_no_text_or_empty_is_refused_with_its_origin(text, says):
    with pytest.raises(BadInput, match=f"^{re.escape(says)}$"):
        prompt_from_text(text, "mine.txt, line 3")
