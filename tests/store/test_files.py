"""The files of a trial come back as they were written."""

from __future__ import annotations

import io

import numpy as np
import pandas
import pytest
from PIL import Image
from safetensors.numpy import load

from reno.store.files import (
    TRACE_COLUMNS,
    decode_frames,
    decode_png,
    encode_frames,
    encode_noise,
    encode_png,
    encode_trace,
)
from tests.store.records import trace


def image(side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_trace_has_its_columns_in_order_and_none_is_missing():
    frame = pandas.read_parquet(io.BytesIO(encode_trace(trace(3))))
    assert tuple(frame.columns) == TRACE_COLUMNS
    assert frame["iteration"].dtype == np.int64 and frame["iteration"].tolist() == [0, 1, 2]
    assert frame["loss"].tolist() == [100, 99, 98] and frame["grad_norm"].isna().all()


def test_a_sums_trace_has_a_column_a_term_after_the_usual_ones():
    rows = [{"score/clip": 1.0 + k, **row, "score/blip": None} for k, row in enumerate(trace(2))]
    frame = pandas.read_parquet(io.BytesIO(encode_trace(rows)))
    assert tuple(frame.columns) == (*TRACE_COLUMNS, "score/clip", "score/blip")
    assert frame["score/clip"].tolist() == [1, 2] and frame["score/blip"].isna().all()


def test_a_trace_without_rows_has_its_columns():
    assert tuple(pandas.read_parquet(io.BytesIO(encode_trace([]))).columns) == TRACE_COLUMNS


def test_noise_is_float32_whatever_its_strides():
    initial = np.arange(24, dtype=np.float64).reshape(2, 3, 4).transpose(2, 1, 0)
    back = load(encode_noise(initial, initial + 1))
    assert back["initial"].dtype == np.float32
    np.testing.assert_array_equal(back["initial"], initial)
    np.testing.assert_array_equal(back["best"], initial + 1)


def test_an_image_is_exact():
    np.testing.assert_array_equal(decode_png(encode_png(image(33))), image(33))


def test_what_is_no_image_is_an_error_that_can_be_caught():
    with pytest.raises(OSError):
        decode_png(b"no image")


@pytest.mark.parametrize("side", [8, 128])
def test_frames_of_a_small_image_are_exact(side):
    frames = [image(side, seed) for seed in range(3)]
    for back, frame in zip(decode_frames(encode_frames(frames)), frames, strict=True):
        np.testing.assert_array_equal(back, frame)


def test_frames_that_repeat_are_all_there():
    frame = np.zeros((8, 8, 3), np.uint8)
    other = np.full((8, 8, 3), 200, np.uint8)
    back = decode_frames(encode_frames([frame, frame, frame, other, other, frame]))
    assert [int(image[0, 0, 0]) for image in back] == [0, 0, 0, 200, 200, 0]


def test_large_frames_are_small_on_disk_and_close():
    y, x = np.mgrid[0:256, 0:256]
    frame = np.stack([x, y, 255 - x], -1).astype(np.uint8)
    data = encode_frames([frame, frame[::-1].copy()])
    assert len(data) < frame.nbytes / 5
    first, second = decode_frames(data)
    assert np.abs(first.astype(int) - frame).mean() < 4 and np.abs(second.astype(int) - frame[::-1]).mean() < 4


def test_an_animation_plays_ten_frames_a_second_for_ever():
    with Image.open(io.BytesIO(encode_frames([image(8, 0), image(8, 1)]))) as animation:
        assert animation.format == "WEBP" and animation.info["loop"] == 0
        animation.load()
        assert animation.info["duration"] == 100
