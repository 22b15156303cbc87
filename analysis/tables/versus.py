"""Table 2: one metric against another, CLIP against BLIP first, paired on (prompt, seed) at equal settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pandas as pd

from analysis.effects import Effect, versus
from analysis.outcomes import MEASURES, Measure, Slice
from analysis.statistics import holm
from analysis.tables.table import (
    OVER_SEEDS,
    TEST_NOTE,
    Table,
    bracketed,
    configurations,
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
from analysis.text import number


def metric_against_metric(cell: Sequence[Slice]) -> Table:
    """One row a pair of metrics x method x settings x measure x judge."""
    rows, shown, effects, unpaired = [], [], [], set()
    for one in cell:
        found = list(_comparisons(one)) if one.judge else []
        adjusted = holm([effect.p for *_, effect in found])
        for (method, settings, a, b, families, measure, effect), p in zip(found, adjusted, strict=True):
            effects.append(effect)
            rows.append(_row(one, method, settings, a, b, families, measure, effect, p))
            shown.append(_shown(one, method, settings, a, b, families, measure, effect, p))
            if effect.unpaired_a or effect.unpaired_b:
                unpaired.add((method, settings, a, b, effect.unpaired_a, effect.unpaired_b))
    notes = [
        "Both sides at the same settings, on the same prompts and seeds. a − b; win, tie, loss: pairs in which a "
        f"is better, equal, worse. {n_note(cell, 'pairs')}",
        interval_note([row["difference_interval"] for row in rows]),
        *crossed_notes(cell, effects),
        TEST_NOTE,
        *unbalanced(unpaired),
    ]
    if not rows:
        notes.insert(
            0, "No two metrics were run by the same method at the same settings and judged: nothing to compare."
        )
    title = "Metric against metric, paired on prompt and seed"
    shown = without_idle(pd.DataFrame(shown), effects)
    return table_of(cell, 2, "versus", title, pd.DataFrame(rows), shown, notes)


def unbalanced(unpaired: set[tuple[str, str, str, str, int, int]]) -> list[str]:
    """The sentence that an unbalanced sweep needs."""
    if not unpaired:
        return []
    parts = [
        f"{method} ({settings}): {left_a} of {a} and {left_b} of {b}"
        if settings
        else f"{method}: {left_a} of {a} and {left_b} of {b}"
        for method, settings, a, b, left_a, left_b in sorted(unpaired)
    ]
    return [
        "The sweep is unbalanced. Only pairs of trials that both exist are compared; without a partner and left "
        "out are "
        + "; ".join(parts) + "."
    ]  # fmt: skip


def _comparisons(one: Slice) -> Iterator[tuple[str, str, str, str, str, Measure, Effect]]:
    by_settings: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for method, metric, settings, trials in configurations(one.rows):
        if method != "none":  # the image is the same whatever the metric
            by_settings.setdefault((method, settings), {})[metric] = trials
    for a, b in combinations(metrics_of(one.rows), 2):
        for (method, settings), of_metric in by_settings.items():
            if a in of_metric and b in of_metric:
                families = families_of(pd.concat([of_metric[a], of_metric[b]]))
                for measure in MEASURES:
                    yield method, settings, a, b, families, measure, versus(of_metric[a], of_metric[b], measure)


def _row(one, method, settings, a, b, families, measure, effect, p) -> dict:
    return {
        "judge": one.judge,
        "kin": one.is_kin(families),
        "method": method,
        "settings": settings,
        "a": a,
        "b": b,
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


def _shown(one, method, settings, a, b, families, measure, effect, p) -> dict[str, str]:
    return {
        "a vs b": f"{a} vs {b}",
        "method": method,
        "settings": settings,
        "judge": one.marked(families),
        "measure": measure.title,
        "a": number(effect.a),
        "b": number(effect.b),
        "difference [95%]": starred(bracketed(effect.difference), p),
        OVER_SEEDS: crossed_text(effect),
        "p": p_text(p),
        "d_z": number(effect.d_z, signed=True),
        "rank r": number(effect.rank_biserial, signed=True),
        "win / tie / loss": f"{effect.win} / {effect.tie} / {effect.loss}",
        "n": counted(effect),
        "unpaired": f"{effect.unpaired_a}, {effect.unpaired_b}",
    }
