"""Checks of single values. Each raises BadInput with one sentence: the knob, what is allowed, what was given."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from reno.spec.addresses import copy_folder, is_address
from reno.spec.errors import BadInput, did_you_mean
from reno.spec.prompts import whole_text

LONGEST, LONGEST_PATH = 255, 4000
"""Bytes of one name of a path, and letters of a whole path, that every disk takes."""


def whole_number(knob: str, value: object, at_least: int, below: float = math.inf) -> int:
    """A whole number from `at_least`, less than `below`."""
    if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value < below:
        limit = f", less than {below}" if below < math.inf else ""
        raise BadInput(
            f"{knob} must be a whole number, {at_least} or more{limit}, not {value!r}; for example "
            f"{knob}={max(at_least, 1)}"
        )
    return value


def cpu_threads(value: object, cores: int | None = None) -> int | None:
    """The number of CPU threads; None for torch's own choice. cores: of this machine; None counts them."""
    if value is None:
        return None
    threads = whole_number("threads", value, at_least=1)
    cores = cores or os.cpu_count() or 1
    if threads > cores:
        raise BadInput(
            f"threads={threads} is more than this machine's {cores} CPU cores; use threads={cores} or fewer, or "
            "threads=null for torch's own choice"
        )
    return threads


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
        raise BadInput(f"{knob} must be {' '.join(['a number', ' and '.join(limits)]).strip()}, not {value!r}")
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


def text(knob: str, value: object) -> str:
    """A text that is not empty; a whole number counts as one. Raises BadInput if it holds half of a character, which no
    file can hold."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{knob} must be a text, not {value!r}")
    if not whole_text(value):
        raise BadInput(f"{knob} holds half of a character, which cannot be stored: {value!r}")
    return value


def names(knob: str, value: object) -> list[str]:
    """The names in a knob's value: one, a list, or none. Raises BadInput if one is no text, or twice."""
    listed = value if isinstance(value, list) else [value]
    found = [text(knob, name) for name in listed if name not in (None, "none")]
    return distinct(knob, found)


def distinct(knob: str, values: list) -> list:
    """The values. Raises BadInput if one is there twice: the second would count for nothing."""
    found = set()
    for value in values:
        if value in found:
            raise BadInput(
                f"{knob} has {str(value) if isinstance(value, Path) else repr(value)} twice; leave one of them out"
            )
        found.add(value)
    return values


def folder(knob: str, value: object) -> Path:
    """The path of a folder. It need not exist."""
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{knob} must be a folder, not {value!r}; for example {knob}={knob}")
    if is_address(value):
        raise BadInput(f"{knob} must be a folder of this machine, not {value.partition(':')[0]}://...")
    return at_home(knob, value)


def store_folder(knob: str, value: object) -> Path:
    """The path of a store's folder; of one at an address, such as s3://bucket/study, that of its copy. It need not
    exist."""
    return copy_folder(knob, value) if is_address(value) else folder(knob, value)


def at_home(knob: str, path: str) -> Path:
    """The path with the user's home for `~`. Raises BadInput for the home of somebody who is not there, and for a text
    that is no path on any disk."""
    if "\0" in path or not whole_text(path):
        raise BadInput(f"{knob} must be a path, not {path!r}")
    if any(len(part.encode()) > LONGEST for part in path.split("/")) or len(path) > LONGEST_PATH:
        raise BadInput(f"{knob} must be a path, and its {len(path)} letters are more than a disk takes")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadInput(f"{knob}={path}: there is no user of that name; give the folder's whole path") from None


def device_name(device: object) -> str:
    """The name of a device: auto, cpu, cuda, cuda:N or mps. It need not be on this machine."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]{0,2}))?", str(device), re.ASCII):
        raise BadInput(f"device={device} is not a device; use auto, cpu, cuda, cuda:N or mps")
    return str(device)
