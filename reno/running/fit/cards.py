"""Which graphics cards have enough memory for a job, and how much must stay free beside the tensors."""

from __future__ import annotations

from reno.running.fit.prediction import Prediction

GIB = 2**30

FREE = "T4 (free Colab)"
CARDS = {
    FREE: 14.56 * GIB,  # the capacity that torch reports there; the card is sold with 16 GB
    "RTX 3060": 12 * GIB,
    "RTX 4090": 24 * GIB,
    "A100 40 GB": 40 * GIB,
    "A100 80 GB": 80 * GIB,
    "H100": 80 * GIB,
}
"""Bytes that a process can use; of all but the T4, the card's nominal memory."""

CONTEXT = int(0.6 * GIB)
"""Bytes left for a CUDA context with its kernels and the workspaces of cuBLAS and cuDNN. Assumed, not measured."""
SHARE = 0.3
"""Share of the activations' bytes that is left for memory inside one operation and for the allocator's rounding.
Measured for SD-Turbo with CLIP ViT-B/32 in float16 on an H200, by lowering the allocator's limit: one trial ran with
0.2 and not with 0.15, four side by side with 0.3 and not with 0.25."""


T4_FLOPS = {"float32": 8.1e12, "float16": 65e12}
"""A T4's peak, operations a second, as its maker states it."""
REACHED = 0.29
"""Share of the peak that a loop reaches. Measured on an H200 for SD-Turbo in float16, 16 trials side by side
(docs/cost.md: 29.4 images a second, each of 9.65 TFLOP, of 989 TFLOP/s). Assumed of a T4, and of float32."""


def seconds_on_a_t4(flops: float, dtype: str) -> float:
    """Seconds that so many operations take. A prediction: it was not measured on a T4."""
    return flops / (REACHED * T4_FLOPS[dtype])


def needed(prediction: Prediction, batch: int) -> int:
    """Bytes that a batch needs with its margin: the larger of what the optimisation and the judges need."""
    return max(peak + margin_of(peak, weights) for peak, weights in prediction.phases(batch))


def margin_of(peak: int, weights: int) -> int:
    """Bytes to leave free beside tensors that take `peak` bytes, of which `weights` are weights."""
    return CONTEXT + int(SHARE * (peak - weights))


def largest_batch(prediction: Prediction, memory: float, most: int = 4096) -> int:
    """The largest batch, up to `most`, that fits into `memory` bytes with its margin; 0 if not even one trial does."""
    fits, too_many = 0, most + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if needed(prediction, middle) <= memory else (fits, middle)
    return fits
