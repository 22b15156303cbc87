"""index.html: the whole report in one file that makes no network request.

Images and curves are in the page as inert JSON, a block a card, and are decoded when the reader scrolls to them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from analysis.claims import Claim
from analysis.data import Results
from analysis.figures import Figure
from analysis.figures.style import PALETTE
from analysis.numbers.tuning import is_dev
from analysis.report.exhibits import Exhibit
from analysis.report.outcomes import MEANINGS, OUTCOMES, BeforeAndAfter, JudgedChanges, in_words
from analysis.report.sources import Sources
from analysis.report.thumbnails import data_uri, ends, figure_uri, strip, thumbnail
from analysis.tables import Table
from analysis.tables.table import MOST_ROWS
from reno.letters.harmless import visible

MOST_CARDS = 120
"""Cards in a gallery, one a prompt and seed; of more, so many are drawn at random, the same ones each time."""
MOST_BYTES = 8 * 2**20
"""Bytes of images in a gallery, so that the page opens quickly."""


def write_page(
    results: Results,
    tables: Sequence[Table],
    found: Sequence[Claim],
    figures: Sequence[Figure],
    shown: Sequence[Exhibit],
    cards: Sequence[dict[str, Any]],
    answer: Sequence[str],
    rests_on: Sources,
    path: Path,
) -> Path:
    """Writes the page; answers with its path. cards: the `gallery` of `shown`."""
    room = files("analysis.report")
    environment = Environment(
        loader=DictLoader({"page.html": (room / "page.html").read_text("utf-8")}),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("page.html").render(
        answer=answer,
        claims=_by_judge(found),
        groups=grouped(tables, figures),
        cards=cards,
        of=len(shown),
        whole=results.in_folders,
        outcomes=[name for name in OUTCOMES if any(name in one["outcomes"] for one in cards)],
        meanings=MEANINGS,
        sets=list(dict.fromkeys(f"{one['models']} · {one['prompt_set']}" for one in cards)),
        sources=rests_on,
        json=inert_json,
        style=Markup((room / "page.css").read_text("utf-8")),
        script=Markup((room / "page.js").read_text("utf-8")),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(html.encode("utf-8", "backslashreplace"))
    return path


def _shown(value: Any) -> Any:
    """A value as the page shows it: nothing in a text steers, as characters do that reverse its direction. What is not
    a text, and what this room wrote itself, stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _by_judge(found: Sequence[Claim]) -> list[dict[str, Any]]:
    """The claims by generator, prompt set and judge, in their order."""
    return [
        {"models": models, "prompt_set": prompt_set, "judge": judge, "kin": any(one.kin for one in own), "claims": own}
        for (models, prompt_set, judge), those in groupby(found, lambda one: (one.models, one.prompt_set, one.judge))
        for own in [list(those)]
    ]


def inert_json(value: Any) -> Markup:
    """JSON for the inside of a script element; no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def grouped(tables: Sequence[Table], figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Tables and figures by generator and prompt set, dev prompts last."""
    keys = list(dict.fromkeys((table.models, table.prompt_set) for table in tables))
    keys.sort(key=lambda key: is_dev(key[1]))
    return [
        {
            "models": models,
            "prompt_set": prompt_set,
            "dev": is_dev(prompt_set),
            "tables": [shown_table(table) for table in own],
            "notes": own[0].accounting,
            "figures": [
                {"caption": one.caption, "judge": one.judge, "name": one.png.stem, "uri": figure_uri(one.png)}
                for one in sorted(figures, key=lambda one: one.name == "contact_sheet")  # the wide ones last
                if (one.models, one.prompt_set) == (models, prompt_set)
            ],
        }
        for models, prompt_set in keys
        for own in [[table for table in tables if (table.models, table.prompt_set) == (models, prompt_set)]]
    ]


def shown_table(table: Table, most: int = MOST_ROWS) -> dict[str, Any]:
    """The first `most` rows of a table, and the notes under it, among them that there are more."""
    shown, cut = table.cut(most)
    return {
        "number": table.number,
        "caption": table.caption,
        "columns": [(name, "text" if table.is_text(name) else "number") for name in shown.columns],
        "rows": list(shown.itertuples(index=False, name=None)),
        "notes": [*table.notes, *cut],
    }


def gallery(results: Results, shown: Sequence[Exhibit], judged: JudgedChanges) -> list[dict[str, Any]]:
    """The cards, as many as MOST_CARDS and MOST_BYTES allow."""
    order = list(range(len(shown)))
    random.Random(0).shuffle(order)
    cards, size = {}, 0
    for place in order[:MOST_CARDS]:
        if size > MOST_BYTES:
            break
        cards[place] = _card(results, shown[place], judged.get(shown[place].judge, {}))
        size += len(json.dumps(cards[place]["data"]))
    return [cards[place] for place in sorted(cards)]


def _card(results: Results, one: Exhibit, judged: dict[str, BeforeAndAfter]) -> dict[str, Any]:
    traces = results.traces([row["trial"] for row in one.trials.values()])
    sides, data = [], []
    for metric, row in one.trials.items():
        said = judged.get(row["trial"], BeforeAndAfter())
        trace = traces[traces["trial"] == row["trial"]]
        data.append({"metric": metric, **_moving(results, row, trace)})
        sides.append(
            {
                "metric": metric,
                "settings": row["settings"] or row["method"],
                "color": one.places[metric] % len(PALETTE),
                "words": in_words(said.after),
                "outcomes": said.outcomes,
                "best": int(row["best_iteration"]),
            }
        )
    base = one.base["trial"]
    outcomes = [name for name in OUTCOMES if any(name in side["outcomes"] for side in sides)]
    return {
        "models": one.models,
        "prompt_set": one.prompt_set,
        "prompt": one.prompt,
        "seed": one.seed,
        "judge": one.marked,
        "base_words": in_words(judged.get(base, BeforeAndAfter()).before),
        "sides": sides,
        "outcomes": outcomes,
        "last": max([1, *(len(side["curve"]) - 1 for side in data)]),
        "data": {"base": _still(results, base), "sides": data},
    }


def _still(results: Results, trial: str) -> str | None:
    return results.shown(trial, lambda stored: data_uri(thumbnail(stored.image("initial"))))


def _moving(results: Results, row: pd.Series, trace: pd.DataFrame) -> dict[str, Any]:
    """A trial's strip and its loss curve; a part that cannot be read is empty."""
    curve = [_rounded(value) for value in trace["loss"]]
    draw = strip if results.in_folders else ends
    strip_of = results.shown(row["trial"], lambda stored: draw(stored, max(1, len(curve))).data)
    return {"curve": curve, "best": int(row["best_iteration"]), "strip": strip_of}


def _rounded(value: float) -> float | None:
    value = float(value)
    return float(f"{value:.5g}") if abs(value) < float("inf") else None
