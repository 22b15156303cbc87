"""Table 5: ReNO against its controls and against other methods, at the same metric, prompts and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data import Results
from analysis.numbers.design import ASKED
from analysis.numbers.effects import PAIR, Effect, versus
from analysis.numbers.measures import BY_NAME, FULLY_BOUND, Measure
from analysis.numbers.slices import CONTROLS, Slice
from analysis.tables.columns import COMPARED, comparison_columns, comparison_texts
from analysis.tables.notes import effects_note, n_note, verdict_notes
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import MISSING, listed, number

EQUAL = (0.8, 1.25)
"""Ratios of two trials' seconds, or of their compute, that count as equal."""
PASSES, PASSES_CHECKPOINTED = 2, 3
"""Forward passes that an optimisation step costs as much as: backward through frozen weights costs about one more, and
with everything checkpointed the forward pass is made twice."""
SHOWN = (FULLY_BOUND, BY_NAME["bound"])
BUDGETED = Measure("score_at_equal_seconds", "own score", "budgeted", share=False)

Key = tuple[str, str, str]
"""(method, metric, settings)."""
FRAME = (
    "judge", "kin", "metric", "settings", "control", "seconds_ratio", "compute_ratio", "measure",
    *("reno" if name == "value_a" else "control_value" if name == "value_b" else name for name in COMPARED[:-2]),
    "unpaired_reno", "unpaired_control",
)  # fmt: skip


