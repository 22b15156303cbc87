"""Objects of a store that is not on a disk, through fsspec: S3, Google Cloud Storage, the Hugging Face hub.

    remote = Remote("s3://bucket/study")
    remote.write("jobs/1/job.json", data)
    remote.create("claims/1", b"me")        # True for exactly one caller

A key is the path of an object below the store's address. Credentials come from the environment, as the packages s3fs,
gcsfs and huggingface-hub read them. Whatever a service answers becomes an OSError with one line.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import importlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from reno.spec.addresses import KINDS
from reno.spec.errors import BadInput, typed_line

T = TypeVar("T")

WAITS = (0.5, 2.0, 8.0)
"""Seconds before each further try of a request that failed."""
AWAY_SECONDS = 60.0
"""How long a store that did not answer is taken to be away: a request is then tried once."""
_away = [0.0]
"""Until when, by the monotonic clock, the store is taken to be away."""
SIDE_BY_SIDE = 16
"""Requests that are under way at a time."""
CREATES = ("s3", "gs", "memory")
"""Kinds of store where an object can be made by exactly one of several callers: S3 has `If-None-Match: *`, Google Cloud
Storage `ifGenerationMatch=0`. The hub has neither."""
PREFIXES = ("s3", "gs")
"""Kinds whose objects can be listed by the beginning of their name, so that a long listing is done in parts."""
ONE_TRY = {"s3": {"config_kwargs": {"retries": {"max_attempts": 1}}}}
"""Options by kind, so that a request that fails is tried again by `patiently` alone: each layer's own tries would
multiply, and a store that is away would hold a job up for minutes."""
EXTRAS = {"s3fs": "reno-bench[remote]", "gcsfs": "reno-bench[remote]"}
_LASTING = (FileNotFoundError, PermissionError, FileExistsError)
"""Answers that another try does not change."""


@dataclass(frozen=True)
class Entry:
    """An object of a listing."""

    size: int
    written: float | None
    """When, in seconds by the clock of the store; None if the listing does not say."""


class Remote:
    """The objects below one address."""

    def __init__(self, address: str):
        """Raises BadInput, which names the package to install, if the kind of store cannot be reached."""
        self.address = address
        self.kind, _, self.root = address.partition("://")
        self.fs = file_system(self.kind)
        self.creates = self.kind in CREATES
        self.together = self.kind == "hf"
        """Whether each write is a commit of a repository, so that many files are written in one."""

    def listed(self, folder: str) -> dict[str, Entry]:
        """The objects below a folder, by key. Raises OSError."""
        return dict(self.each(folder))

    def each(self, folder: str, beginnings: Iterable[str] = ("",)) -> Iterator[tuple[str, Entry]]:
        """The objects below a folder, with their keys. beginnings: of the names in it, where the listing may be done in
        parts, side by side. Raises OSError."""
        parts = list(beginnings) if self.kind in PREFIXES else [""]
        with ThreadPoolExecutor(min(len(parts), SIDE_BY_SIDE), thread_name_prefix="list") as requests:
            for found in requests.map(lambda beginning: self._find(folder, beginning), parts):
                for path, info in found.items():
                    if info.get("type", "file") == "file":
                        yield self._key(path), Entry(int(info.get("size") or 0), _written(info))

    def _find(self, folder: str, beginning: str) -> dict[str, Any]:
        self.fs.invalidate_cache()
        only = {"prefix": beginning} if beginning else {}
        try:
            return patiently(lambda: self.fs.find(self._path(folder), detail=True, **only))
        except FileNotFoundError:
            if self.kind == "s3":  # there is no such bucket: of a folder that is not there, nothing is listed
                raise
            return {}

    def read(self, keys: Collection[str]) -> dict[str, bytes]:
        """The contents of objects; of those that are there. Raises OSError."""
        paths = {self._path(key): key for key in keys}
        if not paths:
            return {}
        found = patiently(lambda: _all_or_error(self.fs.cat(list(paths), on_error="return")))
        return {self._key(path): data for path, data in found.items() if isinstance(data, bytes)}

    def write(self, key: str, data: bytes) -> None:
        """Writes an object, whole or not at all, over the one before. Raises OSError."""
        patiently(lambda: self.fs.pipe_file(self._path(key), data))

    def write_together(self, files: Mapping[str, Path]) -> None:
        """Writes files of this machine, by key, in one commit to the hub: all of them or none. Raises OSError."""
        from huggingface_hub import CommitOperationAdd, HfApi

        _, user, name, *inside = self.root.split("/")
        before = "".join(f"{part}/" for part in inside)
        added = [CommitOperationAdd(f"{before}{key}", str(place)) for key, place in files.items()]
        say = f"{len(added)} files of reno-bench"
        patiently(lambda: HfApi().create_commit(f"{user}/{name}", added, commit_message=say, repo_type="dataset"))

    def create(self, key: str, data: bytes) -> bool:
        """Writes an object if there is none. Returns whether this call wrote it. Raises OSError."""
        try:
            patiently(lambda: self.fs.pipe_file(self._path(key), data, mode="create"))
        except FileExistsError:
            return False
        return True

    def exists(self, key: str) -> bool:
        """Raises OSError."""
        try:
            self.written(key)
        except FileNotFoundError:
            return False
        return True

    def written(self, key: str) -> float | None:
        """When an object was written, as in `Entry`. Raises OSError."""
        self.fs.invalidate_cache()
        return _written(patiently(lambda: self.fs.info(self._path(key))))

    def remove(self, keys: Collection[str]) -> None:
        """Removes objects; those that are not there count as removed. Raises OSError."""

        def remove(key: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                patiently(lambda: self.fs.rm_file(self._path(key)))

        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="remove") as requests:
            list(requests.map(remove, keys))

    def copy(self, source: str, target: str) -> None:
        """Raises OSError."""
        patiently(lambda: self.fs.cp_file(self._path(source), self._path(target)))

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _key(self, path: str) -> str:
        return path.lstrip("/").removeprefix(f"{self.root}/")


def file_system(kind: str) -> Any:
    """The file system of fsspec for a kind of store. Raises BadInput if its package is not installed."""
    package = KINDS[kind]
    try:
        fsspec = importlib.import_module("fsspec")
        found = fsspec.filesystem(kind, use_listings_cache=False, **ONE_TRY.get(kind, {}))
    except ImportError:
        brings = EXTRAS.get(package, "fsspec")
        raise BadInput(f"{kind}:// needs the package {package}; `pip install '{brings}'` brings it") from None
    if kind == "s3":
        found.retries = 1
    return found


def patiently(act: Callable[[], T]) -> T:
    """What `act` returns. What fails is tried a few times more, with longer and longer waits; but only once while the
    last request failed in all its tries, less than AWAY_SECONDS ago. Raises OSError."""
    for wait in (*(WAITS if time.monotonic() > _away[0] else ()), None):
        try:
            found = act()
        except _LASTING:
            raise
        except Exception as error:
            if _is_lasting(error):
                raise _as_os_error(error) from error
            if wait is None:
                _away[0] = time.monotonic() + AWAY_SECONDS
                raise _as_os_error(error) from error
            time.sleep(wait)
        else:
            _away[0] = 0.0
            return found
    raise AssertionError("the last try returns or raises")


def _is_lasting(error: Exception) -> bool:
    """Whether a library's own error says that there are no credentials: no further try mends that."""
    return "Credential" in type(error).__name__


def _as_os_error(error: Exception) -> OSError:
    if isinstance(error, OSError) and error.strerror:
        return error
    kind = type(error) if isinstance(error, _LASTING) else OSError
    return kind(error.errno if isinstance(error, OSError) and error.errno else errno.EIO, typed_line(error))


def _all_or_error(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was read. Raises the first error that is another than that an object is not there."""
    for answer in found.values():
        if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
            raise answer
    return found


def _written(info: Mapping[str, Any]) -> float | None:
    for name in ("LastModified", "updated", "mtime", "created"):
        value = info.get(name)
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
