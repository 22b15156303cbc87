"""The console script `reno`: one program with every command. `python -m reno` is the same.

reno run -m metric=clip,blip lr=0.01,0.05     what `python -m reno.run` does
reno report results=DIR out=DIR               what `python -m analysis` does
reno completion bash                          prints what makes <TAB> complete commands, knobs, choices and paths
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import reno
from reno.config.completion import SHELLS, completions, script
from reno.config.programs import called_as, programs
from reno.letters.output import ready, say, say_page, warn
from reno.spec.errors import INTERRUPTED, REFUSED, did_you_mean

COMPLETION = "completion"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the first word names. Returns its exit status; 2 if there is no such command.

    arguments: None for those of the process.
    """
    if arguments is None:
        reno.end_on_interrupt()  # until the command's modules are imported
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    program = "python -m reno" if Path(sys.argv[0]).name == "__main__.py" else "reno"
    ready()
    try:
        return _dispatch(program, arguments)
    except KeyboardInterrupt:  # while a command is being imported
        warn("interrupted")
        return INTERRUPTED


def _dispatch(program: str, arguments: Sequence[str]) -> int:
    name, *rest = arguments or ["--help"]
    known = programs()
    if name in known:
        with called_as(program):
            return importlib.import_module(known[name].entry).main(rest)
    if name in ("-h", "--help"):
        say_page(_help(program))
    elif name == "--version":
        say(f"reno-bench {reno.__version__}")
    elif name == COMPLETION:
        return _complete(program, rest)
    else:
        warn(f"error: {_refusal(program, name, [*known, COMPLETION])}")
        return REFUSED
    return 0


def _help(program: str) -> str:
    lines = [f"usage: {program} COMMAND [knob=value ...]", "", reno.__doc__, ""]
    lines += [f"  {one.name:<12} {one.does}" for one in programs().values()]
    lines += [
        f"  {COMPLETION:<12} prints what makes <TAB> complete a line: {program} {COMPLETION} {'|'.join(SHELLS)}",
        "",
        f"{program} COMMAND --help explains every knob of a command. Results go to results/ in the current folder.",
    ]
    if reno.INSTALLED:
        lines.append("The targets of make, benchmarks/, scripts/ and the tests are in a checkout only.")
    return "\n".join(lines)


def _refusal(program: str, word: str, known: Sequence[str]) -> str:
    if word.startswith("-") or "=" in word:
        return f"{word} stands where a command is due; write {program} run {word} ..., or another of {', '.join(known)}"
    return f"{word} is not a command of {program}; use {', '.join(known)}{did_you_mean(word, known)}"


def _complete(program: str, words: Sequence[str]) -> int:
    """Prints a shell's script; with the typed line as a second word, what may stand at its end."""
    shell, *typed = words or [""]
    if shell not in SHELLS:
        said = f"{shell} is not a shell that is known here" if shell else "a shell is missing"
        warn(f"error: {said}; write {program} {COMPLETION} {' or '.join(SHELLS)}")
        return REFUSED
    if typed:
        if found := list(completions(typed[0], shell, *typed[1:2])):
            say_page("\n".join(found))
    else:
        say_page(script(shell).rstrip("\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
