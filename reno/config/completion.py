"""Tab completion: what may stand at the end of a command line that is being typed.

eval "$(reno completion bash)"          # in ~/.bashrc; zsh alike, in ~/.zshrc
reno completion fish | source           # in ~/.config/fish/config.fish

The script gives the shell a function. At each <TAB> the function hands the line up to the cursor to
`reno completion SHELL LINE` and gets the candidates, one a line. Neither torch nor Hydra is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import yaml

from reno.config.conf import OWN, Conf
from reno.config.page import Page
from reno.config.programs import Program, programs
from reno.config.prompt_sets import named_sets
from reno.config.suites import suite_names
from reno.config.words import FOLDER, MULTIRUN
from reno.spec.job import DTYPES, ON_LONG

SHELLS = ("bash", "zsh", "fish")
WORD_BREAKS = "@><=;|&(:"
"""Where bash begins a new word, besides at spaces and quotes, unless the user changes COMP_WORDBREAKS."""
SPECIAL = {"bash": " \t'\"\\()&;<>|$`!*?#", "zsh": " \t'\"\\()&;<>|$`!*?#[]{}~^"}
"""What a shell does not take for itself unless a backslash precedes it."""

GROUPS = {
    "evaluators": "evaluator",
    "record": "metric",
    "metrics": "metric",
    "claims": "claim_sets",
    "experiments": "experiments",
}
"""Knobs that name files of a folder of conf/ that is not called as they are."""
WORDS = {
    "device": ("auto", "cpu", "cuda", "mps"),
    "dtype": DTYPES,
    "batch_size": ("auto",),
    "checkpointing": ("auto", "true", "false"),
    "compile": ("auto", "graph", "true", "false"),
    "on_long": ON_LONG,
    "track": ("auto", "offline", "online", "disabled"),
    "download": ("nothing", "pictures", "all"),
    "checkpoint": ("aesthetic", "dmd2_sdxl", "hpsv2", "imagereward"),
}
LISTS = ("evaluators", "record", "metrics", "seed")
FOLDERS = ("results", "out", "images", "suites", "base", "stores")
FILES = ("prompts", "readme", "file")
POSITIONAL = {"reproduce": ("trial",), "report": ("results",), "convert": ("checkpoint", "file")}
"""The knobs whose values may stand without `knob=`, in this order, by command."""

_BASH = """\
_reno() {
    local program=${1/#\\~/$HOME} candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
    done < <("$program" completion bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
}
complete -o nospace -F _reno reno
"""
_ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_reno() {
    local program=${words[1]/#\\~/$HOME} candidate
    local -a found
    while IFS= read -r candidate; do
        found+=("$candidate")
    done < <("$program" completion zsh "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)
    compadd -Q -S '' -a found
}
compdef _reno reno
"""
_FISH = """\
function __reno_candidates
    set -l words (commandline -opc)
    $words[1] completion fish (commandline -cp) 2>/dev/null
end
complete -c reno -f -a '(__reno_candidates)'
"""


@dataclass(frozen=True)
class Candidate:
    """One whole word that may stand at the end of the line."""

    text: str
    ends: bool = True
    """Whether the word is complete, so that a space may follow."""


@dataclass(frozen=True)
class TypedLine:
    """A line up to the cursor."""

    words: tuple[str, ...]
    """The words before the last, without their quotes."""
    last: str
    """The word at the cursor without its quotes; may be empty."""
    raw: str
    """The same word as it was typed."""
    quote: str
    """The quote that is still open at the cursor; empty if none is."""


def script(shell: str) -> str:
    """What the shell has to read once to complete the words of `reno`."""
    return {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}[shell]


def completions(line: str, shell: str, breaks: str = WORD_BREAKS) -> list[str]:
    """The candidates for the end of a line, in the form that the shell's function takes.

    breaks: the characters at which bash begins a new word.
    """
    typed = parsed_line(line)
    try:
        found = [one for one in _candidates(typed) if one.text.startswith(typed.last) and "\n" not in one.text]
    except Exception:  # a broken YAML file must not write into the line that is being typed
        return []
    unique = dict.fromkeys(found)
    if shell == "fish":  # quotes by itself, and knows after which characters no space follows
        return [one.text for one in unique]
    done = _before_the_replaced(typed, breaks) if shell == "bash" else ""
    if typed.quote:
        return [one.text[len(done) :] for one in unique]
    return [_quoted(one.text[len(done) :], SPECIAL[shell]) + " " * one.ends for one in unique]


def _quoted(text: str, special: str) -> str:
    return "".join(f"\\{letter}" if letter in special else letter for letter in text)


def _before_the_replaced(typed: TypedLine, breaks: str) -> str:
    """The start of the last word that bash leaves alone: it replaces only what follows an open quote or a break."""
    if typed.quote:
        return parsed_line(typed.raw[: typed.raw.rindex(typed.quote)]).last
    places = [i for i, letter in enumerate(typed.raw) if letter in breaks and typed.raw[i - 1 : i] != "\\"]
    return parsed_line(typed.raw[: places[-1] + 1]).last if places else ""


def parsed_line(line: str) -> TypedLine:
    """A line as its words. It may end inside a quote."""
    words: list[str] = []
    word, start, quote, escaped = None, 0, "", False
    for place, letter in enumerate(line):
        if word is None and not letter.isspace():
            word, start = "", place
        if word is None:
            continue
        if escaped:
            word, escaped = word + letter, False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif letter == quote:
            quote = ""
        elif letter in "'\"" and not quote:
            quote = letter
        elif letter.isspace() and not quote:
            words.append(word)
            word = None
        else:
            word += letter
    return TypedLine(tuple(words), word or "", "" if word is None else line[start:], quote)


# --- What may stand there ---------------------------------------------------------------------------------------------


def _candidates(typed: TypedLine) -> Iterator[Candidate]:
    before, known = typed.words[1:], programs()
    if not before:
        yield from map(Candidate, (*known, "completion", "--help", "--version"))
    elif before[0] == "completion":
        yield from map(Candidate, SHELLS)
    elif before[0] in known:
        yield from _of_program(known[before[0]], before[1:], typed.last)


def _of_program(program: Program, before: Sequence[str], last: str) -> Iterator[Candidate]:
    """The words of one command. before: those between its name and the last word."""
    name, equals, value = last.partition("=")
    if before and before[-1] in FOLDER:
        yield from _paths(last, folders=True)
    elif name in FOLDER and equals:
        yield from (Candidate(f"{name}={one.text}", one.ends) for one in _paths(value, folders=True))
    elif last.startswith("-"):
        sweep = MULTIRUN if program.name == "run" else ()
        yield from map(Candidate, (*sweep, *FOLDER, "--help"))
    elif equals:
        yield from (Candidate(f"{name}={one.text}", one.ends) for one in _values(program, name, value, before))
    else:
        yield from (Candidate(f"{knob}=", ends=False) for knob in _knobs(program, last, before))
        given = sum(1 for word in before if "=" not in word and not word.startswith("-"))
        for knob in POSITIONAL.get(program.name, ())[given : given + 1]:
            yield from _values(program, knob, last, before)


def _knobs(program: Program, last: str, before: Sequence[str]) -> Iterator[str]:
    """The knobs of a command; after `metric.`, those inside the chosen metric."""
    page = _page(program)
    yield from page.names()
    if program.page == "config":
        yield "+experiments"
    for knob in page.knobs():
        if knob.group and last.startswith(f"{knob.name}."):
            chosen = _typed_value(before, knob.name) or knob.default
            path = _conf(before).path(knob.name, f"{chosen}.yaml")
            values = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
            yield from _keys(values.get(knob.name, values), knob.name)  # a file that sets other knobs too names its own


def _keys(values: object, name: str) -> Iterator[str]:
    """The dotted names of the single values inside nested ones."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else None
    if inner is None:
        yield name
    else:
        for key, value in inner:
            yield from _keys(value, f"{name}.{key}")


def _values(program: Program, name: str, value: str, before: Sequence[str]) -> Iterator[Candidate]:
    """The values of a knob; in a sweep, or if the knob takes a list, one more after a comma."""
    bare, conf = name.lstrip("+"), _conf(before)
    several = bare in LISTS or bool(set(MULTIRUN) & set(before))
    head = value[: value.rfind(",") + 1] or value[: value.startswith("[")] if several else ""
    given = head.lstrip("[").split(",")
    words = _words(program, bare, conf)
    yield from (Candidate(head + word, ends=not several) for word in words if word not in given)
    if bare == "trial":
        trials = Path(_typed_value(before, "results") or "results").expanduser() / "trials"
        yield from (Candidate(path.name) for path in sorted(trials.glob("*")))
    if bare in (*FOLDERS, *FILES, "trial") or bare.endswith(".path"):
        yield from _paths(value, folders=bare not in FILES)


def _words(program: Program, knob: str, conf: Conf) -> Sequence[str]:
    """The words that a knob's value is one of; empty if it is a number, a text or a path."""
    known = {one.name: one for one in _page(program).knobs()}
    if knob == "prompts":
        return named_sets(conf)
    if knob == "suite":
        return suite_names(conf)
    if knob in GROUPS or (knob in known and known[knob].group):
        return conf.options(GROUPS.get(knob, knob))
    if knob in known and known[knob].default in ("true", "false"):
        return ("true", "false")
    return WORDS.get(knob, ())


def _paths(typed: str, folders: bool) -> Iterator[Candidate]:
    """The folders, and unless only folders are wanted the files, whose path begins as typed."""
    head, slash, tail = typed.rpartition("/")
    for entry in sorted(os.scandir(Path(f"{head}{slash}" or ".").expanduser()), key=lambda entry: entry.name):
        if entry.name.startswith(".") and not tail.startswith("."):
            continue
        if entry.is_dir():
            yield Candidate(f"{head}{slash}{entry.name}/", ends=False)
        elif not folders:
            yield Candidate(f"{head}{slash}{entry.name}")


def _page(program: Program) -> Page:
    return Page(program.page, usage="", purpose="", examples="")


def _conf(before: Sequence[str]) -> Conf:
    """conf/ and the folders of -cd that are there."""
    typed = [word.partition("=")[2] for word in before if word.partition("=")[0] in FOLDER and "=" in word]
    typed += [folder for flag, folder in pairwise(before) if flag in FOLDER]
    return Conf((OWN, *(Path(folder).expanduser() for folder in typed)))


def _typed_value(before: Sequence[str], knob: str) -> str | None:
    """The last value that was typed for a knob."""
    return next((word.partition("=")[2] for word in reversed(before) if word.startswith(f"{knob}=")), None)
