"""A checkpoint's files, looked at before a library reads them, so that a damaged one is told in one sentence.

Nothing but the first bytes and the header of a weight file is read: a file of gigabytes takes no longer than a small
one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from reno.spec.errors import BadInput, first_line

AGAIN = "copy or download it again"
HEADER_LIMIT = 100_000_000
"""Bytes; safetensors itself reads no longer header."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises BadInput that says what the file is instead."""
    content = _content(path)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        raise BadInput(f"{path} is no valid JSON ({first_line(error)}); {AGAIN}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds a {type(value).__name__} where a JSON object {{...}} is due; {AGAIN}")
    return value


def check_text(path: Path) -> None:
    """Raises BadInput if a text file is absent, empty, or a stand-in for the true one."""
    _content(path)


def weights_entry(folder: Path, stem: str, variant: str | None, *, index_first: bool) -> Path:
    """The file with which reading the weights of a folder begins: the one weight file, or the index of several.

    stem: how the library calls weights, `model` or `diffusion_pytorch_model`. index_first: which of the two the library
    takes if both are there. Raises BadInput if there is neither.
    """
    tag = f".{variant}" if variant else ""
    single = folder / f"{stem}{tag}.safetensors"
    indices = [folder / f"{stem}.safetensors.index{tag}.json"]
    if variant:  # as diffusers wrote it before 0.32
        indices.append(folder / f"{stem}.safetensors{tag}.index.json")
    order = (*indices, single) if index_first else (single, *indices)
    for path in order:
        if path.is_file() or path.is_symlink():
            return path
    if single.exists():
        raise BadInput(f"{single} is not a file; {AGAIN}")
    raise BadInput(f"{folder} has no {single.name}, which holds the weights; check the path, or {AGAIN}")


def weight_files(entry: Path) -> list[Path]:
    """The weight files that `weights_entry` stands for. Raises BadInput if the index cannot be read."""
    if entry.suffix != ".json":
        return [entry]
    named = read_json(entry).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise BadInput(f"{entry} is no index of weight files: it has no weight_map; {AGAIN}")
    files = [entry.parent / name for name in sorted(set(named.values()))]
    for file in files:
        if not file.exists():
            raise BadInput(f"{entry} names {file.name}, which is not in its folder; {AGAIN}")
    return files


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each weight in a safetensors file, by its name. Raises BadInput if it is not a whole one."""
    try:
        with file.open("rb") as stream:
            head = stream.read(512)
            _check_head(file, head)
            length = int.from_bytes(head[:8], "little")
            stream.seek(8)
            header = stream.read(length) if length <= HEADER_LIMIT else b""
        size = file.stat().st_size
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror or error}); {AGAIN}") from None
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
        due = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
        raise BadInput(f"{file} is no safetensors file, or a damaged one; {AGAIN}") from None
    if size < due:
        raise BadInput(f"{file} is cut off: it has {size:,} of {due:,} bytes; {AGAIN}")
    if size > due:
        raise BadInput(f"{file} is damaged: it has {size:,} bytes, and its own header says {due:,}; {AGAIN}")
    return shapes


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{path} is not there; {AGAIN}") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}); {AGAIN}") from None
    _check_head(path, content[:512])
    return content


def _check_head(path: Path, head: bytes) -> None:
    """Raises BadInput if a file is empty or begins as what often lies in the place of a file of weights."""
    if not head.strip():
        raise BadInput(f"{path} is empty; {AGAIN}")
    if head.startswith(b"version https://git-lfs"):
        size = re.search(rb"size (\d+)", head)
        of = f" of {int(size[1]):,} bytes" if size else ""
        raise BadInput(
            f"{path} is a git-lfs pointer to a file{of} and not that file; fetch it with `git lfs pull` in its folder"
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise BadInput(f"{path} is a web page and not the file that its name says; {AGAIN}")
    if head.startswith((b"PK\x03\x04", b"\x80\x02")):
        raise BadInput(f"{path} is a zip archive or a pickle, which is never read here; give the checkpoint's own file")
