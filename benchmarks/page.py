"""The files that a bench writes besides its parts: bench.md to read, bench.csv and bench.json to compute with. None
contains a path of this machine, so they can be shared as they are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import Found, as_csv, markdown


def write_page(out: Path, answers: Sequence[dict[str, Any]], found: Sequence[Found]) -> None:
    """Writes the three files. answers: the contents of the parts' files, in the order of `found`, their rows."""
    page = f"# What the bench costs\n\n{header(answers)}\n\n{markdown(found)}"
    record = [
        {
            "part": one.part,
            "on": one.on,
            "taken": answer["taken"],
            "seconds": answer["seconds"],
            "environment": answer["environment"],
            "rows": [{**dataclasses.asdict(row), "reached": row.reached} for row in one.rows],
        }
        for answer, one in zip(answers, found, strict=True)
    ]
    for name, text in (
        ("bench.md", page),
        ("bench.csv", as_csv(found)),
        ("bench.json", json.dumps(record, indent=1)),
    ):
        (out / name).write_text(text, encoding="utf-8")


def header(answers: Sequence[dict[str, Any]]) -> str:
    """One sentence for each machine: parts may have been measured on several."""
    lines = [_surroundings(answer["environment"], answer["taken"]) for answer in answers]
    quick = any(answer["question"]["setting"]["effort"] == "quick" for answer in answers)
    warning = ["**Quick: one round of the smallest sizes; these figures mean nothing.**"] if quick else []
    return "\n\n".join(dict.fromkeys([*warning, *lines]))


def _surroundings(around: dict[str, Any], taken: str) -> str:
    versions = [f"{name} {around['versions'][name]}" for name in NAMED]
    git = around["git"]
    code = [f"code {git['commit'][:12]}{' with changes' if git['diff'] else ''}"] if git else []
    threads = f"{around['threads']} thread{'s' * (around['threads'] != 1)}"
    return f"Measured on {', '.join([around['device'], threads, *versions, *code, taken.partition(' ')[0]])}."


NAMED = ("python", "torch", "diffusers", "transformers")
"""The packages whose versions are printed."""
