"""The arithmetic of an iteration, counted, and the rate at which a device multiplies matrices, timed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bare import seconds_each

TERA = 1e12


def tflop_of(run: Callable[[], object]) -> float:
    """10^12 floating-point operations of a call: convolutions, matrix products and attention, a multiplication and an
    addition counted as two."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / TERA


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int, times: int) -> float:
    """TFLOP/s of a product of two square matrices, the best of three rounds."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds_each(lambda: left @ right, 2, device)
    quickest = min(seconds_each(lambda: left @ right, times, device) for _ in range(3))
    return 2 * side**3 / quickest / TERA
