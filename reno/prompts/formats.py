"""Reads prompts from files as people have them.

    .txt             one prompt a line; a line that begins with "# " is a comment
    .jsonl .json     objects with `prompt` (or `caption`, `text`) and, optionally, `bindings` and labels; .json is an
                     array of them, an array of texts, or an object of objects
    .csv .tsv        a table with a header; one column holds the prompts. Cells of a .csv are separated by
                     commas or semicolons, those of a .tsv by tabs
    a folder         one prompt a .txt file, as DPG-Bench has them

GenEval's evaluation_metadata.jsonl is read with its `include` and `exclude`; its colours are the bindings. A category
stays with its prompt. Files are UTF-8, with or without a byte-order mark. A line ends at a newline; no other character
ends one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from reno.prompts.geneval import RELATIONS
from reno.prompts.reader import prompt_from_text
from reno.spec.errors import BadInput, did_you_mean, first_line
from reno.spec.prompts import Binding, Prompt, Wanted, whole_text

SUFFIXES = (".txt", ".jsonl", ".json", ".csv", ".tsv")
TEXT_KEYS = ("prompt", "prompts", "caption", "text")
"""Names of the column or key that holds the prompt, the first that is there; capitals do not matter."""
CATEGORY_KEYS = ("category", "categories", "tag", "category_broad")
"""Names of the column or key that holds the category, the first that is there."""
LABEL_KEYS = (
    "category_detailed", "challenge", "note", "id", "item_id", "index", "source", "type", "level",
)  # fmt: skip
"""Other keys of a JSON object that describe the prompt. They are known, and not used."""
MOST_COUNTED = 100
"""Of one object that GenEval's lists may ask for."""
TIFA_KEYS = (
    "question", "choices", "answer", "answer_type", "element_type", "element", "coco_val_id", "drawbench_id",
    "paintskill_id", "partiprompt_id",
)  # fmt: skip
"""Keys of TIFA's annotations, one question an object: the same caption is there many times."""


@dataclass(frozen=True)
class PromptFile:
    """What a file holds."""

    prompts: tuple[Prompt, ...]
    """Each text once, in the order of the file."""
    notes: tuple[str, ...]
    """What was left out or chosen, in sentences to show."""


def read_prompt_file(path: Path) -> PromptFile:
    """The prompts of a file or of a folder of .txt files. Raises BadInput naming the file, the line and the remedy."""
    if path.is_dir():
        files = sorted(path.glob("*.txt"))
        if not files:
            raise BadInput(
                f"{path} is a folder without .txt files; give a file, or a folder with one prompt a .txt file"
            )
        found = [_prompt(_text(file).strip(), str(file)) for file in files]
        return _each_once(found, [f"{len(files)} .txt files, one prompt each"])
    text, notes = _text(path), []
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        found = [_from_object(*row) for row in _json_lines(text, path)]
    elif suffix == ".json":
        rows = _json_array(text, path) if _is_json(text) else _json_lines(text, path)
        found = [_from_object(*row) for row in rows]
    elif suffix in (".csv", ".tsv"):
        delimiter = _delimiter(text) if suffix == ".csv" else "\t"
        found, column = _from_table(text, path, delimiter)
        apart = "" if delimiter == {".csv": ",", ".tsv": "\t"}[suffix] else f"; {NAMES[delimiter]}s separate its cells"
        notes.append(f"prompts are in the column {column!r}{apart}")
    else:
        found, comments = _from_lines(text, path)
        if comments:
            notes.append(f"{comments} comment line{'s' * (comments > 1)} left out")
    if not found:
        raise BadInput(f"{path} holds no prompt; write one prompt per line")
    return _each_once(found, notes)


def _prompt(text: object, where: str) -> Prompt:
    return replace(prompt_from_text(text, where), where=where)


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise BadInput(f"{path}, line {line} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}); give a UTF-8 file with one prompt per line") from None
    if "\0" in text:
        raise BadInput(f"{path} is not a text file: it holds a NUL; give a UTF-8 file with one prompt per line")
    if "\r" in text.replace("\r\n", ""):
        raise BadInput(
            f"{path} has lines that end in a carriage return alone; save it with line ends of Unix or Windows"
        )
    return text


def _each_once(found: Sequence[Prompt], notes: Sequence[str]) -> PromptFile:
    """Each text once. Of two prompts with one text the first is kept if both ask for the same. Raises BadInput if they
    do not: it would be one trial, judged twice."""
    kept: dict[str, Prompt] = {}
    for prompt in found:
        before = kept.setdefault(prompt.text, prompt)
        if _asks(before) != _asks(prompt):
            raise BadInput(f"the prompt {prompt.text!r} is there twice, with different bindings; leave one of them out")
    twice = len(found) - len(kept)
    said = (
        [f"{twice} line{'s repeat' if twice > 1 else ' repeats'} an earlier prompt: a text counts once"]
        if twice
        else []
    )
    other = sum(kept[prompt.text].category != prompt.category for prompt in found)
    said += [f"{other} of them under another category: the first one counts"] if other else []
    return PromptFile(tuple(kept.values()), (*notes, *said))


def _asks(prompt: Prompt) -> tuple:
    return prompt.bindings, prompt.wanted, prompt.unwanted


# --- Lines ------------------------------------------------------------------------------------------------------------


def _from_lines(text: str, path: Path) -> tuple[list[Prompt], int]:
    """The prompts of a text file, and how many of its lines are comments."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    comments = [line for _, line in numbered if line == "#" or line.startswith("# ")]
    numbered = [(number, line) for number, line in numbered if not (line == "#" or line.startswith("# "))]
    if numbered and (delimiter := _table_header(numbered[0][1])):
        name = DELIMITERS[delimiter]
        raise BadInput(
            f"{path} looks like a table, with the header {numbered[0][1]!r}; name it {name}, or leave only its prompts "
            f"in it"
        )
    return [_prompt(line, f"{path}, line {number}") for number, line in numbered], len(comments)


def _table_header(line: str) -> str | None:
    """What separates its cells, if the line is a table's header: several short names, one of which is the prompts'."""
    for delimiter in DELIMITERS:
        names = [name.strip().strip('"').lower() for name in line.split(delimiter)]
        if len(names) > 1 and set(names) & set(TEXT_KEYS) and all(len(name.split()) < 3 for name in names):
            return delimiter
    return None


# --- JSON -------------------------------------------------------------------------------------------------------------

EXAMPLE = '{"prompt": "a red car", "bindings": [["red", "car"]]}'


def _json_lines(text: str, path: Path) -> Iterator[tuple[Any, str]]:
    """The value of each line, and where it stands. A line that begins with `#` is a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            where = f"{path}, line {number}"
            try:
                yield json.loads(line, object_pairs_hook=_keys_once), where
            except _KeyTwice as error:
                raise BadInput(f"{where} has the key {error} twice; leave one of them out") from None
            except (ValueError, RecursionError):
                raise BadInput(f"{where} is not a JSON object such as {EXAMPLE}") from None


class _KeyTwice(Exception):
    """An object has a key twice."""


def _keys_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _KeyTwice(repr(key))
        found[key] = value
    return found


def _is_json(text: str) -> bool:
    """Whether the whole text is one JSON value; if not, a .json file has to hold one a line."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _json_array(text: str, path: Path) -> Iterator[tuple[Any, str]]:
    try:
        entries = json.loads(text, object_pairs_hook=_keys_once)
    except _KeyTwice as error:
        raise BadInput(f"{path} has the key {error} twice in an object; leave one of them out") from None
    if isinstance(entries, dict) and not set(map(str.lower, entries)) & set(TEXT_KEYS):
        entries = list(entries.values())  # by id
    entries = [entries] if isinstance(entries, dict) else entries
    if not isinstance(entries, list):
        raise BadInput(f"{path} is not a JSON array of prompts; give an array of objects such as {EXAMPLE}")
    for number, entry in enumerate(entries, 1):
        yield entry, f"{path}, entry {number}"


def _from_object(entry: object, where: str) -> Prompt:
    """A prompt from a JSON object, or from a text."""
    if isinstance(entry, str):
        return _prompt(entry, where)
    if not isinstance(entry, dict):
        raise BadInput(f"{where} is not a JSON object such as {EXAMPLE}")
    known = [*TEXT_KEYS, "bindings", "include", "exclude", *CATEGORY_KEYS, *LABEL_KEYS]
    of_tifa = "question" in entry
    unknown = [key for key in entry if key.lower() not in known and not (of_tifa and key.lower() in TIFA_KEYS)]
    if unknown:
        raise BadInput(
            f"{where}: {unknown[0]!r} is not a key of a prompt{did_you_mean(unknown[0], known)}; the keys are "
            f"{', '.join(known)}"
        )
    lower = {key.lower(): value for key, value in entry.items()}
    several = [name for name in TEXT_KEYS if name in lower]
    if len({str(lower[name]) for name in several}) > 1:
        raise BadInput(f"{where} has {' and '.join(several)} with different texts; leave one of them in it")
    key = next(iter(several), None)
    if key is None:
        raise BadInput(f"{where} has no prompt; write a JSON object such as {EXAMPLE}")
    prompt = replace(_prompt(lower[key], where), category=_category(lower, where))
    wanted, unwanted = (_wanted(lower.get(name), f"{where}: {name}") for name in ("include", "exclude"))
    if any(one.color or one.position for one in unwanted):
        raise BadInput(f"{where}: exclude has a class and a count only; GenEval looks at no colour or position there")
    prompt = replace(prompt, wanted=wanted, unwanted=unwanted)
    if lower.get("bindings") is not None:
        return replace(prompt, bindings=_bindings(lower["bindings"], where))
    if wanted:
        return replace(prompt, bindings=tuple(Binding(each.color, each.object) for each in wanted if each.color))
    return prompt


def _category(row: Mapping[str, Any], where: str) -> str:
    """The first of the category's names that is there; of a list, its first."""
    found = next((row[name] for name in CATEGORY_KEYS if row.get(name)), "")
    category = found[0] if isinstance(found, list) else found
    if not isinstance(category, str) or not whole_text(category):
        raise BadInput(f"{where}: the category must be a text, not {category!r}")
    return category.strip()


def _bindings(found: object, where: str) -> tuple[Binding, ...]:
    """Bindings as [attribute, object] pairs or as objects with these two keys. Raises BadInput for anything else."""
    allowed = '[["red", "car"]] or [{"attribute": "red", "object": "car"}]'
    if not isinstance(found, list):
        raise BadInput(f"{where}: bindings must be a list such as {allowed}, not {found!r}")
    bindings = []
    for each in found:
        if isinstance(each, dict) and set(each) == {"attribute", "object"}:
            pair = [each["attribute"], each["object"]]
        else:
            pair = each
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(w, str) and w.strip() for w in pair):
            raise BadInput(f"{where}: {each!r} is not a binding; write {allowed}")
        if not all(map(whole_text, pair)):
            raise BadInput(f"{where}: a binding holds half of a character, which cannot be stored; type it again")
        bindings.append(Binding(pair[0].strip(), pair[1].strip()))
    return tuple(dict.fromkeys(bindings))


def _wanted(found: object, where: str) -> tuple[Wanted, ...]:
    """GenEval's `include` or `exclude`. Raises BadInput."""
    if found is None:
        return ()
    try:
        clauses = msgspec.convert(found, list[_Clause])
    except (msgspec.ValidationError, RecursionError) as error:
        example = '[{"class": "car", "count": 1, "color": "red"}]'
        raise BadInput(f"{where} is not as GenEval writes it, {example}: {first_line(error)}") from None
    for place, clause in enumerate(clauses):
        if clause.position and not (clause.position[0] in RELATIONS and 0 <= clause.position[1] < place):
            raise BadInput(
                f"{where}: position must be one of {', '.join(RELATIONS)}, and the place of an earlier object from 0, "
                f"not {list(clause.position)}"
            )
        if not all(map(whole_text, (clause.name, clause.color or ""))):
            raise BadInput(f"{where} holds half of a character, which cannot be stored; type it again")
    return tuple(Wanted(each.name, each.count, each.color, each.position) for each in clauses)


class _Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of `include` or `exclude`."""

    name: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field(name="class")
    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_COUNTED)] = 1
    color: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    position: tuple[str, int] | None = None


# --- Tables -----------------------------------------------------------------------------------------------------------


DELIMITERS = {",": ".csv", "\t": ".tsv", ";": ".csv"}
"""What separates the cells of a table, and how its file is named. Spreadsheets write semicolons where the comma is the
decimal sign."""
NAMES = {",": "comma", "\t": "tab", ";": "semicolon"}


def _delimiter(text: str) -> str:
    """What separates the cells of a .csv file: that by which its header has a column of prompts, or a comma."""
    header = text.lstrip().split("\n")[0]
    cells = {mark: [name.strip().strip('"').lower() for name in header.split(mark)] for mark in DELIMITERS}
    return next((mark for mark, names in cells.items() if len(names) > 1 and set(names) & set(TEXT_KEYS)), ",")


def _from_table(text: str, path: Path, delimiter: str) -> tuple[list[Prompt], str]:
    """The prompts of a table and the name of their column."""
    try:
        rows = list(_rows(text, delimiter))
    except csv.Error as error:
        raise BadInput(f"{path} cannot be read as a table ({error}); save it again as CSV in UTF-8") from None
    if not rows:
        raise BadInput(f"{path} is empty; give a table with a header and a column named prompt")
    header, rows = [name.strip() for name in rows[0][1]], rows[1:]
    lower = [name.lower() for name in header]
    place = next((lower.index(name) for name in TEXT_KEYS if name in lower), None)
    if place is None:
        raise BadInput(
            f"{path} has no column named prompt; its columns are {', '.join(map(repr, header))}; name the one with the "
            f"prompts `prompt`"
        )
    for name in ("bindings", "include", "exclude"):
        if name in lower:
            raise BadInput(
                f"{path} has a column {name!r}, which a table cannot hold; give JSON lines such as {EXAMPLE}"
            )
    found = []
    for number, cells in rows:
        where = f"{path}, line {number}"
        if len(cells) != len(header):
            raise BadInput(f"{where} has {len(cells)} cells and the header has {len(header)}; quote cells that hold a "
                           f"{NAMES[delimiter]}")  # fmt: skip
        row = dict(zip(lower, cells, strict=True))
        found.append(replace(_prompt(cells[place].strip(), where), category=_category(row, where)))
    return found, header[place]


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of the rows that are not blank. Tables separated by tabs quote only whole cells."""
    if delimiter == "\t":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, [_unquoted(cell) for cell in line.rstrip("\r").split("\t")]
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if whole else cell
