"""The causes that no answer of the hub tells: the disk, the connection, an error that wraps another."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from reno.spec.job import Checkpoint
from reno.weights.causes import cause_of
from reno.weights.hub import Hub


class ReadError(Exception):
    """Named as the HTTP client's own."""


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk of /cache is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk of /cache is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "/cache cannot be written"),
        (ReadError("closed"), "the connection was cut"),
        (OSError("Consistency check failed: file should be of size 9 but has size 3"), "the connection was cut"),
        (RuntimeError("odd"), "it cannot be fetched (RuntimeError: odd)"),
    ],
)
def test_a_cause_is_found_also_inside_another_error(error, what):
    outer = FileNotFoundError("we cannot find the requested files in the local cache")
    outer.__cause__ = error
    assert cause_of(error, Checkpoint("a/b"), Hub("http://hub", Path("/cache"))).what == what
    if not isinstance(error, RuntimeError):
        assert cause_of(outer, Checkpoint("a/b"), Hub("http://hub", Path("/cache"))).what == what
