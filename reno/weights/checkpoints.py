"""Finds a checkpoint's local folder by its name, and the identity of the weights in it.

A local folder is used as it is. A checkpoint of the model hub is first fetched to the hub's cache. Only safetensors
are fetched and loaded; this project never unpickles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reno.letters.output import warn
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint
from reno.weights.causes import Cause, cause_of
from reno.weights.fetching import ToFetch, fetch, to_fetch
from reno.weights.hub import Hub, Listing, list_files, refuse_other_precision
from reno.weights.identity import identity_of
from reno.weights.pickled import PICKLED
from reno.weights.reading import files_in, read_files
from reno.weights.snapshots import note_revision, same_snapshot, whole_snapshot

TESTBED = Path(__file__).resolve().parent.parent / "testbed" / "weights"
"""Where the embedded models are shipped."""


@dataclass(frozen=True)
class Located:
    """A checkpoint that is on this disk."""

    source: str
    """The path or name that the configuration gives."""
    folder: Path
    identity: str
    """`sha256:` and the digest of the files that a loader reads, wherever the folder lies and whatever commit it is."""
    commit: str | None
    """The commit that was loaded, for a checkpoint of the hub."""
    variant: str | None = None
    """The stored precision that was found, e.g. fp16; None for the plain one."""
    to_fetch: ToFetch | None = None
    """What has to be fetched first, where a dry run only plans. The folder is then not there, and the identity is
    not that of the weights."""
    inside: str = ""
    """Where in the folder the weights are, for a part of a generator: a subfolder or a file."""

    @property
    def random(self) -> bool:
        """Whether scripts/make_checkpoints.py made it: then its weights are random and its scores mean nothing."""
        return (self.folder / "random_weights.json").is_file()

    @property
    def identities(self) -> tuple[str, ...]:
        """The identity, and the one that the same weights of the hub had in earlier trials: `name@commit`."""
        if self.commit is None:
            return (self.identity,)
        return self.identity, f"{self.source}@{self.commit}" + (f"[{self.variant}]" if self.variant else "")


@dataclass(frozen=True)
class CheckpointFinder:
    """Finds checkpoints. It asks the hub for each checkpoint once, also for the jobs of a sweep."""

    hub: Hub = field(default_factory=Hub)
    fetching: bool = True
    """Whether it may fetch; otherwise it says what a run would fetch and needs no hub."""
    tell: Callable[[str], None] = warn
    """Called with a line before a download, and where the cache is used because the hub does not answer."""
    found: dict[tuple, Located] = field(default_factory=dict)
    """What it has found on the hub, by checkpoint and parts."""

    def __call__(self, checkpoint: Checkpoint, where: str, folders: Sequence[str] = ("",)) -> Located:
        """The folder and identity of a checkpoint whose weights are in the subfolders `folders`.

        where: the knob that names it, for the error. Raises BadInput if there is no such folder, a part of it has no
        safetensors, a file of it cannot be read, or it can be had neither from the hub nor from its cache.
        """
        try:
            return self._find(checkpoint, where, folders)
        except OSError as error:
            raise BadInput(
                f"{where}: {error.filename or checkpoint.path} cannot be read ({error.strerror or error}); make it "
                f"readable, or give another checkpoint: {where}.path=FOLDER"
            ) from None

    def _find(self, checkpoint: Checkpoint, where: str, folders: Sequence[str]) -> Located:
        path = Path(checkpoint.path).expanduser()
        if path.is_dir():
            return _in_folder(checkpoint, path.resolve(), where, folders)
        refuse_name(checkpoint, where)
        key = (checkpoint, tuple(folders))
        if key not in self.found:
            self.found[key] = self._on_the_hub(checkpoint, where, folders)
        return self.found[key]

    def _on_the_hub(self, checkpoint: Checkpoint, where: str, parts: Sequence[str]) -> Located:
        try:
            listing = list_files(checkpoint, where, parts, self.hub)
            snapshot = same_snapshot(listing, parts, checkpoint.variant, self.hub)
            if snapshot is None and not self.fetching:
                return _planned(checkpoint, listing, to_fetch(listing, where, self.hub))
            snapshot = snapshot or fetch(listing, where, self.hub, self.tell)
            note_revision(checkpoint.revision, listing, self.hub)
        except Exception as error:  # the errors of a missing network depend on the hub library's HTTP client
            snapshot = self._without_the_hub(error, checkpoint, where, parts)
            if isinstance(snapshot, ToFetch):
                return _planned(checkpoint, None, snapshot)
        return _in_snapshot(checkpoint, snapshot, parts)

    def _without_the_hub(
        self, error: Exception, checkpoint: Checkpoint, where: str, parts: Sequence[str]
    ) -> Path | ToFetch:
        """The snapshot in the cache, where the hub gives none; what is to be fetched if a dry run can plan without.
        Raises BadInput."""
        cause = None if isinstance(error, BadInput) else cause_of(error, checkpoint, self.hub)
        snapshot = whole_snapshot(checkpoint, parts, self.hub)
        if snapshot is not None:
            why = f"{where}: {checkpoint.path}: {cause.what}" if cause else str(error).partition(";")[0]
            self.tell(f"note: {why}; the copy in the cache is used, commit {snapshot.name[:12]}")
            return snapshot
        if cause is None:
            raise error
        if not self.fetching and cause.passing:
            return ToFetch(checkpoint.path, None, cause.what)
        raise BadInput(_refusal(cause, checkpoint, where)) from None


_FINDER = CheckpointFinder()
_PLANNER = CheckpointFinder(fetching=False)


def locate(checkpoint: Checkpoint, where: str, folders: Sequence[str] = ("",)) -> Located:
    """Finds a checkpoint, and fetches it if it is not on this disk; see `CheckpointFinder`."""
    return _FINDER(checkpoint, where, folders)


def foresee(checkpoint: Checkpoint, where: str, folders: Sequence[str] = ("",)) -> Located:
    """Finds a checkpoint without fetching it; see `CheckpointFinder`."""
    return _PLANNER(checkpoint, where, folders)


def _in_folder(checkpoint: Checkpoint, folder: Path, where: str, parts: Sequence[str]) -> Located:
    if checkpoint.revision is not None:
        raise BadInput(
            f"{where}.revision={checkpoint.revision} belongs to no checkpoint: {checkpoint.path} is a folder, and only "
            f"one of the hub has revisions; leave it out"
        )
    read = read_files(files_in(folder, parts), parts, checkpoint.variant)
    refuse_other_precision(read, checkpoint, where)
    if read.lacking:
        place = ", ".join(str(folder / part) for part in read.lacking)
        raise BadInput(
            f"{where}.path={checkpoint.path} holds no weights in safetensors format in {place}; give a folder made by "
            "save_pretrained"
        )
    return Located(checkpoint.path, folder, identity_of(folder, read.all), None, read.variant)


def _in_snapshot(checkpoint: Checkpoint, snapshot: Path, parts: Sequence[str]) -> Located:
    read = read_files(files_in(snapshot, parts), parts, checkpoint.variant)
    return Located(checkpoint.path, snapshot, identity_of(snapshot, read.all), snapshot.name, read.variant)


def _planned(checkpoint: Checkpoint, listing: Listing | None, wanted: ToFetch) -> Located:
    """A checkpoint of which only the listing is known, or only the name."""
    name = f"not fetched: {checkpoint.path}"
    if listing is None:
        return Located(checkpoint.path, Path(name), name, None, checkpoint.variant, wanted)
    return Located(checkpoint.path, Path(name), name, listing.commit, listing.read.variant, wanted)


def looks_local(path: str) -> bool:
    """Whether a path that is no folder was meant as one, and not as a name on the hub."""
    return path.startswith((".", "/", "~")) or path.count("/") != 1 or not re.fullmatch(r"[\w.-]+/[\w.-]+", path)


def refuse_name(checkpoint: Checkpoint, where: str) -> None:
    """Raises BadInput for a path that is neither a folder nor a name on the hub, and for a name whose weights have to
    be converted first. The hub is not asked."""
    path = Path(checkpoint.path).expanduser()
    if path.is_dir():
        return
    if looks_local(checkpoint.path):
        raise BadInput(_no_folder(checkpoint, path, where))
    for name, pickled in PICKLED.items():
        if checkpoint.path == pickled.publisher:
            command = f"python -m reno.convert {name}"
            by_file = f"fetch {pickled.file} there, make a folder of it with `{command} {pickled.file}`"
            port = f"make a folder of {pickled.port}, a port to safetensors, with `{command}`, or {by_file}"
            raise BadInput(
                f"{where}: {pickled.publisher} publishes a pickle, which is not loaded; "
                f"{port if pickled.port else by_file}, and give it: {where}.path=FOLDER"
            )


def _no_folder(checkpoint: Checkpoint, path: Path, where: str) -> str:
    if path.parent == TESTBED:
        return (
            f"the embedded {path.name} is not in {TESTBED}; check out or install the bench again; in a checkout, "
            "`make testbed` trains it"
        )
    return (
        f"{where}.path={checkpoint.path} is not a folder; give a folder that holds the checkpoint, or its name on the "
        "hub"
    )


def _refusal(cause: Cause, checkpoint: Checkpoint, where: str) -> str:
    return (
        f"{where}: {checkpoint.path} is not in the cache, and {cause.what}; {cause.remedy}, or copy it to a folder and "
        f"give {where}.path=FOLDER"
    )
