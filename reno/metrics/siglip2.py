"""SigLIP 2 (Tschannen et al. 2025, arXiv 2502.14786), and SigLIP: logit_scale * cosine + logit_bias, which is the
log-odds that text and image match.

The fixed-resolution checkpoints are read, which transformers loads with SiglipModel. Texts are lower-cased and filled
up to the text encoder's 64 tokens, as in training: the text's feature is that of the last place, and every place is
attended to, also those that are filled up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import normalize

from reno.device.residence import send_away, visiting
from reno.metrics import Metric, at_least_float32
from reno.weights.images import Preprocessing
from reno.weights.loading import load_model
from reno.weights.texts import TextReader, check_length, load_tokenizer, text_limit

READER = "SigLIP's text encoder"


class Siglip2Metric(Metric):
    """Score logit_scale * cosine(image, text) + logit_bias, with the checkpoint's learned scale and bias."""

    def __init__(self, folder: Path, *, dtype: torch.dtype, device: torch.device):
        """Raises BadInput if the folder does not hold a whole SigLIP of fixed resolution."""
        from transformers import SiglipModel

        self.model = load_model(SiglipModel, folder, dtype, device)
        self.tokenizer = load_tokenizer(folder)
        self.preprocess = Preprocessing.from_folder(folder)
        self.limit = text_limit(self.tokenizer, self.model.config.text_config)
        self.dtype, self.device = dtype, device
        self.looking, self.reading = (self.model.vision_model,), (self.model.text_model,)
        self.logit_scale, self.logit_bias = self.model.logit_scale.detach(), self.model.logit_bias.detach()

    def check_prompt(self, text: str) -> None:
        check_length(self.tokenizer, text, self.limit, READER)

    def leave(self) -> None:
        send_away(self.device, (self.model,))  # its scale and bias, too

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> torch.Tensor:
        """Unit text features (B, D)."""
        tokens = self.tokenizer(
            [prompt.lower() for prompt in prompts],
            padding="max_length",
            truncation=True,
            max_length=self.limit,
            return_tensors="pt",
        ).to(self.device)
        with visiting(self.device, self.reading):
            features = self.model.get_text_features(tokens.input_ids).pooler_output
        return normalize(at_least_float32(features), dim=-1)

    def __call__(self, images: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        pixels = self.preprocess(images).to(self.dtype)
        features = self.model.get_image_features(pixel_values=pixels).pooler_output
        cosine = (normalize(at_least_float32(features), dim=-1) * encoded).sum(-1)
        scale, bias = (value.to(cosine.dtype).reshape(()) for value in (self.logit_scale, self.logit_bias))
        return scale.exp() * cosine + bias


load = Siglip2Metric


def reader(folder: Path, **_: object) -> TextReader:
    """What checks prompts, without the weights."""
    return TextReader(READER, folder)
