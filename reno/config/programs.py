"""The commands by name, and what help and messages call them.

A message says `python -m reno.run`, which works wherever the bench can be imported. If the user typed `reno run`, the
message says that instead: `reno/__main__.py` opens `called_as`, and who prints for the user calls `as_called`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """One command."""

    name: str
    """What follows `reno`."""
    module: str
    """What follows `python -m`. Its `main(arguments)` returns the exit status."""
    page: str
    """Its file in conf/, without the suffix."""
    does: str

    @property
    def entry(self) -> str:
        """The module that has `main`."""
        return self.module if self.module.startswith("reno.") else f"{self.module}.__main__"


PROGRAMS = (
    Program("run", "reno.run", "config", "runs a job, or the jobs of a sweep"),
    Program("evaluate", "reno.evaluate", "evaluate", "lets another judge look at stored trials"),
    Program("status", "reno.status", "status", "says how far the jobs of a store are, and who runs them"),
    Program("merge", "reno.merge", "merge", "joins the stores of several machines"),
    Program("index", "reno.index", "index", "makes an index of a large store, so that its report reads it in minutes"),
    Program("reproduce", "reno.reproduce", "reproduce", "runs a stored trial again and compares the two results"),
    Program("memory", "reno.memory", "config", "predicts a job's memory, and which cards have enough"),
    Program("check", "reno.check", "check", "checks that the models are read right, against published values"),
    Program(
        "convert", "reno.convert", "convert", "makes a checkpoint's folder of weights that are published as a pickle"
    ),
    Program("report", "analysis", "report", "makes the report of what is stored: page, PDF, tables, figures, verdicts"),
)

_called: ContextVar[str | None] = ContextVar("called", default=None)


def programs() -> dict[str, Program]:
    """The commands that are there, by name. None of them is imported."""
    return {one.name: one for one in PROGRAMS if importlib.util.find_spec(one.module)}


@contextlib.contextmanager
def called_as(program: str) -> Iterator[None]:
    """Within it, a command is called as in `reno run`, with `program` before its name."""
    token = _called.set(program)
    try:
        yield
    finally:
        _called.reset(token)


def as_called(text: str) -> str:
    """A text in which each command is called as the user called this one."""
    program = _called.get()
    if program is None:
        return text
    names = {one.module: one.name for one in PROGRAMS}
    own = "|".join(re.escape(module) for module in names if module.startswith("reno."))
    found = rf"(?<![\w./-])(?:python -m ({'|'.join(map(re.escape, names))})|({own}))(?![\w/-]|\.\w)"
    return re.sub(found, lambda match: f"{program} {names[match[1] or match[2]]}", text)
