"""The answer in five sentences, generated from the claims: never more than they say."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.claims import STATEMENTS, Claim
from analysis.load import Results
from analysis.outcomes import Slice
from analysis.report.words import listed
from analysis.tables.table import bracketed
from analysis.text import number

MADE_UP = {
    "testbed": "the embedded models, a small made-up world, which says nothing direct about real models",
    "synthetic": "no generator at all: a script made them up to try the analysis, and they say nothing about any model",
}
"""Generators that are no real model, and what that means."""


def answer(results: Results, slices: Sequence[Slice], found: Sequence[Claim]) -> list[str]:
    """Five sentences: what was measured and how it moved; the claims, one or two a sentence; what it rests on.

    They are of the generator, prompt set and judge with the most prompts, of a judge kin to neither metric if there is
    one; the last sentence says whether the others agree."""
    main = _main(found)
    a, b, c, d = main
    return [
        _moved(a),
        f"{_verdict(a)}{_beside(a)}.",
        f"{_verdict(b)}{_difference(b)}.",
        f"{_verdict(c)}{_difference(c)}; {_verdict(d, start=False)}{_difference(d)}.",
        _rests(results, slices, found, main),
    ]


def about(found: Sequence[Claim]) -> tuple[str, str, str]:
    """The generator, prompt set and judge that the answer is about."""
    first = _main(found)[0]
    return first.models, first.prompt_set, first.judge


def _main(found: Sequence[Claim]) -> list[Claim]:
    """The four claims that the answer is about."""
    places = list(dict.fromkeys((one.models, one.prompt_set, one.judge) for one in found))

    def merit(place: tuple) -> tuple:
        own = [one for one in found if (one.models, one.prompt_set, one.judge) == place]
        prompts = max((part.effect.prompts for one in own for part in one.parts), default=0)
        made_up = own[0].models in MADE_UP or any(one.why_not == "some weights are random" for one in own)
        return not made_up, bool(place[2]), not any(one.kin for one in own), prompts

    best = max(places, key=merit)
    return sorted((one for one in found if (one.models, one.prompt_set, one.judge) == best), key=lambda one: one.key)


def _moved(a: Claim) -> str:
    """How the share of images with every binding right moved with each metric."""
    where = f"On {a.models}, prompts {a.prompt_set}"
    moves = [
        f"from {number(part.effect.b)} to {number(part.effect.a)} with {part.metric.upper()} "
        f"(change {bracketed(part.effect.difference)}, {part.effect.prompts} prompts)"
        for part in a.parts
    ]
    if not moves:
        why = a.why_not or "there is nothing to compare"
        return f"{where}, nothing can be said of binding: {why}."
    return f"{where}, ReNO moves the share of images with every binding right, as {a.judge} judges, {listed(moves)}."


def _verdict(claim: Claim, start: bool = True) -> str:
    why = f" ({claim.why_not})" if claim.why_not else ""
    return f"{'That' if start else 'that'} {STATEMENTS[claim.key][0]} is {claim.verdict}{why}"


def _difference(claim: Claim) -> str:
    """The quantities that decide it."""
    parts = [f"{part.quantity}: {bracketed(part.effect.difference)}" for part in claim.parts]
    return f" ({'; '.join(parts)})" if parts else ""


def _beside(a: Claim) -> str:
    """Whether the gradient did more than as many images drawn at random would."""
    if not a.beside:
        return ""
    parts = [f"{part.metric.upper()} {bracketed(part.effect.difference)}: {part.verdict}" for part in a.beside]
    return f"; that it does so by more than best of n at as many images is another matter ({'; '.join(parts)})"


def _rests(results: Results, slices: Sequence[Slice], found: Sequence[Claim], main: Sequence[Claim]) -> str:
    first = main[0]
    trials = results.trials
    count = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    text = f"All this rests on {count} of {_made_on(first, slices)}"
    if results.lacking:
        counts = listed([f"{count} {state}" for state, count in results.lacking.items()])
        text += f"; of those planned, {counts} and are not in it"
    others = [one for one in found if one not in main]
    if others:
        same = {one.key: one.verdict for one in main}
        agree = sum(one.verdict == same[one.key] for one in others)
        text += f"; on the other prompt sets, judges or generators {agree} of {len(others)} verdicts are the same"
    return f"{text}."


def _made_on(first: Claim, slices: Sequence[Slice]) -> str:
    if any(one.random_weights for one in slices if one.models == first.models):
        return f"{first.models}, some of whose weights are random, so that no number says anything about the metrics"
    return MADE_UP.get(first.models.split("[")[0], first.models)
