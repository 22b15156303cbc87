"""The answer in the README: a figure and the headline table, written between two marks and never by hand.

    python -m analysis results=results out=report readme=README.md    # what `make readme-answer` runs

Everything between the marks is replaced; the rest of the README stays. The figure goes to docs/ beside it.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from analysis.claims import Claim
from analysis.data import Results
from analysis.figures import Figure
from analysis.marks import Marks
from analysis.numbers.slices import Slice
from analysis.numbers.tuning import chosen
from analysis.report.answer import about, answer
from analysis.tables import Table
from analysis.tables.files import markdown_table
from analysis.tables.notes import cautions
from analysis.text import markdown_text
from reno.letters.harmless import typed

MARKS = Marks("<!-- answer: made by `make readme-answer` -->", "<!-- end of the answer -->")
FIGURE = "wins"
PICTURE = Path("docs/answer.png")
OF_A_MACHINE = ("results", "threads", "device", "tracking")
"""Knobs that say where and how the trials were run, not what they are."""
LEFT_OUT = ("judge", "failed, missing")
"""Columns of the headline table that the README leaves out: the one judge is named above it."""


def write_readme(
    results: Results,
    slices: Sequence[Slice],
    tables: Sequence[Table],
    found: Sequence[Claim],
    figures: Sequence[Figure],
    readme: Path,
) -> None:
    """Writes the figure and what is between MARKS. Raises BadInput as MARKS.check does."""
    MARKS.check(readme)
    models, prompt_set, judge = about(found)
    cell = [one for one in slices if (one.models, one.prompt_set) == (models, prompt_set)]
    one = next(one for one in cell if one.judge == judge)
    drawn = next(
        (f for f in figures if (f.name, f.models, f.prompt_set, f.judge) == (FIGURE, models, prompt_set, judge)), None
    )
    table = next(t for t in tables if (t.name, t.models, t.prompt_set) == ("headline", models, prompt_set))
    parts = [_sentences(results, slices, found), _table(table, one, slices)]
    parts.append("\n".join(f"- {markdown_text(note)}" for note in (table.caption, *table.notes, *cautions(cell))))
    if drawn and drawn.note:
        parts.insert(0, markdown_text(drawn.note))
    if drawn:
        picture = readme.parent / PICTURE
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn.png, picture)
        parts.insert(0, f"![{markdown_text(drawn.caption)} Judge: {markdown_text(judge)}.]({PICTURE.as_posix()})")
    parts.append("```sh\n" + "\n".join((*_commands(results), "make readme-answer")) + "\n```")
    MARKS.replace(readme, "\n\n".join(parts))


def _sentences(results: Results, slices: Sequence[Slice], found: Sequence[Claim]) -> str:
    return " ".join(markdown_text(sentence) for sentence in answer(results, slices, found))


def _table(table: Table, one: Slice, slices: Sequence[Slice]) -> str:
    """The rows of this judge; each metric's ReNO only at the settings chosen on dev prompts, where some were."""
    frame, shown = table.frame, table.shown
    keep = frame["judge"] == one.judge
    for metric in one.metrics_of(one.rows):
        choice = chosen(slices, one, metric)
        if choice:
            keep &= (frame["method"] != "reno") | (frame["metric"] != metric) | (frame["settings"] == choice.settings)
    rows = shown[keep.to_numpy()].drop(columns=list(LEFT_OUT))
    return "\n".join(markdown_table(table, rows))


def _commands(results: Results) -> list[str]:
    """Those that filled the store, without knobs that are of one machine."""
    return list(dict.fromkeys(typed(_plain(command)) for command in results.commands))


def _plain(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:  # not what a shell would take: shown as it was recorded
        return command
    return shlex.join(word for word in words if word.partition("=")[0] not in OF_A_MACHINE)
