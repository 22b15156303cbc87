"""Comparisons of settings, of before and after, of metrics with each other, of quality and cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from analysis.data.names import label_of
from analysis.figures.style import (
    COLUMN,
    FAINT,
    INK,
    PAGE,
    SMALL,
    TIE,
    Drawing,
    bars_note,
    legend_above,
    method_markers,
    metric_colors,
    panels,
)
from analysis.numbers.effects import level
from analysis.numbers.measures import BY_NAME, FULLY_BOUND, MEASURES
from analysis.numbers.slices import KIN_MARK, Slice, families_of
from analysis.numbers.statistics import Interval
from analysis.tables import Table
from analysis.text import MISSING, number

MOST_PAIRS = 3
"""Pairs of metrics in one figure."""
LONGEST_NAME = 24
"""Letters of a method's name in a legend."""
MOST_TOGETHER = 4
"""Methods of one panel of `cost_quality`."""
WIDE_RANGE = 8
"""Where the longest trial takes this many times the seconds of the shortest, the axis of seconds is logarithmic."""


def _errors(intervals: Sequence[Interval]) -> np.ndarray:
    """Lengths of error bars, (2, n); 0 where there is no interval."""
    ends = np.array([[i.value - i.low, i.high - i.value] for i in intervals], dtype=float)
    return np.clip(np.nan_to_num(ends), 0, None).T


def settings(one: Slice) -> Drawing | None:
    """Share of prompts fully bound against the learning rate, a panel a metric, a shade a number of iterations."""
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    figure, axes = panels(len(metrics), 2.4, sharey=True)
    counts = sorted(reno["iterations"].unique())
    shades = dict(zip(counts, sns.color_palette("viridis", len(counts) + 1)[:-1], strict=True))
    drawn = []
    for axis, metric in zip(axes, metrics, strict=True):
        rows = reno[reno["metric"] == metric]
        rates = sorted(rows["lr"].unique())
        before = level(rows.drop_duplicates(["prompt", "seed"]), FULLY_BOUND, "initial").interval.value
        axis.axhline(before, color=INK, linestyle=":", linewidth=1)
        for place, (count, part) in enumerate(rows.groupby("iterations")):
            found = {lr: level(of_lr, FULLY_BOUND) for lr, of_lr in part.groupby("lr")}
            drawn += found.values()
            x = [rates.index(lr) + 0.12 * (place - (len(counts) - 1) / 2) for lr in found]
            y = [one.value for one in found.values()]
            bars = _errors([one.interval for one in found.values()])
            axis.errorbar(x, y, bars, color=shades[count], marker="o", markersize=4, capsize=2)
        axis.set_xticks(range(len(rates)), [f"{lr:g}" for lr in rates])
        axis.set_xlim(-0.4, len(rates) - 0.6)
        axis.set_title(f"optimising {metric}")
        axis.set_xlabel("learning rate")
    axes[0].set_ylim(-0.03, 1.03)
    axes[0].set_ylabel(f"{FULLY_BOUND.title}\n({one.marked(families_of(reno))})")
    marks = [
        Line2D([], [], color=shades[count], marker="o", markersize=4, label=f"{count:.0f} iterations")
        for count in counts
    ]
    legend_above(figure, [*marks, Line2D([], [], color=INK, linestyle=":", linewidth=1, label="before")])
    return Drawing(figure, bars_note(drawn))


def before_after(one: Slice) -> Drawing | None:
    """Each prompt's share of bindings that hold before and after, a panel a metric; prompts that move alike share a
    line."""
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    figure, axes = panels(len(metrics), 2.4, sharey=True)
    for axis, metric in zip(axes, metrics, strict=True):
        rows = reno[reno["metric"] == metric]
        ends = rows.groupby("prompt")[["bound/initial", "bound/best"]].mean().round(2)
        lines = ends.value_counts().sort_values()
        for (start, end), count in lines.items():
            look = (
                {"color": FAINT}
                if start == end
                else {"color": colors[metric], "linestyle": "-" if end > start else ":"}
            )
            weight = 0.6 + 3 * count / lines.max()
            axis.plot([0, 1], [start, end], linewidth=weight, alpha=0.6, solid_capstyle="round", **look)
        axis.plot([0, 1], ends.mean(), color=INK, marker="o", markersize=5, linewidth=1.6, linestyle="--")
        up = int((ends["bound/best"] > ends["bound/initial"]).sum())
        down = int((ends["bound/best"] < ends["bound/initial"]).sum())
        axis.set_title(f"{metric}: {up} up, {down} down,\n{len(ends) - up - down} the same")
        axis.set_xticks([0, 1], ["before", "after"])
        axis.set_xlim(-0.15, 1.15)
        axis.grid(axis="x", visible=False)
    axes[0].set_ylim(-0.03, 1.03)
    axes[0].set_ylabel(f"bindings that hold, by prompt\n({one.marked(families_of(reno))})")
    note = (
        "A line is a prompt, the mean over its seeds and settings; a thicker line is several prompts. Solid: up; "
        "dotted: down; grey: the same; black and dashed: the mean of all prompts."
    )
    return Drawing(figure, note)


