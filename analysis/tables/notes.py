"""The notes under tables: what is missing, what the intervals cover, how the tests were made."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.data.results import ABSENT_STATES
from analysis.numbers.effects import Effect, noises
from analysis.numbers.slices import KIN_MARK, Slice, families_of
from analysis.numbers.statistics import FEWEST_PROMPTS, FEWEST_SEEDS, LEVEL
from analysis.tables.columns import OVER_SEEDS, SIGNIFICANT
from analysis.text import listed

FEW_SEEDS = 10
"""With fewer noises, shared by all prompts, a table says what its intervals do not cover."""
CROSSED_NOTE = (
    f"{OVER_SEEDS.capitalize()}: the {LEVEL:.0%} interval of the same difference over other prompts and other seeds, "
    f"from two-way random effects; –: there are fewer than {FEWEST_SEEDS} seeds, or fewer than {FEWEST_PROMPTS} "
    "prompts have all of them."
)
TEST_NOTE = (
    "p: two-sided test that swaps the two sides of whole prompts, Holm-adjusted over all tests of this table "
    f"and judge; * p < {SIGNIFICANT}."
)


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
    prompts share, noises that each prompt has of its own."""
    return [*_changed_judges(cell), *_noise_caution(cell[0])]


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
    if seeds >= FEW_SEEDS or started.prompts < 2:
        return []
    shared, these = (f"the same {seeds} noises (seeds)", "these noises") if seeds > 1 else ("one noise (seed)", "it")
    both = "the intervals over prompts and seeds, where there are any, cover those as well"
    if seeds < FEWEST_SEEDS:
        both = f"it takes {FEWEST_SEEDS} seeds or more to say how much other noises would change"
    return [
        f"All prompts start from {shared}: intervals and tests over prompts cover other prompts on {these}, not other "
        f"noises; {both}."
    ]


def interval_note(intervals: Sequence[str]) -> str:
    """How the intervals of a table were made, from their kinds."""
    kinds = set(intervals)
    text = f"Intervals are {LEVEL:.0%}, bootstrapped over prompts (all seeds of a prompt together), "
    named = [kind for kind in ("BCa", "percentile") if kind in kinds]
    text += " or ".join(named) + ("; the CSV says which" if len(named) > 1 else "") if named else "where possible"
    if "equal" in kinds:
        text += "; (=): every prompt has the same value, so there is no interval"
    if "none" in kinds:
        text += f"; no brackets: fewer than {FEWEST_PROMPTS} prompts"
    return text + "."


def crossed_notes(cell: Sequence[Slice], effects: Sequence[Effect]) -> list[str]:
    """What the column OVER_SEEDS is. Nothing if no prompts of the whole cell share seeds: `cautions` says so."""
    kinds = {effect.crossed.kind for effect in effects}
    if kinds == {"nested"}:
        own = "No prompts share seeds in this table: its intervals over prompts cover other noises too."
        return [] if noises(cell[0].rows).own else [own]
    own = " own: prompts share no seeds there, and the interval over prompts covers other noises too."
    return [CROSSED_NOTE + own * ("nested" in kinds)]


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
