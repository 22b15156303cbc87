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
    "The clearest is the first, the typical one the middle, {last} the last."
)
MOST_NAMED = 3
"""Settings that are named in the table; of more, their number."""
BY_BINDINGS = (
    "the bindings gained, which are those right after minus those right before, summed over the metrics; equal cases "
    "are ordered by the gain in score, in standard deviations of the initial images"
)
BY_SCORE = "the gain in score, in standard deviations of the initial images, summed over the metrics"


@dataclass(frozen=True)
class Case:
    """One prompt and seed of the strip."""

    title: str
    """Clearest, Typical and Worst, or Smallest gain where all of it is right after; empty if it is the only one."""
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
        rule=_rule(chosen, count, by),
        sentence=_sentence(one, effects),
        measure="images with every attribute on its object" if one.judge else "the metric's own score",
        rows=tuple(_row(metric, trials[metric], effect) for metric, effect in effects.items()),
        basis=f"Trials: {'; '.join(compared[metric].basis for metric in effects)}." if effects else "",
    )


def _rule(chosen: Sequence[Case], count: int, by: str) -> str:
    return ORDERED.format(count=count, by=by, last=f"the {chosen[-1].title.lower()}") if len(chosen) > 1 else ""


def _measure(one: Slice, metric: str) -> Measure | None:
    """What the table shows of a metric's trials: binding if a judge looked, else the metric's own score."""
    if one.judge:
        return FULLY_BOUND
    own = f"score:{metric.partition('[')[0]}"
    return next((measure for measure in one.score_measures if measure.name == own), None)


def _row(metric: str, rows: pd.DataFrame, effect: Effect) -> dict[str, str]:
    return {
        "optimised": metric,
        "settings": pooled(list(dict.fromkeys(rows["settings"]))),
        "before": number(effect.b),
        "after": number(effect.a),
        "change [95%]": bracketed(effect.difference),
        "prompts": str(effect.prompts),
        "images": str(len(rows)),
    }


def pooled(names: Sequence[str]) -> str:
    """All, if they are few; what they have in common is said once: `50 it., lr 0.01 and lr 0.05 together`."""
    if len(names) == 1:
        return names[0]
    if len(names) > MOST_NAMED:
        return f"{len(names)} settings together"
    parts = [name.split(", ") for name in names]
    common = [part for part in parts[0] if all(part in own for own in parts)]
    apart = [", ".join(part for part in own if part not in common) for own in parts]
    return f"{', '.join([*common, listed([one or 'default' for one in apart])])} together"


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
    last = "Smallest gain" if order and _all_right(whole[order[-1]], judged) else "Worst"
    if len(order) < 3:
        named = zip(("Clearest", last) if len(order) == 2 else ("",), order, strict=False)
    else:
        named = zip(("Clearest", "Typical", last), (order[0], order[len(order) // 2], order[-1]), strict=True)
    return tuple(Case(title, whole[k], gained[k]) for title, k in named), by, len(whole)


def _all_right(one: Exhibit, judged: JudgedChanges) -> bool:
    """A judge looked, and every binding is right after, with every metric."""
    seen = [judged.get(one.judge, {}).get(row["trial"], BeforeAndAfter()) for row in one.trials.values()]
    return all(each.after and all(binding.bound for binding in each.after) for each in seen)


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
