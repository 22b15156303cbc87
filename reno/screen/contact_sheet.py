"""A job's images on one sheet: each trial before and after optimisation, with its scores and bindings."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from reno.screen.words import number
from reno.spec.errors import BadInput
from reno.store.store import Stored

PICTURE = 224  # pixels a side
GAP = 16
TEXT = 60  # pixels of height under a pair of pictures
HEADING = 56
MOST_TRIALS = 60  # a longer sheet is hard to read
INK, FAINT, GOOD, BAD = "#1a1a1a", "#6b6b6b", "#1b6e53", "#a33b20"


def draw_contact_sheet(trials: Sequence[Stored], metric: str, path: Path) -> Path:
    """Draws the first MOST_TRIALS trials to a PNG at `path`."""
    shown = trials[:MOST_TRIALS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    cell_width, cell_height = 2 * PICTURE + 4, PICTURE + TEXT
    width = max(columns * cell_width + (columns + 1) * GAP, 640)
    sheet = Image.new("RGB", (width, HEADING + rows * (cell_height + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    labels = shown[0].record.labels
    more = f", the first {len(shown)} of {len(trials)}" if len(trials) > len(shown) else ""
    draw.text((GAP, 10), f"{labels.models} · {labels.method} · metric {metric}{more}", INK, _font(20))
    caution = " · the weights are random, the scores mean nothing" if labels.random_weights else ""
    draw.text((GAP, 34), f"left: initial noise · right: best image{caution}", FAINT, _font(13))
    for index, trial in enumerate(shown):
        left = GAP + index % columns * (cell_width + GAP)
        top = HEADING + index // columns * (cell_height + GAP)
        _draw_trial(sheet, draw, trial, metric, left, top)
    part = path.with_suffix(".part")
    sheet.save(part, "PNG")
    part.replace(path)
    return path


def _draw_trial(sheet, draw, trial: Stored, metric: str, left: int, top: int) -> None:
    for offset, which in ((0, "initial"), (PICTURE + 4, "best")):
        picture = _picture(trial, which)
        enlarging = picture.width < PICTURE
        picture = picture.resize(
            (PICTURE, PICTURE), Image.Resampling.NEAREST if enlarging else Image.Resampling.LANCZOS
        )
        sheet.paste(picture, (left + offset, top))
    record = trial.record
    lines = textwrap.wrap(_on_one_line(record.spec.prompt), 52, max_lines=2, placeholder=" …") or [""]
    for place, line in enumerate(lines):
        draw.text((left, top + PICTURE + 4 + 18 * place), line, INK, _font(15))
    before, after = (number(scores.get(metric)) for scores in (record.scores.initial, record.scores.best))
    text = f"seed {record.spec.seed} · {metric} {before} → {after} at iteration {record.best_iteration}"
    draw.text((left, top + PICTURE + 4 + 18 * len(lines)), text, FAINT, _font(13))
    verdict, colour = _verdict(trial)
    draw.text((left, top + PICTURE + 21 + 18 * len(lines)), verdict, colour, _font(13))


def _picture(trial: Stored, which: str) -> Image.Image:
    """An image of a trial; grey where it cannot be read."""
    try:
        return Image.fromarray(trial.image(which))
    except (BadInput, OSError):
        return Image.new("RGB", (PICTURE, PICTURE), FAINT)


def _verdict(trial: Stored) -> tuple[str, str]:
    """Bindings before and after, by the first judge; the colour says whether that is better, worse or neither."""
    for judge, judged in trial.judgements().items():
        before, after = judged.initial.bound, judged.best.bound
        colour = GOOD if after > before else BAD if after < before else FAINT
        return f"{judge}: {before} → {after} of {len(trial.record.bindings)} bound", colour
    return "", FAINT


def _on_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


@lru_cache
def _font(size: int):
    """DejaVu Sans, which comes with matplotlib, so that the sheet looks the same on every machine."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
