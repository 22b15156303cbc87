"""Fetches a checkpoint's files from the hub to its cache. A line says what and how much, then a bar how far."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from reno.letters.amounts import in_bytes
from reno.letters.console import PatientConsole
from reno.spec.errors import BadInput
from reno.weights.hub import Hub, HubFile, Listing
from reno.weights.snapshots import missing_files


@dataclass(frozen=True)
class ToFetch:
    """What a run would fetch of one checkpoint."""

    name: str
    size: int | None
    """Bytes; None if it is not known."""
    why: str | None = None
    """Why the hub did not tell."""

    def __str__(self) -> str:
        return f"{self.name}, {in_bytes(self.size)}" + (f": {self.why}" if self.why else "")


def to_fetch(listing: Listing, where: str, hub: Hub) -> ToFetch:
    """What of a checkpoint is not in the cache. Raises BadInput if it is more than the disk has room for."""
    size = total_size(missing_files(listing, hub))
    free = _free_bytes(hub.cache)
    if size is not None and size > free:
        raise BadInput(
            f"{where}: {listing.name} needs {in_bytes(size)} and the disk of {hub.cache} has {in_bytes(free)} left; "
            f"free some space, or set HF_HOME to a folder on another disk"
        )
    return ToFetch(listing.name, size)


def fetch(listing: Listing, where: str, hub: Hub, tell: Callable[[str], None]) -> Path:
    """The commit's snapshot, with every file that a loader reads. Raises BadInput if the disk has no room, and the hub
    library's errors.

    The files come one after the other, so that Ctrl-C ends it at once; the library fetches parts of a large file side
    by side.
    """
    from huggingface_hub import hf_hub_download

    wanted = to_fetch(listing, where, hub)
    if missing_files(listing, hub):
        tell(f"fetching {wanted} -> {hub.cache}")
    with _bar(hub.place(listing.name) / "blobs", wanted.size):
        for file in listing.files:
            hf_hub_download(
                listing.name,
                file.name,
                revision=listing.commit,
                cache_dir=hub.cache,
                endpoint=hub.endpoint,
            )
    return hub.place(listing.name) / "snapshots" / listing.commit


def total_size(files: Sequence[HubFile]) -> int | None:
    """The bytes of files, each content counted once; None if the size of one is not known."""
    sizes = {file.blob or file.name: file.size for file in files}
    return None if None in sizes.values() else sum(sizes.values())


def _free_bytes(folder: Path) -> int:
    """The bytes that are left on a folder's disk; the folder need not be there yet."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


@contextlib.contextmanager
def _bar(blobs: Path, total: int | None) -> Iterator[None]:
    """A live bar on a terminal while the block runs. It measures the cache's files, so it shows every way in which the
    hub's library fetches."""
    console = PatientConsole(stderr=True, soft_wrap=False)
    if not console.live or total == 0:
        yield
        return
    before, over = _bytes_in(blobs), threading.Event()
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("fetching", total=total)

        def watch() -> None:
            while not over.wait(0.2):
                bar.update(task, completed=max(0, _bytes_in(blobs) - before))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _bytes_in(folder: Path) -> int:
    total = 0
    for file in folder.glob("*"):
        with contextlib.suppress(OSError):  # a part is renamed when it is whole
            total += file.stat().st_size
    return total
