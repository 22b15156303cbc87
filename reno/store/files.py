"""Encodes and decodes the files of a trial: images, the animation of all frames, the trace, the noise."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow
from PIL import Image, ImageSequence
from pyarrow import parquet

TRACE_COLUMNS = ("iteration", "loss", "score", "regularizer", "grad_norm", "noise_norm", "seconds")
"""Columns of every trace. The trace of a weighted sum also has `score/<term>` for each term."""
DRAFT_SCORE = "draft_score"
"""A further column, where a small decoder made the drafts that the method saw: the draft's score at every iteration.
`loss` is the draft's too; `score` is that of the full image, at the iterations that have one."""
FILES = ("trace.parquet", "initial.png", "best.png", "frames.webp", "noise.safetensors")
LOSSLESS_SIDE = 128
"""Frames up to this many pixels wide are kept exactly; larger ones at WebP quality 90, or one trial would take tens of
MB."""
FRAME_MILLISECONDS = 100

TraceRow: TypeAlias = dict[str, float | int | None]
"""The values of one iteration, by column. None: not finite, or not computed."""


def encode_trace(rows: Sequence[TraceRow]) -> bytes:
    """The rows as Parquet, with the columns of the first."""
    names = [*TRACE_COLUMNS, *(name for name in rows[0] if name not in TRACE_COLUMNS)] if rows else TRACE_COLUMNS
    fields = [(name, pyarrow.int64() if name == "iteration" else pyarrow.float64()) for name in names]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=pyarrow.schema(fields)), buffer)
    return buffer.getvalue()


def encode_noise(initial: np.ndarray, best: np.ndarray) -> bytes:
    """Two noises (C, h, w) as safetensors, float32."""
    from safetensors.numpy import save

    noises = {"initial": initial, "best": best}
    return save({name: np.ascontiguousarray(noise, dtype=np.float32) for name, noise in noises.items()})


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """uint8 (H, W, 3). Raises OSError if the bytes are not an image."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def encode_frames(frames: Sequence[np.ndarray]) -> bytes:
    """uint8 (H, W, 3) each, as one animated WebP."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    quality = {"quality": 90, "method": 1}
    if first.width <= LOSSLESS_SIDE:  # whole frames and the quickest method: half the time for about the same size
        quality = {"lossless": True, "quality": 0, "exact": True, "method": 0, "kmax": 1}
    buffer = io.BytesIO()
    timing = {"duration": FRAME_MILLISECONDS, "loop": 0, "minimize_size": False}
    first.save(buffer, "WEBP", save_all=True, append_images=rest, **timing, **quality)
    return buffer.getvalue()


def decode_frames(data: bytes) -> list[np.ndarray]:
    """The frames that `encode_frames` was given. The encoder merges equal frames that follow each other; the duration
    of a frame says how many it stands for."""
    frames = []
    with Image.open(io.BytesIO(data)) as animation:
        for frame in ImageSequence.Iterator(animation):
            pixels = np.asarray(frame.convert("RGB"))
            frames += [pixels] * max(1, round(frame.info.get("duration", FRAME_MILLISECONDS) / FRAME_MILLISECONDS))
    return frames
