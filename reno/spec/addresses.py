"""Stores that are not on a disk: their addresses, such as `s3://bucket/study`, and the folder that holds a copy of one.

    copy_folder("results", "s3://bucket/study")    # ~/.cache/reno-bench/stores/s3+bucket+study
    address_of(that folder)                        # s3://bucket/study

The folder's name spells the address, so whoever gets the folder knows what it is a copy of. Nothing is read or written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from reno import cache_folder
from reno.spec.errors import BadInput, did_you_mean

KINDS = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface-hub", "memory": "fsspec"}
"""By the word before `://`: the package that reaches such a store. memory: in this process alone, for tests."""
COPIES = "RENO_STORES"
"""The environment variable with the folder of the copies."""
LONGEST_NAME = 255
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.S)
_SLIPS = re.compile(r"(s3|gs|gcs|hf):/?(?!/)(.*)", re.S | re.I)
"""An address of a known kind with a slash or two left out."""


def is_address(text: object) -> bool:
    """Whether a text is meant as an address, and not as a folder."""
    return isinstance(text, str) and (_ADDRESS.match(text) or _SLIPS.match(text)) is not None


def copies() -> Path:
    """The folder with the copies of this machine: $RENO_STORES, else stores/ in the cache folder."""
    own = os.environ.get(COPIES)
    return (Path(own) if own else cache_folder() / "stores").absolute()


def copy_folder(knob: str, address: str) -> Path:
    """The folder for the copy of a store. Raises BadInput for an address of an unknown kind, and for one that holds a
    key or a password, which the sentence does not repeat."""
    slip = _SLIPS.fullmatch(address)
    kind, path = (slip or _ADDRESS.fullmatch(address)).groups()
    kind = {"gcs": "gs"}.get(kind.lower(), kind.lower())
    if kind not in KINDS:
        known = [f"{one}://" for one in KINDS if one != "memory"]
        raise BadInput(f"{knob}: a store at {kind}:// is not known; use a folder, or {', '.join(known)}"
                       f"{did_you_mean(f'{kind}://', known)}")  # fmt: skip
    parts = path.rstrip("/").split("/")
    if "@" in parts[0] or re.search(r"[?#]|:[^/]*@", path):
        raise BadInput(
            f"{knob}={kind}://... holds a key, a password or options; leave them out: credentials come from the "
            "environment alone (docs/many_machines.md names the variables)"
        )
    if not all(parts) or not set(parts).isdisjoint({".", ".."}) or not path.isprintable():
        raise BadInput(f"{knob}={kind}://... is not an address; write {kind}://{_FORMS[kind]}")
    if slip:
        raise BadInput(f"{knob}={address} is not an address, which has two slashes; write {kind}://{path}")
    if kind == "hf" and (parts[0] != "datasets" or len(parts) < 3):
        raise BadInput(f"{knob}={address} is not a data set of the hub; write hf://{_FORMS['hf']}")
    name = "+".join([kind, *(quote(part, safe=" =,@") for part in parts)])
    if len(name) > LONGEST_NAME:
        raise BadInput(f"{knob}: the address has {len(address)} letters, more than a folder's name takes")
    return copies() / name


_FORMS = {"s3": "BUCKET/STUDY", "gs": "BUCKET/STUDY", "hf": "datasets/USER/NAME", "memory": "STUDY"}


def address_of(folder: Path) -> str | None:
    """The address of the store that a folder is the copy of; None for any other folder."""
    kind, *parts = folder.name.split("+")
    if not parts or kind not in KINDS or folder.absolute().parent != copies():
        return None
    return f"{kind}://{'/'.join(map(unquote, parts))}"


def named(folder: Path) -> str:
    """What the user calls a store: its address, else its folder."""
    return address_of(folder) or str(folder)
