"""Prompts by the name of a set or from a file. A named set is a file in conf/prompt_sets."""

from __future__ import annotations

import contextlib
import math
import random
import re
from fractions import Fraction
from pathlib import Path

from reno.config.checks import whole_number
from reno.config.conf import OWN, Conf
from reno.prompts.formats import SUFFIXES, PromptFile, read_prompt_file
from reno.spec.errors import BadInput, did_you_mean

GROUP = "prompt_sets"


def load_prompts(name: str, conf: Conf = Conf()) -> PromptFile:  # noqa: B008 (it is frozen)
    """The prompts of a named set, of a file, or of a folder of files. Raises BadInput if there is none, or a line of it
    cannot be used."""
    path = prompt_set_path(name, conf)
    found = read_prompt_file(path)
    if path.is_relative_to(OWN):
        return PromptFile(found.prompts, ())  # nobody has to be told of the comments in this project's own files
    return found


def limited(found: PromptFile, limit: object, seed: object) -> PromptFile:
    """A part of the prompts, in their order: the first, or with a seed a random part. limit: a count, a share such as
    "5%" (rounded up), or None for all. Raises BadInput."""
    if limit is None:
        if seed is not None:
            raise BadInput(f"limit_seed={seed} draws a part of the prompts, and limit says how many; add limit=20")
        return found
    total = len(found.prompts)
    count = min(_count(limit, total), total)
    if seed is None:
        kept, how = range(count), "the first"
    else:
        drawn = random.Random(whole_number("limit_seed", seed, at_least=0))
        kept, how = sorted(drawn.sample(range(total), count)), f"drawn with limit_seed={seed}"
    note = f"limit={limit}: {count} of {total} prompts, {how}"
    if count == total:
        note = f"limit={limit} has no effect: there {'is 1 prompt' if total == 1 else f'are {total} prompts'}"
    return PromptFile(tuple(found.prompts[place] for place in kept), (*found.notes, note))


def _count(limit: object, total: int) -> int:
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1:
        return limit
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)%", str(limit))
    if share is None or not 0 < float(share[1]) <= 100:
        raise BadInput(f"limit must be a count of prompts, 1 or more, or a share above 0%, not {limit!r}; use limit=20 "
                       "or limit=5%")  # fmt: skip
    return math.ceil(Fraction(share[1]) * total / 100)


def named_sets(conf: Conf) -> list[str]:
    """The names of the prompt sets."""
    paths = [path for folder in conf.folders for path in (folder / GROUP).glob("*")]
    return sorted({path.stem for path in paths if path.suffix in SUFFIXES})


def prompt_set_path(name: str, conf: Conf) -> Path:
    """The file of a set, or the file or folder of that path. Raises BadInput if there is none."""
    found = [None if "/" in name else conf.path(GROUP, f"{name}{suffix}") for suffix in SUFFIXES]
    path = next((path for path in found if path), None)
    if path is not None:
        return path
    with contextlib.suppress(OSError, RuntimeError):  # a name too long for a file, or of no user's home
        if name.strip() and (path := Path(name).expanduser()).exists():
            return path
    known = named_sets(conf)
    raise BadInput(f"prompts={name} is neither a prompt set ({', '.join(known)}) nor a file{did_you_mean(name, known)}")
