"""Which graphics cards have enough memory for a job, and how much must stay free beside the tensors."""

from __future__ import annotations

from reno.running.fit.prediction import Prediction

GIB = 2**30

CARDS = {
    "T4 (free Colab)": 14.56 * GIB,  # the capacity that torch reports there; the card is sold with 16 GB
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


def margin(prediction: Prediction, batch: int) -> int:
    """Bytes to leave free beside the tensors of a batch."""
    return CONTEXT + int(SHARE * (prediction.peak(batch) - prediction.weight_bytes))


def largest_batch(prediction: Prediction, memory: float, most: int = 4096) -> int:
    """The largest batch, up to `most`, that fits into `memory` bytes with its margin; 0 if not even one trial does."""
    return prediction.largest_batch((memory - CONTEXT + SHARE * prediction.weight_bytes) / (1 + SHARE), most)
