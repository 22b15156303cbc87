"""Numbers in words, for a terminal."""

from __future__ import annotations

from reno.spec.trial import typed_seed


def count(number_of: int, word: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number_of} {word}" + ("" if number_of == 1 else "s")


def number(value: float | None) -> str:
    """Two digits after the point; `-` for a missing value."""
    return "-" if value is None else f"{value:.2f}"


def seed_text(prompt: str, seed: int) -> str:
    """A seed; for a noise of the prompt's own `3 (own)`, by the seed that was typed."""
    typed = typed_seed(prompt, seed)
    return str(seed) if typed is None else f"{typed} (own)"
