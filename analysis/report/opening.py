"""What a reader sees first: three cases as pictures, chosen by rule, one sentence and a table of one row a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.claims import Claim, compared_trials
from analysis.data import Results
from analysis.numbers.effects import Effect, change
from analysis.numbers.measures import FULLY_BOUND, Measure
from analysis.numbers.slices import Slice
from analysis.numbers.tuning import reported
from analysis.report.answer import about
from analysis.report.exhibits import Exhibit
from analysis.report.outcomes import BeforeAndAfter, JudgedChanges
from analysis.report.words import of_prompts
from analysis.tables.columns import bracketed
from analysis.text import listed, number

ORDERED = (
    "How they were chosen: the {count} cases that have every metric (a prompt and a seed each) are ordered by {by}. "
    "The clearest is the first, the typical one the middle, the worst the last."
)
BY_BINDINGS = (
    "the bindings gained, which are those right after minus those right before, summed over the metrics; equal cases "
    "are ordered by the gain in score, in standard deviations of the initial images"
)
BY_SCORE = "the gain in score, in standard deviations of the initial images, summed over the metrics"


@dataclass(frozen=True)
class Case:
    """One prompt and seed of the strip."""

    title: str
    """Clearest, Typical or Worst; empty if it is the only one."""
    exhibit: Exhibit
    gained: int | None
    """Bindings that became right less those that became wrong, over all metrics; None if no judge looked."""


@dataclass(frozen=True)
class Opening:
    """The first part of the report."""

    where: str
    """The generator, prompts and judge that it is about."""
    cases: tuple[Case, ...]
    rule: str
    """How the cases were chosen."""
    sentence: str
    measure: str
    """What the table's before and after are."""
    rows: tuple[dict[str, str], ...]
    """A row a metric, by column."""
    basis: str
    """Which trials the sentence and the table are about."""


def opening(
    results: Results, slices: Sequence[Slice], found: Sequence[Claim], shown: Sequence[Exhibit], judged: JudgedChanges
) -> Opening:
    """The opening, about the generator, prompt set and judge that the answer is about."""
    first = reported(slices)[0]
    place = about(found) if found else (first.models, first.prompt_set, first.judge)
    one = next(one for one in slices if (one.models, one.prompt_set, one.judge) == place)
    compared = {metric: compared_trials(one, slices, [metric]) for metric in one.metrics_of(one.select(method="reno"))}
    trials = {metric: of_metric.by_metric[metric] for metric, of_metric in compared.items()}
    here = [other for other in shown if (other.models, other.prompt_set) == place[:2]]
    measures = {metric: _measure(one, metric) for metric in trials}
    effects = {metric: change(rows, measures[metric]) for metric, rows in trials.items() if measures[metric]}
    prompts = of_prompts(one.prompt_set, one.rows["prompt"].nunique())
    judge = f"judge {one.judge}" if one.judge else "no judge"
    chosen, by, count = _chosen(here, judged)
    return Opening(
        where=f"{one.models} · {prompts} · {judge} · {len(results.trials)} trials",
        cases=chosen,
        rule=ORDERED.format(count=count, by=by) if len(chosen) > 1 else "",
        sentence=_sentence(one, effects),
        measure="images with every attribute on its object" if one.judge else "the metric's own score",
        rows=tuple(_row(metric, trials[metric], effect) for metric, effect in effects.items()),
        basis=f"Trials: {'; '.join(compared[metric].basis for metric in effects)}." if effects else "",
    )


def _measure(one: Slice, metric: str) -> Measure | None:
    """What the table shows of a metric's trials: binding if a judge looked, else the metric's own score."""
    if one.judge:
        return FULLY_BOUND
    own = f"score:{metric.partition('[')[0]}"
    return next((measure for measure in one.score_measures if measure.name == own), None)


def _row(metric: str, rows: pd.DataFrame, effect: Effect) -> dict[str, str]:
    settings = list(dict.fromkeys(rows["settings"]))
    return {
        "optimised": metric,
        "settings": settings[0] if len(settings) == 1 else f"{len(settings)} settings, pooled",
        "before": number(effect.b),
        "after": number(effect.a),
        "change [95%]": bracketed(effect.difference),
        "prompts": str(effect.prompts),
        "images": str(len(rows)),
    }


def _sentence(one: Slice, effects: dict[str, Effect]) -> str:
    if not effects:
        return "ReNO was not run here, so there is no before and after to compare."
    if not one.judge:
        moves = [f"with {metric} from {number(e.b)} to {number(e.a)}" for metric, e in effects.items()]
        return f"No judge looked at the images; the mean of the optimised score goes {listed(moves)}."
    moves = [f"from {_percent(e.b)} to {_percent(e.a)} with {metric}" for metric, e in effects.items()]
    return (
        f"The share of images in which every object has its attribute goes {listed(moves)}, as {one.judge} judges them."
    )


def _percent(share: float) -> str:
    return f"{number(100 * share, 0)}%"


def _chosen(here: Sequence[Exhibit], judged: JudgedChanges) -> tuple[tuple[Case, ...], str, int]:
    """The clearest, a typical and the worst of the cases that have every metric; what they are ordered by; how many
    such cases there are."""
    most = max((len(one.trials) for one in here), default=0)
    whole = [one for one in here if len(one.trials) == most]
    gained = [_gained(one, judged.get(one.judge, {})) for one in whole]
    scores = _score_gains(whole)
    known = all(gain is not None for gain in gained)
    order = sorted(
        range(len(whole)),
        key=lambda k: (-(gained[k] or 0) if known else 0, -scores[k], whole[k].prompt, whole[k].seed),
    )
    by = BY_BINDINGS if known else BY_SCORE
    if len(order) < 3:
        named = zip(("Clearest", "Worst") if len(order) == 2 else ("",), order, strict=False)
    else:
        named = zip(("Clearest", "Typical", "Worst"), (order[0], order[len(order) // 2], order[-1]), strict=True)
    return tuple(Case(title, whole[k], gained[k]) for title, k in named), by, len(whole)


def _gained(one: Exhibit, said: dict[str, BeforeAndAfter]) -> int | None:
    """Bindings that are right after less those that are right before, over all metrics; None if one was not judged."""
    seen = [said.get(row["trial"], BeforeAndAfter()) for row in one.trials.values()]
    if not all(each.after for each in seen):
        return None
    return sum(sum(now.bound for now in each.after) - sum(was.bound for was in each.before) for each in seen)


def _score_gains(whole: Sequence[Exhibit]) -> list[float]:
    """Each case's gain in the optimised scores, in standard deviations of a metric's initial scores, summed."""
    rows = [(k, row["metric"], row["score_initial"], row["score_best"]) for k, one in enumerate(whole)
            for row in one.trials.values()]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["case", "metric", "before", "after"])
    unit = frame.groupby("metric")["before"].transform("std")
    gains = ((frame["after"] - frame["before"]) / unit.where(unit > 0)).fillna(0.0)
    return gains.groupby(frame["case"]).sum().tolist()
