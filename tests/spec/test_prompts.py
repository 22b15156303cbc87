"""Bindings, and their phrases."""

from __future__ import annotations

import pytest

from reno.spec.prompts import Binding, with_article


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
