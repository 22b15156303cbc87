"""The words of a text: which are attributes, which only join others, and their parts of speech."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

LONGEST_PHRASE = 5
"""Words of a phrase in a list, with its article."""


@dataclass(frozen=True)
class Word:
    """One word or mark of a text."""

    text: str
    """In lower case."""
    typed: str
    tag: str
    """Its part of speech, as Penn Treebank names it; empty in a list of phrases, where none is needed."""


@dataclass(frozen=True)
class Lexicon:
    """words.yaml, for looking up."""

    kinds: dict[str, str]
    """The kind of each attribute word."""
    sets: dict[str, frozenset[str]]
    """The words of each list."""

    @property
    def determiners(self) -> frozenset[str]:
        return self.sets["determiner"]

    @property
    def denials(self) -> frozenset[str]:
        return self.sets["denial"]

    @property
    def function(self) -> frozenset[str]:
        """Words that are no part of a noun phrase but for its determiner."""
        return self.sets["function"] | self.sets["determiner"] | self.sets["denial"]

    def kind(self, words: str) -> str | None:
        """color, texture, ...: what kind of attribute these words are; None if they are none."""
        if found := self.kinds.get(words):
            return found
        if " " in words:
            shade, _, color = words.rpartition(" ")
            return "color" if shade in self.sets["shade"] and self.kinds.get(color) == "color" else None  # light brown
        first, _, last = words.rpartition("-")
        if self.sets["denying_prefix"] & set(first.split("-")):
            return None  # a non-white cat
        if first and self.kinds.get(last) == "color":
            return "color"  # blue-green, off-white
        if any(self.kinds.get(stem) == "color" for stem in _stems_of_ish(words)):
            return "color"
        if re.fullmatch(r"[a-z]+-shaped", words):
            return "shape"
        return "color" if re.fullmatch(r"[a-z]+-colou?red", words) else None


def _stems_of_ish(word: str) -> tuple[str, ...]:
    """What a word in -ish may be made of: "greenish", "bluish", "reddish"; nothing for a "goldfish"."""
    stem = word.removesuffix("ish")
    if stem == word:
        return ()
    return (stem, f"{stem}e", stem[:-1]) if stem[-2:-1] == stem[-1:] else (stem, f"{stem}e")


@cache
def lexicon() -> Lexicon:
    """The words of words.yaml."""
    lists = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))
    kinds = ("size", "material", "shape", "pattern", "texture", "color")  # a word of two kinds has the last one
    return Lexicon(
        {word: kind for kind in kinds for word in lists[kind]},
        {name: frozenset(map(str, words)) for name, words in lists.items()},
    )


def attribute_kind(attribute: str) -> str | None:
    """color, texture, pattern, material, shape or size; None for a word that is not in words.yaml."""
    return lexicon().kind(attribute.lower())


def words_of(sentence: str) -> list[Word]:
    found = re.findall(r"\w+(?:['-]+\w+)*|[^\w\s]", sentence)
    return [Word(word.lower(), word, "") for word in found]


def tagged(words: Sequence[Word]) -> list[Word]:
    """The words with their parts of speech."""
    from textblob.en import tag  # imported here: it takes a second, and most prompts are lists

    tags = dict(enumerate(part for _, part in tag(" ".join(word.typed for word in words), tokenize=False)))
    return [Word(word.text, word.typed, tags.get(place, "NN")) for place, word in enumerate(words)]


def is_list(words: Sequence[Word]) -> bool:
    """Whether the text is a list of short phrases, as "a red car, two cups and a green traffic light"."""
    phrases = [[]]
    for word in words:
        if word.text in ("and", ",", "."):
            phrases.append([])
        else:
            phrases[-1].append(word.text)
    phrases = [phrase for phrase in phrases if phrase]
    return (
        all(
            len(phrase) <= LONGEST_PHRASE
            and (phrase[0] in lexicon().determiners or phrase[0] not in lexicon().function)
            and not lexicon().function & set(phrase[1:])
            and all(re.fullmatch(r"[\w'-]+", word) for word in phrase)
            and (len(phrase) <= 3 or phrase[0] in lexicon().determiners)
            for phrase in phrases
        )
        and words[0].text != "the"
    )  # "The cat and the red dog sleep." looks like one


def attribute_at(words: Sequence[Word], place: int) -> int:
    """How many words from `place` are one attribute; 0 if none."""
    for count in (3, 2, 1):
        part = words[place : place + count]
        if len(part) == count and lexicon().kind(" ".join(word.text for word in part)):
            return count
    return 0
