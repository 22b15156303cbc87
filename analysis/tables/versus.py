"""Table 2: one metric against another at equal settings, paired on prompt and seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pandas as pd

from analysis.numbers.effects import Effect, versus
from analysis.numbers.measures import MEASURES, Measure
from analysis.numbers.slices import Slice, families_of
from analysis.tables.columns import COMPARED, comparison_columns, comparison_texts
from analysis.tables.notes import effects_note, n_note, unbalanced_note, verdict_notes
from analysis.tables.table import Table, empty_table, table_of

FRAME = ("judge", "kin", "method", "settings", "a", "b", "measure", *COMPARED)


def metric_against_metric(cell: Sequence[Slice]) -> Table:
    """One row a pair of metrics x method x settings x measure x judge."""
    rows, shown, effects, unpaired = [], [], [], set()
    for one in cell:
        for method, settings, a, b, families, measure, effect in _comparisons(one):
            effects.append(effect)
            rows.append(
                {"judge": one.judge, "kin": one.is_kin(families), "method": method, "settings": settings}
                | {"a": a, "b": b, "measure": measure.name, **comparison_columns(effect, one.margin)}
            )
            texts = comparison_texts(effect, one.margin)
            shown.append(
                {"a vs b": f"{a} vs {b}", "method": method, "settings": settings, "judge": one.marked(families)}
                | {"measure": measure.title, "a": texts["a"], "b": texts["b"], "difference [95%]": texts["difference"]}
                | {name: texts[name] for name in ("p", "verdict", "detectable", "win / tie / loss", "n", "unpaired")}
            )
            if effect.unpaired_a or effect.unpaired_b:
                unpaired.add((method, settings, a, b, effect.unpaired_a, effect.unpaired_b))
    title = "Metric against metric, paired on prompt and seed"
    if not rows:
        empty = "No two metrics were run by the same method at the same settings and judged: nothing to compare."
        return empty_table(cell, 2, "versus", title, FRAME, empty)
    notes = [
        "Both sides at the same settings, on the same prompts and seeds. a − b; win, tie, loss: pairs in which a "
        f"is better, equal, worse. {n_note(cell, 'pairs')}",
        effects_note(effects),
        *verdict_notes(cell[0].margin),
        *unbalanced_note(unpaired),
    ]
    return table_of(cell, 2, "versus", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _comparisons(one: Slice) -> Iterator[tuple[str, str, str, str, str, Measure, Effect]]:
    if not one.judge:
        return
    by_settings: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for method, metric, settings, trials in one.configurations(one.rows):
        if method != "none":  # the image is the same whatever the metric
            by_settings.setdefault((method, settings), {})[metric] = trials
    for a, b in combinations(one.metrics_of(one.rows), 2):
        for (method, settings), of_metric in by_settings.items():
            if a in of_metric and b in of_metric:
                families = families_of(pd.concat([of_metric[a], of_metric[b]]))
                for measure in MEASURES:
                    yield method, settings, a, b, families, measure, versus(of_metric[a], of_metric[b], measure)
