"""Table 3: each metric at its own best settings, chosen on dev prompts and reported on these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pandas as pd

from analysis.numbers.effects import Effect, change, versus
from analysis.numbers.measures import FULLY_BOUND, MEASURES, Measure
from analysis.numbers.slices import Slice, families_of
from analysis.numbers.tuning import TunedSettings, chosen, is_dev
from analysis.tables.columns import COMPARED, comparison_columns, comparison_texts
from analysis.tables.notes import effects_note, n_note, unbalanced_note, verdict_notes
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import number

FRAME = (
    "judge", "kin", "row", "a", "settings_a", "dev_a", "b", "settings_b", "dev_b", "measure", *COMPARED,
)  # fmt: skip
NO_CHOICE = (
    "no prompt set named *_dev of this generator was run at settings that were run here, so nothing could be chosen"
)


def tuned(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """For each judge: a row a metric (its change), then a row a pair of metrics x measure (their difference).

    slices: all of the store's, the dev sets' among them."""
    rows, shown, effects, chosen_notes, unpaired = [], [], [], [], set()
    for one in cell:
        found = {metric: chosen(slices, one, metric) for metric in one.metrics_of(one.rows)}
        choices = {metric: choice for metric, choice in found.items() if choice is not None}
        for row, a, b, measure, families, effect in _comparisons(one, choices):
            effects.append(effect)
            rows.append(_row(one, row, a, b, measure, families) | comparison_columns(effect, one.margin))
            shown.append(_shown(one, row, a, b, measure, families, comparison_texts(effect, one.margin)))
            if effect.unpaired_a or effect.unpaired_b:
                unpaired.add(("reno", "tuned", a.metric, b and b.metric, effect.unpaired_a, effect.unpaired_b))
        chosen_notes += _choice_notes(one, list(choices.values()))
    title = "Each metric at its own best settings, chosen on dev prompts"
    if not rows:
        empty = f"Empty: {_why_empty(cell)}."
        return empty_table(cell, 3, "tuned", title, FRAME, empty)
    notes = [
        "Settings are chosen by the share of dev images fully bound, by the same judge; nothing here was "
        f"looked at to choose. a: after, or the first metric; b: before, or the second. {n_note(cell, 'pairs')}",
        *dict.fromkeys(chosen_notes),
        effects_note(effects),
        *verdict_notes(cell[0].margin),
        *unbalanced_note(unpaired),
    ]
    return table_of(cell, 3, "tuned", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _why_empty(cell: Sequence[Slice]) -> str:
    if is_dev(cell[0].prompt_set):
        return "these are the dev prompts themselves"
    return NO_CHOICE if any(one.judge for one in cell) else "no judge looked at these trials"


def _comparisons(
    one: Slice, choices: dict[str, TunedSettings]
) -> Iterator[tuple[str, TunedSettings, TunedSettings | None, Measure, str, Effect]]:
    trials = {
        metric: one.select(metric=metric, method="reno", settings=choice.settings) for metric, choice in choices.items()
    }
    for metric, choice in choices.items():
        own = trials[metric]
        yield "after − before", choice, None, FULLY_BOUND, families_of(own), change(own, FULLY_BOUND)
    for a, b in combinations(choices, 2):
        families = families_of(pd.concat([trials[a], trials[b]]))
        for measure in MEASURES:
            yield f"{a} − {b}", choices[a], choices[b], measure, families, versus(trials[a], trials[b], measure)


def _choice_notes(one: Slice, choices: list[TunedSettings]) -> list[str]:
    notes = []
    for choice in choices:
        basis = "the pairs that all have" if choice.common else "the pairs that each has, because they share none"
        notes.append(
            f"{choice.metric} by {one.judge}: {choice.settings} of {len(choice.among)} settings, on "
            f"{choice.pairs} pairs of {', '.join(choice.dev_sets)} ({basis})."
        )
    if len({choice.among for choice in choices}) > 1:
        notes.append("The metrics were not tried at the same settings: one had more to choose from.")
    return notes


def _row(
    one: Slice, row: str, a: TunedSettings, b: TunedSettings | None, measure: Measure, families: str
) -> dict[str, object]:
    return {
        "judge": one.judge,
        "kin": one.is_kin(families),
        "row": row,
        "a": a.metric,
        "settings_a": a.settings,
        "dev_a": a.dev,
        "b": b.metric if b else None,
        "settings_b": b.settings if b else None,
        "dev_b": b.dev if b else float("nan"),
        "measure": measure.name,
    }


def _shown(
    one: Slice, row: str, a: TunedSettings, b: TunedSettings | None, measure: Measure, families: str,
    texts: dict[str, str],
) -> dict[str, str]:  # fmt: skip
    return {
        "row": f"{row}" if b else f"{a.metric}, {row}",
        "settings": f"{a.settings} | {b.settings}" if b else a.settings,
        "judge": one.marked(families),
        "measure": measure.title,
        "dev": f"{number(a.dev)} | {number(b.dev)}" if b else number(a.dev),
        "a": texts["a"],
        "b": texts["b"],
        "a − b [95%]": texts["difference"],
        **{name: texts[name] for name in ("p", "verdict", "detectable", "win / tie / loss", "n")},
    }
