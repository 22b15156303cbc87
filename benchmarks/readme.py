"""The bench's tables in docs/cost.md, written between marks and never by hand.

    make bench ARGS="--readme docs/cost.md"
    make bench-gpu ARGS="--readme docs/cost.md"

Everything between the marks is replaced; the rest of the page stays. The table of a CPU and that of a GPU have marks of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.marks import Marks
from benchmarks.page import header
from benchmarks.rows import Found, markdown

CPU_MARKS = Marks("<!-- bench: made by `make bench` -->", "<!-- end of the bench -->")
GPU_MARKS = Marks("<!-- bench-gpu: made by `make bench-gpu` -->", "<!-- end of the GPU's bench -->")


def check_readme(readme: Path, gpu: bool) -> None:
    """Raises BadInput if the page cannot be read or does not have both marks, in order, once."""
    _marks(gpu).check(readme)


def write_readme(readme: Path, gpu: bool, answers: Sequence[dict[str, Any]], found: Sequence[Found]) -> None:
    """Writes what is between the marks. Raises BadInput as check_readme does."""
    _marks(gpu).replace(readme, f"{header(answers)}\n\n{markdown(found).rstrip()}")


def _marks(gpu: bool) -> Marks:
    return GPU_MARKS if gpu else CPU_MARKS
