"""Refuses flags and knobs that Hydra would answer with an error of its own, or take without a word and not use."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Sweep,
)

from reno.config.conf import OWN, Conf
from reno.config.page import Knob, Page
from reno.config.words import INFO, Words
from reno.spec.errors import BadInput, did_you_mean

OWN_FLAGS = ("-m", "-cd FOLDER", "--help")
HYDRAS = {
    "--cfg": "--cfg", "-c": "--cfg", "--package": "--package", "-p": "--package", "--resolve": "--resolve",
    "--info": "--info", "-i": "--info", "--shell-completion": "--shell-completion", "-sc": "--shell-completion",
    "--hydra-help": "--hydra-help", "--version": "--version", "--run": "--run", "-r": "--run",
}  # fmt: skip
"""The flags of Hydra's that python -m reno.run takes, by each of their spellings."""
ACTS = ("--cfg", "--info", "--shell-completion", "--hydra-help", "--version")
"""Those that show something instead of running."""
SHOWN = {"--cfg": ("job", "hydra", "all"), "--info": (*INFO, "")}
SHELLS = ("install", "uninstall", "query")
"""What `--shell-completion` is told to do, as in `install=bash`."""
MOST_JOBS = 100_000
"""Jobs of one sweep. Hydra lists them all before the first one runs."""


def check(page: Page, words: Words) -> None:
    """Raises BadInput for the first flag or knob that cannot be used. Sweeps must give one job or more."""
    acts = _check_flags(page, words)
    if "--shell-completion" in acts:
        return
    jobs, knobs = 1, {knob.name: knob for knob in page.knobs()}
    for word in words.knobs:
        _check_name(page, list(knobs), word, words)
        override = parsed(word)
        _check_value(page, knobs, override, words.conf)
        jobs *= _count(override, words.conf)
    if jobs > MOST_JOBS and not any(word.startswith("hydra/sweeper=") for word in words.knobs):
        raise BadInput(f"the sweep has {jobs:.6g} jobs; {MOST_JOBS} are the most: sweep over fewer values at once")


@lru_cache(maxsize=1024)
def parsed(word: str) -> Override:
    """One knob as Hydra's grammar reads it, which takes milliseconds: the jobs of a sweep share most of theirs. Raises
    Hydra's OverrideParseException."""
    return OverridesParser.create().parse_overrides([word])[0]


# --- Flags ------------------------------------------------------------------------------------------------------------


def _check_flags(page: Page, words: Words) -> list[str]:
    """The flags, each by its long name, without those that say how to show something."""
    if not page.sweeps:
        if words.multirun:
            raise BadInput(f"{page.usage.split(' [')[0]} cannot sweep; leave out -m and give each knob one value")
        if words.flags:
            raise BadInput(f"{words.flags[0]} is not a flag of this command; knobs are typed as knob=value")
        return []
    given: dict[str, str] = {}
    flags = list(words.flags)
    while flags:
        typed, equals, value = flags.pop(0).partition("=")
        if typed not in HYDRAS:
            known = (*OWN_FLAGS, *dict.fromkeys(HYDRAS.values()))
            raise BadInput(f"{typed} is not a flag; the flags are {', '.join(known)}; knobs are typed as knob=value")
        if not equals and flags and not flags[0].startswith("-"):
            value = flags.pop(0)
        given[HYDRAS[typed]] = value
    acts = [flag for flag in given if flag in ACTS] + ["-m"] * words.multirun
    _check_together(given, acts, words)
    return acts


