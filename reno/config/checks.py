"""Checks of single values. Each raises BadInput with one sentence: the knob, what is allowed, what was given."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from reno.spec.errors import BadInput, did_you_mean


def whole_number(knob: str, value: object, at_least: int, below: float = math.inf) -> int:
    """A whole number from `at_least`, less than `below`."""
    if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value < below:
        limit = f", less than {below}" if below < math.inf else ""
        raise BadInput(
            f"{knob} must be a whole number, {at_least} or more{limit}, not {value!r}; for example "
            f"{knob}={max(at_least, 1)}"
        )
    return value


def number(
    knob: str, value: object, *, above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf
) -> float:
    """A finite number between the limits."""
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("at least", at_least), ("below", below))
        if math.isfinite(limit)
    ]
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not (above < value and at_least <= value < below):
        raise BadInput(f"{knob} must be a number {' and '.join(limits)}, not {value!r}")
    return float(value)


def flag(knob: str, value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise BadInput(f"{knob} must be true or false, not {value!r}")
    return value


def one_of(knob: str, value: object, known: Iterable[str]) -> str:
    """One of the known words."""
    known = list(known)
    if value not in known:
        raise BadInput(f"{knob}={value} is not known; use one of {', '.join(known)}{did_you_mean(value, known)}")
    return str(value)


def folder(knob: str, value: object) -> Path:
    """The path of a folder. It need not exist."""
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{knob} must be a folder, not {value!r}; for example {knob}={knob}")
    return Path(value).expanduser()


def device_name(device: object) -> str:
    """The name of a device: auto, cpu, cuda, cuda:N or mps. It need not be on this machine."""
    kind, _, index = str(device).partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise BadInput(f"device={device} is not a device; use auto, cpu, cuda, cuda:N or mps")
    return str(device)
