"""The command that makes the index of a large store, or adds to it what is new.

python -m reno.index results=DIR
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import sys
from collections.abc import Sequence

from reno.config.checks import store_folder
from reno.config.command import run_command
from reno.config.page import Page
from reno.config.words import Words
from reno.letters.output import say, warn
from reno.spec.addresses import named
from reno.spec.errors import BadInput, few, why_not_written

PAGE = Page(
    name="index",
    usage="python -m reno.index [results=DIR]",
    purpose=(
        "Writes what the report needs of each trial into DIR/index, so that a report of many thousand trials does not "
        "open a file for each. The same command again adds what is new. The report reads a trial that has changed, or "
        "that is not in the index, from its own files; the folder index may be removed at any time."
    ),
    examples="exit status  0, or 2 if the store holds no whole trial or the index cannot be written\n",
    texts=("results",),
    resumes=True,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Brings the index up to date. Returns the exit status: 0, 2 or 130."""
    return run_command(PAGE, arguments, _index)


def _index(words: Words) -> int:
    from analysis.data.from_store import index_store
    from reno.config.compose import composed

    root = store_folder("results", composed(PAGE, words).values["results"])
    try:
        before, added, damaged = index_store(root)
    except OSError as error:
        raise BadInput(f"the index of {named(root)} cannot be written ({why_not_written(error)})") from error
    for sentence in few(damaged, "of these"):
        warn(f"left out: {sentence}")
    if not before + added:
        raise BadInput(f"{named(root)} holds no whole trial; give the folder that `python -m reno.run` wrote to")
    say(f"{named(root)}: {added} trials added to the index, {before} were there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
