"""The report that people read: one page, one PDF, and the pictures with what is right and wrong in them.

write_report(results, cut, tables, found, figures, Path("report"))

exhibits.py    which trials are shown side by side: a prompt and a seed, by each metric
words.py       what a judge says of an image, in words, and what became of the bindings
answer.py      the answer in five sentences, from the claims
ground.py      what the numbers stand on: machines, checkpoints, commands, what is missing
pictures.py    thumbnails and strips of frames, as data URIs
page.py        index.html, with page.html, page.css and page.js
paper.py       report.pdf, with paper.typ
pics.py        pics/<prompt>/: images and analysis.txt
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.claims import Claim
from analysis.figures import Figure
from analysis.load import Results
from analysis.outcomes import Slice
from analysis.report.answer import answer
from analysis.report.exhibits import exhibits, told_of
from analysis.report.ground import ground
from analysis.report.page import write_page
from analysis.report.paper import write_paper
from analysis.report.pics import write_pics
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
    standing = ground(results, slices, out)
    told = told_of(results, shown)
    return [
        write_page(results, tables, found, figures, shown, told, sentences, standing, out / "index.html"),
        write_paper(tables, found, figures, sentences, standing, out / "report.pdf"),
        write_pics(results, shown, told, out / "pics"),
    ]
