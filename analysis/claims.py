"""The report's conclusions: the stated claims (conf/claim_sets, or a study's own), decided by intervals on stated
quantities.

A claim is a conjunction of parts. A part asks that one quantity is above a threshold. It is

- supported if its 95% interval is above the threshold, contradicted if it is below, else not decided;
- where the threshold is 0, only if its test agrees: p < 0.05, Holm-adjusted over the parts of all claims on the same
  generator, prompt set and judge.

A claim is supported if every part is, contradicted if any part is, else not decided. (All parts have to hold, so
supporting needs no further correction: Berger 1982.) If weights are random, nothing is decided.

The trials are ReNO's with each metric at its own best settings, if dev prompts were run to choose them on. Else they
are those of all settings that the compared metrics ran, paired on prompt, seed and settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.numbers.effects import PAIR, Effect, change, versus
from analysis.numbers.measures import BY_NAME, FULLY_BOUND
from analysis.numbers.slices import KIN_MARK, Slice, families_by_metric, families_of
from analysis.numbers.stated_claims import StatedClaim, StatedPart, metrics_called, named_metrics
from analysis.numbers.statistics import FEWEST_PROMPTS, LEVEL, holm
from analysis.numbers.tuning import chosen, reported
from analysis.tables.columns import SIGNIFICANT, bracketed, crossed_text, p_text
from analysis.tables.notes import accounting, cautions
from analysis.text import listed, markdown_text, number

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "not decided"
RANDOM_WEIGHTS = "some weights are random"


@dataclass(frozen=True)
class DecidedPart:
    """One quantity, the threshold it has to be above, and what the data say."""

    quantity: str
    effect: Effect
    above: float = 0.0
    p_holm: float = float("nan")
    metric: str | None = None
    """The one metric it is about; None where it compares two."""

    @property
    def verdict(self) -> str:
        interval = self.effect.difference
        if self.above == 0 and not self.p_holm < SIGNIFICANT:
            return UNDECIDED
        if interval.low > self.above:
            return SUPPORTED
        return CONTRADICTED if interval.high < self.above else UNDECIDED

    @property
    def sentence(self) -> str:
        effect = self.effect
        test = f", p {p_text(self.p_holm)} (Holm)" if self.above == 0 else ""
        both = effect.crossed.kind == "random effects"
        crossed = f"; over prompts and seeds {crossed_text(effect)}" if both else ""
        own = ", which the interval is over as well" if effect.crossed.kind == "nested" else ""
        kind = effect.difference.kind
        interval = f" ({LEVEL:.0%} {kind})" if kind in ("BCa", "percentile") else ""
        return (
            f"{self.quantity}: {number(effect.a)} against {number(effect.b)}, difference {bracketed(effect.difference)}"
            f"{interval}, has to be above {number(self.above)}{test}: {self.verdict}{crossed}; "
            f"{effect.noises.in_words}{own}, {effect.pairs} pairs, "
            f"win / tie / loss {effect.win} / {effect.tie} / {effect.loss}"
        )


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
    beside: tuple[DecidedPart, ...] = ()
    """Reported beside the verdict; no part of it."""
    cautions: tuple[str, ...] = ()
    why_not: str | None = None
    """Why nothing can be decided, whatever the parts say."""

    @property
    def key(self) -> str:
        return self.stated.key

    @property
    def statement(self) -> str:
        return self.stated.statement

    @property
    def definition(self) -> str:
        """What it takes to be supported."""
        return self.stated.definition

    @property
    def verdict(self) -> str:
        verdicts = {part.verdict for part in self.parts}
        if self.why_not or not verdicts:
            return UNDECIDED
        if CONTRADICTED in verdicts:
            return CONTRADICTED
        return SUPPORTED if verdicts == {SUPPORTED} else UNDECIDED

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with what it rests on."""
        prompts = max((part.effect.prompts for part in self.parts), default=0)
        judge = f"{self.judge}{KIN_MARK if self.kin else ''}" if self.judge else "no judge"
        why = f" ({self.why_not})" if self.why_not else ""
        return (
            f"“{self.statement}” is {self.verdict}{why} on {self.models}, prompts {self.prompt_set} ({prompts} of "
            f"them), as judged by {judge}."
        )


