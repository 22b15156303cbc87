"""A command's words: flags, folders and knobs, before Hydra reads them. Nothing heavy is imported here, so that --help
is quick."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reno.config.conf import OWN, Conf
from reno.config.page import Page
from reno.spec.errors import BadInput

MULTIRUN = ("-m", "--multirun")
FOLDER = ("-cd", "--config-dir")
NESTED = re.compile(r"\+{0,2}((?:models|metric|method|optimizer|tracking)\.[\w.@+-]+=.*)", re.S)
"""Knobs inside a choice, such as metric.head. Hydra gets them with `++`, because a choice's file need not list all its
keys. A key that nothing reads is refused later."""


@dataclass(frozen=True)
class Words:
    """The words that a user typed after a command."""

    knobs: tuple[str, ...]
    """As Hydra reads them."""
    conf: Conf
    multirun: bool
    help: bool
    debug: bool
    flags: tuple[str, ...] = ()
    """Flags that are Hydra's own, such as --cfg."""


def parse(page: Page, words: Sequence[str]) -> Words:
    """Sorts a command's words. Raises BadInput if a folder of -cd is not there."""
    knobs, flags, folders = [], [], [OWN]
    positional = list(page.positional)
    rest = list(words)
    multirun = bool(set(MULTIRUN) & set(rest))
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in ("-h", "--help", *MULTIRUN):
            continue
        if name in FOLDER:
            folders.append(_folder(value if equals else rest.pop(0) if rest else ""))
        elif word.startswith("-"):
            flags += [word, *([rest.pop(0)] if word in ("--cfg", "-c", "--package", "-p") and rest else [])]
        elif not equals and positional and not word.startswith(("~", "+")):
            knobs.append(f"{positional.pop(0)}={quote(word)}")
        else:
            knobs.append(as_hydra_reads(page, word, multirun))
    asked = {"-h", "--help"} & set(words)
    debug = "debug=true" in [word.lower() for word in words]
    conf = Conf(tuple(folders))
    _refuse_no_names(page, knobs, conf)
    return Words(tuple(knobs), conf, multirun, bool(asked), debug, tuple(flags))


def _refuse_no_names(page: Page, knobs: Sequence[str], conf: Conf) -> None:
    """Raises BadInput for a choice whose value cannot be the name of a file, such as null or 3."""
    groups = {knob.name for knob in page.knobs() if knob.group}
    for word in knobs:
        name, equals, text = word.partition("=")
        if equals and name in groups and re.fullmatch(r"null|true|false|[\d.]*|[\[{].*", text, re.S):
            raise BadInput(f"{name}={text} is not known; use {', '.join(conf.options(name))}")


def as_hydra_reads(page: Page, word: str, sweeping: bool) -> str:
    """One word in Hydra's grammar: a prompt gets quotes, a list gets brackets, a knob inside a choice gets `++`. In a
    sweep a comma separates values, so the user types the quotes and brackets."""
    if match := NESTED.fullmatch(word):
        return f"++{match[1]}"
    name, equals, text = word.partition("=")
    if not equals or sweeping or text[:1] in ("[", "'", '"') or text == "null":
        return word
    if name == "prompt" or (name in page.texts and not re.fullmatch(r"[A-Za-z0-9_./:@+-]*", text) and "," not in text):
        return f"{name}={quote(text)}"
    return f"{name}=[{text}]" if name in page.lists and "," in text else word


def quote(text: str) -> str:
    """A text as a quoted value of Hydra's override grammar."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no reference to another value, whatever stands before it
    text = re.sub(r"(\\+)(?='|\Z)", r"\1\1", text)  # backslashes count only before a quote
    return "'" + text.replace("'", "\\'") + "'"


def search_path(conf: Conf) -> list[str]:
    """The override that makes Hydra look in a user's own folders, if there are any."""
    folders = [quote(f"file://{folder}") for folder in conf.folders[1:]]
    return [f"hydra.searchpath=[{','.join(folders)}]"] if folders else []


def _folder(typed: str) -> Path:
    folder = Path(typed).expanduser()
    if not typed or not folder.is_dir():
        raise BadInput(f"-cd {typed} is not a folder; give one like conf/, with your own YAML files: -cd MYCONF")
    return folder.resolve()
