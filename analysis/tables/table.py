"""What a table is: every number in `frame`, what a reader sees in `shown`, and what has to be said beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.effects import Effect, Level, noises
from analysis.load import ABSENT_STATES
from analysis.outcomes import KIN_MARK, Slice
from analysis.statistics import FEWEST_PROMPTS, FEWEST_SEEDS, LEVEL, Interval
from analysis.text import number

MOST_ROWS = 60
"""A table shows no more; its CSV has all."""
METHODS = ("reno", "decoder_only", "best_of_n", "none")
SIGNIFICANT = 0.05
TEXT = (
    "judge",
    "method",
    "metric",
    "settings",
    "measure",
    "prompt",
    "binding",
    "trial",
    "control",
    "a vs b",
    "row",
    "now",
    "device",
)
"""Columns that are set flush left."""


@dataclass(frozen=True)
class Table:
    number: int
    """1 to 7, as the report counts them."""
    name: str
    title: str
    models: str
    prompt_set: str
    frame: pd.DataFrame
    """Every number, a column each, at full precision."""
    shown: pd.DataFrame
    """Texts, one column a printed column."""
    notes: tuple[str, ...] = ()
    """What has to be said of this table."""
    accounting: tuple[str, ...] = ()
    """What has to be said of every table of this generator and prompt set; where they stand together, once."""

    @property
    def caption(self) -> str:
        return f"{self.title}. Generator {self.models}, prompts {self.prompt_set}."

    @property
    def all_notes(self) -> tuple[str, ...]:
        """What has to be said beside the table where it stands alone."""
        return (*self.notes, *self.accounting)

    def is_text(self, column: str) -> bool:
        return column in TEXT

    def cut(self, most: int = MOST_ROWS) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The first rows, and the note that says so where there are more."""
        if len(self.shown) <= most:
            return self.shown, ()
        return self.shown[:most], (f"The first {most} of {len(self.shown)} rows; the CSV has all.",)


def table_of(
    cell: Sequence[Slice], number: int, name: str, title: str, frame: pd.DataFrame, shown: pd.DataFrame,
    notes: Sequence[str],
) -> Table:  # fmt: skip
    """A table of one generator and prompt set, with what has to be said of all of theirs."""
    first = cell[0]
    return Table(number, name, title, first.models, first.prompt_set, frame, shown, tuple(notes), accounting(cell))


def metric_order(metric: str) -> tuple:
    """CLIP first, then BLIP, then the others."""
    family = metric.split("_")[0].split("[")[0]
    return (("clip", "blip").index(family) if family in ("clip", "blip") else 2, metric)


def method_order(method: str) -> tuple:
    return (METHODS.index(method) if method in METHODS else len(METHODS), method)


