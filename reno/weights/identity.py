"""A checkpoint's identity: the SHA-256 of the files that its loader reads, and of nothing else.

It is the same for a folder, wherever it lies, and for the hub's repository that the folder is a copy of. A new README
on the hub, or another commit with the same weights, does not change it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from reno import cache_folder

LARGE = 32 << 20
"""Bytes from which on a file's digest is kept for the next run."""


def identity_of(folder: Path, files: Iterable[str]) -> str:
    """`sha256:` and 64 hexadecimal digits, of the names and contents of a folder's files.

    files: paths inside the folder with `/`. Raises OSError if one cannot be read.
    """
    total = hashlib.sha256()
    for name in sorted(set(files), key=lambda name: name.split("/")):
        total.update(name.encode() + b"\0" + _digest(folder / name).encode() + b"\n")
    return f"sha256:{total.hexdigest()}"


def blob_name(file: Path) -> str | None:
    """The name under which the hub's cache keeps a file of a snapshot: the SHA-256 of its content for weights, git's
    SHA-1 for small files. None for any other file. (Where there are no symbolic links, the cache keeps no such name.)
    """
    try:
        blob = Path(os.readlink(file))
    except OSError:
        return None
    return blob.name if blob.parent.name == "blobs" else None


def _digest(file: Path) -> str:
    """SHA-256 of a file's content."""
    name = blob_name(file)
    return name if name and re.fullmatch(r"[0-9a-f]{64}", name) else file_digest(file)


def file_digest(file: Path) -> str:
    """SHA-256 of a file, read. Those of large files are kept by path, size and time of change, so that the next run
    starts at once."""
    stat = file.stat()
    if stat.st_size < LARGE:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    cache = cache_folder() / "digests.json"
    key = f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        known = {}
    if key not in known:
        with file.open("rb") as stream:
            known[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            part = cache.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(known))
            part.replace(cache)
        except OSError:
            pass  # without the cache the next run only starts later
    return known[key]
