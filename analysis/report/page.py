"""index.html: the whole report in one file that makes no network request.

It shows before it tells: three cases as pictures, one sentence and a small table; then the answer, claims, tables,
figures and a gallery. All of it is there without JavaScript, which only lets a reader choose and move.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

from analysis.claims import Claim
from analysis.data import Results
from analysis.figures import Figure
from analysis.numbers.tuning import is_dev
from analysis.report.cards import Card
from analysis.report.exposition import printed, texts_of
from analysis.report.opening import Opening
from analysis.report.outcomes import MEANINGS, OUTCOMES
from analysis.report.sources import Sources
from analysis.report.strips import Strip
from analysis.report.thumbnails import figure_uri
from analysis.report.words import explained
from analysis.tables import Table
from reno.letters.harmless import visible


def write_page(
    results: Results,
    tables: Sequence[Table],
    found: Sequence[Claim],
    figures: Sequence[Figure],
    first: Opening,
    strip: Sequence[Strip],
    cards: Sequence[Card],
    of: int,
    answer: Sequence[str],
    rests_on: Sources,
    path: Path,
) -> Path:
    """Writes the page; answers with its path. strip: the cases of `first` as pictures; of: how many cards a gallery
    without limits would have."""
    room = files("analysis.report")
    environment = Environment(
        loader=DictLoader({"page.html": (room / "page.html").read_text("utf-8")}),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    html = environment.get_template("page.html").render(
        first=first,
        strip=strip,
        answer=answer,
        claims=_by_judge(found),
        groups=grouped(tables, figures),
        cards=cards,
        of=of,
        whole=results.in_folders,
        choices=choices(cards),
        still=any(side.still for card in cards for side in card.sides),
        meanings=MEANINGS,
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


def _code(text: str) -> Markup:
    """A text whose parts between backticks are set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(visible(text)))))


def choices(cards: Sequence[Card]) -> dict[str, list[str]]:
    """What a reader may choose in the gallery."""
    sides = [side for card in cards for side in card.sides]
    return {
        "outcomes": [name for name in OUTCOMES if any(name in side.outcomes for side in sides)],
        "metrics": list(dict.fromkeys(side.metric for side in sides)),
        "settings": list(dict.fromkeys(side.settings for side in sorted(sides, key=lambda side: side.order))),
        "sets": list(dict.fromkeys(f"{card.exhibit.models} · {card.exhibit.prompt_set}" for card in cards)),
    }


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
    groups = []
    for models, prompt_set in keys:
        own = [table for table in tables if (table.models, table.prompt_set) == (models, prompt_set)]
        shown = [printed(table) for table in own]
        drawn = [one for one in figures if (one.models, one.prompt_set) == (models, prompt_set)]
        narrow = [one for one in drawn if not one.wide]
        groups.append(
            {
                "models": models,
                "prompt_set": prompt_set,
                "dev": is_dev(prompt_set),
                "tables": shown,
                "first": next((one.number for one in shown if one.rows), None),
                "words": explained([*own[0].accounting, *texts_of(shown)]),
                "notes": own[0].accounting,
                "figures": [
                    {
                        "about": one,
                        "uri": figure_uri(one.png),
                        "place": "wide" if one.wide else "alone" if len(narrow) % 2 and one is narrow[-1] else "",
                    }
                    for one in drawn
                ],
            }
        )
    return groups
