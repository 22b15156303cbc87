"""Finds a checkpoint's local folder by its name, and the identity of the weights in it.

A local folder is used as it is. A checkpoint of the model hub is first downloaded to the hub's cache. Only safetensors
are downloaded and loaded; this project never unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint

TESTBED = Path(__file__).resolve().parent.parent / "testbed" / "weights"
"""Where the embedded models are shipped."""
CONFIG_FILES = ["*.json", "*.txt", "*.model"]


@dataclass(frozen=True)
class Located:
    """A checkpoint that is on this disk."""

    source: str
    """The path or name that the configuration gives."""
    folder: Path
    identity: str
    """`name@commit` of the hub, or `sha256:` of a local folder's configs and weights, wherever the folder lies."""
    commit: str | None
    """The commit that was loaded, for a checkpoint of the hub."""
    variant: str | None = None
    """The stored precision that was found, e.g. fp16; None for the plain one."""

    @property
    def random(self) -> bool:
        """Whether scripts/make_checkpoints.py made it: then its weights are random and its scores mean nothing."""
        return (self.folder / "random_weights.json").is_file()


def locate(checkpoint: Checkpoint, where: str, folders: tuple[str, ...] = ("",)) -> Located:
    """The folder and identity of a checkpoint whose weights are in the subfolders `folders`.

    where: the knob that names it, for the error. Raises BadInput if there is no such folder, it has no safetensors,
    or the hub cannot be reached.
    """
    path = Path(checkpoint.path).expanduser()
    if path.is_dir():
        commit = None
        folder = path.resolve()
    elif _looks_local(checkpoint.path):
        if path.parent == TESTBED:
            raise BadInput(
                f"the embedded {path.name} is not in {TESTBED}; check it out again, or train it: `make testbed`"
            )
        raise BadInput(
            f"{where}.path={checkpoint.path} is not a folder; give a folder that holds the checkpoint, or its "
            f"name on the hub"
        )
    else:
        folder, commit = _from_hub(checkpoint, where, folders)
    variant = _variant(folder, folders, checkpoint.variant)
    weights = _weight_files(folder, folders, variant)
    if not weights:
        raise BadInput(
            f"{where}.path={checkpoint.path} holds no weights in safetensors format under {folder}; give a folder "
            f"made by "
            "save_pretrained"
        )
    if commit is not None:
        suffix = f"[{variant}]" if variant else ""
        return Located(checkpoint.path, folder, f"{checkpoint.path}@{commit}{suffix}", commit, variant)
    return Located(checkpoint.path, folder, f"sha256:{_digest(folder, weights)}", None, variant)


