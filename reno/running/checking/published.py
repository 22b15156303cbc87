"""The published values, as published.yaml holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

DATA = Path(__file__).resolve().parent / "published.yaml"


class KnownPicture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture that a published value is of."""

    file: str
    address: str
    size: tuple[int, int] | None = None
    """(width, height) in pixels; None if it is not known."""


class PublishedValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody else found that a checkpoint says of a picture."""

    checkpoint: str
    measure: Literal["score", "probability", "cosine", "answer", "detections", "class_logits"]
    picture: str
    ask: tuple[str, ...]
    expected: tuple[Any, ...]
    """Numbers, texts or rows of numbers, as `measure` returns them."""
    source: str
    confirmed: str
    size: str = "full"
    """The size of reno/weights/published that the checkpoint has."""
    options: dict[str, Any] = {}
    atol: float | tuple[float, float] = 0.0
    """Of two: the first number's of each row, and the others'."""
    rtol: float = 0.0
    tolerance_of: Literal["source", "here"] = "source"


class PublishedValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """published.yaml"""

    pictures: dict[str, KnownPicture]
    values: tuple[PublishedValue, ...]


def published_values(path: Path = DATA) -> PublishedValues:
    """The published values of a file like published.yaml."""
    return msgspec.yaml.decode(path.read_bytes(), type=PublishedValues)
