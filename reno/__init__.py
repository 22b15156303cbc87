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
_heard = False


def end_on_interrupt() -> None:
    """Lets Ctrl-C end the process with one line. A command calls it before its imports, which take a while, because an
    import that is interrupted may end in any error."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where Ctrl-C is ignored, as by nohup
        signal.signal(signal.SIGINT, _end)


def raise_on_interrupt() -> None:
    """Lets Ctrl-C raise KeyboardInterrupt again, in a process that called end_on_interrupt."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _raise)


def was_interrupted() -> bool:
    """Whether Ctrl-C was heard, whatever a library made of the KeyboardInterrupt."""
    return _heard


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before anything was done\n")
    os._exit(INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    global _heard
    _heard = True
    raise KeyboardInterrupt
