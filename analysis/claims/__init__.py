"""The report's conclusions: the stated claims (conf/claim_sets, or a study's own), decided by intervals on stated
quantities.

A claim is a conjunction of parts. A part asks that one quantity is above a threshold. A part whose threshold is 0 has
the verdict of its comparison (analysis/numbers/verdicts.py); any other is supported if its 95% interval is above the
threshold, contradicted if it is below, else undecided. A claim is

- supported if every part is, and p < 0.05 after Holm's adjustment. Its p is the largest of its parts': all parts have
  to hold (the intersection-union test, Berger 1982);
- contradicted if a part is, and p < 0.05 after the adjustment. Its p is then the smallest of the parts that point
  against it, times the number of parts: one of them is enough;
- equivalent if no part is contradicted and the difference that one claims lies within the margin;
- else undecided, with the reason.

A claim on after and before has one verdict a metric; these are a family of their own for each metric. All claims that
name metrics are another, so that one more metric changes nothing of them. If weights are random, nothing is decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.claims.parts import CONTRADICTED, SUPPORTED, DecidedPart
from analysis.claims.trials import ComparedTrials, compared_trials
from analysis.numbers.effects import PAIR, change, level, versus
from analysis.numbers.measures import BY_NAME, FULLY_BOUND
from analysis.numbers.slices import KIN_MARK, Slice, families_by_metric, families_of
from analysis.numbers.stated_claims import StatedClaim, StatedPart, metrics_called
from analysis.numbers.statistics import FEWEST_PROMPTS, holm
from analysis.numbers.tuning import reported
from analysis.numbers.verdicts import EQUIVALENT, SIGNIFICANT, UNDECIDED, Verdict
from analysis.tables.columns import p_text
from analysis.tables.notes import accounting, cautions
from analysis.text import listed

__all__ = ["CONTRADICTED", "EQUIVALENT", "SUPPORTED", "UNDECIDED", "Claim", "DecidedPart", "claims", "claims_on"]

RANDOM_WEIGHTS = "some weights are random"


@dataclass(frozen=True)
class Claim:
    """A stated claim and what the data of one generator, prompt set and judge say about it."""

    stated: StatedClaim
    models: str
    prompt_set: str
    judge: str
    kin: bool
    """The judge is related to one of the metrics that the claim compares."""
    basis: str
    """Which trials, in words."""
    parts: tuple[DecidedPart, ...]
    metric: str | None = None
    """The one metric that it is decided for; None if it names its metrics."""
    beside: tuple[DecidedPart, ...] = ()
    """Reported beside the verdict; no part of it."""
    cautions: tuple[str, ...] = ()
    why_not: str | None = None
    """Why nothing can be decided, whatever the parts say."""
    p_holm: float = field(default=float("nan"))
    """`p`, adjusted for the claims of its family."""
    family: int = 1
    """How many claims have a p in its family."""

    @property
    def key(self) -> str:
        """`b`; of a claim with one verdict a metric `a, clip`."""
        return self.stated.key if self.metric is None else f"{self.stated.key}, {self.metric}"

    @property
    def statement(self) -> str:
        return self.stated.statement if self.metric is None else f"{self.stated.statement} with {self.metric}"

    @property
    def definition(self) -> str:
        """What it takes to be supported."""
        return self.stated.definition

    @property
    def prompts(self) -> int:
        return max((part.prompts for part in self.parts), default=0)

    @property
    def p(self) -> float:
        """For or against it, as the measured values lie; not adjusted."""
        if self.why_not or not self.parts:
            return float("nan")
        against = [part.p for part in self.parts if not part.holds and np.isfinite(part.p)]
        if against:
            return min(1.0, len(self.parts) * min(against))
        return float(np.max([part.p for part in self.parts]))  # NaN if a part has none

    @property
    def verdict(self) -> str:
        return self.decided.word

    @property
    def decided(self) -> Verdict:
        """SUPPORTED, CONTRADICTED, EQUIVALENT or UNDECIDED with the reason."""
        if self.why_not or not self.parts:
            return Verdict(UNDECIDED, self.why_not or "")
        verdicts = [part.decided for part in self.parts]
        words = {one.word for one in verdicts}
        word = CONTRADICTED if CONTRADICTED in words else SUPPORTED if words == {SUPPORTED} else None
        if word and self.p_holm < SIGNIFICANT:
            return Verdict(word)
        if word:
            side = "all its comparisons point to yes" if word == SUPPORTED else "one of its comparisons points to no"
            return Verdict(UNDECIDED, f"{side}, but p is {p_text(self.p_holm)}{self._adjustment}")
        if EQUIVALENT in words:
            return Verdict(EQUIVALENT)
        return next(one for one in verdicts if one.word == UNDECIDED)

    @property
    def _adjustment(self) -> str:
        """What the claim's p is adjusted for, in words; empty if it is the only one of its family."""
        return f" after Holm's adjustment for {self.family} claims" if self.family > 1 else ""

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with what it rests on."""
        judge = f", judged by {self.judge}{KIN_MARK if self.kin else ''}" if self.judge else ""
        count = f", {self.prompts} prompt{'s' * (self.prompts != 1)}" if self.prompts else ""
        return (
            f"“{self.statement}”: {self.verdict_in_words}; on {self.models}, prompts {self.prompt_set}{count}{judge}."
        )

    @property
    def verdict_in_words(self) -> str:
        """The verdict with its p, its margin or its reason."""
        decided = self.decided
        if decided.word in (SUPPORTED, CONTRADICTED):
            return f"{decided.word} (p {p_text(self.p_holm)}{self._adjustment})"
        if decided.word == EQUIVALENT:
            return f"{decided.word} (the difference lies within ±{self.parts[0].margin:g})"
        return f"{decided.word} ({decided.why})" if decided.why else decided.word


def claims(slices: Sequence[Slice]) -> list[Claim]:
    """The claims on each generator, prompt set and judge; on dev prompts only if there are no others."""
    return [claim for one in reported(slices) for claim in claims_on(one, slices)]


def claims_on(one: Slice, slices: Sequence[Slice] = ()) -> list[Claim]:
    """The claims on one slice. slices: those of the store; settings are chosen on the dev prompts among them."""
    reno = one.select(method="reno")
    families = families_by_metric(reno, one.metrics_of(reno))
    cell = [other for other in slices if (other.models, other.prompt_set) == (one.models, one.prompt_set)] or [one]
    said = dict.fromkeys((*cautions(cell), *accounting([one])))
    careful = tuple(note for note in said if one.judge or "judge" not in note)
    found = [claim for stated in one.stated for claim in _decide(one, slices, stated, families)]
    return [replace(claim, cautions=careful) for claim in _adjusted(found)]


def _decide(one: Slice, slices: Sequence[Slice], stated: StatedClaim, families: dict[str, str]) -> Iterator[Claim]:
    """A claim on after and before for each metric, any other once. families: of each of ReNO's metrics."""
    about: list[str | None] = list(families) if stated.of_each_metric and families else [None]
    for metric in about:
        called = {name: metrics_called(name, families) for name in stated.metrics}
        known = [found[0] for found in called.values() if len(found) == 1]
        compared = compared_trials(one, slices, known if metric is None else [metric])
        told = len(known) == len(called) and (metric is not None or not stated.of_each_metric)
        parts = (
            [_part(part, called, metric, compared, one.margin) for part in stated.parts] if told and one.judge else []
        )
        rows = list(compared.by_metric.values())
        beside = _against_best_of_n(one, metric, compared) if metric and one.judge else ()
        yield Claim(
            stated, one.models, one.prompt_set, one.judge, kin=bool(rows) and one.is_kin(families_of(pd.concat(rows))),
            basis=compared.basis, parts=tuple(parts), metric=metric, beside=tuple(beside),
            why_not=_why_not(one, called, parts),
        )  # fmt: skip


