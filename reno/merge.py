"""The command that joins the stores of machines that never met.

python -m reno.merge A B C results=ALL
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import sys
from collections.abc import Sequence
from pathlib import Path

from reno.config.checks import distinct, store_folder
from reno.config.command import run_command
from reno.config.page import Page
from reno.config.words import Words
from reno.letters.output import say, warn
from reno.spec.addresses import address_of, named
from reno.spec.errors import BadInput, few, why_not_written

PAGE = Page(
    name="merge",
    usage="python -m reno.merge STORE [STORE ...] results=DIR",
    purpose=(
        "Joins the stores of several machines: trials, later judgements and jobs. Every byte is compared with what was "
        "written. The stores are only read; files are hard links where the disk is the same. What results=DIR holds "
        "already stays: a trial with the same id and another result is a conflict, and is named. The same command "
        "again does what is missing."
    ),
    examples="""\
examples
  python -m reno.merge colab_1 colab_2 results=all
  python -m reno.status results=all                             how far the study is

exit status  0 all is joined, 1 conflicts or damaged trials were left out, or some could not be sent,
             2 the input cannot be used, 130 interrupted
""",
    all_words="stores",
    texts=("results",),
    resumes=True,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Joins the stores. Returns the exit status: 0, 1, 2 or 130."""
    return run_command(PAGE, arguments, _merge)


def _merge(words: Words) -> int:
    from reno.config.compose import composed
    from reno.store.files import FILES
    from reno.store.merging import Merged, merge
    from reno.store.store import Store

    values = composed(PAGE, words).values
    sources, target = _asked(values["stores"], values["results"])
    store, merged = Store(target), Merged()
    store.catch_up()
    store.prepare()
    try:
        for source in sources:
            Store(source).catch_up(files=FILES)
            merge(source, store, merged)
    except OSError as error:
        why = f"{store.name} does not get all of {named(source)} ({why_not_written(error)})"
        raise BadInput(f"{why}; the same command goes on when that is mended") from error
    store.catch_up()  # what was added waits to be sent
    unsent = store.send()
    for sentence in (*few(merged.damaged, "that cannot be used"), *few(merged.conflicts, "conflicts"), *unsent):
        warn(f"warning: {sentence}")
    say(
        f"{store.name}: {merged.trials} trials, {merged.judgements} judgements and {merged.jobs} jobs added, "
        f"{merged.there} were there, {len(merged.conflicts)} conflicts, {len(merged.damaged)} damaged"
    )
    return 1 if merged.conflicts or merged.damaged or unsent else 0


def _asked(stores: object, results: object) -> tuple[list[Path], Path]:
    """The stores to join, and where. Raises BadInput."""
    from reno.store.merging import is_store

    listed = stores if isinstance(stores, list) else [stores]
    if not listed:
        raise BadInput(f"no store is named; type {PAGE.usage}")
    if results is None:
        raise BadInput(f"results is empty; name the folder that gets what the stores hold: {PAGE.usage}")
    sources = distinct("stores", [store_folder("stores", one) for one in listed])
    target = store_folder("results", results)
    for source in sources:
        if address_of(source) is None and not is_store(source):
            raise BadInput(f"{source} is no store: it has no folder trials; give a folder that reno.run wrote to")
        if source == target or (target.exists() and source.exists() and source.samefile(target)):
            raise BadInput(
                f"{named(source)} is the store of results=; leave it out of the stores: it keeps what it holds"
            )
        if source.resolve() in target.resolve().parents:
            raise BadInput(
                f"results={named(target)} lies in the store {named(source)}; give a folder outside the stores"
            )
    return sources, target


if __name__ == "__main__":
    sys.exit(main())