def _check_together(given: dict[str, str], acts: list[str], words: Words) -> None:
    for flag, values in SHOWN.items():
        if given.get(flag, values[-1]) not in values:
            known = ", ".join(value for value in values if value)
            raise BadInput(f"{flag} {given[flag]} is not known; use {flag} with one of {known}")
    if "--package" in given and not given["--package"]:
        raise BadInput("--package needs a name, as in --cfg job --package metric")
    for flag in ("--package", "--resolve"):
        if flag in given and "--cfg" not in given:
            raise BadInput(f"{flag} says how --cfg shows the configuration; add --cfg job")
    if len(acts) > 1:
        raise BadInput(f"{acts[0]} and {acts[1]} cannot be used together; leave one of them out")
    if "--shell-completion" in acts:
        told = [word.partition("=")[0] for word in words.knobs]
        if len(told) != 1 or told[0] not in SHELLS:
            raise BadInput("--shell-completion needs one of install=SHELL, uninstall=SHELL and query=SHELL, alone")


# --- Names ------------------------------------------------------------------------------------------------------------


def _check_name(page: Page, known: list[str], word: str, words: Words) -> None:
    key, equals, value = word.partition("=")
    name = key.lstrip("+~")
    first = name.replace("/", ".").partition(".")[0].partition("@")[0]
    if not equals and not key.startswith("~"):
        raise BadInput(f"{word!r} is not knob=value; --help lists the knobs{_meant(word, known)}")
    if not first:
        raise BadInput(f"{word!r} has no knob before the =; write knob=value, and --help lists the knobs")
    if page.studies and first == "experiments" and "." not in name:
        if key != "+experiments":
            raise BadInput("a study is chosen with +experiments=NAME")
        return
    if page.studies and first == "hydra":
        if name.startswith("hydra.callbacks.sweep_folder"):
            raise BadInput("hydra.callbacks.sweep_folder is the bench's own; leave it as it is")
        if name == "hydra":
            raise BadInput("hydra holds Hydra's own settings; set one of them, as in hydra.sweep.dir=FOLDER")
        return
    if any(os.path.isdir(folder / name.partition("@")[0]) for folder in words.conf.folders[1:]):
        return  # a group of the user's own
    if first not in known or "/" in name:
        hint = _inside(name, page, words) or did_you_mean(first, [*known, *["experiments"] * page.studies])
        hint = hint.replace("'experiments'", f"'+experiments={value}'") or "; --help lists them all"
        raise BadInput(f"{name.partition('@')[0]} is not a knob{hint}")
    if "@" in name:
        raise BadInput(f"{name} puts a choice where nothing reads it; write {first}=NAME")
    if key.startswith("~") and name in known:
        raise BadInput(f"{name} has no value; leave out ~{name}")
    if key.startswith("~") and re.search(r"\.\d+(\.|$)", name):
        raise BadInput(f"~{name} takes an entry out of a list, which cannot be done; give the whole list instead")


def _inside(name: str, page: Page, words: Words) -> str:
    """`; did you mean 'method.climbers', as with method=halving?` for `climbers`: a key inside a knob, or inside the
    files that it chooses among, those that were chosen first."""
    typed = dict(word.lstrip("+~").partition("=")[::2] for word in words.knobs)
    found = []
    for knob in page.knobs():
        if knob.default[:1] == "{":
            found += [(key, "") for key in _keys(knob.name, yaml.safe_load(knob.default))]
        for option in words.conf.options(knob.name) if knob.group else ():
            try:
                values = words.conf.named(knob.name, knob.name, option).values
            except BadInput:  # a file of the user's that was not chosen
                continue
            of = "" if option == typed.get(knob.name, knob.default) else f", as with {knob.name}={option}"
            # an optimizer's file sets other knobs, too
            found += [(key, of) for key in _keys(knob.name, values.get(knob.name, values))]
    meant = sorted((one for one in found if one[0].endswith(f".{name}")), key=lambda one: bool(one[1]))
    return f"; did you mean {meant[0][0]!r}{meant[0][1]}?" if meant else ""


def _keys(where: str, values: Mapping[str, object]) -> Iterator[str]:
    """The dotted names of everything inside a value."""
    for key, value in values.items():
        yield f"{where}.{key}"
        if isinstance(value, Mapping):
            yield from _keys(f"{where}.{key}", value)


def _meant(word: str, known: Iterable[str]) -> str:
    near = did_you_mean(word, known)
    return near and near[:-2] + "=...'?"


