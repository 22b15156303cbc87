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


def size(bytes_: int) -> str:
    """Bytes as 820 kB, 3.1 MB or 12 GB: thousands, as disks are sold."""
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if bytes_ >= power:
            return f"{bytes_ / power:.{0 if bytes_ >= 10 * power else 1}f} {unit}"
    return f"{bytes_ / 1e3:.0f} kB"
