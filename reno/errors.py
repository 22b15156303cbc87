"""What a user did wrong, what they may have meant, and what other libraries' errors say of it."""


class BadInput(ValueError):
    """What the user asked for cannot be done; the message is one sentence that says what to type instead.

    Ends the command with exit status 2, before anything is written.
    """


def first_line(error: BaseException) -> str:
    """What another library's error says, cut to one sentence's part: its first line, without the full stop; its type
    where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")


def typed_line(error: BaseException) -> str:
    """The first line with the error's type before it, for an error that nobody foresaw."""
    line, name = first_line(error), type(error).__name__
    return name if line == name else f"{name}: {line}"


def did_you_mean(word: str, known: list[str]) -> str:
    """`; did you mean X?` for the known word nearest to `word`, or an empty string."""
    import difflib

    near = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