# --- Values -----------------------------------------------------------------------------------------------------------


def _check_value(page: Page, knobs: dict[str, Knob], override: Override, conf: Conf) -> None:
    """A choice is named by a text; an empty mapping sets nothing."""
    name = override.key_or_group
    values = _values(override)
    if name == "hydra.searchpath":
        _check_folders(values[0])
    if values == [{}]:
        raise BadInput(f"{name}={{}} sets nothing; leave it out, or set one of its keys: {name}.KEY=VALUE")
    choice = name in knobs and knobs[name].group
    if name in knobs and not choice and os.path.isdir(OWN / name):  # Hydra would look for a choice
        raise BadInput(f"{name} cannot be set as a whole here; set one of its keys, as in {name}.KEY=VALUE")
    if choice or (page.studies and name == "experiments"):
        for value in values:
            if (
                not isinstance(value, str)
                or not value.strip("?")
                or not set(value.split("/")).isdisjoint(("", "..", "."))
            ):
                known = conf.options(name)
                shown = f"{name}={override.get_value_string()}"
                raise BadInput(f"{shown} is not known; use {', '.join(known) or 'none'}")
            if name == "experiments":
                _check_study(value, conf)


def _check_folders(listed: object) -> None:
    """Hydra only warns of a folder that is not there."""
    for place in listed if isinstance(listed, list) else [listed]:
        if not isinstance(place, str) or not (
            place.startswith("pkg://") or os.path.isdir(place.removeprefix("file://"))
        ):
            raise BadInput(f"hydra.searchpath: {place!r} is not a folder; -cd FOLDER adds one of yours")


def _check_study(name: str, conf: Conf) -> None:
    """A study's file sets knobs, and says that they are those of the page itself. An absent one is Hydra's to name."""
    path = conf.path("experiments", f"{name}.yaml")
    try:
        text = path.read_text(encoding="utf-8") if path else ""
        values = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return  # whoever composes it says what cannot be read
    if path:
        if not re.match(r"(?:\s*#\s*@.*\n)*\s*#\s*@package +_global_\s*$", text, re.M):
            raise BadInput(
                f"{path} must have `# @package _global_` as its first line; without it its knobs reach no job"
            )
        if not values:
            raise BadInput(f"{path} sets no knob; write the study's knobs into it, as in experiments/report.yaml")


def _values(override: Override) -> list:
    """The values that are written out: one, or those of a sweep; none for `range`, `interval`, `glob` and `~knob`."""
    value = override.value()
    if override.is_delete() or isinstance(value, (Glob, RangeSweep, IntervalSweep)):
        return []
    listed = value.list if isinstance(value, ChoiceSweep) else [value]
    return [one.text if isinstance(one, QuotedString) else one for one in listed]


def _count(override: Override, conf: Conf) -> int:
    """The number of values that a knob is swept over. Raises BadInput if there is none."""
    value = override.value()
    shown = f"{override.key_or_group}={override.get_value_string()}" if isinstance(value, (Glob, Sweep)) else ""
    if isinstance(value, RangeSweep):
        return _length(value, shown)
    if isinstance(value, Glob):
        found = value.filter(conf.options(override.key_or_group))
        if not found:
            known = ", ".join(conf.options(override.key_or_group))
            raise BadInput(f"{shown} finds nothing; it may find {known or 'files of a folder of conf/'}")
        return len(found)
    return len(value.list) if isinstance(value, ChoiceSweep) else 1


def _length(values: RangeSweep, shown: str) -> int:
    ends = [values.start, values.stop, values.step]
    if not all(math.isfinite(end) for end in ends) or not values.step:
        raise BadInput(f"{shown} must go from a number to a number by a step that is not 0; for example range(1,4,1)")
    length = math.ceil((Fraction(values.stop) - Fraction(values.start)) / Fraction(values.step))
    if length < 1:
        raise BadInput(f"{shown} gives no value; for example range(1,4) gives 1, 2 and 3")
    return length
