"""Table 3: each metric at its own best settings, chosen on dev prompts and reported on these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from analysis.effects import Effect, change, versus
from analysis.outcomes import BY_NAME, MEASURES, Slice
from analysis.statistics import holm
from analysis.tables.table import (
    OVER_SEEDS,
    TEST_NOTE,
    Table,
    bracketed,
    counted,
    crossed_notes,
    crossed_text,
    effect_columns,
    families_of,
    interval_note,
    metrics_of,
    n_note,
    p_text,
    spread,
    starred,
    table_of,
    without_idle,
)  # fmt: skip
from analysis.tables.versus import unbalanced
from analysis.text import number
from analysis.tuning import Choice, chosen, is_dev


def tuned(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """For each judge: a row a metric (its change), then a row a pair of metrics x measure (their difference).

    slices: all of the store's, the dev sets' among them.
    """
    rows, shown, effects, notes, unpaired = [], [], [], [], set()
    for one in cell:
        choices = {metric: chosen(slices, one, metric) for metric in metrics_of(one.rows)}
        choices = {metric: choice for metric, choice in choices.items() if choice is not None}
        found = list(_effects(one, choices))
        adjusted = holm([effect.p for *_, effect in found])
        for (row, a, b, measure, families, effect), p in zip(found, adjusted, strict=True):
            effects.append(effect)
            rows.append(_row(one, row, choices[a], choices.get(b), measure, families, effect, p))
            shown.append(_shown(one, row, choices[a], choices.get(b), measure, families, effect, p))
            if effect.unpaired_a or effect.unpaired_b:
                unpaired.add(("reno", "tuned", a, b, effect.unpaired_a, effect.unpaired_b))
        notes += _choice_notes(one, list(choices.values()))
    if not rows:
        reason = "these are the dev prompts themselves" if is_dev(cell[0].prompt_set) else _why_not(cell)
        notes.insert(0, f"Empty: {reason}.")
    else:
        notes = [
            "Settings are chosen by the share of dev images fully bound, by the same judge; nothing here was "
            "looked at to choose. a: after, or the first metric; b: before, or the second. "
            f"{n_note(cell, 'pairs')}",
            *dict.fromkeys(notes),
            interval_note([row["difference_interval"] for row in rows]),
            *crossed_notes(cell, effects),
            TEST_NOTE,
        ]
    notes += unbalanced(unpaired)
    title = "Each metric at its own best settings, chosen on dev prompts"
    shown = without_idle(pd.DataFrame(shown), effects)
    return table_of(cell, 3, "tuned", title, pd.DataFrame(rows), shown, notes)


def _why_not(cell: Sequence[Slice]) -> str:
    if not any(one.judge for one in cell):
        return "no judge looked at these trials"
    return (
        "no prompt set named *_dev of this generator was run at settings that were run here, so nothing could be chosen"
    )


def chosen_trials(one: Slice, choice: Choice) -> pd.DataFrame:
    return one.select(metric=choice.metric, method="reno", settings=choice.settings)


def _effects(one: Slice, choices: dict[str, Choice]):
    for metric, choice in choices.items():
        trials = chosen_trials(one, choice)
        measure = BY_NAME["fully_bound"]
        yield "after − before", metric, "", measure, families_of(trials), change(trials, measure)
    for a, b in combinations(choices, 2):
        of_a, of_b = chosen_trials(one, choices[a]), chosen_trials(one, choices[b])
        for measure in MEASURES:
            families = families_of(pd.concat([of_a, of_b]))
            yield f"{a} − {b}", a, b, measure, families, versus(of_a, of_b, measure)


def _choice_notes(one: Slice, choices: list[Choice]) -> list[str]:
    notes = []
    for choice in choices:
        basis = "the pairs that all have" if choice.common else "whatever pairs each has, for they share none"
        notes.append(
            f"{choice.metric} by {one.judge}: {choice.settings} of {len(choice.among)} settings, on "
            f"{choice.pairs} pairs of {', '.join(choice.dev_sets)} ({basis})."
        )
    if len({choice.among for choice in choices}) > 1:
        notes.append("The metrics were not tried at the same settings: one had more to choose from.")
    return notes


def _row(one, row, choice, other, measure, families, effect: Effect, p) -> dict:
    return {
        "judge": one.judge,
        "kin": one.is_kin(families),
        "row": row,
        "a": choice.metric,
        "settings_a": choice.settings,
        "dev_a": choice.dev,
        "b": other.metric if other else None,
        "settings_b": other.settings if other else None,
        "dev_b": other.dev if other else float("nan"),
        "measure": measure.name,
        "value_a": effect.a,
        "value_b": effect.b,
        **spread("difference", effect.difference),
        **effect_columns(effect),
        "p_holm": p,
        **{name: getattr(effect, name) for name in ("win", "tie", "loss", "prompts", "seeds", "pairs")},
        "unpaired_a": effect.unpaired_a,
        "unpaired_b": effect.unpaired_b,
    }


def _shown(one, row, choice, other, measure, families, effect: Effect, p) -> dict[str, str]:
    return {
        "row": f"{choice.metric}, {row}" if other is None else row,
        "settings": choice.settings if other is None else f"{choice.settings} | {other.settings}",
        "judge": one.marked(families),
        "measure": measure.title,
        "dev": number(choice.dev) if other is None else f"{number(choice.dev)} | {number(other.dev)}",
        "a": number(effect.a),
        "b": number(effect.b),
        "a − b [95%]": starred(bracketed(effect.difference), p),
        OVER_SEEDS: crossed_text(effect),
        "p": p_text(p),
        "d_z": number(effect.d_z, signed=True),
        "win / tie / loss": f"{effect.win} / {effect.tie} / {effect.loss}",
        "n": counted(effect),
    }
