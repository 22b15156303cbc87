"""Signals that tell a job to end: from a person, or from a cluster that takes its machine back.

    with ends_when_told() as ending:
        ...                             # a signal raises KeyboardInterrupt here, as Ctrl-C does
    if ending.told:
        ending.queue_again()

SIGTERM, SIGUSR1 and SIGUSR2 end a job as Ctrl-C does: what is finished is stored and leases are given back. submitit
sends SIGUSR2 to its jobs, or SIGUSR1 if SUBMITIT_PREEMPT_SIGNAL says so, some time before their time is up, and has set
up a handler that puts the job back into the queue and ends the process at once. That handler is called last.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from reno import ENDING, is_of_a_command

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""What a cluster sends to announce the end."""
_ENGINE = "SUBMITIT_EXECUTOR"
"""The environment variable that submitit sets in its jobs."""


class Ending:
    """Hears the signals that end a job. The first one raises KeyboardInterrupt; what is said again changes nothing,
    since a cluster sends SIGTERM too while the job is ending."""

    def __init__(self) -> None:
        self.told: int | None = None
        """The signal that told the job to end."""
        self.engine: Callable[[int, FrameType | None], object] | None = None
        """The handler of the engine that runs the job, which can queue it again."""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.told is None:
            self.told = number
            raise KeyboardInterrupt

    @property
    def may_queue_again(self) -> bool:
        """Whether the engine has announced the end, and not asked for it. After SIGTERM it was the engine itself, or a
        person, who took the job away."""
        return self.told in WARNINGS and self.engine is not None

    def queue_again(self) -> None:
        """Has the engine put the job back into its queue, and ends the process. Returns if the engine does not: the
        time of such a job was up too often."""
        if not self.may_queue_again:
            return
        with contextlib.suppress(Exception):
            self.engine(self.told, None)


@contextlib.contextmanager
def ends_when_told() -> Iterator[Ending]:
    """Hears signals until the end of the block. Of two such blocks, one within the other, the outer one hears them."""
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending  # only the main thread gets signals
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    outer = next((handler for handler in before.values() if isinstance(handler, Ending)), None)
    if outer is not None:
        yield outer
        return
    if _ENGINE in os.environ:
        heard = (before[number] for number in WARNINGS if not is_of_a_command(before[number]))
        ending.engine = next(filter(callable, heard), None)
    for number in before:
        signal.signal(number, ending)
    try:
        yield ending
    finally:
        for number, handler in before.items():  # a command that was told ends now, whatever else it is told
            told_to_end = ending.told is not None and is_of_a_command(handler)
            signal.signal(number, signal.SIG_IGN if told_to_end else handler)
