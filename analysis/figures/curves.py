"""What happens over the iterations: score, loss, and how far the judge follows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from analysis.data import Results
from analysis.figures.style import COLUMN, FAINT, heading, metric_colors
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


def curves(one: Slice, results: Results):
    """Rows: score and loss; columns: metrics; a line a learning rate, of ReNO's longest runs."""
    reno = one.select(method="reno")
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    figure, axes = plt.subplots(
        2, len(metrics), figsize=(max(COLUMN, 1.7 * len(metrics)), 3.1), squeeze=False, sharex=True
    )
    for column, metric in enumerate(metrics):
        rows = reno[reno["metric"] == metric]
        rows = rows[rows["iterations"] == rows["iterations"].max()]
        for number, (lr, of_lr) in enumerate(rows.groupby("lr")):
            for place, quantity in enumerate(("score", "loss")):
                mean, low, high = band(by_prompt(of_lr, results, quantity))
                axis = axes[place, column]
                shade = 1.0 if number == 0 else 0.55
                line = {"color": colors[metric], "alpha": shade, "linestyle": DASHES[number % len(DASHES)]}
                axis.plot(mean, label=f"lr {lr:g}", **line)
                axis.fill_between(range(len(mean)), low, high, color=colors[metric], alpha=0.18, linewidth=0)
        axes[0, column].set_title(f"optimising {metric}")
        axes[0, column].legend(framealpha=0.7, edgecolor="none", handlelength=1.8)
        axes[1, column].set_xlabel("iteration")
    axes[0, 0].set_ylabel("score")
    axes[1, 0].set_ylabel("loss")
    heading(figure, "Score and loss", f"mean and 95% band over {noises(reno).in_words}; the longest runs")
    return figure


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


def score_against_judge(one: Slice, results: Results):
    """Above, the gain in score of the best image so far; below, what the judge says of the best image of runs of
    each length.

    The judge sees the initial and the best image of a trial only, so it has one point for each number of iterations
    that was run, at that number: the image that a budget of so many iterations gives. Both panels are of the same
    trials' learning rate, the one with the most trials (ties: the smallest).
    """
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    figure, (above, below) = plt.subplots(2, 1, figsize=(COLUMN, 3.4), sharex=True)
    measure, chosen, still = FULLY_BOUND, [], []
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
            above.plot(mean, color=colors[metric], label=metric)
            above.fill_between(range(len(mean)), low, high, color=colors[metric], alpha=0.18, linewidth=0)
        else:
            above.plot([], color=colors[metric], label=metric)
            still.append(metric)
        budgets = [(0, level(longest, measure, "initial").interval)]
        budgets += [(int(count), level(part, measure).interval) for count, part in rows.groupby("iterations")]
        x = np.array([count for count, _ in budgets]) + apart * place
        y = np.array([interval.value for _, interval in budgets])
        ends = np.array([[interval.low, interval.high] for _, interval in budgets])
        errors = np.abs(np.where(np.isfinite(ends), ends, y[:, None]) - y[:, None]).T
        below.errorbar(
            x, y, errors, color=colors[metric], marker="o", markersize=4, capsize=2, linestyle="--", linewidth=1
        )
    above.set_ylabel("gain in own score\n(sd of initial images)")
    above.legend(frameon=False, title="optimising")
    below.set_ylabel(f"{measure.title}\n({one.marked(families_of(reno))})")
    below.set_xlabel("iterations (budget)")
    below.set_ylim(bottom=0)
    note = f"best image within the budget; the judge saw budgets with a mark only; {', '.join(chosen)}; 95% intervals"
    heading(figure, "Does the judge follow the score?", note + _without_sd(still))
    return figure


def gain_and_binding(one: Slice):
    """Trials in quarters of their score's gain: if more gain were more binding, lines would rise."""
    reno = one.select(method="reno").dropna(subset=["fully/best"])
    metrics = one.metrics_of(reno)
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    figure, axis = plt.subplots(figsize=(COLUMN, 2.5))
    still, few = [], []
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
            interval = level(moved, MOVED).interval
            x.append(gain[part.index].mean())
            y.append(interval.value)
            ends = np.nan_to_num([interval.value - interval.low, interval.high - interval.value])
            errors.append(np.clip(ends, 0, None))
        axis.errorbar(x, y, np.array(errors).T, color=colors[metric], marker="o", markersize=4, capsize=2, label=metric)
    if not axis.containers:
        plt.close(figure)
        return None
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.set_xlabel("gain in own score (sd of initial images)")
    axis.set_ylabel(f"change in bindings that hold\n({one.marked(families_of(reno))})")
    axis.legend(frameon=False, title="optimising")
    note = "ReNO's trials in quarters of their gain, all settings; 95% intervals" + _without_sd(still)
    note += f"; not drawn, fewer than {FEWEST_TRIALS} trials: {listed(few)}" if few else ""
    heading(figure, "Is more score more binding?", note)
    return figure


def _without_sd(metrics: list[str]) -> str:
    """The note on metrics whose score does not vary over the initial images."""
    return f"; not drawn, the score is the same on all initial images: {listed(metrics)}" if metrics else ""
