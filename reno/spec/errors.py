"""The error for bad input, and words for messages: a similar known word, the message of another error, the first of
many sentences."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence

from reno import INTERRUPTED

__all__ = [
    "INTERRUPTED",
    "REFUSED",
    "TYPO",
    "BadInput",
    "did_you_mean",
    "few",
    "first_line",
    "reason",
    "typed_line",
]

REFUSED = 2
"""Exit status of input that cannot be used."""


class BadInput(ValueError):
    """The user asked for something that cannot be done. The message is one sentence that says what to type instead.

    It ends the command with exit status 2, before anything is written.
    """

    def __init__(self, sentence: str, details: Sequence[str] = ()):
        """details: lines that are printed below the sentence, such as each prompt that it speaks of."""
        super().__init__(sentence)
        self.details = tuple(details)


def first_line(error: BaseException) -> str:
    """The first line of an error's message without its full stop; the error's type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")


def typed_line(error: BaseException) -> str:
    """The first line with the error's type before it, for an unexpected error."""
    line, name = first_line(error), type(error).__name__
    return name if line == name else f"{name}: {line}"


def few(sentences: Sequence[str], what: str, most: int = 10) -> list[str]:
    """The first of these sentences, and how many more of what there are."""
    rest = len(sentences) - most
    return [*sentences[:most], *([f"... and {rest} more {what}"] if rest > 0 else [])]


def reason(error: BaseException) -> str:
    """Why something failed: the sentence of a BadInput, the typed first line of any other error."""
    return str(error) if isinstance(error, BadInput) else typed_line(error)


def why_not_written(error: BaseException) -> str:
    """Why a file could not be written: what the system says, such as `No space left on device`."""
    return getattr(error, "strerror", None) or first_line(error)


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or the user's share of it, has no space left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


TYPO = 0.7
"""How like a known word a prompt's own must be to be a misspelt one: `bnech` is bench, but a sofa is no star."""


def did_you_mean(word: object, known: Iterable[object], likeness: float = 0.5) -> str:
    """`; did you mean 'X'?` for the known word closest to `word`, or an empty string if none is close. likeness: the
    least, by difflib, 0 to 1."""
    near = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=likeness)
    return f"; did you mean {near[0]!r}?" if near else ""
