"""The notes under tables: what is missing, what the intervals cover, how the tests were made."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.data.results import ABSENT_STATES
from analysis.numbers.design import FEWEST_NOISES, Design
from analysis.numbers.effects import Effect, noises
from analysis.numbers.measures import FULLY_BOUND
from analysis.numbers.slices import KIN_MARK, Slice, families_of
from analysis.numbers.statistics import FEWEST_PROMPTS, LEVEL
from analysis.numbers.verdicts import POWER, TOST_LEVEL
from analysis.text import listed, number

PRIMARY_NOTE = (
    f"{FULLY_BOUND.title} is the primary measure; the others describe it and are not adjusted for their number"
)
MIXED = (("commit", "commits of the code"), ("device", "devices"), ("batch_size", "batch sizes"))
"""Columns whose values one comparison should not mix, in words."""


def absences(absent: pd.DataFrame, **wanted: str) -> dict[str, int]:
    """How many planned trials failed, are damaged or are missing. Trials whose job does not record its settings are
    counted only where no settings are asked for."""
    for column, value in wanted.items():
        absent = absent[absent[column] == value]
    counts = absent["state"].value_counts()
    return {state: int(counts.get(state, 0)) for state in ABSENT_STATES}


def accounting(cell: Sequence[Slice]) -> tuple[str, ...]:
    """The notes on every table of this generator and prompt set: what is missing or not judged, which judge is related
    to a metric, whether weights are random, what the intervals cover."""
    first = cell[0]
    notes = []
    if first.random_weights:
        notes.append("Some weights are random: no number here says anything about the metrics.")
    counts = absences(first.absent)
    if sum(counts.values()):
        parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        notes.append(f"{len(first.rows)} trials are stored; of those planned, {parts} and are not in any number here.")
    untold = first.absent[first.absent["settings"].isna()]
    if len(untold):
        where = untold.groupby(["method", "metric"]).size()
        named = ", ".join(f"{count} of {method} with {metric}" for (method, metric), count in where.items())
        notes.append(f"Of those, the settings of these are not recorded, and no row counts them: {named}.")
    notes += cautions(cell)
    for one in cell:
        notes += _judge_notes(one)
    return tuple(notes)


def _judge_notes(one: Slice) -> list[str]:
    if not one.judge:
        return ["No judge looked at these trials: there are only the metrics' own scores."]
    notes = []
    unbound = int((one.rows["bindings"] == 0).sum())
    if unbound:
        notes.append(f"{unbound} of the {len(one.rows)} trials have a prompt without bindings: no binding counts them.")
    unjudged = int((one.rows["fully/best"].isna() & (one.rows["bindings"] > 0)).sum())
    if unjudged:
        notes.append(f"{one.judge} did not judge {unjudged} of the {len(one.rows)} trials.")
    if one.is_kin(families_of(one.rows)):
        notes.append(f"{KIN_MARK} {one.judge} is kin to {one.kin}: it is a related model and may favour that metric.")
    return notes


def cautions(cell: Sequence[Slice]) -> list[str]:
    """What the intervals of this generator and prompt set cover and do not cover: judges that changed, noises that all
    prompts share, noises that each prompt has of its own, bindings that recur; machines and code that were mixed."""
    one = cell[0]
    return [*_changed_judges(cell), *_noise_caution(one), *_binding_note(one), *_mixed(one)]


def _changed_judges(cell: Sequence[Slice]) -> list[str]:
    found = []
    names = [one.judge.partition("[")[0] for one in cell]
    for name in dict.fromkeys(names):
        several = [one for one, own in zip(cell, names, strict=True) if own == name]
        if name and len(several) > 1:
            parts = ", ".join(f"{one.judge} {one.rows['fully/best'].notna().sum()} trials" for one in several)
            found.append(
                f"{name} judged with {len(several)} identities (weights, settings or version): {parts}. They are "
                "treated as different judges, and no number mixes them; "
                f"`python -m reno.evaluate evaluators={name}` judges every trial with one."
            )
    return found


def _noise_caution(one: Slice) -> list[str]:
    started = noises(one.rows)
    seeds = started.seeds
    if started.own:
        return [
            f"Each prompt has its own noises ({started.each} a prompt): intervals and tests over prompts therefore "
            "cover other prompts and other noises."
        ]
    if started.prompts < 2:
        return []
    shared = f"the same {seeds} noises (seeds)" if seeds > 1 else "one noise (seed)"
    if seeds >= FEWEST_NOISES:
        return [
            f"All prompts start from {shared}: intervals and tests are over prompts and noises, and so cover other "
            "prompts and other noises."
        ]
    return [
        f"All prompts start from {shared}: intervals and tests cover other prompts on "
        f"{'these noises' if seeds > 1 else 'this noise'} only. Nothing is decided about other noises; that takes "
        f"{FEWEST_NOISES} seeds or more, or own_noise=true."
    ]


def _binding_note(one: Slice) -> list[str]:
    """How often bindings recur, where intervals count it."""
    asked = one.rows.drop_duplicates("prompt")
    if not len(asked) or not Design.of(one.rows).counts_bindings:
        return []
    uses = pd.Series([name for own in asked["asked"] for name in dict.fromkeys(own)]).value_counts()
    fewest, most = int(uses.min()), int(uses.max())
    each = f"{most}" if fewest == most else f"{fewest} to {most}"
    return [
        f"The {len(asked)} prompts ask for {len(uses)} different bindings, each in {each} "
        f"prompt{'s' * (most > 1)}: intervals and tests are over bindings as well, and so cover other bindings."
    ]


def _mixed(one: Slice) -> list[str]:
    """What the trials of these tables do not have in common, though comparisons suppose that they do."""
    counts = [(one.rows[column].nunique(), words) for column, words in MIXED]
    mixed = [f"{count} {words}" for count, words in counts if count > 1]
    if not mixed:
        return []
    return [f"Caution: these trials were made with {listed(mixed)}; a difference between two rows may come from that."]


def interval_note(intervals: Sequence[str], over: Sequence[str] = ()) -> str:
    """How the intervals of a table were made, from their kinds, and what they are over."""
    kinds = set(intervals)
    if kinds == {"none"}:
        return f"There are no intervals: fewer than {FEWEST_PROMPTS} prompts."
    said = {
        "score": "score intervals (Wilson's of a share, Tango's of a difference of shares)",
        "BCa": "bootstrapped over prompts (BCa)",
        "percentile": "bootstrapped over prompts (percentile)",
        "t": "linearised, with t (ratios and scores)",
    }
    named = [words for kind, words in said.items() if kind in kinds]
    text = f"Intervals are {LEVEL:.0%}"
    if over := list(dict.fromkeys(over)):
        text += f" over {listed(over, 'or')}" + ("; the CSV says which" if len(over) > 1 else "")
    text += f": {'; '.join(named)}" if named else ", where possible"
    if "equal" in kinds:
        text += "; (=): it cannot vary, or no prompt's score differs, so there is no interval"
    if "none" in kinds:
        text += f"; no brackets: fewer than {FEWEST_PROMPTS} prompts"
    return text + "."


def effects_note(effects: Sequence[Effect]) -> str:
    """`interval_note` of the differences."""
    return interval_note([one.difference.kind for one in effects], [one.over for one in effects])


def verdict_notes(margin: float) -> list[str]:
    """What the columns p, verdict and detectable are."""
    return [
        f"p: two-sided, of no difference, not adjusted; {PRIMARY_NOTE}. The claims are adjusted (claims.md).",
        f"Verdict on a: better or worse if the {LEVEL:.0%} interval excludes 0 and at least {FEWEST_PROMPTS} prompts "
        f"differ; equivalent if the {TOST_LEVEL:.0%} interval lies within ±{number(margin)}; else undecided (+N: about "
        f"N more prompts would decide, at {POWER:.0%} power). Detectable: the smallest true difference that this "
        f"design finds with {POWER:.0%} power.",
    ]


def n_note(cell: Sequence[Slice], what: str) -> str:
    """What the column n is, for rows that count `trials` or `pairs`."""
    own = noises(cell[0].rows).own
    return f"n: prompts × {'noises of each prompt' if own else 'seeds'} ({what})."


def unbalanced_note(unpaired: set[tuple[str, str, str, str, int, int]]) -> list[str]:
    """The note on trials without a partner. unpaired: (method, settings, a, b, how many of a, how many of b)."""
    if not unpaired:
        return []
    parts = [
        f"{method}{f' ({settings})' if settings else ''}: {left_a} of {a} and {left_b} of {b}"
        for method, settings, a, b, left_a, left_b in sorted(unpaired)
    ]
    return [
        "The sweep is unbalanced. Only pairs of trials that both exist are compared. Left out, because they have no "
        f"partner: {'; '.join(parts)}."
    ]


def settings_note(rows: Sequence[dict]) -> str:
    """At which settings each metric is. rows: with judge, method, metric and settings; each judge chooses its own."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        named = ", ".join(part for part in (row["method"], row["settings"]) if part)
        found.setdefault(row["metric"], {}).setdefault(named, []).append(row["judge"])
    alike: dict[str, list[str]] = {}
    for metric, settings in found.items():
        several = len(settings) > 1
        written = [name + f" (by {', '.join(dict.fromkeys(by))})" * several for name, by in settings.items()]
        alike.setdefault(" / ".join(written), []).append(metric)
    parts = [f"{listed(metrics)}: {settings}" for settings, metrics in alike.items()]
    text = "Settings, chosen on the dev prompts or else those of most trials: " + "; ".join(parts)
    return text if text.endswith(".") else f"{text}."