def configurations(rows: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """(method, metric, settings, its trials), in the order of tables."""
    groups = {key: part for key, part in rows.groupby(["method", "metric", "settings"])}

    def order(key: tuple[str, str, str]) -> tuple:
        part = groups[key]
        return method_order(key[0]), metric_order(key[1]), *part[["iterations", "lr"]].iloc[0].fillna(0), key[2]

    for key in sorted(groups, key=order):
        yield *key, groups[key]


def metrics_of(rows: pd.DataFrame) -> list[str]:
    return sorted(rows["metric"].unique(), key=metric_order)


def families_of(rows: pd.DataFrame) -> str:
    """The metric families these trials optimised."""
    return " ".join(sorted({family for names in rows["families"].unique() for family in names.split()}))


def absences(absent: pd.DataFrame, **wanted: str) -> dict[str, int]:
    """How many planned trials failed, are damaged or are missing; a job that does not tell its settings counts for
    none."""
    for column, value in wanted.items():
        absent = absent[absent[column] == value]
    counts = absent["state"].value_counts()
    return {state: int(counts.get(state, 0)) for state in ABSENT_STATES}


def accounting(cell: Sequence[Slice]) -> tuple[str, ...]:
    """Sentences that tables of this generator and prompt set must carry: what is missing, failed, not judged, kin,
    random."""
    first = cell[0]
    notes = []
    if first.random_weights:
        notes.append("Some weights are random: no number here says anything about the metrics.")
    counts = absences(first.absent)
    if sum(counts.values()):
        parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        notes.append(f"{len(first.rows)} trials are stored; of those planned, {parts} and are not in any number here.")
    untold = first.absent[first.absent["settings"].isna()]
    if len(untold):
        where = untold.groupby(["method", "metric"]).size()
        named = ", ".join(f"{count} of {method} with {metric}" for (method, metric), count in where.items())
        notes.append(f"Of those, the settings of these are not recorded, and no row counts them: {named}.")
    notes += cautions(cell)
    for one in cell:
        if not one.judge:
            notes.append("No judge looked at these trials: only the metrics' own scores are there.")
            continue
        unjudged = int(one.rows["fully/best"].isna().sum())
        if unjudged:
            notes.append(f"{one.judge} did not judge {unjudged} of the {len(one.rows)} trials.")
        if one.is_kin(families_of(one.rows)):
            notes.append(f"{KIN_MARK} {one.judge} is kin to {one.kin} and may favour it.")
    return tuple(notes)


FEW_SEEDS = 10
"""With fewer noises, shared by all prompts, a table says what its intervals do not cover."""


def cautions(cell: Sequence[Slice]) -> list[str]:
    """Sentences on what the intervals of this generator and prompt set do not cover, judges that changed and few shared
    noises, or do where one might think otherwise: noises that each prompt has of its own."""
    found = []
    names = [one.judge.partition("[")[0] for one in cell]
    for name in dict.fromkeys(names):
        several = [one for one, own in zip(cell, names, strict=True) if own == name]
        if name and len(several) > 1:
            parts = ", ".join(f"{one.judge} {one.rows['fully/best'].notna().sum()} trials" for one in several)
            found.append(
                f"{name} judged with {len(several)} identities (weights, settings or version): {parts}. They are "
                "treated as different judges, and no number is of both; "
                f"`python -m reno.evaluate evaluators={name}` judges every trial with one."
            )
    started = noises(cell[0].rows)
    seeds = started.seeds
    if started.own:
        found.append(
            f"Each prompt has noises of its own ({started.each} a prompt): intervals and tests over prompts are about "
            "other prompts and other noises alike."
        )
    elif seeds < FEW_SEEDS and started.prompts > 1:
        shared = f"the same {seeds} noises (seeds)" if seeds > 1 else "one noise (seed)"
        both = f"it takes {FEWEST_SEEDS} seeds or more to say how much other noises would change"
        if seeds >= FEWEST_SEEDS:
            both = "the intervals over prompts and seeds, where there are any, cover those as well"
        found.append(
            f"All prompts start from {shared}: intervals and tests over prompts are about other prompts on "
            f"{'these noises' if seeds > 1 else 'this noise'}, not about other noises; {both}."
        )
    return found


def interval_note(intervals: Sequence[str]) -> str:
    """How the intervals of a table were made, from their kinds."""
    kinds = set(intervals)
    text = f"Intervals are {LEVEL:.0%}, bootstrapped over prompts (all seeds of a prompt together), "
    named = [kind for kind in ("BCa", "percentile") if kind in kinds]
    text += " or ".join(named) + ("; the CSV says which" if len(named) > 1 else "") if named else "where they can be"
    if "equal" in kinds:
        text += "; (=): every prompt has the same value, and no interval can be bootstrapped"
    if "none" in kinds:
        text += f"; no brackets: fewer than {FEWEST_PROMPTS} prompts"
    return text + "."


CROSSED_NOTE = (
    f"Over seeds too: the {LEVEL:.0%} interval of the same difference where prompts and seeds both stand for others, "
    f"from two-way random effects; –: there are fewer than {FEWEST_SEEDS} seeds, or fewer than {FEWEST_PROMPTS} "
    "prompts have all of them."
)
TEST_NOTE = (
    "p: two-sided test by swapping the two sides of whole prompts, Holm-adjusted over all tests of this table "
    f"and judge; * p < {SIGNIFICANT}."
)


OVER_SEEDS = "over seeds too"
"""The column that CROSSED_NOTE explains."""


def crossed_notes(cell: Sequence[Slice], effects: Sequence[Effect]) -> list[str]:
    """What is to be said of the intervals over prompts and seeds of a table: nothing where no prompts of the whole cell
    share seeds, as `cautions` then says."""
    kinds = {effect.crossed.kind for effect in effects}
    if kinds == {"nested"}:
        own = "No prompts share seeds in this table: its intervals over prompts are over noises too."
        return [] if noises(cell[0].rows).own else [own]
    own = " own: prompts share no seeds there, and the interval over prompts is over noises too."
    return [CROSSED_NOTE + own * ("nested" in kinds)]


def without_idle(shown: pd.DataFrame, effects: Sequence[Effect]) -> pd.DataFrame:
    """Without the column OVER_SEEDS, where no prompts share their seeds and it has nothing to say."""
    idle = {effect.crossed.kind for effect in effects} == {"nested"}
    return shown.drop(columns=OVER_SEEDS) if idle else shown


def n_note(cell: Sequence[Slice], what: str) -> str:
    """What the column n is, for rows that count `trials` or `pairs`."""
    own = noises(cell[0].rows).own
    return f"n: prompts × {'noises that each prompt has of its own' if own else 'seeds'} ({what})."


def spread(prefix: str, interval: Interval) -> dict[str, float | str]:
    """An interval as columns of a frame."""
    return {
        prefix: interval.value,
        f"{prefix}_low": interval.low,
        f"{prefix}_high": interval.high,
        f"{prefix}_interval": interval.kind,
    }


def effect_columns(effect: Effect, prefix: str = "") -> dict[str, float | str]:
    """An effect's test and sizes as columns of a frame."""
    return {
        **spread(f"{prefix}crossed", effect.crossed),
        f"{prefix}p": effect.p,
        f"{prefix}d_z": effect.d_z,
        f"{prefix}rank_biserial": effect.rank_biserial,
    }


def counted(one: Level | Effect) -> str:
    """`100 × 2 (200)`: prompts x seeds (trials or pairs); `100 × 2 own (200)` where each prompt has its own."""
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
    return f"{text}*" if p < SIGNIFICANT else text
