"""Bytes and seconds in words."""

from __future__ import annotations

UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def in_bytes(size: float | None) -> str:
    """A number of bytes in thousands, as disks are sold and the model hub counts: 3.94 GB, 820 kB. None is a size that
    is not known."""
    if size is None:
        return "of unknown size"
    for unit, name in UNITS:
        if size >= 0.9995 * unit:  # what has three digits: 999,600 bytes are 1 MB
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} B"


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
