"""Numbers and durations, for a terminal."""

from __future__ import annotations


def count(number_of: int, word: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number_of} {word}" + ("" if number_of == 1 else "s")


def number(value: float | None) -> str:
    """Two digits after the point; `-` for a missing value."""
    return "-" if value is None else f"{value:.2f}"


def duration(seconds: float) -> str:
    """Seconds as 8 s, 3 min 20 s, 5 h 12 min or 3 d 4 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
