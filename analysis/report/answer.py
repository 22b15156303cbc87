"""The answer in at most five sentences, made from the claims: it says no more than they do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from analysis.claims import CONTRADICTED, EQUIVALENT, RANDOM_WEIGHTS, SUPPORTED, Claim, compared_trials
from analysis.data import Results
from analysis.data.names import label_of
from analysis.numbers.effects import change
from analysis.numbers.measures import FULLY_BOUND
from analysis.numbers.slices import Slice
from analysis.tables.columns import bracketed
from analysis.text import listed, number

MADE_UP = {
    "testbed": "the embedded models, a small made-up world, which says nothing direct about real models",
    "synthetic": "no generator at all: a script made them up to try the analysis, and they say nothing about any model",
}
"""Generators that are no real model, and what that means."""
AGAINST = {SUPPORTED: "ReNO is ahead", CONTRADICTED: "ReNO is behind"}
"""Of ReNO and best of n, by verdict."""


def answer(results: Results, slices: Sequence[Slice], found: Sequence[Claim]) -> list[str]:
    """What was measured and how it moved; the first claim; the second; all others; what the answer rests on.

    They are about one generator, prompt set and judge: the one with the most prompts, if possible of a real model and
    of a judge that is related to no compared metric. The last sentence says how many of the others' verdicts agree."""
    main = _main(found)
    stated = [list(own) for _, own in groupby(main, key=lambda claim: claim.stated.key)]
    groups = [group for group in (stated[:1], stated[1:2], stated[2:]) if group]
    return [
        _moved(slices, main),
        *(_sentence("; ".join(map(_decision, group))) for group in groups),
        _rests(results, slices, found, main),
    ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def about(found: Sequence[Claim]) -> tuple[str, str, str]:
    """The generator, prompt set and judge that the answer is about."""
    return _place(_main(found)[0])


def _place(claim: Claim) -> tuple[str, str, str]:
    return claim.models, claim.prompt_set, claim.judge


def _main(found: Sequence[Claim]) -> list[Claim]:
    """The claims that the answer is about, in their order."""

    def merit(place: tuple[str, str, str]) -> tuple:
        own = [one for one in found if _place(one) == place]
        prompts = max((one.prompts for one in own), default=0)
        made_up = own[0].models in MADE_UP or any(one.why_not == RANDOM_WEIGHTS for one in own)
        return not made_up, bool(place[2]), not any(one.kin for one in own), prompts

    best = max(dict.fromkeys(map(_place, found)), key=merit)
    return [one for one in found if _place(one) == best]


def _moved(slices: Sequence[Slice], main: Sequence[Claim]) -> str:
    """How the share of images with every binding right moved with each metric."""
    models, prompt_set, judge = _place(main[0])
    where = f"On {models}, prompts {prompt_set}"
    one = next(one for one in slices if (one.models, one.prompt_set, one.judge) == (models, prompt_set, judge))
    moves = []
    for metric in one.metrics_of(one.select(method="reno")) if judge else ():
        effect = change(compared_trials(one, slices, [metric]).by_metric[metric], FULLY_BOUND)
        moves.append(
            f"from {number(effect.b)} to {number(effect.a)} with {metric} (change {bracketed(effect.difference)}, "
            f"{effect.prompts} prompt{'s' * (effect.prompts != 1)})"
        )
    if not moves:
        why = main[0].why_not or "there is nothing to compare"
        return f"{where}, nothing can be said about binding: {why}."
    return f"{where}, ReNO moves the share of images with every binding right, as {judge} judges, {listed(moves)}."


def _decision(group: Sequence[Claim]) -> str:
    """One claim, or one that is decided for each metric: verdicts, and the quantities that decide them."""
    first = group[0]
    if first.metric is None:
        parts = [f"{part.quantity}: {bracketed(part.interval, signed=part.compares)}" for part in first.parts]
        told = [*([first.decided.why] if first.decided.why else []), *parts]
        return _that(first) + (f" ({'; '.join(told)})" if told else "")
    by_verdict: dict[tuple[str, str], list[str]] = {}
    for claim in group:
        by_verdict.setdefault((claim.verdict, claim.decided.why), []).append(f"with {claim.metric}")
    verdicts = listed(
        [f"{word} {listed(metrics)}{f' ({why})' if why else ''}" for (word, why), metrics in by_verdict.items()]
    )
    beside = [
        f"{bracketed(part.interval)} with {part.metric} ({AGAINST.get(part.verdict, part.verdict)})"
        for claim in group
        for part in claim.beside
    ]
    more = f"; ReNO's share minus that of best of n, with as many images, is {listed(beside)}" if beside else ""
    return f"that {first.stated.statement} is {verdicts}{more}"


def _that(claim: Claim) -> str:
    if claim.verdict == EQUIVALENT:
        return f"that {claim.statement} does not show: the two are equivalent within ±{claim.parts[0].margin:g}"
    return f"that {claim.statement} is {claim.verdict}"


def _rests(results: Results, slices: Sequence[Slice], found: Sequence[Claim], main: Sequence[Claim]) -> str:
    trials = results.trials
    count = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    text = f"All this rests on {count} of {_made_on(main[0].models, slices)}"
    if results.lacking:
        counts = listed([f"{count} {state}" for state, count in results.lacking.items()])
        text += f"; of those planned, {counts} and are not in it"
    others = [one for one in found if one not in main]
    if others:
        same = {one.key: one.verdict for one in main}
        agree = sum(one.verdict == same.get(one.key) for one in others)
        text += f"; on the other prompt sets, judges or generators {agree} of {len(others)} verdicts are the same"
    return f"{text}."


def _made_on(models: str, slices: Sequence[Slice]) -> str:
    if any(one.random_weights for one in slices if one.models == models):
        return f"{models}, some of whose weights are random, so that no number says anything about the metrics"
    return MADE_UP.get(label_of(models), models)