def _looks_local(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.count("/") != 1 or not re.fullmatch(r"[\w.-]+/[\w.-]+", path)


def _weight_files(folder: Path, folders: tuple[str, ...], variant: str | None) -> list[Path]:
    """The weight files that a load of this variant reads. Empty if one of the parts has none."""
    files = []
    for sub in folders:
        part = sorted((folder / sub).glob("*.safetensors"))
        part = (
            [file for file in part if (f".{variant}." in file.name or f".{variant}-" in file.name) == bool(variant)]
            if variant
            else [file for file in part if not re.search(r"\.(fp16|bf16)[.-]", file.name)]
        )
        if not part:
            return []
        files += part
    return files


def _variant(folder: Path, folders: tuple[str, ...], variant: str | None) -> str | None:
    """The wanted variant if the folder has it, else None: a local copy often has one precision only."""
    return variant if variant and _weight_files(folder, folders, variant) else None


def _digest(folder: Path, weights: list[Path]) -> str:
    """SHA-256 over the configs and weights and their names inside the folder."""
    total = hashlib.sha256()
    configs = sorted(file for pattern in CONFIG_FILES for file in folder.rglob(pattern))
    for file in sorted({*configs, *weights}):
        total.update(str(file.relative_to(folder)).encode() + b"\0" + _file_digest(file).encode() + b"\n")
    return total.hexdigest()


def _file_digest(file: Path) -> str:
    """SHA-256 of a file. Those of large files are cached by path, size and time of change, so that the next run starts
    at once."""
    stat = file.stat()
    if stat.st_size < 32 << 20:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reno-bench" / "digests.json"
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


def _from_hub(checkpoint: Checkpoint, where: str, folders: tuple[str, ...]) -> tuple[Path, str]:
    """The cached snapshot of a hub checkpoint and its commit; downloaded if it is not cached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    name = checkpoint.path
    revision = checkpoint.revision
    try:
        revision, files = _safetensors_revision(checkpoint, folders)
        weights = _wanted(files, folders, checkpoint.variant)
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*CONFIG_FILES, *weights]))
    except (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError) as error:
        raise BadInput(
            f"{where}: the model hub has no {name} at revision {revision or 'main'} for you "
            f"({type(error).__name__}); check the name, "
            f"or give a local folder as {where}.path=FOLDER"
        ) from None
    except Exception as error:  # the errors of a missing network depend on the hub library's HTTP client
        cached = _cached(checkpoint, folders)
        if cached is None:
            raise BadInput(
                f"{where}: {name} is not in the cache and the model hub cannot be reached "
                f"({type(error).__name__}); copy the "
                f"checkpoint to a folder and give it as {where}.path=FOLDER"
            ) from None
        folder = cached
    return folder, folder.name


def _cached(checkpoint: Checkpoint, folders: tuple[str, ...]) -> Path | None:
    """The newest whole snapshot in the hub's cache, or the one of the named revision. It is found by its weights and
    not by the cache's file for the main branch: a snapshot that was downloaded by its commit has no such file."""
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE) / f"models--{checkpoint.path.replace('/', '--')}"
    snapshots = sorted((place / "snapshots").glob("*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    if checkpoint.revision is not None:
        note = place / "refs" / checkpoint.revision
        commit = note.read_text().strip() if note.is_file() else checkpoint.revision
        snapshots = [folder for folder in snapshots if folder.name == commit]
    for folder in snapshots:
        if _weight_files(folder, folders, _variant(folder, folders, checkpoint.variant)):
            return folder
    return None


def _safetensors_revision(checkpoint: Checkpoint, folders: tuple[str, ...]) -> tuple[str, list[str]]:
    """The commit to load and its files. If the main branch has only pickled weights, it is the commit of the pull
    request in which the hub's converter offers the same weights as safetensors."""
    from huggingface_hub import HfApi

    api = HfApi()
    info = api.model_info(checkpoint.path, revision=checkpoint.revision)
    files = [sibling.rfilename for sibling in info.siblings]
    if checkpoint.revision is None and not _wanted(files, folders, checkpoint.variant):
        for discussion in api.get_repo_discussions(
            checkpoint.path, author="SFconvertbot", discussion_type="pull_request"
        ):
            proposal = api.model_info(checkpoint.path, revision=discussion.git_reference)
            proposed = [sibling.rfilename for sibling in proposal.siblings]
            if _wanted(proposed, folders, checkpoint.variant):
                return proposal.sha, proposed
    return info.sha, files


def _wanted(files: list[str], folders: tuple[str, ...], variant: str | None) -> list[str]:
    """The safetensors among a repository's files that the parts need: of the variant if every part has it."""
    parts = [
        [file for file in files if file.endswith(".safetensors") and str(Path(file).parent) in (sub, sub or ".")]
        for sub in folders
    ]
    if variant:
        of_variant = [[file for file in part if f".{variant}." in file] for part in parts]
        if all(of_variant):
            return [file for part in of_variant for file in part]
    plain = [[file for file in part if not re.search(r"\.(fp16|bf16)\.", file)] for part in parts]
    return [file for part in plain for file in part] if all(plain) else []