def wins(one: Slice, versus: Table, method: str = "reno") -> Drawing | None:
    """Win, tie and loss shares of the pairs of trials, a panel a pair of metrics, a bar a measure; settings together.

    versus: table 2."""
    frame = versus.frame
    if frame.empty:
        return None
    frame = frame[(frame["judge"] == one.judge) & (frame["method"] == method)]
    pairs = [part for _, part in frame.groupby(["a", "b"], sort=False) if part[["win", "tie", "loss"]].to_numpy().any()]
    if not pairs:
        return None
    drawn = pairs[:MOST_PAIRS]
    height = 0.3 * len(MEASURES) + 0.3
    figure, axes = plt.subplots(len(drawn), 1, figsize=(COLUMN, height * len(drawn) + 0.3), squeeze=False, sharex=True)
    for axis, part in zip(axes[:, 0], drawn, strict=True):
        _win_bars(axis, part, metric_colors(one.metrics))
    axes[-1, 0].set_xlabel("share of pairs")
    note = (
        "A pair is two trials of one prompt, seed and settings, one with each metric; the numbers in the bars count "
        f"pairs. Judge: {one.judge}{KIN_MARK if frame['kin'].any() else ''}."
    )
    note += f" The first {len(drawn)} of {len(pairs)} pairs of metrics are shown." if len(pairs) > len(drawn) else ""
    return Drawing(figure, note)


def _win_bars(axis, frame: pd.DataFrame, colors: dict[str, str]) -> None:
    """One pair of metrics. frame: its rows of table 2."""
    a, b = frame.iloc[0][["a", "b"]]
    sums = frame.groupby("measure", sort=False)[["win", "tie", "loss"]].sum()
    sums = sums.loc[[measure.name for measure in MEASURES if measure.name in sums.index]][::-1]
    shares = sums.div(sums.sum(axis=1), axis=0)
    left = np.zeros(len(sums))
    titles = [BY_NAME[name].title for name in sums.index]
    for outcome, color, ink in (("win", colors[a], "white"), ("tie", TIE, INK), ("loss", colors[b], "white")):
        label = {"win": f"{a} better", "tie": "equal", "loss": f"{b} better"}[outcome]
        axis.barh(titles, shares[outcome], left=left, color=color, label=label, height=0.72)
        for row, (share, count) in enumerate(zip(shares[outcome], sums[outcome], strict=True)):
            if share > 0.08:
                axis.text(left[row] + share / 2, row, f"{count}", ha="center", va="center", fontsize=SMALL, color=ink)
        left += shares[outcome].to_numpy()
    axis.set_xlim(0, 1)
    axis.grid(visible=False)
    axis.legend(ncols=3, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), handlelength=1, columnspacing=1)


def cross_matrix(cross: Table) -> Drawing | None:
    """Optimised by row, scored by column; each metric at the settings with the most iterations and its best own gain.

    cross: table 4."""
    frame = cross.frame
    frame = frame[frame["method"] == "reno"] if len(frame) else frame
    if frame.empty:
        return None
    own = frame[(frame["scorer_is"] == "metric") & (frame["scorer"] == frame["metric"].map(label_of))]
    best = own.sort_values("gain").groupby("metric")["settings"].last()
    frame = frame[frame["settings"] == frame["metric"].map(best)]
    rows = list(frame["metric"].unique())
    names = list(dict.fromkeys(zip(frame["scorer"], frame["scorer_is"], strict=True)))
    colors, texts = np.zeros((len(rows), len(names))), []
    for row, metric in enumerate(rows):
        texts.append([])
        for column, (scorer, kind) in enumerate(names):
            cell = frame[(frame["metric"] == metric) & (frame["scorer"] == scorer) & (frame["scorer_is"] == kind)]
            texts[-1].append(MISSING if cell.empty else _cell_text(cell.iloc[0]))
            if len(cell):
                # One colour scale for both: full at 4 sd, and at 40 points.
                value = cell.iloc[0]["gain_in_sd"] / 4 if kind == "metric" else cell.iloc[0]["gain"] / 0.4
                colors[row, column] = np.nan_to_num(np.clip(value, -1, 1))
    width = COLUMN if len(names) <= 4 else PAGE
    figure, axis = plt.subplots(figsize=(width, max(2.4, 0.48 * len(rows) + 0.8)))
    labels = [f"{scorer}\n{kind}" for scorer, kind in names]
    sns.heatmap(
        colors, annot=np.array(texts), fmt="", cmap="PuOr_r", vmin=-1, vmax=1, cbar=False, linewidths=1,
        xticklabels=labels, yticklabels=rows, annot_kws={"fontsize": SMALL}, ax=axis,
    )  # fmt: skip
    axis.tick_params(axis="y", rotation=0)
    axis.set_ylabel("optimised")
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    note = (
        "A row is the optimised metric, a column who scores the gain. Metrics: standard deviations (sd) of the initial "
        "images' score; without sd, the metric's own units. Judges: points of prompts fully bound, [95% interval]. "
        "Orange is a gain, purple a loss."
    )
    note += f" {KIN_MARK} The judge is related to the metric and may favour it." if KIN_MARK in str(texts) else ""
    return Drawing(figure, note)


