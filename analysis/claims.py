"""The report's conclusions as hypotheses: each with an operational definition, decided by intervals on stated
quantities.

A claim is a conjunction of parts. A part asks that one quantity lie above a threshold, and is

- supported if its 95% interval lies above the threshold, contradicted if it lies below, else not decided;
- where the threshold is 0, only if its test agrees as well: p < 0.05, Holm-adjusted over the parts of the four
  claims on the same generator, prompt set and judge.

A claim is supported if every part is, contradicted if any part is, else not decided. (All parts have to hold, so no
further correction is needed for supporting: Berger 1982.) Where weights are random, nothing is decided.

The trials are ReNO's with each metric at its own best settings, where dev prompts were run to choose them on; else
those of all settings that both metrics ran, paired on prompt, seed and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.effects import PAIR, Effect, change, versus
from analysis.outcomes import BY_NAME, KIN_MARK, Slice
from analysis.statistics import FEWEST_PROMPTS, LEVEL, holm
from analysis.tables.table import (
    SIGNIFICANT,
    accounting,
    bracketed,
    cautions,
    configurations,
    crossed_text,
    families_of,
    p_text,
)
from analysis.text import markdown_text, number
from analysis.tuning import chosen, reported

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "not decided"
MARGIN = 0.05
"""How much less still counts as getting the objects, or the colours, in: 5 in 100. Set before any result was seen."""


@dataclass(frozen=True)
class Part:
    """One quantity and where it has to lie."""

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
    """A hypothesis and what the data say of it."""

    key: str
    """a, b, c or d."""
    statement: str
    definition: str
    """What it takes to be supported."""
    models: str
    prompt_set: str
    judge: str
    kin: bool
    """The judge is kin to one of the metrics it compares."""
    basis: str
    """Which trials, in words."""
    parts: tuple[Part, ...]
    beside: tuple[Part, ...] = ()
    """Said beside the verdict and no part of it."""
    cautions: tuple[str, ...] = ()
    why_not: str | None = None
    """Why nothing can be decided, whatever the parts say."""

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


STATEMENTS = {
    "a": (
        "ReNO improves binding",
        "With each metric, the share of images with every binding right is larger after optimisation than before.",
    ),
    "b": (
        "CLIP beats BLIP overall",
        "After optimisation, the share of images with every binding right is larger with CLIP than with BLIP.",
    ),
    "c": (
        "CLIP gets the objects in but binds attributes less",
        f"After optimisation, CLIP's recall of objects is above BLIP's less {MARGIN}, and of the objects that are "
        "there the share that carries its attribute is larger with BLIP than with CLIP.",
    ),
    "d": (
        "BLIP gets the colours in but puts them on the wrong objects more often",
        f"After optimisation, BLIP's recall of attributes is above CLIP's less {MARGIN}, and the share of "
        "bindings whose object and attribute are both in the image, but not together, is larger with BLIP than with "
        "CLIP.",
    ),
}


def claims(slices: Sequence[Slice]) -> list[Claim]:
    """The four claims on each generator, prompt set and judge, but on dev prompts only where there are no others."""
    return [claim for one in reported(slices) for claim in claims_on(one, slices)]


def claims_on(one: Slice, slices: Sequence[Slice] = ()) -> list[Claim]:
    """The four claims on one slice; `slices` holds the dev prompts' slices to choose settings on, and what other judges
    say of the same trials."""
    trials, on, basis = _trials(one, slices)
    clip, blip = _named(trials, "clip"), _named(trials, "blip")
    parts: dict[str, list[Part]] = {key: [] for key in STATEMENTS}
    fully = BY_NAME["fully_bound"]
    if one.judge:
        for metric, rows in trials.items():
            quantity = f"{fully.title}, after − before, {metric}"
            parts["a"].append(Part(quantity, change(rows, fully), metric=metric))
    if one.judge and clip and blip:
        compare = _comparer(trials, on)
        parts["b"] = [compare("fully_bound", clip, blip)]
        parts["c"] = [compare("objects", clip, blip, -MARGIN), compare("bound_given_present", blip, clip)]
        parts["d"] = [compare("attributes", blip, clip, -MARGIN), compare("swapped", blip, clip)]
    parts = _adjusted(parts)
    cell = [other for other in slices if (other.models, other.prompt_set) == (one.models, one.prompt_set)] or [one]
    said = dict.fromkeys((*cautions(cell), *accounting([one])))
    careful = tuple(note for note in said if one.judge or "judge" not in note)
    found = []
    for key, (statement, definition) in STATEMENTS.items():
        compared = [trials[name] for name in ((clip, blip) if key != "a" else trials) if name]
        kin = bool(compared) and one.is_kin(families_of(pd.concat(compared)))
        found.append(
            Claim(
                key, statement, definition, one.models, one.prompt_set, one.judge, kin, basis, tuple(parts[key]),
                beside=tuple(_against_best_of_n(one, trials)) if key == "a" and one.judge else (),
                cautions=careful, why_not=_why_not(one, parts[key], key, clip, blip),
            )
        )  # fmt: skip
    return found


def _trials(one: Slice, slices: Sequence[Slice]) -> tuple[dict[str, pd.DataFrame], tuple[str, ...], str]:
    """ReNO's trials by metric, what to pair them on besides, and in words which they are."""
    reno = one.select(method="reno")
    metrics = {metric: rows for method, metric, _, rows in configurations(reno)}
    choices = {metric: chosen(slices, one, metric) for metric in metrics}
    if metrics and all(choices.values()):
        trials = {m: reno[(reno["metric"] == m) & (reno["settings"] == c.settings)] for m, c in choices.items()}
        named = "; ".join(f"{metric}: {choice.settings}" for metric, choice in choices.items())
        dev = ", ".join(next(iter(choices.values())).dev_sets)
        return trials, PAIR, f"each metric at its own best settings, chosen on {dev} ({named})"
    by_metric = {metric: reno[reno["metric"] == metric] for metric in metrics}
    pair = [name for name in (_named(by_metric, "clip"), _named(by_metric, "blip")) if name]
    shared = set.intersection(*(set(by_metric[name]["settings"]) for name in pair)) if pair else set()
    if shared:
        by_metric |= {name: by_metric[name][by_metric[name]["settings"].isin(shared)] for name in pair}
    settings = "; ".join(sorted(shared)) or "there are none"
    return by_metric, (*PAIR, "settings"), f"all settings that both metrics ran, paired on them: {settings}"


