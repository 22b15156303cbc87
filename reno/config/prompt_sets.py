"""Prompts by the name of a set or from a file. A named set is a file in conf/prompt_sets."""

from __future__ import annotations

import contextlib
from pathlib import Path

from reno.config.conf import Conf
from reno.prompts.formats import SUFFIXES, PromptFile, read_prompt_file
from reno.spec.errors import BadInput, did_you_mean

GROUP = "prompt_sets"


def load_prompts(name: str, conf: Conf = Conf()) -> PromptFile:  # noqa: B008 (it is frozen)
    """The prompts of a named set, of a file, or of a folder of files. Raises BadInput if there is none, or a line of it
    cannot be used."""
    return read_prompt_file(_find(name, conf))


def named_sets(conf: Conf) -> list[str]:
    """The names of the prompt sets."""
    paths = [path for folder in conf.folders for path in (folder / GROUP).glob("*")]
    return sorted({path.stem for path in paths if path.suffix in SUFFIXES})


def _find(name: str, conf: Conf) -> Path:
    found = [None if "/" in name else conf.path(GROUP, f"{name}{suffix}") for suffix in SUFFIXES]
    path = next((path for path in found if path), None)
    if path is not None:
        return path
    with contextlib.suppress(OSError, RuntimeError):  # a name too long for a file, or of no user's home
        if name.strip() and (path := Path(name).expanduser()).exists():
            return path
    known = named_sets(conf)
    raise BadInput(f"prompts={name} is neither a prompt set ({', '.join(known)}) nor a file{did_you_mean(name, known)}")
