"""Comparisons: settings, before and after, wins, metrics across metrics, cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from analysis.effects import level
from analysis.figures.style import COLUMN, FAINT, INK, LOSS, MARKERS, TIE, WIN, heading, metric_colors
from analysis.outcomes import BY_NAME, KIN_MARK, MEASURES, Slice
from analysis.statistics import Interval
from analysis.tables.table import Table, configurations, metric_order, metrics_of
from analysis.text import number

FULLY = BY_NAME["fully_bound"]


def _judge_of(one: Slice, rows: pd.DataFrame) -> str:
    return one.marked(" ".join(rows["families"].unique()))


def _errors(intervals: Sequence[Interval]) -> np.ndarray:
    """Lengths of error bars, (2, n); 0 where there is no interval."""
    ends = np.array([[i.value - i.low, i.high - i.value] for i in intervals], dtype=float)
    return np.clip(np.nan_to_num(ends), 0, None).T


def settings(one: Slice):
    """Share of prompts fully bound against the learning rate, a panel a metric, a colour a number of iterations."""
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = metrics_of(reno)
    if not metrics:
        return None
    width = max(COLUMN, 1.6 * len(metrics) + 0.3)
    figure, axes = plt.subplots(1, len(metrics), figsize=(width, 2.4), sharey=True, squeeze=False)
    counts = sorted(reno["iterations"].unique())
    shades = dict(zip(counts, sns.color_palette("viridis", len(counts) + 1)[:-1], strict=True))
    for axis, metric in zip(axes[0], metrics, strict=True):
        rows = reno[reno["metric"] == metric]
        rates = sorted(rows["lr"].unique())
        before = level(rows.drop_duplicates(["prompt", "seed"]), FULLY, "initial").interval.value
        axis.axhline(before, color=FAINT, linestyle=":", linewidth=1)
        for place, (count, part) in enumerate(rows.groupby("iterations")):
            found = {lr: level(of_lr, FULLY).interval for lr, of_lr in part.groupby("lr")}
            x = [rates.index(lr) + 0.12 * (place - (len(counts) - 1) / 2) for lr in found]
            y = [interval.value for interval in found.values()]
            bars = _errors(list(found.values()))
            axis.errorbar(x, y, bars, color=shades[count], marker="o", markersize=4, capsize=2)
        axis.set_xticks(range(len(rates)), [f"{lr:g}" for lr in rates])
        axis.set_xlim(-0.4, len(rates) - 0.6)
        axis.set_title(f"optimising {metric}")
        axis.set_xlabel("learning rate")
    axes[0, 0].set_ylim(0, 1.28 * axes[0, 0].get_ylim()[1])  # room for the legend above the marks
    axes[0, 0].set_ylabel(f"{FULLY.title}\n({_judge_of(one, reno)})")
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
    metrics = metrics_of(reno)
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
    axes[0, 0].set_ylabel(f"bindings that hold, by prompt\n({_judge_of(one, reno)})")
    note = "a line a prompt, mean over seeds and settings; thicker: several prompts; dashed: mean"
    heading(figure, "Before and after, prompt by prompt", note)
    return figure


def wins(versus: Table, judge: str, method: str = "reno"):
    """Win, tie and loss shares of the pairs of trials, a bar a measure, of the first pair of metrics; settings
    together.

    versus: table 2."""
    frame = versus.frame
    if frame.empty:
        return None
    frame = frame[(frame["judge"] == judge) & (frame["method"] == method)]
    if frame.empty:
        return None
    a, b = frame.iloc[0][["a", "b"]]
    frame = frame[(frame["a"] == a) & (frame["b"] == b)]
    sums = frame.groupby("measure", sort=False)[["win", "tie", "loss"]].sum()
    sums = sums.loc[[measure.name for measure in MEASURES if measure.name in sums.index]][::-1]
    shares = sums.div(sums.sum(axis=1), axis=0)
    figure, axis = plt.subplots(figsize=(COLUMN, 0.34 * len(sums) + 1.2))
    left = np.zeros(len(sums))
    titles = [BY_NAME[name].title for name in sums.index]
    for outcome, color, ink in (("win", WIN, "white"), ("tie", TIE, INK), ("loss", LOSS, "white")):
        label = {"win": f"{a} better", "tie": "equal", "loss": f"{b} better"}[outcome]
        axis.barh(titles, shares[outcome], left=left, color=color, label=label, height=0.72)
        for row, (share, count) in enumerate(zip(shares[outcome], sums[outcome], strict=True)):
            if share > 0.06:
                axis.text(left[row] + share / 2, row, f"{count}", ha="center", va="center", fontsize=6.5, color=ink)
        left += shares[outcome].to_numpy()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of pairs")
    axis.grid(visible=False)
    axis.legend(ncols=3, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), handlelength=1, columnspacing=1)
    kin = "†" if frame["kin"].any() else ""
    note = f"pairs (prompt, seed, settings) as counted; judge {judge}{kin}"
    heading(figure, f"{a} against {b}, pair by pair", note)
    return figure


def cross_matrix(cross: Table):
    """Optimised by row, scored by column; each metric at the settings with the most iterations and its best own gain.

    cross: table 4."""
    frame = cross.frame
    frame = frame[frame["method"] == "reno"] if len(frame) else frame
    if frame.empty:
        return None
    own = frame[(frame["scorer_is"] == "metric") & (frame["scorer"] == frame["metric"].str.split("[").str[0])]
    best = own.sort_values("gain").groupby("metric")["settings"].last()
    frame = frame[frame["settings"] == frame["metric"].map(best)]
    rows = metrics_of(frame)
    order = list(frame["scorer"].drop_duplicates())  # judges as the table has them, those without kin first
    names = set(zip(frame["scorer"], frame["scorer_is"], strict=True))
    names = sorted(names, key=lambda name: metric_order(name[0]) if name[1] == "metric" else (9, order.index(name[0])))
    colors, texts = np.full((len(rows), len(names)), np.nan), []
    for row, metric in enumerate(rows):
        texts.append([])
        for column, (scorer, kind) in enumerate(names):
            cell = frame[(frame["metric"] == metric) & (frame["scorer"] == scorer) & (frame["scorer_is"] == kind)]
            texts[-1].append("" if cell.empty else _cell_text(cell.iloc[0]))
            if len(cell):
                # One colour scale for both: full at 4 sd, and at 40 points.
                value = cell.iloc[0]["gain_in_sd"] / 4 if kind == "metric" else cell.iloc[0]["gain"] / 0.4
                colors[row, column] = np.clip(value, -1, 1)
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
    note = "metric columns: in sd of initial images; judge columns: fully bound, in points"
    heading(figure, "What one metric's gain is worth to the others", note + "; † kin")
    return figure


def _cell_text(row: pd.Series) -> str:
    if row["scorer_is"] == "metric":
        return f"{row['gain_in_sd']:+.1f} sd"
    text = number(100 * row["gain"], 0, signed=True) + (KIN_MARK if row["kin"] else "")
    if row["gain_interval"] not in ("BCa", "percentile"):
        return text
    return f"{text}\n[{number(100 * row['gain_low'], 0)}, {number(100 * row['gain_high'], 0)}]"


def cost_quality(one: Slice):
    """Share of prompts fully bound against seconds a trial: a mark a configuration, a shape a method, a colour a
    metric."""
    rows = one.rows.dropna(subset=["fully/best"])
    if rows.empty:
        return None
    metrics = metrics_of(rows)
    colors = metric_colors(metrics)
    figure, axis = plt.subplots(figsize=(COLUMN, 2.7))
    methods = []
    for method, metric, _, part in configurations(rows):
        interval = level(part, FULLY).interval
        marker = MARKERS.get(method, "P")
        seconds = part["seconds"].median() * 1.05 ** metrics.index(metric)
        axis.errorbar(
            [seconds], [interval.value], _errors([interval]), color=colors[metric], marker=marker, markersize=5,
            markeredgecolor="white", markeredgewidth=0.5, elinewidth=0.8, linestyle="none", alpha=0.85,
        )  # fmt: skip
        methods.append(method)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("seconds a trial (median, log scale)")
    axis.set_ylabel(f"{FULLY.title}\n({_judge_of(one, rows)})")
    axis.set_ylim(bottom=0)
    shapes = [
        Line2D([], [], color=FAINT, marker=MARKERS.get(method, "P"), linestyle="none", label=method, markersize=5)
        for method in dict.fromkeys(methods)
    ]
    shapes += [Line2D([], [], color=colors[metric], linewidth=3, label=metric) for metric in metrics]
    axis.legend(handles=shapes, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1)
    heading(
        figure,
        "What quality costs",
        "a mark a configuration; 95% intervals over prompts; metrics set apart by 5% to be seen",
    )
    return figure
