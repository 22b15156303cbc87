"""What the words of the report mean, each said where a reader meets it."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.data.results import TYPED

WORDS = {
    "binding": "an attribute and its object, as in “a red car”; it holds if the object is there and has the attribute",
    "fully bound": "every binding of the prompt holds in the image",
    "objects there": "the share of the asked objects that are in the image",
    "attributes there": "the share of the asked attributes that are in the image, on anything",
    "bound, of objects there": "of the objects that are in the image, the share that has its attribute",
    "both there, not together": "the object and the attribute are both in the image, but the attribute is on something "
    "else",
    "own": "a number of noises with “own”: each prompt starts from noises of its own, which no other prompt has",
    "sd": "standard deviation of a metric's score over the initial images",
    "†": "the judge and an optimised metric are related models, such as two BLIPs: the judge may favour that metric",
    "(=)": "every prompt has the same value, so that there is no interval",
    "win / tie / loss": "pairs of trials in which the first is better, equal or worse",
}
"""By the word as tables have it."""


def of_prompts(prompt_set: str, count: int) -> str:
    """A prompt set and how many prompts of it there are: `16 prompts of pairs_dev`, `2 typed prompts`."""
    prompts = "prompt" if count == 1 else "prompts"
    return f"{count} typed {prompts}" if prompt_set == TYPED else f"{count} {prompts} of {prompt_set}"


def explained(texts: Iterable[str]) -> dict[str, str]:
    """Of WORDS, those that occur in these texts."""
    text = "\n".join(texts)
    return {word: meaning for word, meaning in WORDS.items() if word in text}


def meaning_of(column: str) -> str:
    """What a table's column means; empty if its name says all."""
    return next((meaning for word, meaning in WORDS.items() if word in column and len(word) > 3), "")