def _cell_text(row: pd.Series) -> str:
    if row["scorer_is"] == "metric":
        if pd.isna(row["gain_in_sd"]):
            return number(row["gain"], signed=True)
        return f"{number(row['gain_in_sd'], 1, signed=True)} sd"
    text = number(100 * row["gain"], 0, signed=True) + KIN_MARK * bool(row["kin"])
    if row["gain_interval"] in ("none", "equal"):
        return text
    return f"{text}\n[{number(100 * row['gain_low'], 0)}, {number(100 * row['gain_high'], 0)}]"


def cost_quality(one: Slice) -> Drawing | None:
    """Share of prompts fully bound against seconds a trial: a mark a configuration, a shape a method. Up to
    MOST_TOGETHER methods share a panel, a colour a metric; more have a panel a metric, and a colour each."""
    rows = one.rows.dropna(subset=["fully/best"])
    rows = rows[rows["seconds"] > 0]  # a picture that was made elsewhere took no time here
    if rows.empty:
        return None
    metrics, methods = one.metrics_of(rows), [method for method in one.methods if (rows["method"] == method).any()]
    together, markers = len(methods) <= MOST_TOGETHER, method_markers(one.methods)
    if together:
        figure, axes = plt.subplots(figsize=(COLUMN, 2.4), squeeze=False)
        panel, colors = dict.fromkeys(metrics, axes[0, 0]), metric_colors(one.metrics)
    else:
        lines = -(-len(metrics) // 2)
        figure, axes = plt.subplots(
            lines, min(len(metrics), 2), figsize=(PAGE, 2.8 * lines), squeeze=False, sharey=True
        )
        panel, colors = dict(zip(metrics, axes.flat, strict=False)), metric_colors(one.methods)
        for axis in list(axes.flat)[len(metrics) :]:
            axis.remove()
    drawn = []
    for method, metric, _, part in one.configurations(rows):
        drawn.append(level(part, FULLY_BOUND))
        interval = drawn[-1].interval
        panel[metric].errorbar(
            part["seconds"].median(), interval.value, _errors([interval]), color=colors[metric if together else method],
            marker=markers[method], markersize=5 if together else 6, markeredgecolor="white", markeredgewidth=0.5,
            elinewidth=0.8, linestyle="none", alpha=0.85,
        )  # fmt: skip
    taken = rows.groupby(["metric", "method", "settings"])["seconds"].median()
    searched = taken[taken.index.get_level_values("method") != "none"]  # one image, at the axis' beginning
    for axis in dict.fromkeys(panel.values()):
        scale = _scale_seconds(axis, min(searched if len(searched) else taken), min(taken), max(taken))
        axis.set_xlabel(f"seconds a trial{scale}")
        axis.set_ylim(-0.03, 1.03)
    for axis in axes[:, 0]:
        axis.set_ylabel(f"{FULLY_BOUND.title}\n({one.marked(families_of(rows))})")
    shapes = [
        Line2D([], [], color=FAINT if together else colors[method], marker=markers[method], linestyle="none",
               label=shortened(method), markersize=5)
        for method in methods
    ]  # fmt: skip
    if together:
        legend_above(figure, [*(Line2D([], [], color=colors[m], linewidth=3, label=m) for m in metrics), *shapes])
    else:
        for metric in metrics:
            panel[metric].set_title(f"optimising {metric}")
        figure.legend(handles=shapes, loc="outside right upper", frameon=False, borderpad=0)
    return Drawing(figure, f"A mark is a method, a metric and its settings; seconds are medians. {bars_note(drawn)}")


def shortened(name: str) -> str:
    """A name of a method for a legend."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _scale_seconds(axis, of_a_search: float, shortest: float, longest: float) -> str:
    """Sets an axis of seconds with several ticks; answers with what its label adds. of_a_search: the shortest that is
    not of a single image."""
    if longest < WIDE_RANGE * of_a_search:
        axis.set_xlim(0, 1.1 * longest)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        return ""
    axis.set_xscale("log")
    axis.set_xlim(shortest / 1.4, longest * 1.4)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if longest < 100 * shortest else (1,)))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    return " (log scale)"
