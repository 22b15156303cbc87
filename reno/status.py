"""The command that says how far the jobs of a store are, from any machine that sees it.

python -m reno.status results=DIR
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
from reno.spec.errors import BadInput, few

PAGE = Page(
    name="status",
    usage="python -m reno.status [results=DIR]",
    purpose=(
        "Says how far the jobs of a store are: what is stored, who runs what now, what failed, what is to do, how long "
        "that takes, and the device hours so far, of GPU or CPU. It reads the store alone and writes nothing into "
        "it, so it answers on any machine that sees the folder."
    ),
    examples="exit status  0 it was read, 2 the folder holds no results, 130 interrupted\n",
    texts=("results",),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line a job. Returns the exit status: 0, 2 or 130."""
    return run_command(PAGE, arguments, _status)


def _status(words: Words) -> int:
    from reno.config.compose import composed
    from reno.screen.status import show_status
    from reno.store.overview import overview
    from reno.store.store import Store

    root = store_folder("results", composed(PAGE, words).values["results"])
    store = Store(root)
    if root.exists() and not root.is_dir():
        raise BadInput(f"{root} is a file; give the folder that `python -m reno.run` writes to: results=DIR")
    if store.copy is None and not root.is_dir():
        raise BadInput(f"there is no folder {root}; give the one that `python -m reno.run` writes to: results=DIR")
    store.catch_up()
    found = overview(root)
    for sentence in few(found.damaged, "damaged ones"):
        warn(f"warning: {sentence}")
    if not found.jobs and any((root / "jobs").glob("*/")):
        say(f"{store.name}: no job has begun yet; one that is starting is shown once its models are loaded")
        return 0
    if not found.jobs:
        raise BadInput(f"{store.name} holds no job; give the folder that `python -m reno.run` writes to: results=DIR")
    show_status(found.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
