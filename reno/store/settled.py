"""What the workers on one store have to agree on: the first one that writes it decides.

results/settled/<digest>.json
results/settled/<digest>.1.json        only if the one before cannot be used, and so on

The file is written under another name and then linked to its own, which fails for all but the first (also on NFS). In a
store elsewhere the first of several to make the object decides, and this machine's copy follows it. What cannot be used
is not written over: of several workers that do so at once, each would take its own.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reno.letters.output import warn
from reno.spec.addresses import named
from reno.store.copies import Copy, copy_of
from reno.store.staging import PART, own_name, write_through

SETTLED = "settled"
"""The folder's name in the store."""
MOST = 10
"""Files under one key, of which at most the last can be used."""


def settled(root: Path, key: str, usable: Callable[[dict[str, Any]], object] = bool) -> dict[str, Any] | None:
    """What is written under a key; None if there is nothing, or nothing usable. usable: whether values can be used."""
    copy = _shared_copy(root)
    for name in _names(key):
        if copy:
            with contextlib.suppress(OSError):
                copy.fetch(root / name)
        try:
            found = _values(root / name, usable)
        except OSError:
            return None
        if found is not None:
            return found
    return None


def settle(
    root: Path, key: str, values: dict[str, Any], usable: Callable[[dict[str, Any]], object] = bool
) -> dict[str, Any]:
    """Writes values under a key, unless usable ones are there. Returns those that are there now. Raises OSError."""
    data = json.dumps(values, indent=1).encode()
    copy, before = _shared_copy(root), ""
    for name in _names(key):
        made = copy.remote.create(name, data) if copy else _link(root / name, data)
        if made and before:
            warn(f"warning: {named(root)}/{before} cannot be used; {name} takes its place")
        if copy:
            copy.fetch(root / name)
        if (found := _values(root / name, usable)) is not None:
            return found
        before = name
    raise OSError(errno.EIO, f"{MOST} files in {named(root)}/{SETTLED} cannot be used")


def _names(key: str) -> list[str]:
    return [f"{SETTLED}/{key}{f'.{number}' if number else ''}.json" for number in range(MOST)]


def _values(place: Path, usable: Callable[[dict[str, Any]], object]) -> dict[str, Any] | None:
    """The values in a file; None if they cannot be used. Raises OSError."""
    try:
        found = json.loads(place.read_bytes())
    except ValueError:
        return None
    return found if isinstance(found, dict) and usable(found) else None


def _link(place: Path, data: bytes) -> bool:
    """Makes a file with these bytes, whole, if there is none. Returns whether this call made it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.stem}~{own_name()}{PART}")
    try:
        write_through(part, data)
        os.link(part, place)
    except FileExistsError:
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _shared_copy(root: Path) -> Copy | None:
    """The copy of a store that several machines write; None for a store on a disk, or where no object can be made by
    one of several callers alone (the hub), where jobs are not shared."""
    copy = copy_of(root)
    return copy if copy and copy.remote.creates else None
