"""What the workers on one store have to agree on: the first one that writes it decides.

results/settled/<digest>.json

The file is written under another name and then linked to its own, which fails for all but the first (also on NFS).
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from reno.store.staging import PART, own_name, write_through

SETTLED = "settled"
"""The folder's name in the store."""


def settled(root: Path, key: str) -> dict[str, Any] | None:
    """What is written under a key; None if there is nothing, or nothing that can be read."""
    try:
        found = json.loads((root / SETTLED / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def settle(root: Path, key: str, values: dict[str, Any]) -> dict[str, Any]:
    """Writes values under a key, unless some are there. Returns those that are there now. Raises OSError."""
    place = root / SETTLED / f"{key}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{key}~{own_name()}{PART}")
    try:
        write_through(part, json.dumps(values, indent=1).encode())
        with contextlib.suppress(FileExistsError):
            os.link(part, place)
        if settled(root, key) is None:  # what is there cannot be read
            part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return settled(root, key) or values
