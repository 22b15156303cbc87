"""The README's tables of this bench, written between marks and never by hand.

    make bench ARGS="--readme README.md"

Everything between the marks is replaced; the rest of the README stays. The CPU's table and a GPU's have marks of their
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import header
from benchmarks.rows import Found, markdown
from reno.errors import BadInput

CPU_MARKS = ("<!-- bench: made by `make bench` -->", "<!-- end of the bench -->")
GPU_MARKS = ("<!-- bench-gpu: made by `make bench-gpu` -->", "<!-- end of the GPU's bench -->")


def check_readme(readme: Path, gpu: bool) -> None:
    """Raises BadInput if the README cannot be read or does not have both marks, in order, once."""
    begin, end = GPU_MARKS if gpu else CPU_MARKS
    try:
        text = readme.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"{readme} cannot be read; give the README that has the marks: --readme FILE") from None
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise BadInput(f"{readme} needs the line {begin} and, below it, the line {end}, each once")


def write_readme(readme: Path, gpu: bool, answers: Sequence[dict[str, Any]], found: Sequence[Found]) -> None:
    """Writes what is between the marks. Raises BadInput as check_readme does."""
    check_readme(readme, gpu)
    begin, end = GPU_MARKS if gpu else CPU_MARKS
    text = readme.read_text("utf-8")
    before, after = text.split(begin)[0], text.split(end)[1]
    readme.write_text(f"{before}{begin}\n{header(answers)}\n\n{markdown(found)}{end}{after}", "utf-8")
