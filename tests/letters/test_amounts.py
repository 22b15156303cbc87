"""Bytes and seconds in words."""

from __future__ import annotations

import pytest

from reno.letters.amounts import duration, in_bytes


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (820_300, "820 kB"), (999_499, "999 kB"), (999_600, "1 MB"),
        (3_940_000_000, "3.94 GB"), (12.34e9, "12.3 GB"), (2e12, "2 TB"), (None, "of unknown size"),
    ],
)  # fmt: skip
def test_bytes_have_three_digits_and_a_unit(size, says):
    assert in_bytes(size) == says


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599, "59 min 59 s"),
        (3600, "1 h 0 min"), (18_720, "5 h 12 min"), (86_400, "1 d 0 h"), (273_600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_seconds_have_two_units_at_most(seconds, says):
    assert duration(seconds) == says
