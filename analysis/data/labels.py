"""People's labels of images, from a file that a lab made: a table with a header (.csv, .tsv), or JSON lines (.jsonl).

    trial,image,binding,holds,rater
    176088d8876e,best,pink bowl,no,anna
    176088d8876e,best,,no,ben

A row is one answer. Which image: `trial`, its id or the beginning of it, as tables print it; or `prompt` and `seed`,
with as many of `metric`, `method`, `settings` and `models` as it takes to tell trials apart; and `image`, initial or
best. `binding` is what must hold, as "pink bowl"; empty or left out: the image as a whole. `holds` is yes or no, true
or false, 1 or 0. `rater` is optional. Several answers to one question count by majority.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from analysis.data.results import PEOPLE_COLUMNS, Results
from reno.spec.errors import BadInput, did_you_mean
from reno.store.records import JUDGED

PEOPLE = "people"
"""The name under which tables show them, beside judges."""
WHOLE_IMAGE = -1
"""The place of an answer on all bindings together."""
TELLING = ("prompt", "seed", "metric", "method", "settings", "models")
"""Columns that tell trials apart, if there is no `trial`."""
KNOWN = ("trial", *TELLING, "image", "binding", "holds", "rater")
ANSWERS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
SHORTEST_ID = 8
"""Characters of a trial's id that a file may not go below."""


@dataclass(frozen=True)
class Row:
    """One row of the file."""

    where: str
    values: dict[str, str]
    """By column, without spaces around them; those that are empty are left out."""


def labelled(results: Results, path: Path) -> Results:
    """The results with people's labels. Raises BadInput, in a sentence that says where, for a file that cannot be used
    or of which no row is of a binding or image of these results."""
    rows = list(_rows(path))
    asked = [_question(row) for row in rows]
    index, answers, raters, unmatched = _Trials(results), [], {}, 0
    for row, (image, holds) in zip(rows, asked, strict=True):
        question = index.question(row, image)
        if question is None:
            unmatched += 1
            continue
        _refuse_twice(row, question, raters)
        answers.append((*question, holds))
    if not answers:
        raise BadInput(
            f"labels={path}: none of its {len(rows)} rows is of an image in {results.root}; the columns trial, or "
            "prompt and seed, must have what the report's tables print"
        )
    shares = pd.DataFrame(answers, columns=list(PEOPLE_COLUMNS)).groupby(list(PEOPLE_COLUMNS[:-1]))["holds"].mean()
    people = shares[shares != 0.5].gt(0.5).reset_index()
    return replace(results, people=people, labels=path, label_notes=_notes(rows, unmatched, shares))


def _notes(rows: list[Row], unmatched: int, shares: pd.Series) -> tuple[str, ...]:
    ties = int((shares == 0.5).sum())
    raters = len({row.values["rater"] for row in rows if "rater" in row.values})
    by = f" by {raters} raters" if raters > 1 else ""
    notes = [f"People's labels: {len(rows)} answers{by} to {len(shares)} questions, counted by majority."]
    if ties:
        notes.append(f"Left out, because as many say yes as no: {ties} of these questions.")
    if unmatched:
        notes.append(
            f"Left out, because they are of no image or binding here: {unmatched} of the {len(rows)} rows of labels."
        )
    return tuple(notes)


# --- The file ---------------------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BadInput(f"labels={path} cannot be read ({error.strerror}); give a .csv, .tsv or .jsonl file") from None
    except UnicodeDecodeError:
        raise BadInput(f"labels={path} is not a text in UTF-8; save it as UTF-8") from None
    reader = {".csv": _of_table, ".tsv": _of_table, ".jsonl": _of_json_lines}.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"labels={path} is none of .csv, .tsv and .jsonl; name it as what it is")
    empty = True
    for where, values in reader(text, path):
        empty = False
        for name in values:
            if name not in KNOWN:
                raise BadInput(
                    f"{where}: {name!r} is not a column of labels{did_you_mean(name, KNOWN)}; the columns are "
                    f"{', '.join(KNOWN)}"
                )
        given = {name: str(value).strip() for name, value in values.items() if value is not None}
        yield Row(where, {name: _as_stored(name, value) for name, value in given.items() if value})
    if empty:
        raise BadInput(f"labels={path} has no row; give one answer a row, with the columns {', '.join(KNOWN)}")


def _as_stored(name: str, value: str) -> str:
    """A trial's id in small letters; a seed as a whole number, which a spreadsheet may have written as 1.0."""
    if name == "trial":
        return value.lower()
    return re.sub(r"\.0+$", "", value) if name == "seed" else value