def _named(trials: dict[str, pd.DataFrame], family: str) -> str | None:
    """The metric that stands for a family: the one of that very name, else the first of only that family."""
    if family in trials:
        return family
    return next((metric for metric, rows in trials.items() if (rows["families"] == family).all()), None)


def _comparer(trials: dict[str, pd.DataFrame], on: tuple[str, ...]) -> Callable[..., Part]:
    def compare(measure: str, a: str, b: str, above: float = 0.0) -> Part:
        effect = versus(trials[a], trials[b], BY_NAME[measure], on)
        return Part(f"{BY_NAME[measure].title}, {a} − {b}", effect, above)

    return compare


def _adjusted(parts: dict[str, list[Part]]) -> dict[str, list[Part]]:
    """The parts with their p adjusted; a part with a margin is decided by its interval alone and is not in the
    family."""
    tested = [(key, place) for key, found in parts.items() for place, part in enumerate(found) if part.above == 0]
    adjusted = holm([parts[key][place].effect.p for key, place in tested])
    result = {key: list(found) for key, found in parts.items()}
    for (key, place), p in zip(tested, adjusted, strict=True):
        result[key][place] = replace(result[key][place], p_holm=float(p))
    return result


def _against_best_of_n(one: Slice, trials: dict[str, pd.DataFrame]) -> list[Part]:
    """Whether the gradient is worth more than as many images: ReNO against best of n, at equal images."""
    found = []
    for metric, rows in trials.items():
        best = one.select(method="best_of_n", metric=metric)
        if best.empty or rows.empty:
            continue
        effect = versus(rows, best, BY_NAME["fully_bound"], (*PAIR, "images"))
        if effect.pairs:
            quantity = f"beside it: fully bound, ReNO − best of n at equal images, {metric}"
            found.append(Part(quantity, effect, metric=metric))
    adjusted = holm([part.effect.p for part in found])
    return [replace(part, p_holm=float(p)) for part, p in zip(found, adjusted, strict=True)]


def _why_not(one: Slice, parts: list[Part], key: str, clip: str | None, blip: str | None) -> str | None:
    if one.random_weights:
        return "some weights are random"
    if not one.judge:
        return "no judge looked at these trials"
    if key != "a" and not (clip and blip):
        return f"ReNO was not run with {'CLIP' if not clip else 'BLIP'} here"
    if not parts:
        return "ReNO was not run here"
    fewest = min(part.effect.prompts for part in parts)
    if fewest < FEWEST_PROMPTS:
        return f"{fewest} prompts are too few; it takes {FEWEST_PROMPTS}"
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
        lines += [f"## ({claim.key}) {markdown_text(claim.statement)}: **{claim.verdict}**", ""]
        lines += [markdown_text(claim.sentence), "", f"Supported if: {markdown_text(claim.definition)}", ""]
        lines += [f"Trials: {markdown_text(claim.basis)}.", ""]
        lines += [f"- {markdown_text(part.sentence)}" for part in (*claim.parts, *claim.beside)]
        lines += [f"- {markdown_text(caution)}" for caution in claim.cautions] + [""]
    return "\n".join(lines)
