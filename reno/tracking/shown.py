"""What a row may hold besides numbers and words: pictures and tables, as JSON on the way to W&B's process and as wandb
has them there."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Picture:
    png: bytes
    caption: str | None = None


@dataclass(frozen=True)
class Grid:
    """A table; a cell is a JSON value or a Picture."""

    columns: list[str]
    rows: list[list[Any]]


def described(value: Any) -> Any:
    """A value that JSON has no form for, as one that it has; for `json.dumps`."""
    if isinstance(value, Picture):
        return {"png": base64.b64encode(value.png).decode(), "caption": value.caption}
    if isinstance(value, Grid):
        return {"columns": value.columns, "rows": value.rows}
    return value.item()  # NumPy's numbers


def for_wandb(value: Any) -> Any:
    """What was described, as wandb's own; other values as they are."""
    if not isinstance(value, dict):
        return value
    import wandb

    if "png" in value:
        from PIL import Image

        return wandb.Image(Image.open(io.BytesIO(base64.b64decode(value["png"]))), caption=value["caption"])
    rows = [[for_wandb(cell) for cell in row] for row in value["rows"]]
    return wandb.Table(columns=value["columns"], data=rows, allow_mixed_types=True)