@dataclass(frozen=True)
class ComparedTrials:
    """ReNO's trials that the claims of one slice rest on."""

    by_metric: dict[str, pd.DataFrame]
    on: tuple[str, ...]
    """The columns that two metrics are paired on."""
    basis: str
    """Which trials, in words."""
    families: dict[str, str]
    """The families of each metric."""

    def metrics_of(self, stated: StatedClaim) -> list[str]:
        """The metrics that a claim compares; all of them, if it is about each."""
        named = [metric for name in stated.metrics if (metric := self.called(name))]
        return list(self.by_metric) if stated.of_each_metric else named

    def called(self, name: str) -> str | None:
        """The one metric that a claim means by `name`; None if there is none, or more than one."""
        found = metrics_called(name, self.families)
        return found[0] if len(found) == 1 else None


def claims(slices: Sequence[Slice]) -> list[Claim]:
    """The claims on each generator, prompt set and judge; on dev prompts only if there are no others."""
    return [claim for one in reported(slices) for claim in claims_on(one, slices)]


def claims_on(one: Slice, slices: Sequence[Slice] = ()) -> list[Claim]:
    """The claims on one slice. slices: those of the store; settings are chosen on the dev prompts among them."""
    compared = compared_trials(one, slices)
    parts = _adjusted([_parts(stated, compared) if one.judge else [] for stated in one.stated])
    cell = [other for other in slices if (other.models, other.prompt_set) == (one.models, one.prompt_set)] or [one]
    said = dict.fromkeys((*cautions(cell), *accounting([one])))
    careful = tuple(note for note in said if one.judge or "judge" not in note)
    beside = tuple(_against_best_of_n(one, compared.by_metric)) if one.judge else ()
    found = []
    for stated, own in zip(one.stated, parts, strict=True):
        rows = [compared.by_metric[metric] for metric in compared.metrics_of(stated)]
        found.append(
            Claim(
                stated, one.models, one.prompt_set, one.judge,
                kin=bool(rows) and one.is_kin(families_of(pd.concat(rows))), basis=compared.basis, parts=tuple(own),
                beside=beside if stated.of_each_metric else (), cautions=careful,
                why_not=_why_not(one, stated, own, compared),
            )
        )  # fmt: skip
    return found


def compared_trials(one: Slice, slices: Sequence[Slice]) -> ComparedTrials:
    """The trials that the claims on a slice rest on."""
    reno = one.select(method="reno")
    metrics = one.metrics_of(reno)
    families = families_by_metric(reno, metrics)
    choices = {metric: chosen(slices, one, metric) for metric in metrics}
    if metrics and all(choices.values()):
        tuned = {m: reno[(reno["metric"] == m) & (reno["settings"] == c.settings)] for m, c in choices.items()}
        named = "; ".join(f"{metric}: {choice.settings}" for metric, choice in choices.items())
        dev = ", ".join(next(iter(choices.values())).dev_sets)
        basis = f"each metric at its own best settings, chosen on {dev} ({named})"
        return ComparedTrials(tuned, PAIR, basis, families)
    by_metric = {metric: reno[reno["metric"] == metric] for metric in metrics}
    basis = "all settings of each metric"
    named = dict.fromkeys(m for name in named_metrics(one.stated) for m in metrics_called(name, families))
    shared = set.intersection(*(set(by_metric[metric]["settings"]) for metric in named)) if named else set()
    if shared:
        by_metric |= {metric: by_metric[metric][by_metric[metric]["settings"].isin(shared)] for metric in named}
        basis = f"all settings that {_all_of(list(named))} ran, paired on them: {'; '.join(sorted(shared))}"
    elif len(named) > 1:
        basis += f"; there are none that {_all_of(list(named))} ran"
    return ComparedTrials(by_metric, (*PAIR, "settings"), basis, families)


def _all_of(metrics: Sequence[str]) -> str:
    return f"{listed(metrics)}{('', '', ' both', ' all')[min(3, len(metrics))]}"


def _parts(stated: StatedClaim, compared: ComparedTrials) -> list[DecidedPart]:
    """The parts of a claim that the trials can say something about: all of them, or none."""
    if any(compared.called(name) is None for name in stated.metrics):
        return []
    return [decided for part in stated.parts for decided in _decided(part, compared)]


