"""Numbers as columns of a table: at full precision for its frame, as short texts for its readers."""

from __future__ import annotations

import pandas as pd

from analysis.numbers.effects import Effect, Level
from analysis.numbers.statistics import Interval
from analysis.numbers.verdicts import BETTER, WORSE
from analysis.text import number

GIVEN = "given"
"""The method of trials whose one image was made elsewhere."""
EFFECT = ("over", "p", "d_z", "verdict", "why", "more_prompts", "detectable", "differing")
COMPARED = (
    "value_a", "value_b", "difference", "difference_low", "difference_high", "difference_interval", *EFFECT, "win",
    "tie", "loss", "prompts", "seeds", "pairs", "unpaired_a", "unpaired_b",
)  # fmt: skip
"""The columns of `comparison_columns`, for a table without rows: its CSV has the header."""


def spread(prefix: str, interval: Interval) -> dict[str, float | str]:
    """An interval as columns of a frame."""
    return {
        prefix: interval.value,
        f"{prefix}_low": interval.low,
        f"{prefix}_high": interval.high,
        f"{prefix}_interval": interval.kind,
    }


def before_after(method: str, before: str, after: str) -> str:
    """`0.24 → 0.72`; of pictures that were made elsewhere, which are one image each, the one value."""
    return after if method == GIVEN else f"{before} → {after}"


def effect_columns(effect: Effect, margin: float, prefix: str = "") -> dict[str, float | str]:
    """An effect's test, size and verdict as columns of a frame."""
    found = effect.verdict(margin)
    return {
        f"{prefix}over": effect.over,
        f"{prefix}p": effect.p,
        f"{prefix}d_z": effect.d_z,
        f"{prefix}verdict": found.word,
        f"{prefix}why": found.why,
        f"{prefix}more_prompts": found.more,
        f"{prefix}detectable": effect.detectable,
        f"{prefix}differing": effect.differing,
    }


def comparison_columns(
    effect: Effect, margin: float, a: str = "a", b: str = "b", value_a: str = "value_a", value_b: str = "value_b"
) -> dict[str, float | str]:
    """A comparison of two sides as columns of a frame; the sides are called a and b in the last two columns."""
    return {
        value_a: effect.a,
        value_b: effect.b,
        **spread("difference", effect.difference),
        **effect_columns(effect, margin),
        "win": effect.win,
        "tie": effect.tie,
        "loss": effect.loss,
        "prompts": effect.prompts,
        "seeds": effect.seeds,
        "pairs": effect.pairs,
        f"unpaired_{a}": effect.unpaired_a,
        f"unpaired_{b}": effect.unpaired_b,
    }


def comparison_texts(effect: Effect, margin: float) -> dict[str, str]:
    """The texts of a comparison that tables choose from."""
    return {
        "a": number(effect.a),
        "b": number(effect.b),
        "difference": bracketed(effect.difference),
        "p": p_text(effect.p),
        "verdict": effect.verdict(margin).short,
        "detectable": f"±{number(effect.detectable)}" if pd.notna(effect.detectable) else number(effect.detectable),
        "win / tie / loss": f"{effect.win} / {effect.tie} / {effect.loss}",
        "n": counted(effect),
        "unpaired": f"{effect.unpaired_a}, {effect.unpaired_b}",
    }


def counted(one: Level | Effect) -> str:
    """`100 × 2 (200)`: prompts x seeds (trials or pairs); `100 × 2 own (200)` if each prompt has its own seeds."""
    count = one.trials if isinstance(one, Level) else one.pairs
    return f"{one.noises.times} ({count})"


def bracketed(interval: Interval, digits: int = 2, signed: bool = True) -> str:
    """`+0.12 [0.03, 0.21]`."""
    value = number(interval.value, digits, signed)
    if interval.kind == "equal":
        return f"{value} (=)"
    if interval.kind == "none":
        return value
    return f"{value} [{number(interval.low, digits)}, {number(interval.high, digits)}]"


def p_text(p: float) -> str:
    if pd.isna(p):
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def starred(text: str, verdict: str) -> str:
    """With a star if the verdict is better or worse."""
    return f"{text}*" if verdict in (BETTER, WORSE) else text
