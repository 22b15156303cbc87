"""Published values beside which the report puts its own: conf/expected.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from reno import HOME
from reno.spec.errors import BadInput, first_line

PUBLISHED = HOME / "conf" / "expected.yaml"
BEFORE = "before"
"""The method of a value of the initial images, whatever was optimised."""
MEAN = "mean"
"""The category that is the mean of all others."""


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of a source's table."""

    source: str
    models: str
    suites: dict[str, str]
    """By category, the suite; its prompts are those of the category."""
    judge: str
    measure: str
    """A measure of one image: fully_bound, correct or judge_score."""
    images: int
    """Images per prompt."""
    method: str
    values: dict[str, float]
    """By category."""
    metric: str | None = None
    """None for BEFORE."""
    prompts: dict[str, int] = {}
    """By category, how many prompts the source used, where that is known."""
    official: str = ""
    """The source's own judge, if `judge` only stands in for it."""
    settings: dict[str, Any] = {}
    """Settings of the method, as the store names them."""


@cache
def published(path: Path = PUBLISHED) -> tuple[Published, ...]:
    """The rows of the file. Raises BadInput if it cannot be used."""
    try:
        rows = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), tuple[Published, ...])
        for row in rows:
            if unknown := row.values.keys() - row.suites.keys():
                raise ValueError(f"{row.source}: no suite for {', '.join(sorted(unknown))}")
    except (OSError, ValueError, yaml.YAMLError) as error:  # msgspec's ValidationError is a ValueError
        raise BadInput(f"the published values in {path} cannot be read ({first_line(error)})") from None
    return rows
