"""What a user did wrong, and what they may have meant."""


class BadInput(ValueError):
    """What the user asked for cannot be done; the message is one sentence that says what to type instead.

    Ends the command with exit status 2, before anything is written.
    """


def did_you_mean(word: str, known: list[str]) -> str:
    """`; did you mean X?` for the known word nearest to `word`, or an empty string."""
    import difflib

    near = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
