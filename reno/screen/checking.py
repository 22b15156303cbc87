"""The table of `python -m reno.check`, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table

from reno.letters.console import PatientConsole
from reno.running.checking.checking import CheckResult

LEAST_WIDTH = 130
"""Columns of the table where the output is not a terminal."""


def show_checks(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Prints the results as one table, once the last is known. Returns them."""
    console = PatientConsole(soft_wrap=False)
    if not console.is_terminal:
        console.width = max(console.width, LEAST_WIDTH)
    found: list[CheckResult] = []
    with console.status("checking"):
        for result in results:
            found.append(result)
    sources = list(dict.fromkeys(result.source for result in found if result.source))
    table = Table("check", "expected", "measured", "tolerance", "result", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for result in found:
        mark = f" [{sources.index(result.source) + 1}]" if result.source else ""
        said = f"{result.verdict}: {result.why}" if result.why else result.verdict
        table.add_row(result.check + mark, result.expected, result.measured, result.tolerance, said)
    console.print(table)
    for place, source in enumerate(sources, 1):
        console.print(f"[{place}] {source}")
    counts = {verdict: sum(result.verdict == verdict for result in found) for verdict in ("ok", "differs", "skipped")}
    nothing = "" if counts["ok"] + counts["differs"] else "; nothing was checked"
    console.print(", ".join(f"{number} {verdict}" for verdict, number in counts.items()) + nothing)
    return found
