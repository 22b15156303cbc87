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
from analysis.figures.style import save, style
from analysis.numbers.slices import Slice
from analysis.tables import Table, cells
from analysis.text import file_name

__all__ = ["Figure", "figures_of", "write_figures"]


@dataclass(frozen=True)
class Figure:
    """A figure on disk."""

    name: str
    caption: str
    models: str
    prompt_set: str
    judge: str
    """Empty where the figure is of no judge."""
    pdf: Path
    png: Path


CAPTIONS = {
    "curves": "Score and loss over the iterations, by metric and learning rate.",
    "score_against_judge": "Gain in score within a budget of iterations, and what the judge says of the best image.",
    "gain_and_binding": "Change in binding against gain in score.",
    "settings": "Binding against learning rate and iterations.",
    "before_after": "Each prompt's bindings before and after.",
    "wins": "Wins, ties and losses, pair by pair.",
    "cross_matrix": "What one metric's gain is worth to the others and to the judges.",
    "cost_quality": "Binding against seconds a trial.",
    "contact_sheet": "The same noise, before and after, by each metric.",
}


def figures_of(cell: Sequence[Slice], results: Results, tables: Sequence[Table]) -> dict[tuple[str, str], Callable]:
    """By (name, judge), what draws each figure of one generator and prompt set; it answers None where there is nothing
    to show. tables: those of this cell, at least."""
    first = cell[0]
    own = {t.name: t for t in tables if (t.models, t.prompt_set) == (first.models, first.prompt_set)}
    versus, cross = own["versus"], own["cross_metric"]
    draw: dict[tuple[str, str], Callable] = {
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
    for cell in cells(slices):
        first = cell[0]
        for (name, judge), draw in figures_of(cell, results, tables).items():
            with style(texts):
                figure = draw()
                if figure is None:
                    continue
                stem = file_name(name, first.models, first.prompt_set, *([judge] if judge else []))
                pdf, png = save(figure, folder / stem)
            yield Figure(name, CAPTIONS[name], first.models, first.prompt_set, judge, pdf, png)
