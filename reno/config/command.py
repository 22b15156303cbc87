"""What every command does with its words: help, one sentence for what cannot be used, and the exit status."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Sequence

from reno.config.conf import Conf
from reno.config.page import Page
from reno.config.words import Words, parse

REFUSED = 2
"""Exit status of input that cannot be used."""
INTERRUPTED = 130
"""Exit status of a command that the user stopped, as a shell has it for SIGINT."""


def run_command(page: Page, arguments: Sequence[str] | None, act: Callable[[Words], int]) -> int:
    """Parses the words, or prints the help they ask for, and answers with what `act` does: its exit status, 1 where an
    unexpected error stopped it, 2 for input that cannot be used, 130 where the user stopped it.

    arguments: None for those of the process.
    """
    words = None
    try:
        words = parse(page, sys.argv[1:] if arguments is None else arguments)
        if words.help:
            print(page.help(words.conf, shutil.get_terminal_size((110, 40)).columns))
            return 0
        return act(words)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        from reno.config.compose import explain  # Hydra is slow to import, and --help does not need it

        if words is not None and words.debug:
            traceback.print_exc()
        sentence = explain(error, page, words.conf if words else Conf())
        print(f"error: {sentence or unforeseen(error)}", file=sys.stderr)
        return 1 if sentence is None else REFUSED


def unforeseen(error: BaseException) -> str:
    """The sentence for an error that is not the user's."""
    return f"{type(error).__name__}: {error}; add debug=true for the traceback"
