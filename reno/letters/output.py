"""The terminal, or whatever else reads the output. Every line of every command is printed by `say` or `warn`.

    ready()                     # first thing in a command
    say("12 trials are stored")
    warn("error: ...")

A line may hold anything, in any encoding: what the encoding lacks gets a stand-in, what would steer the terminal is
shown. Output that cannot be written (a closed pipe as with `| head`, a full disk) costs only the output.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata
from typing import TextIO

from reno.letters.harmless import visible

ERRORS = "reno-stand-in"
STAND_INS = {
    "→": "->", "←": "<-", "±": "+-", "·": "-", "•": "*", "…": "...", "−": "-", "–": "-", "—": "--", "×": "x",
    "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "†": "*", "²": "^2",
    "³": "^3", "\xa0": " ", "\u202f": " ", "\u2009": " ",
}  # fmt: skip
"""For this program's own signs, where the encoding lacks them."""


def ready() -> None:
    """Makes stdout and stderr take any text. A stream that the shell has closed (`>&-`) is opened on nothing: else the
    next file that is opened, perhaps a result, would get its number and whatever a library prints."""
    codecs.register_error(ERRORS, _stand_in)
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(free)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (it lives as long as the process)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def say(line: str = "") -> None:
    """Prints one line to stdout, at once."""
    _write(sys.stdout, visible(line))


def warn(line: str) -> None:
    """Prints one line to stderr."""
    _write(sys.stderr, visible(line))


def say_page(text: str) -> None:
    """Prints a text of several lines to stdout."""
    _write(sys.stdout, visible(text, keep="\n\t"))


def warn_page(text: str) -> None:
    """Prints a text of several lines, such as a traceback, to stderr."""
    _write(sys.stderr, visible(text, keep="\n\t"))


def silence(stream: TextIO | None) -> None:
    """Sends everything that is printed to this stream from here on to nowhere."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream without a file has nothing to redirect
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    try:
        print(text, file=stream, flush=True)
    except OSError:  # BrokenPipeError is one
        silence(stream)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """The error handler of both streams: ASCII for what the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(char: str) -> str:
    """A sign that reads alike, else the escape of the character, `\\xe9` or `\\u8f66`."""
    if char in STAND_INS:
        return STAND_INS[char]
    if "\u2500" <= char <= "\u257f":  # frames of tables, and bars
        name = unicodedata.name(char)
        return "-" if "HORIZONTAL" in name or name.endswith(("LEFT", "RIGHT")) else "|" if "VERTICAL" in name else "+"
    if "\u2580" <= char <= "\u259f":
        return "#"
    if "\u2800" <= char <= "\u28ff":  # what turns while something is waited for
        return "*"
    return char.encode("ascii", "backslashreplace").decode()
