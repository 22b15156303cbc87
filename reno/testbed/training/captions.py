"""Captions as noisy as the web's, for the metrics. CLIP's and BLIP's strengths and weaknesses come from their captions.

A caption says what a picture shows, in any order, sometimes after "a photo of". Some lose words, some mention only some
of the things, and some have the attributes out of order: on the wrong noun, or all of them after the nouns. What a
caption claims is kept beside its text, so a true statement is never used as a false one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from reno.spec.prompts import with_article
from reno.testbed.world import COLORS, OBJECTS, TAUGHT_COLORS, TAUGHT_OBJECTS, allowed, caption

Pairs = Sequence[tuple[str | None, str]]
"""(colour, object) of one to three things; None for a colour without a name."""


@dataclass(frozen=True)
class CaptionNoise:
    """How many captions have which fault, as shares."""

    dropped: float = 0.20
    """Lose one or two words: colours, nouns or articles."""
    jumbled: float = 0.14
    """Of the captions of two or three things: half of these have each colour on the next noun, half list the nouns and
    then the colours."""
    partial: float = 0.15
    """Of the pictures of two or three things: mention only some of them."""
    prefixed: float = 0.15
    """Begin with "a photo of"."""


NOISE = CaptionNoise()
CURATED = CaptionNoise(dropped=0.10, jumbled=0.02)
"""For the last lesson, as BLIP's checkpoints are tuned on curated captions in the end. If one caption in n has its
colours on the wrong nouns, a score cannot learn to place a swapped picture more than log n below the right one."""


@dataclass(frozen=True)
class Caption:
    text: str
    claims: tuple[tuple[str, str], ...]
    """The (colour, object) pairs that the text claims, before words were lost."""


def noisy(rng: random.Random, pairs: Pairs, noise: CaptionNoise = NOISE) -> Caption:
    """A caption of a picture that shows these pairs."""
    pairs = rng.sample(list(pairs), len(pairs))
    if len(pairs) > 1 and rng.random() < noise.partial:
        pairs = pairs[: rng.randint(1, len(pairs) - 1)]
    apart = False
    if len(pairs) > 1 and rng.random() < noise.jumbled:
        apart = rng.random() < 0.5
        pairs = pairs if apart else rotated(pairs)
    text = colors_apart(rng, pairs) if apart else caption(pairs)
    if rng.random() < noise.dropped:
        text = with_words_lost(rng, text)
    if rng.random() < noise.prefixed:
        text = f"a photo of {text}"
    return Caption(text, tuple(pairs))


def exact(rng: random.Random, pairs: Pairs, noise: CaptionNoise = NOISE) -> Caption:
    """All of the pairs, in any order, and nothing wrong."""
    pairs = rng.sample(list(pairs), len(pairs))
    prefix = "a photo of " if rng.random() < noise.prefixed else ""
    return Caption(prefix + caption(pairs), tuple(pairs))


def false(rng: random.Random, pairs: Pairs) -> list[tuple[str, str]]:
    """Pairs that differ from what is shown by swapped colours, one other colour or one other object, a third of the
    time each where it is possible. Training may name them."""
    ways = [replacements(pairs, "color"), replacements(pairs, "object")]
    if len({color for color, _ in pairs}) > 1:
        ways.append([rotated(pairs)])
    return rng.choice(rng.choice([way for way in ways if way]))


def replacements(pairs: Pairs, what: str) -> list[list[tuple[str, str]]]:
    """The pairs with one "color" or "object" (`what`) replaced by one that is not shown, as far as training may show
    them. The replacement is one of the world's words if all of the pairs' words are, else any word that is taught."""
    own = all(color in (None, *COLORS) and name in OBJECTS for color, name in pairs)
    colors, objects = (COLORS, OBJECTS) if own else (TAUGHT_COLORS, TAUGHT_OBJECTS)
    found = []
    for at, (color, name) in enumerate(pairs):
        if what == "color" and not color:
            others = []
        elif what == "color":
            others = [(other, name) for other in colors if other not in {color for color, _ in pairs}]
        else:
            others = [(color, other) for other in objects if other not in {name for _, name in pairs}]
        changed = [[*pairs[:at], other, *pairs[at + 1 :]] for other in others]
        found += [one for one in changed if allowed(one)]
    return found


def rotated(pairs: Pairs) -> list[tuple[str, str]]:
    """Each colour on the next noun: with two things, their colours swapped."""
    return [(color, pairs[(i + 1) % len(pairs)][1]) for i, (color, _) in enumerate(pairs)]


def colors_apart(rng: random.Random, pairs: Pairs) -> str:
    """Nouns, then colours: "a car and a cup, red and blue"."""
    colors = [color for color, _ in rng.sample(list(pairs), len(pairs)) if color]
    nouns = " and ".join(with_article(name) for _, name in pairs)
    return f"{nouns}, {' and '.join(colors)}" if colors else nouns


def with_words_lost(rng: random.Random, text: str) -> str:
    """One word fewer, or two; at least one is left."""
    words = text.split()
    for _ in range(rng.choice((1, 1, 2))):
        if len(words) > 1:
            del words[rng.randrange(len(words))]
    return " ".join(words)
