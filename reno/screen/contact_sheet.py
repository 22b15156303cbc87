"""A job's images on one sheet: each trial before and after optimisation, with its scores and bindings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from reno.letters.fonts import FIRST, Fonts, of_this_machine
from reno.letters.lines import lines_of
from reno.screen.words import number
from reno.spec.errors import BadInput
from reno.spec.trial import noise_name
from reno.store.staging import write_whole
from reno.store.stored import Stored

PICTURE = 224  # pixels a side, of the initial and the best image
STEP = 72  # pixels a side, of the images between them
STEPS = 6
GAP = 16
TEXT = 60  # pixels of height under a pair of pictures
STEP_TEXT = 18  # pixels of height under the images between
LEADING = 6  # pixels between the lines above the pictures
MOST_TRIALS = 60  # a longer sheet is hard to read
MOST_STEPPED = 24  # trials whose images between are shown: reading every frame of a large image takes a while
INK, FAINT, GOOD, BAD = "#1a1a1a", "#6b6b6b", "#1b6e53", "#a33b20"


def draw_contact_sheet(trials: Sequence[Stored], metric: str, path: Path, fonts: Fonts | None = None) -> Path:
    """Draws the first MOST_TRIALS trials to a PNG at `path`, whole or not at all: the initial and the best image, and
    below them some of the images between. fonts: None for those of this machine. Raises OSError."""
    shown = trials[:MOST_TRIALS]
    stepped = any(trial.record.timings.images > 2 for trial in shown)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    cell_width = 2 * PICTURE + 4
    cell_height = PICTURE + TEXT + (STEP + STEP_TEXT) * stepped
    width, fonts = max(columns * cell_width + (columns + 1) * GAP, 640), fonts or of_this_machine()
    heading = _heading(shown, len(trials), metric, stepped)
    measure = Sheet(1, 1, fonts)
    lines = [(line, *how) for text, *how in heading for line in measure.lines(text, how[1], width - 2 * GAP, most=3)]
    height = 10 + sum(size + LEADING for *_, size in lines) + 5
    sheet = Sheet(width, height + rows * (cell_height + GAP), fonts)
    top = 10
    for line, colour, size in lines:
        sheet.write(GAP, top, line, colour, size)
        top += size + LEADING
    for index, trial in enumerate(shown):
        left = GAP + index % columns * (cell_width + GAP)
        top = height + index // columns * (cell_height + GAP)
        _draw_trial(sheet, trial, metric, left, top)
        if stepped and index < MOST_STEPPED:
            _draw_steps(sheet, trial, left, top + PICTURE + TEXT)
    sheet.save(path)
    return path


def _heading(shown: Sequence[Stored], all_: int, metric: str, stepped: bool) -> list[tuple[str, str, int]]:
    """Each text above the pictures, with its colour and size. all_: how many trials the job has."""
    labels = shown[0].record.labels
    more = f", the first {len(shown)} of {all_}" if all_ > len(shown) else ""
    caution = " · the weights are random, the scores mean nothing" if labels.random_weights else ""
    between = " · below: images between, by iteration" if stepped else ""
    return [
        (f"{labels.models} · {labels.method} · metric {metric}{more}", INK, 20),
        (settings_of(shown[0].record.spec.method), INK, 14),
        (f"left: image of the initial noise · right: best image{between}{caution}", FAINT, 13),
    ]


def settings_of(method: Mapping[str, Any]) -> str:
    """The settings of a method as a trial's identity has them, in words: `50 iterations · lr 0.01 · adam`."""
    words = []
    for name, value in method.items():
        if name == "asked":  # the option start_by names it
            continue
        if name == "iterations":
            words.append(f"{value} iteration" + "s" * (value != 1))
        elif isinstance(value, Mapping):
            words += [str(one) if key == "name" else f"{key} {_in_words(one)}" for key, one in value.items()]
        elif name != "name":
            words.append(f"{name} {_in_words(value)}")
    return " · ".join(words)


