"""What all commands share: the help, one sentence for an error, and the exit status."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Sequence

from reno import raise_on_interrupt, was_interrupted
from reno.config.conf import Conf
from reno.config.page import Page
from reno.config.programs import as_called
from reno.config.script import STOPPED
from reno.config.words import Words, parse
from reno.letters.output import ready, say_page, silence, warn, warn_page
from reno.spec.errors import INTERRUPTED, REFUSED, typed_line


def run_command(page: Page, arguments: Sequence[str] | None, act: Callable[[Words], int]) -> int:
    """Parses the arguments and calls `act`, or prints the help if they ask for it. Returns the exit status: that of
    `act`, 1 after an unexpected error, 2 if the input cannot be used, 130 if the user stopped the command.

    arguments: None for those of the process.
    """
    ready()
    words = None
    raise_on_interrupt()
    try:
        words = parse(page, sys.argv[1:] if arguments is None else arguments)
        if words.help:
            say_page(as_called(page.help(words.conf, shutil.get_terminal_size((110, 40)).columns)))
            return 0
        for sentence in words.overruled():
            warn(f"warning: {sentence}")
        return act(words)
    except KeyboardInterrupt:
        return _interrupted(page)
    except BrokenPipeError:  # the reader of the output has closed it, as `| head` does
        silence(sys.stdout)
        return 0
    except Exception as error:
        if was_interrupted():
            return _interrupted(page)
        from reno.config.compose import explain  # Hydra is slow to import, and --help does not need it

        sentence = explain(error, page, words.conf if words else Conf())
        return warn_of(error, sentence, debug=words is not None and words.debug)


def _interrupted(page: Page) -> int:
    warn(STOPPED if page.resumes else "interrupted")
    return INTERRUPTED


def warn_of(error: BaseException, sentence: str | None, where: str = "", debug: bool = False) -> int:
    """Prints what went wrong, and the lines that belong to it. Returns the exit status.

    sentence: what the user did wrong; None for an error that is not the user's. where: the job, before the sentence.
    debug: whether the traceback is printed first."""
    if debug:
        warn_page("".join(traceback.format_exception(error)))
    warn(f"error: {where}{as_called(sentence or f'{typed_line(error)}; add debug=true for the traceback')}")
    for line in getattr(error, "details", ()):
        warn(f"  {line}")
    return 1 if sentence is None else REFUSED
