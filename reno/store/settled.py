"""What the workers on one store have to agree on: the first one that writes it decides.

results/settled/<digest>.json

The file is written under another name and then linked to its own, which fails for all but the first (also on NFS). In a
store elsewhere the first of several to make the object decides, and this machine's copy follows it.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from reno.store.copies import copy_of
from reno.store.remote import Remote
from reno.store.staging import PART, own_name, write_through, write_whole

SETTLED = "settled"
"""The folder's name in the store."""


def settled(root: Path, key: str) -> dict[str, Any] | None:
    """What is written under a key; None if there is nothing, or nothing that can be read."""
    if remote := _elsewhere(root):
        with contextlib.suppress(OSError):
            _follow(root, key, remote)
    try:
        found = json.loads(_place(root, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def settle(root: Path, key: str, values: dict[str, Any]) -> dict[str, Any]:
    """Writes values under a key, unless some are there. Returns those that are there now. Raises OSError."""
    data = json.dumps(values, indent=1).encode()
    if remote := _elsewhere(root):
        remote.create(_name(key), data)
    else:
        _link(_place(root, key), data)
    if (found := settled(root, key)) is not None:
        return found
    if remote:  # what is there cannot be read
        remote.write(_name(key), data)
    write_whole(_place(root, key), data)
    return values


def _link(place: Path, data: bytes) -> None:
    """Makes a file with these bytes, whole, if there is none."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.stem}~{own_name()}{PART}")
    try:
        write_through(part, data)
        with contextlib.suppress(FileExistsError):
            os.link(part, place)
    finally:
        part.unlink(missing_ok=True)


def _follow(root: Path, key: str, remote: Remote) -> None:
    """Writes what is there over this machine's copy."""
    found = remote.read([_name(key)])
    if _name(key) in found:
        _place(root, key).parent.mkdir(parents=True, exist_ok=True)
        write_whole(_place(root, key), found[_name(key)])


def _elsewhere(root: Path) -> Remote | None:
    """The objects of a store that several machines write; None for a store on a disk, or where no object can be made
    by one of several callers alone (the hub), where jobs are not shared."""
    copy = copy_of(root)
    return copy.remote if copy and copy.remote.creates else None


def _place(root: Path, key: str) -> Path:
    return root / _name(key)


def _name(key: str) -> str:
    return f"{SETTLED}/{key}.json"
