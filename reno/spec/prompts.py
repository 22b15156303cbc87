"""Prompts and the (attribute, object) bindings that they ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reno.spec.errors import BadInput

ARTICLES = {"a", "an", "the"}


@dataclass(frozen=True)
class Binding:
    """One thing a prompt asks for: an object and the attribute it should have."""

    attribute: str
    object: str

    @property
    def phrase(self) -> str:
        """The noun phrase with its article: "a gold bench", "an orange clock"."""
        return with_article(f"{self.attribute} {self.object}")


def with_article(words: str) -> str:
    """The words after "a" or "an", chosen by their first letter."""
    return f"{'an' if words[:1].lower() in tuple('aeiou') else 'a'} {words}"


@dataclass(frozen=True)
class Wanted:
    """What GenEval asks a picture for: so many of an object, and of each its colour or its place."""

    object: str
    count: int = 1
    color: str | None = None
    position: tuple[str, int] | None = None
    """(relation, which of the prompt's objects it is relative to, from 0), e.g. ("left of", 0)."""


@dataclass(frozen=True)
class Prompt:
    """A text and the bindings it asks for, in the order of the text; empty if the text has none."""

    text: str
    bindings: tuple[Binding, ...] = ()
    category: str = ""
    """Of its suite, e.g. `color_attr`; empty if it has none."""
    wanted: tuple[Wanted, ...] = ()
    """GenEval's `include`."""
    unwanted: tuple[Wanted, ...] = ()
    """GenEval's `exclude`: no picture of the prompt has so many of these."""


def parse_bindings(text: str) -> tuple[Binding, ...]:
    """The bindings of a text that lists "[article] attribute object" phrases, as T2I-CompBench's prompts do.

    "a red car, a blue bowl and a pink star" gives (red, car), (blue, bowl), (pink, star). The first word after the
    article is the attribute and the rest is the object ("a green traffic light"). A text of any other form gives no
    bindings, so it is not judged; guessed bindings would be judged and could be wrong.
    """
    bindings = []
    for phrase in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", text.strip().rstrip(".").lower()):
        words = phrase.split()
        if len(words) < 2 or len(words) > 5 or not all(re.fullmatch(r"[\w'-]+", word) for word in words):
            return ()
        if words[0] in ARTICLES:
            words = words[1:]
        elif len(words) > 3:
            return ()
        if len(words) < 2 or ARTICLES & set(words):
            return ()
        bindings.append(Binding(words[0], " ".join(words[1:])))
    return tuple(bindings)


def whole_text(text: str) -> bool:
    """Whether a text can be written to a file. Half of a character, as in JSON's "\\ud800", cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def prompt_from_text(text: object, where: str) -> Prompt:
    """The prompt that a user typed. where: its origin, for the error. Raises BadInput if it is empty or not a text."""
    if not isinstance(text, str):
        raise BadInput(f"{where} must be a text, not {text!r}; put it in quotes, as in prompt='\"1234\"'")
    if not whole_text(text):
        raise BadInput(f"{where} holds half of a character, which cannot be stored: {text!r}; type it again")
    if not text.strip():
        raise BadInput(f'{where} is empty; give a text such as "a gold bench and a green clock"')
    return Prompt(text, parse_bindings(text))
