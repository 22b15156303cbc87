"""What happens over the iterations: the score, and how far the judge follows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from analysis.data import Results
from analysis.figures.style import COLUMN, FAINT, INK, PAGE, Drawing, bars_note, legend_above, metric_colors, panels
from analysis.numbers.effects import PAIR, level, noises
from analysis.numbers.measures import FULLY_BOUND, Measure
from analysis.numbers.slices import Slice, families_of
from analysis.numbers.statistics import LEVEL, RESAMPLES, SEED, prompt_draws
from analysis.text import listed

DASHES = ("-", "--", ":", "-.")
MOVED = Measure("moved", "change", "moved", share=False)
FEWEST_TRIALS = 8
"""With fewer, quarters of them mean nothing."""


def band(values: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and pointwise 95% percentile band over prompts. values: (prompts, iterations), each a mean over seeds."""
    rows = values.to_numpy(float)
    mean = rows.mean(axis=0)
    if len(rows) < 2:
        return mean, mean, mean
    drawn = prompt_draws(len(rows), min(RESAMPLES, 999), SEED) @ rows
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return mean, low, high


def curves(one: Slice, results: Results) -> Drawing | None:
    """The score of each iteration's image: a panel a metric, a line a learning rate, of ReNO's longest runs."""
    reno = one.select(method="reno")
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    figure, axes = panels(len(metrics), 2.4, sharex=True)
    rates = sorted(reno["lr"].dropna().unique())
    dashes = {lr: DASHES[place % len(DASHES)] for place, lr in enumerate(rates)}
    longest = []
    for axis, metric in zip(axes, metrics, strict=True):
        rows = reno[reno["metric"] == metric]
        rows = rows[rows["iterations"] == rows["iterations"].max()]
        longest.append(f"{rows['iterations'].iloc[0]:.0f} iterations with {metric}")
        for lr, of_lr in rows.groupby("lr"):
            score = by_prompt(of_lr, results, "score")
            mean, low, high = band(score)
            axis.plot(score.columns, mean, color=colors[metric], linestyle=dashes[lr])
            axis.fill_between(score.columns, low, high, color=colors[metric], alpha=0.15, linewidth=0)
        axis.set_title(f"optimising {metric}")
        axis.set_ylabel(f"{metric} score")
        axis.set_xlabel("iteration")
    legend_above(figure, [Line2D([], [], color=INK, linestyle=dashes[lr], label=f"lr {lr:g}") for lr in rates])
    started = noises(reno)
    said = "Band: 95% interval over prompts. " if started.prompts > 1 else ""
    note = f"Line: mean over {started.in_words}. {said}"
    return Drawing(figure, note + f"The longest runs are shown: {listed(longest)}.")


def by_prompt(trials: pd.DataFrame, results: Results, quantity: str, best_so_far: bool = False) -> pd.DataFrame:
    """A quantity of the trace, the mean over a prompt's trials: (prompts, iterations). Only the iterations that
    every prompt has."""
    traces = results.all_traces
    traces = traces[traces["trial"].isin(set(trials["trial"]))]
    table = traces.pivot(index="trial", columns="iteration", values=quantity)
    if best_so_far:
        table = table.cummax(axis="columns")
    means = table.groupby(trials.set_index("trial")["prompt"].reindex(table.index)).mean()
    return means.dropna(axis="columns", how="any")


