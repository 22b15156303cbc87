"""Images as data URIs, small enough for one page to hold hundreds."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.data.from_wandb import TrackedTrial
from reno.store.stored import Stored

SIDE = 128
"""Pixels of a thumbnail's longer side."""
MOST_FRAMES = 21
"""Frames of a strip, the best among them."""


@dataclass(frozen=True)
class Strip:
    """Frames of an optimisation, side by side in one picture."""

    uri: str
    count: int
    at: tuple[int, ...]
    """The place in the strip for each iteration."""
    of: tuple[int, ...]
    """The iteration that each place is the image of."""

    def position(self, iteration: int) -> str:
        """Where the frame of an iteration lies in the strip, in percent, as CSS's object-position counts."""
        if self.count < 2:
            return "0%"
        return f"{100 * self.at[min(iteration, len(self.at) - 1)] / (self.count - 1):.4g}%"


def thumbnail(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE))
    return image


def data_uri(image: Image.Image, *, lossless: bool = False) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, lossless=lossless, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """The image with a longer side of `side` pixels, resampled smoothly."""
    longer = max(image.size)
    if longer == side:
        return image
    size = tuple(max(1, round(length * side / longer)) for length in image.size)
    return image.resize(size, Image.Resampling.BICUBIC if longer < side else Image.Resampling.LANCZOS)


def strip(trial: Stored, iterations: int) -> Strip:
    """About MOST_FRAMES of the frames, evenly spaced, and the best; identical neighbours once."""
    wanted = np.linspace(0, iterations - 1, min(iterations, MOST_FRAMES)).round().astype(int).tolist()
    return _strip(trial, iterations, wanted, trial.frames())


def ends(trial: Stored | TrackedTrial, iterations: int) -> Strip:
    """The initial and the best image only, of a trial whose frames are not at hand."""
    return _strip(trial, iterations, [0], [trial.image("initial")])


def only_best(trial: Stored | TrackedTrial, iterations: int) -> Strip:
    """The best image only, at every iteration."""
    best = min(trial.record.best_iteration, iterations - 1)
    return Strip(data_uri(thumbnail(trial.image("best"))), 1, (0,) * iterations, (best,))


def _strip(trial: Stored | TrackedTrial, iterations: int, places: Sequence[int], frames: Sequence[np.ndarray]) -> Strip:
    """Of the frames at these places, and the best."""
    best = min(trial.record.best_iteration, iterations - 1)
    wanted = sorted({*places, best})
    kept: list[np.ndarray] = []
    of, at = [], []
    for iteration in wanted:
        # The trial's own best image, not its frame: a large frame is lossy.
        frame = trial.image("best") if iteration == best else frames[iteration]
        if not kept or not np.array_equal(frame, kept[-1]):
            kept.append(frame)
            of.append(iteration)
        at.append(len(kept) - 1)
    nearest = np.abs(np.arange(iterations)[:, None] - np.array(wanted)[None, :]).argmin(axis=1)
    thumbnails = [thumbnail(frame) for frame in kept]
    width, height = thumbnails[0].size
    sheet = Image.new("RGB", (width * len(thumbnails), height))
    for place, image in enumerate(thumbnails):
        sheet.paste(image, (place * width, 0))
    return Strip(data_uri(sheet), len(kept), tuple(at[k] for k in nearest), tuple(of))


def figure_uri(png: Path) -> str:
    """A figure; lossless, but for contact sheets, which are mostly photographs."""
    with Image.open(png) as image:
        return data_uri(image.convert("RGB"), lossless=not png.name.startswith("contact_sheet"))
