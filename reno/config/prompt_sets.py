"""Prompts by name or from a file: one prompt per line (`.txt`), or one JSON object per line (`.jsonl`) with `prompt`
and, optionally, `bindings` as [attribute, object] pairs. A named set is such a file in conf/prompt_sets."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from reno.config.conf import Conf
from reno.spec.errors import BadInput, did_you_mean
from reno.spec.prompts import Binding, Prompt, prompt_from_text, whole_text

GROUP = "prompt_sets"
SUFFIXES = (".txt", ".jsonl")


def load_prompts(name: str, conf: Conf = Conf()) -> list[Prompt]:  # noqa: B008 (it is frozen)
    """The prompts of a named set or of a file. Raises BadInput if there is no such set or file, or a line of it cannot
    be used."""
    path = _find(name, conf)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"prompts={name}: cannot read {path} ({error}); give a UTF-8 text file with one prompt per line"
        ) from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered:
        raise BadInput(f"prompts={name}: {path} holds no prompt; write one prompt per line")
    parse = _from_json if path.suffix in (".jsonl", ".json") else _from_text
    return [parse(line, f"{path}, line {number}") for number, line in numbered]


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
        if (path := Path(name).expanduser()).is_file():
            return path
    known = named_sets(conf)
    raise BadInput(f"prompts={name} is neither a prompt set ({', '.join(known)}) nor a file{did_you_mean(name, known)}")


def _from_text(line: str, where: str) -> Prompt:
    return prompt_from_text(line.strip(), where)


def _from_json(line: str, where: str) -> Prompt:
    example = '{"prompt": "a red car", "bindings": [["red", "car"]]}'
    try:
        entry = json.loads(line)
        prompt = prompt_from_text(entry["prompt"], where)
        if "bindings" not in entry:
            return prompt
        bindings = tuple(Binding(str(attribute), str(thing)) for attribute, thing in entry["bindings"])
    except BadInput:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f"{where} is not a JSON object such as {example}") from None
    if not all(whole_text(binding.attribute + binding.object) for binding in bindings):
        raise BadInput(f"{where}: a binding holds half of a character, which cannot be stored; type it again")
    return Prompt(prompt.text, bindings)