def score_against_judge(one: Slice, results: Results) -> Drawing | None:
    """On the left, the gain in score of the best image so far; on the right, what the judge says of the best image of
    runs of each length.

    The judge sees the initial and the best image of a trial only, so it has one point for each number of iterations
    that was run, at that number: the image that a budget of so many iterations gives. Both panels are of the same
    trials' learning rate, the one with the most trials (ties: the smallest).
    """
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4), sharex=True)
    chosen, still, judged = [], [], []
    apart = 0.012 * reno["iterations"].max()  # so that marks of two metrics do not hide each other
    for place, metric in enumerate(metrics):
        rows = reno[reno["metric"] == metric]
        lr = rows["lr"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index[0]
        rows = rows[rows["lr"] == lr]
        chosen.append(f"{metric} lr {lr:g}")
        longest = rows[rows["iterations"] == rows["iterations"].max()]
        unit = rows.drop_duplicates(list(PAIR))["score_initial"].std()
        if unit > 0:
            score = by_prompt(longest, results, "score", best_so_far=True)
            mean, low, high = band(score.sub(score[0], axis="index") / unit)
            left.plot(score.columns, mean, color=colors[metric])
            left.fill_between(score.columns, low, high, color=colors[metric], alpha=0.15, linewidth=0)
        else:
            still.append(metric)
        budgets = [(0, level(longest, FULLY_BOUND, "initial"))]
        budgets += [(int(count), level(part, FULLY_BOUND)) for count, part in rows.groupby("iterations")]
        judged += [one for _, one in budgets]
        x = np.array([count for count, _ in budgets]) + apart * place
        y = np.array([one.value for _, one in budgets])
        ends = np.array([[one.interval.low, one.interval.high] for _, one in budgets])
        errors = np.abs(np.where(np.isfinite(ends), ends, y[:, None]) - y[:, None]).T
        right.errorbar(
            x, y, errors, color=colors[metric], marker="o", markersize=4, capsize=2, linestyle="--", linewidth=1
        )
    left.set_ylabel("gain in own score\n(sd of initial images)")
    right.set_ylabel(f"{FULLY_BOUND.title}\n({one.marked(families_of(reno))})")
    right.set_ylim(-0.03, 1.03)
    for axis in (left, right):
        axis.set_xlabel("iterations (budget)")
    legend_above(figure, [Line2D([], [], color=colors[metric], label=f"optimising {metric}") for metric in metrics])
    note = (
        "Left: the gain of the best image so far, in the metric's own score. Right: what the judge says of the best "
        "image of runs of each length; it saw no image between the marks. "
        f"{bars_note(judged, 'Bands and bars')} Learning rates: {', '.join(chosen)}."
    )
    return Drawing(figure, note + _without_sd(still))


def gain_and_binding(one: Slice) -> Drawing | None:
    """Trials in quarters of their score's gain: if more gain were more binding, lines would rise."""
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    figure, axis = plt.subplots(figsize=(COLUMN, 2.4))
    drawn, still, few, changes = [], [], [], []
    for metric in metrics:
        rows = reno[reno["metric"] == metric]
        unit = rows.drop_duplicates(list(PAIR))["score_initial"].std()
        if not unit > 0:
            still.append(metric)
            continue
        if len(rows) < FEWEST_TRIALS:
            few.append(metric)
            continue
        gain = (rows["score_best"] - rows["score_initial"]) / unit
        quarter = pd.qcut(gain, 4, labels=False, duplicates="drop").fillna(0)  # missing where all gains are equal
        x, y, errors = [], [], []
        for _, part in rows.groupby(quarter):
            moved = part.assign(**{"moved/best": part["bound/best"] - part["bound/initial"]})
            changes.append(level(moved, MOVED))
            interval = changes[-1].interval
            x.append(gain[part.index].mean())
            y.append(interval.value)
            ends = np.nan_to_num([interval.value - interval.low, interval.high - interval.value])
            errors.append(np.clip(ends, 0, None))
        axis.errorbar(x, y, np.array(errors).T, color=colors[metric], marker="o", markersize=4, capsize=2)
        drawn.append(Line2D([], [], color=colors[metric], marker="o", markersize=4, label=f"optimising {metric}"))
    if not drawn:
        plt.close(figure)
        return None
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.set_xlabel("gain in own score (sd of initial images)")
    axis.set_ylabel(f"change in bindings that hold\n({one.marked(families_of(reno))})")
    legend_above(figure, drawn)
    note = (
        "ReNO's trials of all settings, in quarters of their gain in score: if more score were more binding, the lines "
        f"would rise. {bars_note(changes)}"
    )
    note += f" Not drawn, because there are fewer than {FEWEST_TRIALS} trials: {listed(few)}." if few else ""
    return Drawing(figure, note + _without_sd(still))


def _without_sd(metrics: list[str]) -> str:
    """The note on metrics whose score does not vary over the initial images."""
    return f" Not drawn, because all initial images have the same score: {listed(metrics)}." if metrics else ""