def _in_words(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


class Sheet:
    """A white picture to write on, in any script that a font has."""

    def __init__(self, width: int, height: int, fonts: Fonts) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self.fonts = fonts
        self._draw = ImageDraw.Draw(self.image)

    def save(self, path: Path) -> None:
        """Writes the sheet as a PNG, whole or not at all. Raises OSError."""
        drawn = io.BytesIO()
        self.image.save(drawn, "PNG")
        write_whole(path, drawn.getvalue())

    def write(self, left: float, top: int, text: str, colour: str, size: int) -> None:
        """Writes one line. top: of DejaVu Sans; the letters of other fonts stand on the same line."""
        base = top + _font(FIRST, size).getmetrics()[0]
        for path, run in self.fonts.runs(self.fonts.drawable(text)):
            self._draw.text((left, base), run, colour, _font(path, size), anchor="ls")
            left += _font(path, size).getlength(run)

    def lines(self, text: str, size: int, width: int, most: int) -> list[str]:
        """The text in at most `most` lines of at most `width` pixels; a longer one ends in dots."""
        return lines_of(self.fonts.drawable(text), lambda line: self._length(line, size) <= width, most)

    def _length(self, text: str, size: int) -> float:
        return sum(_font(path, size).getlength(run) for path, run in self.fonts.runs(text))


def _draw_trial(sheet: Sheet, trial: Stored, metric: str, left: int, top: int) -> None:
    for offset, which in ((0, "initial"), (PICTURE + 4, "best")):
        sheet.image.paste(resized(picture_of(trial, which), PICTURE), (left + offset, top))
    record = trial.record
    lines = sheet.lines(record.spec.prompt, 15, 2 * PICTURE + 4, most=2)
    for place, line in enumerate(lines):
        sheet.write(left, top + PICTURE + 4 + 18 * place, line, INK, 15)
    before, after = (number(scores.get(metric)) for scores in (record.scores.initial, record.scores.best))
    noise = noise_name(record.spec.prompt, record.spec.seed)
    text = f"{noise} · {metric} {before} → {after} at iteration {record.best_iteration}"
    sheet.write(left, top + PICTURE + 4 + 18 * len(lines), text, FAINT, 13)
    verdict, colour = _verdict(trial)
    sheet.write(left, top + PICTURE + 21 + 18 * len(lines), verdict, colour, 13)


def _draw_steps(sheet: Sheet, trial: Stored, left: int, top: int) -> None:
    """The images of STEPS iterations, evenly spaced from the first to the last."""
    try:
        frames = trial.frames()
    except (BadInput, OSError):
        return
    places = sorted({round(k * (len(frames) - 1) / (STEPS - 1)) for k in range(STEPS)})
    apart = (2 * PICTURE + 4 - STEP) / (STEPS - 1)
    for k, place in enumerate(places):
        here = left + round(k * apart)
        sheet.image.paste(resized(Image.fromarray(frames[place]), STEP), (here, top))
        sheet.write(here, top + STEP, str(place), FAINT, 12)


def resized(picture: Image.Image, side: int) -> Image.Image:
    """The picture as a square; a small one is enlarged smoothly, so that no single pixel stands out."""
    smooth = Image.Resampling.BICUBIC if picture.width < side else Image.Resampling.LANCZOS
    return picture.resize((side, side), smooth)


def picture_of(trial: Stored, which: str) -> Image.Image:
    """An image of a trial; grey where it cannot be read."""
    try:
        return Image.fromarray(trial.image(which))
    except (BadInput, OSError):
        return Image.new("RGB", (PICTURE, PICTURE), FAINT)


def _verdict(trial: Stored) -> tuple[str, str]:
    """Before and after by the first judge: its word on the whole image if it has one, else how many bindings hold. The
    colour says whether that is better, worse or neither."""
    for judge, judged in trial.judgements().items():
        both = (judged.initial, judged.best)
        if judged.best.correct is None:
            before, after = (one.bound for one in both)
            said = f"{before} → {after} of {len(trial.record.bindings)} bound"
        else:
            before, after = (bool(one.correct) for one in both)
            said = " → ".join("right" if one else "wrong" for one in (before, after))
        return f"{judge}: {said}", GOOD if after > before else BAD if after < before else FAINT
    return "", FAINT


@lru_cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)
