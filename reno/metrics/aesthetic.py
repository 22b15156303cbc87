"""LAION's improved aesthetic predictor (Schuhmann 2022): how much people would like an image, from about 1 to 10. It
sees the image alone: the prompt changes no score.

`python -m reno.convert aesthetic FILE` makes its folder from the published head and CLIP ViT-L/14.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import normalize

from reno.metrics import Metric, at_least_float32
from reno.weights.images import Preprocessing
from reno.weights.loading import load_model


class Aesthetic(Metric):
    """Score of the image alone; no prompt is too long for it."""

    best = 10.0
    """The best rating that people could give."""

    def __init__(self, folder: Path, *, dtype: torch.dtype, device: torch.device):
        """Raises BadInput if the folder does not hold a whole predictor."""
        from reno.weights.reward_models import AestheticModel

        self.model = load_model(AestheticModel, folder, dtype, device)
        self.preprocess = Preprocessing.from_folder(folder)
        self.dtype, self.device = dtype, device
        self.looking = (self.model,)

    def encode(self, prompts: Sequence[str]) -> None:
        """None: the prompts are not read."""

    def __call__(self, images: torch.Tensor, encoded: None) -> torch.Tensor:
        pixels = self.preprocess(images).to(self.dtype)
        seen = self.model.vision_model(pixel_values=pixels).pooler_output
        features = normalize(at_least_float32(self.model.visual_projection(seen)), dim=-1)
        return at_least_float32(self.model.mlp(features.to(self.dtype))).squeeze(-1)


load = Aesthetic


def reader(folder: Path, **_: object) -> Metric:
    """What checks prompts, without the weights: it refuses none."""
    return Metric()
