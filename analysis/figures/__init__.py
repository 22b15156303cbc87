"""The figures, for each generator, prompt set and judge.

cut = slices(results)
tables = list(all_tables(results, cut))
for figure in write_figures(results, cut, tables, Path("report/figures")): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.data import Results
from analysis.figures.comparisons import before_after, cost_quality, cross_matrix, settings, wins
from analysis.figures.contact_sheet import contact_sheet
from analysis.figures.curves import curves, gain_and_binding, score_against_judge
from analysis.figures.style import Drawing, save, style
from analysis.numbers.slices import Slice
from analysis.tables import Table, cells
from analysis.text import file_name

__all__ = ["Figure", "figures_of", "write_figures"]

Draw = Callable[[], Drawing | None]


@dataclass(frozen=True)
class Figure:
    """A figure on disk."""

    name: str
    caption: str
    """One sentence: what is shown."""
    models: str
    prompt_set: str
    judge: str
    """Empty where the figure is of no judge."""
    pdf: Path
    png: Path
    note: str = ""
    """What the marks are and which trials are shown: the end of the caption."""
    wide: bool = False
    """It is wider than a paper's column."""


CAPTIONS = {
    "wins": "Metric against metric, pair by pair.",
    "before_after": "Each prompt's bindings before and after.",
    "curves": "The score over the iterations.",
    "settings": "Binding against learning rate and iterations.",
    "gain_and_binding": "Is more score more binding?",
    "cost_quality": "What quality costs: binding against seconds a trial.",
    "cross_matrix": "What one metric's gain is worth to the other metrics and to the judges.",
    "score_against_judge": "Does the judge follow the score?",
    "contact_sheet": "The same noise, before and after, by each metric.",
}
"""In the order in which a reader sees them: the answer first; narrow ones, then wide ones."""


def figures_of(cell: Sequence[Slice], results: Results, tables: Sequence[Table]) -> dict[tuple[str, str], Draw]:
    """By (name, judge), what draws each figure of one generator and prompt set; it answers None where there is nothing
    to show. tables: those of this cell, at least."""
    first = cell[0]
    own = {t.name: t for t in tables if (t.models, t.prompt_set) == (first.models, first.prompt_set)}
    versus, cross = own["versus"], own["cross_metric"]
    draw: dict[tuple[str, str], Draw] = {
        ("curves", ""): lambda: curves(first, results),
        ("cross_matrix", ""): lambda: cross_matrix(cross),
    }
    for one in cell:
        draw[("contact_sheet", one.judge)] = lambda one=one: contact_sheet(one, results)
        if not one.judge:
            continue
        draw[("settings", one.judge)] = lambda one=one: settings(one)
        draw[("score_against_judge", one.judge)] = lambda one=one: score_against_judge(one, results)
        draw[("gain_and_binding", one.judge)] = lambda one=one: gain_and_binding(one)
        draw[("before_after", one.judge)] = lambda one=one: before_after(one)
        draw[("wins", one.judge)] = lambda one=one: wins(one, versus)
        draw[("cost_quality", one.judge)] = lambda one=one: cost_quality(one)
    return draw


def texts_of(results: Results) -> list[str]:
    """Every text of the trials, each once, for which a figure may need a font."""
    texts = results.trials.select_dtypes(exclude="number").drop(columns=["trial", "terms"], errors="ignore")
    return [str(text) for name in texts for text in texts[name].unique()]


def write_figures(results: Results, slices: Sequence[Slice], tables: Sequence[Table], folder: Path) -> Iterator[Figure]:
    """Draws every figure into folder, as PDF and PNG, yielding each as it is done."""
    texts = texts_of(results)
    order = list(CAPTIONS)
    for cell in cells(slices):
        first = cell[0]
        drawn = figures_of(cell, results, tables)
        for (name, judge), draw in sorted(drawn.items(), key=lambda entry: order.index(entry[0][0])):
            with style(texts):
                drawing = draw()
                if drawing is None:
                    continue
                stem = file_name(name, first.models, first.prompt_set, *([judge] if judge else []))
                pdf, png = save(drawing.canvas, folder / stem)
            about = (CAPTIONS[name], first.models, first.prompt_set, judge)
            yield Figure(name, *about, pdf, png, drawing.note, drawing.wide)
