"""PickScore (Kirstain et al. 2023, arXiv 2305.01569): a CLIP ViT-H/14, trained further on which of two images of a
prompt people chose. The score is CLIP's, logit_scale * cosine, and lies near 20."""

from __future__ import annotations

from reno.metrics.clip import ClipMetric
from reno.metrics.clip import reader as reader


class PickScore(ClipMetric):
    """Score logit_scale * cosine(image, text)."""

    best = 30.0
    """As in ReNO's own code. A score above it makes the loss negative, which changes no gradient."""


load = PickScore
