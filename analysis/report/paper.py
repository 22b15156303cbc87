"""report.pdf: the cases, the answer, the claims, the figures and the tables on paper, set by typst.

A table is set in letters of 8 pt: as it is, else with intervals on a line of their own, else turned on its side; what
fits in none of these ways, or has more than MOST_ROWS rows, stays in its CSV, and the paper says so.

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
from analysis.report.exposition import Printed, printed, texts_of, unbroken
from analysis.report.opening import Opening
from analysis.report.sources import Sources
from analysis.report.strips import Strip
from analysis.report.words import explained
from analysis.tables import Table
from analysis.tables.files import table_stem
from reno.letters.fonts import FIRST, of_this_machine
from reno.letters.harmless import visible
from reno.letters.lines import lines_of, width_of
from reno.store.staging import scratch

MOST_ROWS = 24
"""Rows of the longest table on paper."""
LINE = 34
"""Letters of a line above the pictures of a case; of a longer prompt there are three lines."""


def write_paper(
    tables: Sequence[Table],
    found: Sequence[Claim],
    figures: Sequence[Figure],
    first: Opening,
    strip: Sequence[Strip],
    answer: Sequence[str],
    rests_on: Sources,
    path: Path,
) -> Path:
    """Writes the paper; answers with its path. strip: the cases of `first` as pictures."""
    import typst

    shown = reported(tables)
    places = {(one.models, one.prompt_set) for one in shown}
    with scratch("paper") as room:
        data = {
            "where": first.where,
            "strip": [_case(one, room / f"case{place}") for place, one in enumerate(strip)],
            "rule": first.rule,
            "sentence": first.sentence,
            "measure": first.measure,
            "small": [list(first.rows[0]), *(list(row.values()) for row in first.rows)] if first.rows else [],
            "basis": first.basis,
            "answer": list(answer),
            "cautions": list(rests_on.cautions),
            "unasked": [[one.sentence, one.command] for one in rests_on.unasked],
            "claims": [
                {
                    "verdict": one.verdict,
                    "title": f"({one.key}) {one.statement}",
                    "sentence": one.sentence,
                    "parts": [part.sentence for part in (*one.parts, *one.beside)],
                }
                for one in found
            ],
            "figures": [
                _figure(one, room / f"figure{place}.png")
                for place, one in enumerate(one for one in figures if (one.models, one.prompt_set) in places)
            ],
            "groups": [
                _group(models, prompt_set, list(those))
                for (models, prompt_set), those in groupby(shown, key=lambda one: (one.models, one.prompt_set))
            ],
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


def _case(one: Strip, beside: Path) -> dict[str, Any]:
    """One case; its pictures become files whose names begin as `beside` does."""
    pictures = []
    for place, picture in enumerate(one.pictures):
        file = beside.with_name(f"{beside.name}_{place}.png")
        if picture.image:
            picture.image.save(file)
        said = [picture.title, picture.right, picture.wrong, picture.settings]
        pictures.append({"file": file.name if picture.image else "", "said": [text for text in said if text]})
    prompt = " ".join(lines_of(visible(one.prompt), lambda line: width_of(line) <= LINE, most=3))
    return {"title": one.title, "prompt": prompt, "pictures": pictures}


def _figure(one: Figure, file: Path) -> dict[str, Any]:
    shutil.copyfile(one.png, file)
    judge = f" Judge: {one.judge}." if one.judge and one.judge not in one.note else ""
    note = f"{one.note} Generator {one.models}, prompts {one.prompt_set}.{judge}"
    return {"file": file.name, "caption": one.caption, "note": note, "wide": one.wide}


def _group(models: str, prompt_set: str, tables: Sequence[Table]) -> dict[str, Any]:
    shown = [printed(one) for one in tables]
    return {
        "title": f"Generator {models}, prompts {prompt_set}",
        "notes": list(tables[0].accounting),
        "words": [list(pair) for pair in explained([*tables[0].accounting, *texts_of(shown)]).items()],
        "tables": [_table(one, f"tables/{table_stem(table)}.csv") for one, table in zip(shown, tables, strict=True)],
    }


def _table(one: Printed, csv: str) -> dict[str, Any]:
    """A table as rows of cells, each a list of its lines: a value, and its interval."""
    too_long = len(one.rows) > MOST_ROWS or one.of > len(one.rows)
    return {
        "caption": f"Table {one.number}. {one.caption}",
        "columns": [unbroken(column.name) for column in one.columns],
        "kinds": [column.kind for column in one.columns],
        "rows": [] if too_long else [[cell.split(" [", 1) for cell in row] for row in one.rows],
        "same": one.same,
        "notes": list(one.notes),
        "empty": one.why_empty if not one.rows else "",
        "elsewhere": f"It has {one.size} and is too large for this page: {csv}.",
    }
