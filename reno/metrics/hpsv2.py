"""HPS v2.1 (Wu et al. 2023, arXiv 2306.09341): a CLIP ViT-H/14, trained further on which of several images of a prompt
people preferred. The score is the bare cosine, near 0.28; the paper of ReNO optimises it as 1 - cosine.

`python -m reno.convert hpsv2 FILE` makes its folder from the published file.
"""

from __future__ import annotations

import torch

from reno.metrics.clip import ClipMetric
from reno.metrics.clip import reader as reader


class HpsV2(ClipMetric):
    """Score cosine(image, text), without CLIP's scale."""

    best = 1.0

    def __call__(self, images: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        return self.cosine(images, encoded)


load = HpsV2
