"""A benchmark of ReNO: which metric makes a one-step text-to-image model bind attributes to objects?"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType

__version__ = "0.1.0"

PACKAGE = Path(__file__).resolve().parent
INSTALLED = (PACKAGE / "conf" / "config.yaml").is_file()
"""Whether this is an installed copy, and not the checkout. A wheel holds conf/ and experiments/ inside the package;
beside it, another package's conf/ could be in their way."""
HOME = PACKAGE if INSTALLED else PACKAGE.parent
"""The folder that holds conf/ and experiments/."""


def cache_folder() -> Path:
    """The folder of what this program keeps for its next run: $RENO_CACHE, else reno-bench/ under $XDG_CACHE_HOME or
    ~/.cache."""
    own = os.environ.get("RENO_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reno-bench"


INTERRUPTED = 130
"""Exit status of a command that the user stopped, as a shell has it for SIGINT."""
ENDING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What ends a command as Ctrl-C does: a cluster sends it before it takes a machine back."""
_heard = False


def end_on_interrupt() -> None:
    """Lets Ctrl-C, and a signal of ENDING, end the process with one line. A command calls it before its imports, which
    take a while, because an import that is interrupted may end in any error."""
    for number in (signal.SIGINT, *ENDING):
        if signal.getsignal(number) in (
            signal.default_int_handler,
            signal.SIG_DFL,
        ):  # not where it is ignored, as by nohup
            signal.signal(number, _end)


def raise_on_interrupt() -> None:
    """Lets Ctrl-C raise KeyboardInterrupt again, and a signal of ENDING too, in a process that called
    end_on_interrupt."""
    for number in (signal.SIGINT, *ENDING):
        if signal.getsignal(number) is _end:
            signal.signal(number, _raise)


def is_of_a_command(handler: object) -> bool:
    """Whether a signal's handler is the one of a process that called end_on_interrupt."""
    return handler in (_end, _raise)


def was_interrupted() -> bool:
    """Whether Ctrl-C was heard, whatever a library made of the KeyboardInterrupt."""
    return _heard


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before anything was done\n")
    os._exit(INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    global _heard
    _heard = True
    if number in ENDING:  # a cluster sends several
        for one in ENDING:
            signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt
