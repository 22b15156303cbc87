"""Prompts and what they ask for: (attribute, object) bindings, read from the text or given with it.

A named set is a file in conf/prompt_sets; a user's own file works the same way: one prompt a line (`.txt`), or one
JSON object a line (`.jsonl`) with `prompt` and, optionally, `bindings` as [attribute, object] pairs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from reno.errors import BadInput, did_you_mean

PROMPT_SETS = Path(__file__).resolve().parent.parent / "conf" / "prompt_sets"

ARTICLES = {"a", "an", "the"}


@dataclass(frozen=True)
class Binding:
    """One thing a prompt asks for: an object and the attribute it should have."""

    attribute: str
    object: str

    @property
    def phrase(self) -> str:
        """The noun phrase, with its article: "a gold bench", "an orange clock"."""
        return with_article(f"{self.attribute} {self.object}")


def with_article(words: str) -> str:
    """Words after "a" or "an", by their first letter."""
    return f"{'an' if words[:1].lower() in tuple('aeiou') else 'a'} {words}"


@dataclass(frozen=True)
class Prompt:
    """A text and the bindings it asks for, in the text's order; none where the text has no such pairs."""

    text: str
    bindings: tuple[Binding, ...] = ()


def parse_bindings(text: str) -> tuple[Binding, ...]:
    """The bindings of a text that is a list of "[article] attribute object" phrases, as T2I-CompBench's are.

    "a red car, a blue bowl and a pink star" gives (red, car), (blue, bowl), (pink, star). The first word after the
    article is the attribute and the rest is the object ("a green traffic light"). A text of any other form gives no
    binding: a wrong binding would be judged, a missing one is only not judged.
    """
    bindings = []
    for phrase in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", text.strip().rstrip(".").lower()):
        words = phrase.split()
        if len(words) < 2 or len(words) > 5 or not all(re.fullmatch(r"[\w'-]+", word) for word in words):
            return ()
        if words[0] in ARTICLES:
            words = words[1:]
        elif len(words) > 3:
            return ()
        if len(words) < 2 or ARTICLES & set(words):
            return ()
        bindings.append(Binding(words[0], " ".join(words[1:])))
    return tuple(bindings)


def prompt_from_text(text: object, where: str) -> Prompt:
    """A prompt from what a user typed; `where` names its origin in the error. Raises BadInput if it is empty."""
    if not isinstance(text, str):
        raise BadInput(f"{where} must be a text, not {text!r}; put it in quotes, as in prompt='\"1234\"'")
    if not text.strip():
        raise BadInput(f'{where} is empty; give a text such as "a gold bench and a green clock"')
    return Prompt(text, parse_bindings(text))


def load_prompts(name: str) -> list[Prompt]:
    """The prompts of a named set, or of a file of one prompt a line or one JSON object a line.

    Raises BadInput if there is no such set or file, or a line of it cannot be used.
    """
    path = _find(name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"prompts={name}: cannot read {path} ({error}); give a UTF-8 text file of one prompt a line"
        ) from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered:
        raise BadInput(f"prompts={name}: {path} holds no prompt; give it one prompt a line")
    parse = _from_json if path.suffix in (".jsonl", ".json") else _from_text
    return [parse(line, f"{path}, line {number}") for number, line in numbered]


def named_sets() -> list[str]:
    return sorted(path.stem for path in PROMPT_SETS.glob("*") if path.suffix in (".txt", ".jsonl"))


def _find(name: str) -> Path:
    for suffix in (".txt", ".jsonl"):
        if "/" not in name and (PROMPT_SETS / f"{name}{suffix}").is_file():
            return PROMPT_SETS / f"{name}{suffix}"
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = named_sets()
    raise BadInput(f"prompts={name} is neither a prompt set ({', '.join(known)}) nor a file{did_you_mean(name, known)}")


def _from_text(line: str, where: str) -> Prompt:
    return prompt_from_text(line.strip(), where)


def _from_json(line: str, where: str) -> Prompt:
    example = '{"prompt": "a red car", "bindings": [["red", "car"]]}'
    try:
        entry = json.loads(line)
        prompt = prompt_from_text(entry["prompt"], where)
        if "bindings" not in entry:
            return prompt
        return Prompt(prompt.text, tuple(Binding(str(attribute), str(thing)) for attribute, thing in entry["bindings"]))
    except BadInput:
        raise
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{where} is not an object such as {example}") from None
