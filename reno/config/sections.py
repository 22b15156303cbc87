"""Reads nested values. A key that nothing reads is refused by name."""

from __future__ import annotations

import math
from typing import Any

from reno.config.checks import text
from reno.spec.errors import BadInput, did_you_mean
from reno.spec.prompts import whole_text

_REQUIRED = object()


class Section:
    """One mapping of a configuration. `take` reads a key; `end` refuses the keys that were not read."""

    def __init__(self, values: object, where: str, references: frozenset[str] = frozenset()):
        """where: the dotted name of the mapping. references: dotted names that other values refer to; such a key counts
        as read. Raises BadInput if `values` is not a mapping."""
        if not isinstance(values, dict):
            raise BadInput(f"{where} must hold keys and values, not {values!r}")
        self.values, self.where, self.references = values, where, references
        self.known: list[str] = [key for key in values if self._referred_to(key)]

    def take(self, key: str, default: Any = _REQUIRED) -> Any:
        """The value of a key. Raises BadInput if it is missing and there is no default."""
        self.known.append(key)
        if key in self.values:
            return self.values[key]
        if default is _REQUIRED:
            raise BadInput(f"{self.where} has no {key}; give it one: {self.where}.{key}=...")
        return default

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """The text under a key. Raises BadInput if it is none, or empty; the default may be."""
        value = self.take(key, default)
        return value if value == default else text(f"{self.where}.{key}", value)

    def section(self, key: str, default: Any = _REQUIRED) -> Section:
        """The mapping under a key."""
        return Section(self.take(key, default), f"{self.where}.{key}", self.references)

    def rest(self) -> dict[str, Any]:
        """The keys that are not read yet, and their values: the options of a kind, which are checked later."""
        rest = {key: value for key, value in self.values.items() if key not in self.known}
        self.known += rest
        _check_options(self.where, rest)
        return rest

    def end(self) -> None:
        """Raises BadInput for the first key that was not read."""
        for key in self.values:
            if key not in self.known:
                known = sorted(set(self.known) & set(self.values)) or sorted(set(self.known))
                everything = sorted(set(self.known))
                raise BadInput(
                    f"{self.where}.{key} is not a knob; {self.where} has {', '.join(known) or 'none'}"
                    f"{did_you_mean(key, everything)}"
                )

    def _referred_to(self, key: str) -> bool:
        full = f"{self.where}.{key}"
        return any(
            full == name or full.startswith(f"{name}.") or name.startswith((f"{full}.", f".{key}"))
            for name in self.references
        )


def _check_options(where: str, value: object) -> None:
    """Raises BadInput for what a trial's identity cannot hold: numbers without end, keys that are no texts."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or not whole_text(key):
                raise BadInput(f"{where} has the key {key!r}, which is not a text; put it in quotes")
            _check_options(f"{where}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            _check_options(where, inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{where} must be a finite number, not {value!r}")
    elif isinstance(value, str) and not whole_text(value):
        raise BadInput(f"{where} holds half of a character, which cannot be stored: {value!r}")
