"""Contact sheets: the same noise, not optimised and optimised by each metric, side by side."""

from __future__ import annotations

import random

import pandas as pd
from matplotlib import pyplot as plt

from analysis.data import Results
from analysis.figures.style import FAINT, INK, PAGE, SMALL, Drawing, metric_colors, plain
from analysis.numbers.slices import Slice, families_of
from analysis.numbers.tuning import usual
from reno.letters.lines import lines_of, width_of
from reno.spec.trial import noise_name

ROWS = 8
"""Prompts a sheet."""
MOST_METRICS = 4
"""Columns beside the image before; more would be too small to see."""


def contact_sheet(one: Slice, results: Results, rows: int = ROWS, seed: int = 0) -> Drawing | None:
    """One (prompt, seed) a row, drawn at random among those that every metric has; the same ones each time.

    Each metric is at the settings that most of its trials share (ties: more iterations, then the larger lr). Under an
    image: how many bindings hold, by the judge."""
    reno = one.select(method="reno")
    metrics = one.metrics_of(reno)[:MOST_METRICS]
    if not metrics:
        return None
    colors = metric_colors(one.metrics)
    chosen = {metric: usual(reno[reno["metric"] == metric]) for metric in metrics}
    common = set.intersection(*(set(zip(part["prompt"], part["seed"], strict=True)) for part in chosen.values()))
    picked = random.Random(seed).sample(sorted(common), min(rows, len(common)))
    if not picked:
        return None
    columns = 1 + len(metrics)
    many = columns > 3  # their names need a whole page's width
    halves = 2 if len(picked) > 4 and not many else 1
    lines = -(-len(picked) // halves)
    figure = plt.figure(figsize=(PAGE if halves == 2 or many else PAGE / 2, 1.0 * lines + 0.2))
    grid = figure.add_gridspec(lines, halves * (columns + 1), width_ratios=([1.15] + [1] * columns) * halves)
    for place, (prompt, noise_seed) in enumerate(picked):
        line, half = place % lines, place // lines
        start = half * (columns + 1)
        text = figure.add_subplot(grid[line, start])
        text.axis("off")
        words = "\n".join(lines_of(plain(prompt), lambda line: width_of(line) <= 12, most=4))
        noise = noise_name(prompt, noise_seed).replace(", ", "\n")
        text.text(1, 0.5, f"{words}\n{noise}", ha="right", va="center", fontsize=SMALL, transform=text.transAxes)
        for column, which in enumerate(("before", *metrics)):
            part = chosen[metrics[0] if which == "before" else which]
            trial = part[(part["prompt"] == prompt) & (part["seed"] == noise_seed)].iloc[0]
            axis = figure.add_subplot(grid[line, start + 1 + column])
            _picture(axis, trial, "initial" if which == "before" else "best", results)
            if line == 0:
                axis.set_title(which, fontsize=SMALL, color=colors.get(which, INK), weight="bold")
    named = "; ".join(f"{metric}: {part['settings'].iloc[0]}" for metric, part in chosen.items())
    note = (
        "The cases are drawn at random. Below each image: how many bindings hold, as "
        f"{one.marked(families_of(reno))} judges. Settings: {named}."
    )
    return Drawing(figure, note)


def _picture(axis, trial: pd.Series, image: str, results: Results) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_linewidth(0.4)
    pixels = results.shown(trial["trial"], lambda stored: stored.image(image))
    if pixels is not None:
        axis.imshow(pixels, interpolation="bicubic")
    else:
        axis.text(0.5, 0.5, "unreadable", ha="center", va="center", fontsize=SMALL, transform=axis.transAxes)
    share = trial[f"bound/{image}"]
    if share == share:
        right, of = round(share * trial["bindings"]), int(trial["bindings"])
        axis.set_xlabel(f"{right} of {of}", fontsize=SMALL, labelpad=1.5, color=INK if right == of else FAINT)
        axis.xaxis.label.set_fontweight("bold" if right == of else "normal")
