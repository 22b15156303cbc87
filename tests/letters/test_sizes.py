"""Bytes in words."""

from __future__ import annotations

import pytest

from reno.letters.sizes import in_bytes


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (820_300, "820 kB"), (999_499, "999 kB"), (999_600, "1 MB"),
        (3_940_000_000, "3.94 GB"), (12.34e9, "12.3 GB"), (2e12, "2 TB"), (None, "of unknown size"),
    ],
)  # fmt: skip
def test_bytes_have_three_digits_and_a_unit(size, says):
    assert in_bytes(size) == says