def controls(cell: Sequence[Slice], results: Results) -> Table:
    """One row a ReNO configuration x control x measure x judge.

    A best of n stands once, and its name says what it has as much of as ReNO: images, compute, seconds. Seconds are
    measured; the judge saw only whole trials, so of the stored numbers of images the nearest counts. For the metric's
    own score equal seconds are exact: both traces are cut at the seconds of the shorter.
    """
    rows, shown, effects, unequal = [], [], [], {}
    for one in cell:
        for (_, metric, settings), control, families, ratios, measure, effect in _comparisons(one, results, cell[0]):
            effects.append(effect)
            rows.append(
                {"judge": one.judge, "kin": one.is_kin(families), "metric": metric, "settings": settings}
                | {"control": control, "seconds_ratio": ratios.seconds, "compute_ratio": ratios.compute}
                | {"measure": measure.name}
                | comparison_columns(effect, one.margin, "reno", "control", "reno", "control_value")
            )
            texts = comparison_texts(effect, one.margin)
            shown.append(
                {"metric": metric, "settings": settings, "control": control}
                | {"judge": MISSING if measure is BUDGETED else one.marked(families), "measure": measure.title}
                | {"reno": texts["a"], "ctrl.": texts["b"], "reno − control [95%]": texts["difference"]}
                | {name: texts[name] for name in ("p", "verdict", "detectable", "win / tie / loss")}
                | {"seconds": number(ratios.seconds), "compute": number(ratios.compute), "n": texts["n"]}
            )
            if control.startswith("best of"):
                have = unequal.setdefault((metric, settings), {"compute": ratios.wanted, "seconds": None})
                for name in [name for name in have if name in control]:
                    del have[name]
    title = "ReNO against its controls"
    lacking = [name for name in ("best_of_n", "none", "decoder_only") if not (cell[0].rows["method"] == name).any()]
    absent = [f"Not run here: {', '.join(lacking)}."] if lacking else []
    if not rows:
        empty = " ".join(["There is nothing that ReNO could be compared with.", *absent])
        return empty_table(cell, 5, "controls", title, FRAME, empty)
    notes = [
        "reno − control, paired on prompt and seed; win: pairs in which reno is better. Seconds, compute: the "
        f"control's over reno's; a ratio from {EQUAL[0]} to {EQUAL[1]} counts as equal. Compute is counted in forward "
        f"passes: an optimisation step costs about {PASSES} ({PASSES_CHECKPOINTED} with checkpointing). own score: of "
        "the optimised metric, the best of what both had made by the seconds of the shorter trial. "
        f"{n_note(cell, 'pairs')}",
        effects_note(effects),
        *verdict_notes(cell[0].margin),
        *_unequal_note(unequal),
        *absent,
    ]
    if any(row["unpaired_reno"] or row["unpaired_control"] for row in rows):
        notes.append("Trials without a partner are left out of a row; the CSV counts them.")
    return table_of(cell, 5, "controls", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _unequal_note(unequal: dict[tuple[str, str], dict[str, float | None]]) -> list[str]:
    """What no stored best of n has as much of as ReNO. unequal: by metric and settings, what is lacking, and how many
    images equal compute would take."""
    by_lack: dict[str, list[str]] = {}
    for (metric, settings), lack in unequal.items():
        told = [f"equal {name}{f' (n about {wanted:.0f})' if wanted else ''}" for name, wanted in lack.items()]
        if told:
            by_lack.setdefault(" or ".join(told), []).append(f"{metric}, {settings}")
    return [f"No stored best of n has {told}: {'; '.join(where)}." for told, where in by_lack.items()]


@dataclass(frozen=True)
class Ratios:
    """A control's cost over ReNO's."""

    seconds: float
    """Medians."""
    compute: float
    wanted: float
    """Forward passes that cost as much as a trial of ReNO's: the n of a best of n at equal compute."""


def _ratios(reno: pd.DataFrame, other: pd.DataFrame) -> Ratios:
    seconds = float(other["seconds"].median() / reno["seconds"].median())
    wanted = _passes(reno)
    return Ratios(seconds, _passes(other) / wanted, wanted)


def _passes(trials: pd.DataFrame) -> float:
    """The compute of a trial, in forward passes: images, and what steps with a gradient cost besides. NaN for a user's
    own method, of which nobody knows."""
    method, images = trials["method"].iloc[0], float(trials["images"].median())
    if method in ("best_of_n", "none"):
        return images
    if method != "reno":
        return float("nan")
    step = PASSES_CHECKPOINTED if trials["checkpointed"].fillna(False).astype(bool).all() else PASSES
    return step * (images - 1) + 1


def _comparisons(one: Slice, results: Results, first: Slice) -> Iterator[tuple[Key, str, str, Ratios, Measure, Effect]]:
    """first: the slice of the first judge."""
    parts = {(method, metric, settings): trials for method, metric, settings, trials in one.configurations(one.rows)}
    for key, reno in parts.items():
        if key[0] != "reno":
            continue
        families = reno["families"].iloc[0]
        for control, other, equal_seconds in _controls_of(key, parts):
            ratios = _ratios(reno, other)
            for measure in SHOWN if one.judge else ():
                yield key, control, families, ratios, measure, versus(reno, other, measure)
            if equal_seconds and one is first:  # a metric's own score is the same for every judge
                a, b = at_equal_seconds(reno, other, results)
                yield key, control, families, ratios, BUDGETED, versus(a, b, BUDGETED)


def _controls_of(key: Key, parts: dict[Key, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """(name, its trials, whether it is compared at equal seconds) of each control that the store has."""
    reno, (_, metric, settings) = parts[key], key
    of_metric = {other: trials for other, trials in parts.items() if other[1] == metric}
    nothing = [trials for other, trials in (*of_metric.items(), *parts.items()) if other[0] == "none"]
    if nothing:  # the image of a noise is the same whichever metric was to be optimised
        yield "no optimisation", nothing[0], False
    if ("decoder_only", metric, settings) in of_metric:
        yield "decoder only", of_metric["decoder_only", metric, settings], False
    yield from _best_of_n(reno, [trials for other, trials in of_metric.items() if other[0] == "best_of_n"])
    for (method, _, own), trials in of_metric.items():
        if method not in ("reno", *CONTROLS):  # a user's own method
            yield f"{method}, {own}" if own else method, trials, False


def _best_of_n(reno: pd.DataFrame, best_of: list[pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """Those that have as many images, as much compute or as many seconds as ReNO, each once; of the latter two the
    nearest. If none has, the nearest in seconds. On that one the metric's own score is compared at equal seconds."""
    if not best_of:
        return
    ratios = [_ratios(reno, trials) for trials in best_of]
    in_seconds = min(range(len(best_of)), key=lambda place: abs(np.log(ratios[place].seconds)))
    in_compute = min(range(len(best_of)), key=lambda place: abs(np.log(ratios[place].compute)))
    images = reno["images"].median()
    for place, (trials, ratio) in enumerate(zip(best_of, ratios, strict=True)):
        equal = ["images"] * bool(trials["images"].median() == images)
        equal += ["compute"] * (place == in_compute and EQUAL[0] <= ratio.compute <= EQUAL[1])
        equal += ["seconds"] * (place == in_seconds and EQUAL[0] <= ratio.seconds <= EQUAL[1])
        if equal or place == in_seconds:
            name = f"best of {trials['images'].median():.0f}"
            yield f"{name}, equal {listed(equal)}" if equal else name, trials, place == in_seconds


def at_equal_seconds(a: pd.DataFrame, b: pd.DataFrame, results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both sides with `budgeted/best`: the best score of the optimised metric among the images that were ready by
    the end of the shorter trial of the pair."""
    pairs = a[["trial", *PAIR]].merge(b[["trial", *PAIR]], on=list(PAIR), suffixes=("_a", "_b"))
    traces = results.all_traces
    ids = pd.concat([pairs["trial_a"], pairs["trial_b"]])
    traces = traces[traces["trial"].isin(set(ids))]
    ready = traces.groupby("trial", observed=True)["seconds"].cumsum()
    total = traces.groupby("trial", observed=True)["seconds"].sum()
    pairs["budget"] = np.minimum(pairs["trial_a"].map(total), pairs["trial_b"].map(total))
    sides = []
    for side, trials in (("a", a), ("b", b)):
        budget = traces["trial"].map(pairs.set_index(f"trial_{side}")["budget"])
        in_time = (ready <= budget * (1 + 1e-9)) | (traces["iteration"] == 0)
        best = traces[in_time & budget.notna()].groupby("trial", observed=True)["score"].max()
        sides.append(trials[[*PAIR, ASKED]].assign(**{"budgeted/best": trials["trial"].map(best)}))
    return sides[0], sides[1]
