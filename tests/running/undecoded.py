"""A generator of a user's own, without a small decoder."""

from __future__ import annotations


def load(folder, *, variant, dtype, device):
    raise AssertionError("it was loaded")
