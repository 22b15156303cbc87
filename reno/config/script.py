"""What the scripts and the bench share: options of argparse, one sentence for an error, and the exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from reno import raise_on_interrupt, was_interrupted
from reno.config.checks import at_home
from reno.letters.output import ready, silence, warn
from reno.spec.errors import INTERRUPTED, REFUSED, BadInput

STOPPED = "interrupted; the same command goes on where this one stopped"


class Options(argparse.ArgumentParser):
    """A parser that answers a wrong option with one sentence."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; --help lists the options")


def run_script(act: Callable[[], int], stopped: str = STOPPED) -> int:
    """Calls `act`, which parses and does everything. Returns the exit status: that of `act`, 2 if the input cannot be
    used, 130 if the user stopped it. Raises an error that is not the user's.

    stopped: what Ctrl-C prints."""
    ready()
    raise_on_interrupt()
    try:
        return act()
    except BrokenPipeError:  # the reader of the output has closed it, as `| head` does
        silence(sys.stdout)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or was_interrupted():
            warn(stopped)
            return INTERRUPTED
        sentence = _sentence(error)
        if sentence is None:
            raise
        warn(f"error: {sentence}")
        return REFUSED


def _sentence(error: Exception) -> str | None:
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used ({error.strerror}); give another"
    return None


def whole(least: int, most: float = float("inf")) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` to `most`."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            up_to = f" to {most}" if most < float("inf") else " or more"
            raise argparse.ArgumentTypeError(f"must be a whole number, {least}{up_to}, not {text!r}")
        return number

    return read


def threads(text: str) -> int:
    """The type of an option that takes a number of CPU threads: at most the machine's cores."""
    return whole(1, os.cpu_count() or 1)(text)


def a_path(text: str) -> Path:
    """The type of an option that takes a file or folder. An empty one would be the working directory."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be a path, not {text!r}")
    try:
        return at_home("", text)
    except BadInput as error:  # argparse puts the option before the sentence, where a knob would stand
        raise argparse.ArgumentTypeError(str(error).lstrip("= ")) from None
