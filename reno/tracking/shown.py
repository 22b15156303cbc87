"""Pictures and tables in a row: as JSON on the way to W&B's process, and as wandb's objects there."""

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


def caption(iteration: int, score: float | None) -> str:
    """The words below an image of the optimisation."""
    return f"iteration {iteration}" + ("" if score is None else f", score {score:.3f}")


def described(value: Any) -> Any:
    """A picture, table or NumPy number as JSON values; the `default` of `json.dumps`."""
    if isinstance(value, Picture):
        return {"png": base64.b64encode(value.png).decode(), "caption": value.caption}
    if isinstance(value, Grid):
        return {"columns": value.columns, "rows": value.rows}
    return value.item()  # NumPy's numbers


def for_wandb(value: Any) -> Any:
    """The wandb object for a value that `described` made; other values unchanged."""
    if not isinstance(value, dict):
        return value
    import wandb

    if "png" in value:
        from PIL import Image

        return wandb.Image(Image.open(io.BytesIO(base64.b64decode(value["png"]))), caption=value["caption"])
    rows = [[for_wandb(cell) for cell in row] for row in value["rows"]]
    return wandb.Table(columns=value["columns"], data=rows, allow_mixed_types=True)
