"""Prompts and the (attribute, object) bindings that they ask for."""

from __future__ import annotations

from dataclasses import dataclass


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
class Prompt:
    """A text and the bindings it asks for, in the order of the text; empty if the text has none."""

    text: str
    bindings: tuple[Binding, ...] = ()
    cut: tuple[str, ...] = ()
    """For each text encoder that reads only the beginning of the text, a sentence; empty if all read all of it."""


def whole_text(text: str) -> bool:
    """Whether a text can be written to a file. Half of a character, as in JSON's "\\ud800", cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
