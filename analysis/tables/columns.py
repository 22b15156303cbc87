"""Numbers as columns of a table: at full precision for its frame, as short texts for its readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from analysis.numbers.effects import Effect, Level
from analysis.numbers.statistics import Interval, holm
from analysis.text import number

SIGNIFICANT = 0.05
GIVEN = "given"
"""The method of trials whose one image was made elsewhere."""
OVER_SEEDS = "over seeds too"
"""The column with the interval over prompts and seeds."""


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


def effect_columns(effect: Effect, prefix: str = "") -> dict[str, float | str]:
    """An effect's test and sizes as columns of a frame."""
    return {
        **spread(f"{prefix}crossed", effect.crossed),
        f"{prefix}p": effect.p,
        f"{prefix}d_z": effect.d_z,
        f"{prefix}rank_biserial": effect.rank_biserial,
    }


def comparison_columns(
    effect: Effect, p_holm: float, a: str = "a", b: str = "b", value_a: str = "value_a", value_b: str = "value_b"
) -> dict[str, float | str]:
    """A comparison of two sides as columns of a frame; the sides are called a and b in the last two columns."""
    return {
        value_a: effect.a,
        value_b: effect.b,
        **spread("difference", effect.difference),
        **effect_columns(effect),
        "p_holm": p_holm,
        "win": effect.win,
        "tie": effect.tie,
        "loss": effect.loss,
        "prompts": effect.prompts,
        "seeds": effect.seeds,
        "pairs": effect.pairs,
        f"unpaired_{a}": effect.unpaired_a,
        f"unpaired_{b}": effect.unpaired_b,
    }


def comparison_texts(effect: Effect, p_holm: float) -> dict[str, str]:
    """The texts of a comparison that tables choose from."""
    return {
        "a": number(effect.a),
        "b": number(effect.b),
        "difference": starred(bracketed(effect.difference), p_holm),
        OVER_SEEDS: crossed_text(effect),
        "p": p_text(p_holm),
        "d_z": number(effect.d_z, signed=True),
        "rank r": number(effect.rank_biserial, signed=True),
        "win / tie / loss": f"{effect.win} / {effect.tie} / {effect.loss}",
        "n": counted(effect),
        "unpaired": f"{effect.unpaired_a}, {effect.unpaired_b}",
    }


def with_holm(found: Iterable[tuple]) -> Iterator[tuple]:
    """Each tuple, whose last part is an Effect, with its p behind it, Holm-adjusted over all of them."""
    found = list(found)
    adjusted = holm([effect.p for *_, effect in found])
    return ((*one, float(p)) for one, p in zip(found, adjusted, strict=True))


def without_idle(shown: pd.DataFrame, effects: Sequence[Effect]) -> pd.DataFrame:
    """Without the column OVER_SEEDS if no prompts share their seeds."""
    idle = {effect.crossed.kind for effect in effects} == {"nested"}
    return shown.drop(columns=OVER_SEEDS) if idle else shown


def counted(one: Level | Effect) -> str:
    """`100 × 2 (200)`: prompts x seeds (trials or pairs); `100 × 2 own (200)` if each prompt has its own seeds."""
    count = one.trials if isinstance(one, Level) else one.pairs
    return f"{one.noises.times} ({count})"


def crossed_text(effect: Effect) -> str:
    """The interval over prompts and seeds, `[0.03, 0.21]`."""
    interval = effect.crossed
    if interval.kind == "nested":
        return "own"
    if interval.kind == "equal":
        return "(=)"
    return "–" if interval.kind == "none" else f"[{number(interval.low)}, {number(interval.high)}]"


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


def starred(text: str, p: float) -> str:
    """With a star if p is significant."""
    return f"{text}*" if p < SIGNIFICANT else text
