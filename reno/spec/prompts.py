"""Prompts and the (attribute, object) bindings that they ask for."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    """What GenEval asks an image for: so many of an object, and of each its colour or its place."""

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
    """Of its prompt file or suite, e.g. `color_attr`; empty if it has none."""
    wanted: tuple[Wanted, ...] = ()
    """GenEval's `include`."""
    unwanted: tuple[Wanted, ...] = ()
    """GenEval's `exclude`: a right image does not have so many of these."""
    cut: tuple[str, ...] = ()
    """For each text encoder that reads only the beginning of the text, a sentence; empty if all read all of it."""
    where: str = field(default="", compare=False)
    """Where it was read, e.g. `prompts.txt, line 3`, for messages; empty if it was not read from a file."""

    @property
    def asks(self) -> bool:
        """Whether it asks for something that a judge can look for."""
        return bool(self.bindings or self.wanted or self.unwanted)


def whole_text(text: str) -> bool:
    """Whether a text can be written to a file. Half of a character, as in JSON's "\\ud800", cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
