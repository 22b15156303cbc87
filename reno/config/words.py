"""A command's words: flags, folders and knobs, before Hydra reads them. Nothing heavy is imported here, so that --help
is quick."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reno.config.checks import at_home
from reno.config.conf import OWN, Conf
from reno.config.page import Page
from reno.config.quoting import as_text, as_value, each, quote
from reno.spec.errors import BadInput
from reno.spec.prompts import whole_text

MULTIRUN = ("-m", "--multirun")
FOLDER = ("-cd", "--config-dir")
VALUED = ("-c", "--cfg", "-p", "--package")
"""Flags of Hydra's that take the next word."""
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What `--info` may show."""
NESTED = re.compile(r"\+{0,2}((?:models|metric|method|optimizer|tracking|stop)\.[\w.@+-]+)=(.*)", re.S)
"""Knobs inside a choice, such as metric.head. Hydra gets them with `++`, because a choice's file need not list all its
keys. A key that nothing reads is refused later."""
LONGEST_SHOWN = 80
"""Letters of a knob that are shown."""
TEXTS = ("path", "revision", "variant", "name", "kind", "project", "entity", "tags")
"""Keys of knobs inside a choice whose values are texts: the revision 12e4567 is no number."""


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

    def overruled(self) -> list[str]:
        """A sentence for each knob whose value is not used, because another one of the same name comes after it."""
        given = [knob.removeprefix("++") for knob in self.knobs if "=" in knob]
        given = [knob for knob in given if not knob.startswith(("+", "~"))]  # what is added twice, Hydra refuses
        last = {_name(knob): knob for knob in given}
        return [
            f"{_short(knob)} is not used, because {_short(last[_name(knob)])} comes after it; type {_name(knob)} once"
            for knob in dict.fromkeys(given)
            if knob != last[_name(knob)]
        ]


def parse(page: Page, words: Sequence[str]) -> Words:
    """Sorts a command's words. Raises BadInput if one of them is no text, or if a folder of -cd is not there."""
    knobs, flags, folders = [], [], [OWN]
    positional, listed = list(page.positional), []
    rest = list(map(_text, words))
    multirun = bool(set(MULTIRUN) & set(rest))
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in ("-h", "--help", *MULTIRUN):
            continue
        if name in FOLDER:
            folders.append(_folder(value if equals else rest.pop(0) if rest else ""))
        elif word.startswith("-"):
            takes = rest and (word in VALUED or (word in ("-i", "--info") and rest[0] in INFO))
            flags += [word, *([rest.pop(0)] if takes else [])]
        elif positional and (word.startswith(("/", ".")) or not equals) and not word.startswith(("~", "+")):
            knobs.append(f"{positional.pop(0)}={quote(word)}")
        elif page.all_words and (word.startswith(("/", ".")) or not equals) and not word.startswith(("~", "+")):
            listed.append(word)
        else:
            knobs.append(as_hydra_reads(page, word, multirun))
    if listed:
        if any(knob.startswith(f"{page.all_words}=") for knob in knobs):
            raise BadInput(
                f"{page.all_words}= is typed beside {listed[0]}; name all {page.all_words} without it: {page.usage}"
            )
        knobs.append(f"{page.all_words}=[{','.join(map(quote, listed))}]")
    asked = {"-h", "--help"} & set(words)
    debug = "debug=true" in [word.lower() for word in words]
    return Words(tuple(knobs), Conf(tuple(folders)), multirun, bool(asked), debug, tuple(flags))


def _name(knob: str) -> str:
    return knob.partition("=")[0]


def _short(knob: str) -> str:
    return knob if len(knob) <= LONGEST_SHOWN else f"{knob[:LONGEST_SHOWN]}…"


def _text(word: str) -> str:
    """The word itself. Raises BadInput if it holds a byte that is no UTF-8: Python shows that as half a character."""
    if not whole_text(word):
        shown = word.encode("utf-8", "backslashreplace").decode()
        raise BadInput(f"'{shown}' holds a byte that is no UTF-8; type it in a terminal that is set to UTF-8")
    if "\0" in word:
        raise BadInput(f"{word!r} holds a NUL character; leave it out")
    return word


def as_hydra_reads(page: Page, word: str, sweeping: bool) -> str:
    """One word in Hydra's grammar: a text gets quotes where it needs them, a list gets brackets, a knob inside a choice
    gets `++`. Where a command can sweep, a comma separates values; a value that holds one is typed in quotes."""
    if match := NESTED.fullmatch(word):
        return f"++{match[1]}={each(match[2], as_text if match[1].rpartition('.')[2] in TEXTS else as_value)}"
    name, equals, text = word.partition("=")
    if not equals:
        return word
    if name in page.lists and not sweeping and "," in text and text[:1] not in ("[", "'", '"'):
        return f"{name}={each(f'[{text}]', as_value)}"
    if name != "prompt" and name not in page.texts:
        return f"{name}={each(text, as_value)}"
    if sweeping or text[:1] == "[" or (page.sweeps and name != "prompt"):
        return f"{name}={each(text, as_text)}"
    return f"{name}={as_text(text)}"


def search_path(conf: Conf) -> list[str]:
    """The override that makes Hydra look in a user's own folders, if there are any."""
    folders = [quote(f"file://{folder}") for folder in conf.folders[1:]]
    return [f"hydra.searchpath=[{','.join(folders)}]"] if folders else []


def _folder(typed: str) -> Path:
    folder = at_home("-cd", typed)
    if not typed or not folder.is_dir():
        raise BadInput(f"-cd {typed} is not a folder; give one like conf/, with your own YAML files: -cd MYCONF")
    return folder.resolve()