def _decided(part: StatedPart, compared: ComparedTrials) -> list[DecidedPart]:
    measure = BY_NAME[part.measure]
    if part.of_each_metric:
        return [
            DecidedPart(
                f"{measure.title}, after − before, {metric}", change(rows, measure), part.threshold, metric=metric
            )
            for metric, rows in compared.by_metric.items()
        ]
    a, b = compared.called(part.a), compared.called(part.b)
    effect = versus(compared.by_metric[a], compared.by_metric[b], measure, compared.on)
    return [DecidedPart(f"{measure.title}, {a} − {b}", effect, part.threshold)]


def _adjusted(parts: Sequence[list[DecidedPart]]) -> list[list[DecidedPart]]:
    """The parts of each claim with their p adjusted over the parts of all claims. A part whose threshold is not 0 is
    decided by its interval alone and does not count among them."""
    adjusted = iter(holm([part.effect.p for own in parts for part in own if part.above == 0]))
    return [[replace(part, p_holm=float(next(adjusted))) if part.above == 0 else part for part in own] for own in parts]


def _against_best_of_n(one: Slice, trials: Mapping[str, pd.DataFrame]) -> list[DecidedPart]:
    """ReNO against best of n at equal images: whether the gradient gains more than as many images drawn at random."""
    found = []
    for metric, rows in trials.items():
        best = one.select(method="best_of_n", metric=metric)
        if best.empty or rows.empty:
            continue
        effect = versus(rows, best, FULLY_BOUND, (*PAIR, "images"))
        if effect.pairs:
            quantity = f"beside it: fully bound, ReNO − best of n at equal images, {metric}"
            found.append(DecidedPart(quantity, effect, metric=metric))
    return _adjusted([found])[0]


def _why_not(one: Slice, stated: StatedClaim, parts: Sequence[DecidedPart], compared: ComparedTrials) -> str | None:
    if one.random_weights:
        return RANDOM_WEIGHTS
    if not one.judge:
        return "no judge looked at these trials"
    called = {name: metrics_called(name, compared.families) for name in stated.metrics}
    lacking = [name for name, found in called.items() if not found]
    if lacking:
        return f"ReNO was not run with {listed(lacking, 'or')} here"
    several = [f"{name} may be {listed(found, 'or')}" for name, found in called.items() if len(found) > 1]
    if several:
        return f"the claim does not say which metric it means: {'; '.join(several)}"
    if not parts:
        return "ReNO was not run here"
    fewest = min(part.effect.prompts for part in parts)
    if fewest == 0:
        return f"{one.judge} judged no prompt with all that the claim compares"
    if fewest < FEWEST_PROMPTS:
        return f"{fewest} {'prompt is' if fewest == 1 else 'prompts are'} too few; at least {FEWEST_PROMPTS} are needed"
    return None


def claims_frame(found: Sequence[Claim]) -> pd.DataFrame:
    """One row a part, for a CSV."""
    return pd.DataFrame(
        [
            {
                "claim": claim.key,
                "statement": claim.statement,
                "models": claim.models,
                "prompt_set": claim.prompt_set,
                "judge": claim.judge,
                "kin": claim.kin,
                "verdict": claim.verdict,
                "part": part.quantity,
                "part_verdict": part.verdict,
                "decides": part in claim.parts,
                "value_a": part.effect.a,
                "value_b": part.effect.b,
                "difference": part.effect.difference.value,
                "low": part.effect.difference.low,
                "high": part.effect.difference.high,
                "interval": part.effect.difference.kind,
                "crossed_low": part.effect.crossed.low,
                "crossed_high": part.effect.crossed.high,
                "crossed_interval": part.effect.crossed.kind,
                "above": part.above,
                "p": part.effect.p,
                "p_holm": part.p_holm,
                "prompts": part.effect.prompts,
                "seeds": part.effect.seeds,
                "pairs": part.effect.pairs,
            }
            for claim in found
            for part in (*claim.parts, *claim.beside)
        ]
    )


def claims_markdown(found: Sequence[Claim]) -> str:
    """All claims as a Markdown page."""
    lines = ["# Claims", ""]
    for claim in found:
        lines += [f"## ({markdown_text(claim.key)}) {markdown_text(claim.statement)}: **{claim.verdict}**", ""]
        lines += [markdown_text(claim.sentence), "", f"Supported if: {markdown_text(claim.definition)}", ""]
        lines += [f"Trials: {markdown_text(claim.basis)}.", ""]
        lines += [f"- {markdown_text(part.sentence)}" for part in (*claim.parts, *claim.beside)]
        lines += [f"- {markdown_text(caution)}" for caution in claim.cautions] + [""]
    return "\n".join(lines)
