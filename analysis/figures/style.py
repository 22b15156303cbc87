"""The style of every figure: a colour-blind safe palette, the widths of a paper's column and page, no TeX in texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure as Canvas

from analysis.numbers.effects import Level
from analysis.numbers.statistics import FEWEST_PROMPTS, LEVEL
from analysis.text import listed
from reno.letters.fonts import Fonts, of_this_machine

COLUMN, PAGE = 3.4, 7.0
"""Widths in inches, of a paper's column and of its page."""
SMALL = 8.5
"""Points of the smallest letters: 8 where the report's PDF sets a figure a little smaller than it is."""
INK, FAINT = "#222222", "#767676"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#000000")
"""Okabe and Ito's palette (2008), told apart by all common kinds of colour vision; page.css has it too."""
MARKERS = {"reno": "o", "decoder_only": "D", "best_of_n": "s", "none": "X"}
MORE_MARKERS = "P^vph*<>"
TIE = "#D9D9D9"


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn, without a title: its caption stands beside it."""

    canvas: Canvas
    note: str
    """What the marks are and which trials are shown; the end of the caption."""

    @property
    def wide(self) -> bool:
        """It is wider than a paper's column."""
        return bool(self.canvas.get_figwidth() > COLUMN)


def bars_note(levels: Sequence[Level], name: str = "Bars") -> str:
    """What the error bars of these values are, and why there are none where there are none."""
    over = list(dict.fromkeys(one.over for one in levels if np.isfinite(one.interval.low)))
    if not over:
        return f"There are no error bars: fewer than {FEWEST_PROMPTS} prompts."
    return f"{name} are {LEVEL:.0%} intervals over {listed(over, 'or')}."


def metric_colors(metrics: Sequence[str]) -> dict[str, str]:
    """A colour a metric, by its place in the order of all metrics of the store: the same in every figure."""
    return {metric: PALETTE[place % len(PALETTE)] for place, metric in enumerate(metrics)}


def method_markers(methods: Sequence[str]) -> dict[str, str]:
    """A shape a method; methods that are not of MARKERS by their place in the order of all."""
    others = [method for method in methods if method not in MARKERS]
    return {**MARKERS, **{method: MORE_MARKERS[place % len(MORE_MARKERS)] for place, method in enumerate(others)}}


@contextmanager
def style(texts: Iterable[str] = (), fonts: Fonts | None = None) -> Iterator[None]:
    """The style, with the fonts that these texts need beside DejaVu Sans. A PDF holds those as shapes (type 3): most
    Chinese fonts are of a kind that matplotlib cannot embed, and their letters would be missing.
    fonts: None for those of this machine."""
    families = (fonts or of_this_machine()).families("".join(texts))
    settings = {
        "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL, "font.family": families,
        "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK, "axes.linewidth": 0.6, "lines.linewidth": 1.4,
        "grid.linewidth": 0.4, "pdf.fonttype": 42 if len(families) == 1 else 3, "figure.dpi": 100, "savefig.dpi": 200,
        "text.parse_math": False, "figure.constrained_layout.use": True,
    }  # fmt: skip
    with sns.axes_style("whitegrid", {"grid.color": "#E5E5E5"}), plt.rc_context(settings):
        yield


def save(figure, path: Path) -> list[Path]:
    """Writes path.pdf and path.png, the same bytes each time, and closes the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_name(f"{path.name}.{suffix}") for suffix in ("pdf", "png")]
    figure.savefig(paths[0], metadata={"CreationDate": None})
    figure.savefig(paths[1], metadata={"Software": None})
    plt.close(figure)
    return paths


def plain(text: object) -> str:
    """The text on one line, with the code point of each character that no font of this machine has."""
    return of_this_machine().drawable(text)


def panels(count: int, height: float, **options: object):
    """A figure of `count` panels in one row, (figure, axes): as wide as a paper's column, or as its page if there are
    more than two. height: in inches."""
    width = COLUMN if count <= 2 else PAGE
    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, **options)
    return figure, axes[0]


def legend_above(figure, handles: Sequence[object], title: str = "") -> None:
    """A legend over the panels, where it covers no mark, in as many columns as fit."""
    columns = min(len(handles), 4 if figure.get_figwidth() <= COLUMN else 8)
    while True:
        legend = figure.legend(
            handles=handles, title=title or None, loc="outside upper center", ncols=columns, frameon=False,
            handlelength=1.6, columnspacing=1.2, borderpad=0,
        )  # fmt: skip
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()
        columns -= 1
