"""The report that people read: one page, one PDF, a folder for each prompt, the README's answer, and a run of W&B.

write_report(results, cut, tables, found, figures, Path("report"))

exhibits.py       which trials are shown side by side: a prompt and a seed, by each metric
outcomes.py       what became of the bindings of a trial, in words
opening.py        what a reader sees first: three cases chosen by rule, one sentence, a small table
strips.py         the three cases as pictures
answer.py         the answer in at most five sentences, from the claims
words.py          what the words of the report mean
exposition.py     how a table is printed: what all rows share is said once
unasked.py        the judges that did not look at all images, and the commands that ask them
sources.py        what the numbers rest on: machines, checkpoints, commands, what is missing
thumbnails.py     small images and strips of frames, as data URIs
cards.py          the gallery: a prompt and seed by each metric at every setting
page.py           index.html, with page.html, page.css and page.js
paper.py          report.pdf, with paper.typ
prompt_folders.py pics/<prompt>/: its images, and what is right and wrong in them
readme.py         the answer in the README: a figure and the headline table
summary_run.py    one run of Weights & Biases with the tables, images, figures and verdicts
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.claims import Claim
from analysis.data import Results
from analysis.figures import Figure
from analysis.numbers.slices import Slice
from analysis.report.answer import answer
from analysis.report.cards import gallery
from analysis.report.exhibits import changes_of, exhibits
from analysis.report.opening import opening
from analysis.report.page import write_page
from analysis.report.paper import write_paper
from analysis.report.prompt_folders import write_prompt_folders
from analysis.report.sources import sources
from analysis.report.strips import strip_of
from analysis.tables import Table

__all__ = ["write_report"]


def write_report(
    results: Results,
    slices: Sequence[Slice],
    tables: Sequence[Table],
    found: Sequence[Claim],
    figures: Sequence[Figure],
    out: Path,
) -> list[Path]:
    """Writes out/index.html, out/report.pdf and out/pics/; answers with the paths of the first two and the folder."""
    shown = exhibits(slices)
    sentences = answer(results, slices, found)
    judged = changes_of(results, shown)
    first = opening(results, slices, found, shown, judged)
    strip = [strip_of(results, case, judged) for case in first.cases]
    cards = gallery(results, slices, shown, judged)
    pics = write_prompt_folders(results, shown, judged, out / "pics")
    rests_on = sources(results, slices, out)  # once every image was read, so that damaged ones are named
    return [
        write_page(
            results, tables, found, figures, first, strip, cards, len(shown), sentences, rests_on, out / "index.html"
        ),
        write_paper(tables, found, figures, first, strip, sentences, rests_on, out / "report.pdf"),
        pics,
    ]
