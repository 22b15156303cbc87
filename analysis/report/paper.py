"""report.pdf: the answer, the claims, the tables and the figures on paper, set by typst.

Every text reaches typst as data, never as source, so nothing in a prompt becomes markup.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from analysis.claims import Claim
from analysis.figures import Figure
from analysis.numbers.tuning import reported
from analysis.report.page import shown_table
from analysis.report.sources import Sources
from analysis.tables import Table
from reno.letters.fonts import FIRST, of_this_machine
from reno.store.staging import scratch

MOST_ROWS = 24
"""Rows of a table on paper."""


def write_paper(
    tables: Sequence[Table],
    found: Sequence[Claim],
    figures: Sequence[Figure],
    answer: Sequence[str],
    rests_on: Sources,
    path: Path,
) -> Path:
    import typst

    shown = reported(tables)
    places = {(one.models, one.prompt_set) for one in shown}
    with scratch("paper") as room:
        drawn = []
        for number, one in enumerate(one for one in figures if (one.models, one.prompt_set) in places):
            shutil.copyfile(one.png, room / f"{number}.png")
            judge = f" Judge: {one.judge}." if one.judge else ""
            caption = f"{one.caption} Generator {one.models}, prompts {one.prompt_set}.{judge}"
            drawn.append({"file": f"{number}.png", "caption": caption, "wide": one.name == "contact_sheet"})
        data = {
            "answer": list(answer),
            "cautions": list(rests_on.cautions),
            "claims": [
                {
                    "verdict": one.verdict,
                    "title": f"({one.key}) {one.statement}",
                    "sentence": one.sentence,
                    "parts": [part.sentence for part in (*one.parts, *one.beside)],
                }
                for one in found
            ],
            "groups": [
                {
                    "title": f"Generator {models}, prompts {prompt_set}",
                    "notes": list(own[0].accounting),
                    "tables": [_paper_table(one) for one in own],
                }
                for (models, prompt_set), those in groupby(shown, key=lambda one: (one.models, one.prompt_set))
                for own in [list(those)]
            ],
            "figures": drawn,
            "facts": [list(fact) for fact in rests_on.facts],
            "missing": list(rests_on.missing),
            "commands": list(rests_on.commands),
        }
        texts, fonts = _drawable(data), of_this_machine()
        text = json.dumps(texts, ensure_ascii=False)
        (room / "data.json").write_text(text, encoding="utf-8")
        source = room / "paper.typ"
        source.write_bytes((files("analysis.report") / "paper.typ").read_bytes())
        folders = {str(font.parent) for font in (FIRST, *fonts.paths(text))}
        path.write_bytes(typst.compile(str(source), root=str(room), font_paths=sorted(folders)))
    return path


def _drawable(value: Any) -> Any:
    """JSON values whose texts hold only what some font has; nothing in them steers."""
    if isinstance(value, dict):
        return {name: _drawable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_drawable(one) for one in value]
    return of_this_machine().drawable(value) if isinstance(value, str) else value


def _paper_table(table: Table) -> dict:
    shown = shown_table(table, MOST_ROWS)
    return {
        "caption": f"Table {table.number}. {table.caption}",
        "columns": [name for name, _ in shown["columns"]],
        "kinds": [kind for _, kind in shown["columns"]],
        "rows": [[str(cell) for cell in row] for row in shown["rows"]],
        "notes": shown["notes"],
    }
