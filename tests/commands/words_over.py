"""A test's own words in place of those that it was given."""

from __future__ import annotations


def over(given: list[str], *own: str) -> list[str]:
    """The given words without the knobs that are typed again, then the own ones: a knob typed twice gets a warning."""
    typed = {_name(word) for word in own}
    return [*(word for word in given if _name(word) not in typed), *own]


def _name(word: str) -> str:
    return word.lstrip("+").partition("=")[0]
