"""CLIP (Radford et al. 2021): logit_scale * cosine of the projected image and text features."""

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

READER = "CLIP's text encoder"


class ClipMetric(Metric):
    """Score logit_scale * cosine(image, text), with the checkpoint's learned scale (100 in OpenAI's)."""

    static = True

    def __init__(self, folder: Path, *, dtype: torch.dtype, device: torch.device):
        from transformers import CLIPModel

        self.model = load_model(CLIPModel, folder, dtype, device)
        self.tokenizer = load_tokenizer(folder)
        self.preprocess = Preprocessing.from_folder(folder)
        self.limit = text_limit(self.tokenizer, self.model.config.text_config)
        self.dtype, self.device = dtype, device
        self.looking = (self.model.vision_model, self.model.visual_projection)
        self.reading = (self.model.text_model, self.model.text_projection)
        self.logit_scale = self.model.logit_scale.detach()

    def check_prompt(self, text: str) -> None:
        check_length(self.tokenizer, text, self.limit, READER)

    def leave(self) -> None:
        send_away(self.device, (self.model,))  # its scale, too

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> torch.Tensor:
        """Unit text features (B, D)."""
        tokens = self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
        ).to(self.device)
        with visiting(self.device, self.reading):
            features = self.model.get_text_features(
                tokens.input_ids, attention_mask=tokens.attention_mask
            ).pooler_output
        return normalize(at_least_float32(features), dim=-1)

    def __call__(self, images: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        cosine = self.cosine(images, encoded)
        return self.logit_scale.to(cosine.dtype).exp() * cosine

    def cosine(self, images: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """The cosine (B,) of images and encoded prompts, -1 to 1."""
        pixels = self.preprocess(images).to(self.dtype)
        features = self.model.get_image_features(pixel_values=pixels).pooler_output
        return (normalize(at_least_float32(features), dim=-1) * encoded).sum(-1)


load = ClipMetric


def reader(folder: Path, **_: object) -> TextReader:
    """What checks prompts, without the weights."""
    return TextReader(READER, folder)
