"""The terminal, or whatever else reads the output: a reader that closes it, as `| head` does, costs only the output."""

from __future__ import annotations

import os
import sys

from rich.console import Console


class PatientConsole(Console):
    """A console that goes on in silence when its reader has closed the output. rich's own ends the process."""

    def on_broken_pipe(self) -> None:
        silence()


def silence() -> None:
    """Sends everything printed from here on to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def say(line: str) -> None:
    """Prints a line at once."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        silence()