def _of_table(text: str, path: Path) -> Iterator[tuple[str, dict]]:
    table = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        names = [name.strip().lower() for name in next(table, [])]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise BadInput(f"labels={path} has the column {twice[0]!r} twice; leave one of them out")
        for cells in table:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"labels={path}, line {table.line_num}"
            if len(cells) != len(names):
                raise BadInput(
                    f'{where} has {len(cells)} cells and the header {len(names)}; a comma in a text needs ""'
                )
            yield where, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise BadInput(f"labels={path} cannot be read as a table ({error})") from None


def _of_json_lines(text: str, path: Path) -> Iterator[tuple[str, dict]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"labels={path}, line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        flat = isinstance(values, dict) and not any(isinstance(one, dict | list) for one in values.values())
        if not flat:
            raise BadInput(
                f'{where} is not a JSON object such as {{"trial": "176088d8876e", "image": "best", "holds": true}}'
            )
        names = [name.strip().lower() for name in values]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise BadInput(f"{where} has the key {twice[0]!r} twice; leave one of them out")
        yield where, dict(zip(names, values.values(), strict=True))


def _question(row: Row) -> tuple[str, bool]:
    """The image and the answer. Raises BadInput for values that are not allowed, and for columns that are not there."""
    values = row.values
    if "trial" not in values and not {"prompt", "seed"} <= set(values):
        raise BadInput(f"{row.where} does not say which trial it is of; give trial, or prompt and seed")
    if len(values.get("trial", "x" * SHORTEST_ID)) < SHORTEST_ID:
        raise BadInput(f"{row.where}: trial={values['trial']} is too short; give {SHORTEST_ID} characters or more")
    image = values.get("image", "").lower()
    if image not in JUDGED:
        raise BadInput(f"{row.where}: image is {image or 'empty'}; write {' or '.join(JUDGED)}")
    holds = values.get("holds", "").lower()
    if holds not in ANSWERS:
        raise BadInput(f"{row.where}: holds is {holds or 'empty'}; write yes or no")
    return image, ANSWERS[holds]


def _refuse_twice(row: Row, question: tuple, raters: dict[tuple, str]) -> None:
    if "rater" in row.values:
        before = raters.setdefault((question, row.values["rater"]), row.where)
        if before != row.where:
            raise BadInput(
                f"{row.where}: {row.values['rater']} answers the same question as in {before}; leave one out"
            )


# --- What it is of ----------------------------------------------------------------------------------------------------


class _Trials:
    """The trials and their bindings, to look rows up in."""

    def __init__(self, results: Results):
        self._trials = results.trials.drop_duplicates("trial").set_index("trial", drop=False)
        self._by_noise = self._trials.groupby([self._trials["prompt"], self._trials["seed"].astype(str)]).groups
        bindings = results.judged.drop_duplicates(["trial", "place"])
        names = bindings["attribute"] + " " + bindings["object"]
        self._places: dict[str, dict[str, int]] = {}
        for trial, name, place in zip(bindings["trial"], names, bindings["place"], strict=True):
            self._places.setdefault(trial, {}).setdefault(name.lower(), int(place))

    def question(self, row: Row, image: str) -> tuple | None:
        """PEOPLE_COLUMNS but for the answer; None if these results have no such image or binding. Raises BadInput for a
        row that is of several images."""
        found = self._matching(row.values)
        images = found[["models", "prompt", "seed"]] if image == "initial" else found[["trial"]]
        if len(images.drop_duplicates()) > 1:
            raise BadInput(
                f"{row.where} is of {len(found)} trials; tell them apart with the column trial, or with more of "
                f"{', '.join(TELLING[2:])}"
            )
        if found.empty:
            return None
        trial = found.iloc[0]
        binding = row.values.get("binding")
        place = WHOLE_IMAGE if binding is None else self._places.get(trial["trial"], {}).get(binding.lower())
        shown = "" if image == "initial" else trial["trial"]
        return None if place is None else (trial["models"], trial["prompt"], int(trial["seed"]), image, shown, place)

    def _matching(self, values: dict[str, str]) -> pd.DataFrame:
        """The trials that every given column names."""
        if "trial" in values:
            found = self._trials[self._trials.index.str.startswith(values["trial"])]
        else:
            found = self._trials.loc[list(self._by_noise.get((values["prompt"], values["seed"]), []))]
        for name in TELLING:
            if name in values:
                found = found[found[name].astype(str) == values[name]]
        return found
