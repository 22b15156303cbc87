"""The hub's cache: one folder for each commit of a checkpoint, a snapshot, whose files are links to blobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reno.spec.job import Checkpoint
from reno.weights.hub import Hub, HubFile, Listing
from reno.weights.identity import blob_name
from reno.weights.reading import files_in, read_files, whole


def whole_snapshot(checkpoint: Checkpoint, parts: Sequence[str], hub: Hub) -> Path | None:
    """The newest snapshot that can be loaded, or the one of the named revision; None if there is none.

    It is found by its files and not by the cache's note for the main branch, which lacks commits that were fetched by
    their name.
    """
    snapshots = _newest_first(hub.place(checkpoint.path))
    if checkpoint.revision is not None:
        commit = _commit_of(checkpoint.revision, hub.place(checkpoint.path))
        snapshots = [folder for folder in snapshots if folder.name == commit]
    for folder in snapshots:
        if whole(read_files(files_in(folder, parts), parts, checkpoint.variant), parts):
            return folder
    return None


def same_snapshot(listing: Listing, parts: Sequence[str], variant: str | None, hub: Hub) -> Path | None:
    """A snapshot from which a loader reads exactly these files; None if there is none. It may be another commit, one
    that changed only what is not read, such as the README."""
    place = hub.place(listing.name)
    own = place / "snapshots" / listing.commit
    if all((own / file.name).is_file() for file in listing.files):
        return own
    for folder in _newest_first(place):
        same = all(file.blob and blob_name(folder / file.name) == file.blob for file in listing.files)
        if same and set(read_files(files_in(folder, parts), parts, variant).all) == set(listing.read.all):
            return folder
    return None


def missing_files(listing: Listing, hub: Hub) -> list[HubFile]:
    """The files that are not in the cache, neither in the commit's snapshot nor in another's."""
    place = hub.place(listing.name)
    blobs, snapshot = place / "blobs", place / "snapshots" / listing.commit
    return [
        file
        for file in listing.files
        if not (snapshot / file.name).is_file() and not (file.blob and (blobs / file.blob).is_file())
    ]


def note_revision(revision: str | None, listing: Listing, hub: Hub) -> None:
    """Notes in the cache which commit a branch or tag was, as the hub's library does, for when there is no
    connection."""
    if revision in (None, listing.commit):
        return
    note = hub.place(listing.name) / "refs" / revision
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(listing.commit)
    except OSError:
        pass  # then the snapshot is found by its commit only


def _commit_of(revision: str, place: Path) -> str:
    try:
        return (place / "refs" / revision).read_text().strip()
    except OSError:
        return revision


def _newest_first(place: Path) -> list[Path]:
    return sorted((place / "snapshots").glob("*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
