"""How far a long reading is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reno.letters.amounts import duration
from reno.letters.console import PatientConsole
from reno.letters.output import warn

T = TypeVar("T")
SHORT, LINE_EVERY = 2.0, 30.0
"""Seconds that pass without a word, and between two lines if stderr is not a terminal."""


def counted(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yields the items, and shows on stderr how many of `total` have come: a live bar on a terminal, elsewhere a line
    now and then. what: the items in words, such as `trials read`."""
    console = PatientConsole(stderr=True, soft_wrap=False)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.live)
    task = bar.add_task(what, total=total)
    started = told = time.monotonic()
    shown = False
    try:
        for number, item in enumerate(items):
            now = time.monotonic()
            if console.live:
                bar.update(task, completed=number)
                if not shown and now - started > SHORT:
                    bar.start()
                    shown = True
            elif now - told > LINE_EVERY:
                told = now
                left = (now - started) * max(0, total - number) / number if number else 0.0
                warn(f"  {number} of {total} {what}, about {duration(left)} left")
            yield item
    finally:
        if shown:
            bar.stop()
