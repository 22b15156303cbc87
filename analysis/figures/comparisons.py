"""Comparisons of settings, of before and after, of metrics with each other, of quality and cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from analysis.data.names import label_of
from analysis.figures.style import COLUMN, FAINT, INK, LOSS, TIE, WIN, heading, method_markers, metric_colors
from analysis.numbers.effects import level
from analysis.numbers.measures import BY_NAME, FULLY_BOUND, MEASURES
from analysis.numbers.slices import KIN_MARK, Slice, families_of
from analysis.numbers.statistics import Interval
from analysis.tables import Table
from analysis.text import MISSING, number

MOST_PAIRS = 3
"""Pairs of metrics in one figure."""


def _errors(intervals: Sequence[Interval]) -> np.ndarray:
    """Lengths of error bars, (2, n); 0 where there is no interval."""
    ends = np.array([[i.value - i.low, i.high - i.value] for i in intervals], dtype=float)
    return np.clip(np.nan_to_num(ends), 0, None).T


def settings(one: Slice):
    """Share of prompts fully bound against the learning rate, a panel a metric, a colour a number of iterations."""
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    width = max(COLUMN, 1.6 * len(metrics) + 0.3)
    figure, axes = plt.subplots(1, len(metrics), figsize=(width, 2.4), sharey=True, squeeze=False)
    counts = sorted(reno["iterations"].unique())
    shades = dict(zip(counts, sns.color_palette("viridis", len(counts) + 1)[:-1], strict=True))
    for axis, metric in zip(axes[0], metrics, strict=True):
        rows = reno[reno["metric"] == metric]
        rates = sorted(rows["lr"].unique())
        before = level(rows.drop_duplicates(["prompt", "seed"]), FULLY_BOUND, "initial").interval.value
        axis.axhline(before, color=FAINT, linestyle=":", linewidth=1)
        for place, (count, part) in enumerate(rows.groupby("iterations")):
            found = {lr: level(of_lr, FULLY_BOUND).interval for lr, of_lr in part.groupby("lr")}
            x = [rates.index(lr) + 0.12 * (place - (len(counts) - 1) / 2) for lr in found]
            y = [interval.value for interval in found.values()]
            bars = _errors(list(found.values()))
            axis.errorbar(x, y, bars, color=shades[count], marker="o", markersize=4, capsize=2)
        axis.set_xticks(range(len(rates)), [f"{lr:g}" for lr in rates])
        axis.set_xlim(-0.4, len(rates) - 0.6)
        axis.set_title(f"optimising {metric}")
        axis.set_xlabel("learning rate")
    axes[0, 0].set_ylim(0, 1.28 * axes[0, 0].get_ylim()[1])  # room for the legend above the marks
    axes[0, 0].set_ylabel(f"{FULLY_BOUND.title}\n({one.marked(families_of(reno))})")
    marks = [Line2D([], [], color=shades[count], marker="o", markersize=4, label=f"{count:.0f}") for count in counts]
    axes[0, -1].legend(
        handles=marks, title="iterations", frameon=False, loc="upper center", ncols=3, columnspacing=1, handlelength=1.2
    )  # of all panels: a metric may have run at fewer counts than another
    heading(figure, "Binding against learning rate and iterations", "dotted: before; 95% intervals over prompts")
    return figure


def before_after(one: Slice):
    """Each prompt's share of bindings that hold before and after, a panel a metric; prompts that move alike share a
    line."""
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    width = max(COLUMN, 1.6 * len(metrics) + 0.3)
    figure, axes = plt.subplots(1, len(metrics), figsize=(width, 2.6), sharey=True, squeeze=False)
    for axis, metric in zip(axes[0], metrics, strict=True):
        rows = reno[reno["metric"] == metric]
        ends = rows.groupby("prompt")[["bound/initial", "bound/best"]].mean().round(2)
        lines = ends.value_counts().sort_values()
        for (start, end), count in lines.items():
            color = TIE if start == end else WIN if end > start else LOSS
            weight = 0.4 + 3.2 * count / lines.max()
            axis.plot([0, 1], [start, end], color=color, linewidth=weight, alpha=0.75, solid_capstyle="round")
        means = ends.mean()
        axis.plot([0, 1], means, color=INK, marker="o", markersize=5, linewidth=2, linestyle="--")
        up, down = (
            (ends["bound/best"] > ends["bound/initial"]).sum(),
            (ends["bound/best"] < ends["bound/initial"]).sum(),
        )
        axis.set_title(f"{metric}: {up} up, {down} down,\n{len(ends) - up - down} same", fontsize=7.5)
        axis.set_xticks([0, 1], ["before", "after"])
        axis.set_xlim(-0.15, 1.15)
        axis.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel(f"bindings that hold, by prompt\n({one.marked(families_of(reno))})")
    note = "a line a prompt, mean over seeds and settings; thicker: several prompts; dashed: mean"
    heading(figure, "Before and after, prompt by prompt", note)
    return figure


def wins(one: Slice, versus: Table, method: str = "reno"):
    """Win, tie and loss shares of the pairs of trials, a panel a pair of metrics, a bar a measure; settings together.

    versus: table 2."""
    frame = versus.frame
    if frame.empty:
        return None
    frame = frame[(frame["judge"] == one.judge) & (frame["method"] == method)]
    panels = [
        part for _, part in frame.groupby(["a", "b"], sort=False) if part[["win", "tie", "loss"]].to_numpy().any()
    ]
    if not panels:
        return None
    drawn = panels[:MOST_PAIRS]
    height = 0.34 * len(MEASURES) + 0.8
    figure, axes = plt.subplots(len(drawn), 1, figsize=(COLUMN, height * len(drawn) + 0.4), squeeze=False, sharex=True)
    for axis, part in zip(axes[:, 0], drawn, strict=True):
        _win_bars(axis, part, metric_colors(one.metrics))
    axes[-1, 0].set_xlabel("share of pairs")
    kin = KIN_MARK if frame["kin"].any() else ""
    note = f"pairs (prompt, seed, settings) as counted; judge {one.judge}{kin}"
    note += f"; the first {len(drawn)} of {len(panels)} pairs of metrics" if len(panels) > len(drawn) else ""
    a, b = drawn[0].iloc[0][["a", "b"]]
    heading(figure, "Metric against metric, pair by pair" if len(drawn) > 1 else f"{a} against {b}, pair by pair", note)
    return figure


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
            if share > 0.06:
                axis.text(left[row] + share / 2, row, f"{count}", ha="center", va="center", fontsize=6.5, color=ink)
        left += shares[outcome].to_numpy()
    axis.set_xlim(0, 1)
    axis.grid(visible=False)
    axis.legend(ncols=3, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), handlelength=1, columnspacing=1)


def cross_matrix(cross: Table):
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
    figure, axis = plt.subplots(figsize=(max(COLUMN, 0.85 * len(names) + 0.6), 0.48 * len(rows) + 1.25))
    labels = [f"{scorer}\n{kind}" for scorer, kind in names]
    sns.heatmap(
        colors, annot=np.array(texts), fmt="", cmap="PuOr_r", vmin=-1, vmax=1, cbar=False, linewidths=1,
        xticklabels=labels, yticklabels=rows, annot_kws={"fontsize": 6.5}, ax=axis,
    )  # fmt: skip
    axis.tick_params(axis="y", rotation=0)
    axis.set_ylabel("optimised")
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    note = (
        "metric columns: in sd of the initial images (no sd: in the metric's own units); judge columns: prompts fully "
    )
    note += f"bound, in points; {KIN_MARK} the judge is kin to the metric"
    heading(figure, "What one metric's gain is worth to the others", note)
    return figure


def _cell_text(row: pd.Series) -> str:
    if row["scorer_is"] == "metric":
        if pd.isna(row["gain_in_sd"]):
            return number(row["gain"], signed=True)
        return f"{number(row['gain_in_sd'], 1, signed=True)} sd"
    text = number(100 * row["gain"], 0, signed=True) + KIN_MARK * bool(row["kin"])
    if row["gain_interval"] not in ("BCa", "percentile"):
        return text
    return f"{text}\n[{number(100 * row['gain_low'], 0)}, {number(100 * row['gain_high'], 0)}]"


def cost_quality(one: Slice):
    """Share of prompts fully bound against seconds a trial: a mark a configuration, a shape a method, a colour a
    metric."""
    rows = one.rows.dropna(subset=["fully/best"])
    rows = rows[rows["seconds"] > 0]  # a picture that was made elsewhere took no time here
    if rows.empty:
        return None
    metrics = one.metrics_of(rows)
    colors, markers = metric_colors(one.metrics), method_markers(one.methods)
    figure, axis = plt.subplots(figsize=(COLUMN, 2.7))
    methods = []
    for method, metric, _, part in one.configurations(rows):
        interval = level(part, FULLY_BOUND).interval
        seconds = part["seconds"].median() * 1.05 ** metrics.index(metric)
        axis.errorbar(
            [seconds], [interval.value], _errors([interval]), color=colors[metric], marker=markers[method],
            markersize=5, markeredgecolor="white", markeredgewidth=0.5, elinewidth=0.8, linestyle="none", alpha=0.85,
        )  # fmt: skip
        methods.append(method)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    low, high = axis.get_xlim()
    if high / low > 10:  # else there may be no power of ten between them, and only minor ticks would have labels
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_minor_formatter(lambda value, _: f"{value:.3g}")
        axis.xaxis.set_minor_locator(MaxNLocator(4))
    axis.set_xlabel("seconds a trial (median, log scale)")
    axis.set_ylabel(f"{FULLY_BOUND.title}\n({one.marked(families_of(rows))})")
    axis.set_ylim(bottom=0)
    shapes = [
        Line2D([], [], color=FAINT, marker=markers[method], linestyle="none", label=method, markersize=5)
        for method in dict.fromkeys(methods)
    ]
    shapes += [Line2D([], [], color=colors[metric], linewidth=3, label=metric) for metric in metrics]
    axis.legend(handles=shapes, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1)
    note = "a mark a configuration; 95% intervals over prompts; metrics are moved apart by 5% so that all can be seen"
    heading(figure, "What quality costs", note)
    return figure