def _part(
    part: StatedPart, called: dict[str, list[str]], metric: str | None, compared: ComparedTrials, margin: float
) -> DecidedPart:
    measure = BY_NAME[part.measure]
    if metric is not None:
        effect = change(compared.by_metric[metric], measure)
        quantity = f"{measure.title}, after − before, {metric}"
        return DecidedPart(quantity, effect, ("after", "before"), margin, part.threshold, metric)
    (a,) = called[part.a]
    if part.at_least is not None:
        quantity = f"{measure.title}, after, {a}"
        measured = level(compared.by_metric[a], measure)
        return DecidedPart(quantity, measured, (f"with {a}",), margin, part.threshold, a)
    (b,) = called[part.b]
    effect = versus(compared.by_metric[a], compared.by_metric[b], measure, compared.on)
    quantity = f"{measure.title}, {a} − {b}"
    return DecidedPart(quantity, effect, (f"with {a}", f"with {b}"), margin, part.threshold)


def _adjusted(found: Sequence[Claim]) -> list[Claim]:
    """With each claim's p adjusted in its family: the claims on after and before of one metric, or all that name
    metrics."""
    adjusted = list(found)
    for family in dict.fromkeys(claim.metric for claim in found):
        places = [place for place, claim in enumerate(found) if claim.metric == family]
        p = [found[place].p for place in places]
        size = max(1, int(np.isfinite(p).sum()))
        for place, value in zip(places, holm(p), strict=True):
            adjusted[place] = replace(found[place], p_holm=float(value), family=size)
    return adjusted


def _against_best_of_n(one: Slice, metric: str, compared: ComparedTrials) -> Iterator[DecidedPart]:
    """ReNO against best of n at equal images: whether the gradient gains more than as many images drawn at random."""
    rows, best = compared.by_metric[metric], one.select(method="best_of_n", metric=metric)
    if best.empty or rows.empty:
        return
    effect = versus(rows, best, FULLY_BOUND, (*PAIR, "images"))
    if effect.pairs:
        quantity = f"beside it: {FULLY_BOUND.title}, ReNO − best of n at equal images, {metric}"
        yield DecidedPart(quantity, effect, ("with ReNO", "with best of n"), one.margin, metric=metric)


def _why_not(one: Slice, called: dict[str, list[str]], parts: Sequence[DecidedPart]) -> str | None:
    if one.random_weights:
        return RANDOM_WEIGHTS
    if not one.judge:
        return "no judge looked at these trials"
    lacking = [name for name, found in called.items() if not found]
    if lacking:
        return f"ReNO was not run with {listed(lacking, 'or')} here"
    several = [f"{name} may be {listed(found, 'or')}" for name, found in called.items() if len(found) > 1]
    if several:
        return f"the claim does not say which metric it means: {'; '.join(several)}"
    if not parts:
        return "ReNO was not run here"
    fewest = min(part.prompts for part in parts)
    if fewest == 0:
        return f"{one.judge} judged no prompt with all that the claim compares"
    if fewest < FEWEST_PROMPTS:
        return f"{fewest} {'prompt is' if fewest == 1 else 'prompts are'} too few; at least {FEWEST_PROMPTS} are needed"
    return None
