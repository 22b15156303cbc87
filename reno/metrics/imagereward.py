"""ImageReward (Xu et al. 2023, arXiv 2304.05977): a BLIP that was trained further on people's rankings of images of a
prompt. Its score is standardised on the authors' data: most lie between -2 and 2.

The text begins with [CLS], which BLIP's ITM replaces by [ENC], and has at most 35 tokens. As in BLIP's ITM, the text
encoder attends to the image in every layer, so only the token embeddings are computed once per trial.

`python -m reno.convert imagereward FILE` makes its folder from the published file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reno.metrics import Metric, at_least_float32
from reno.metrics.blip import read_beside
from reno.weights.images import Preprocessing
from reno.weights.loading import load_model
from reno.weights.texts import TextReader, check_length, load_tokenizer, text_limit

READER = "ImageReward's text encoder"
LONGEST = 35
"""Tokens of a text in its training, special ones included."""
MEAN, STD = 0.16717362830052426, 1.0333394966054072
"""Of the raw scores, as the authors' code has them."""


@dataclass(frozen=True)
class RewardText:
    """B encoded prompts."""

    embeddings: torch.Tensor
    """(B, tokens, width)"""
    mask: torch.Tensor
    """(B, tokens), 1 where there is a token."""


class ImageReward(Metric):
    """Score (head(text's first token, having seen the image) - MEAN) / STD."""

    best = 2.0
    """As in ReNO's own code."""

    def __init__(self, folder: Path, *, dtype: torch.dtype, device: torch.device):
        """Raises BadInput if the folder does not hold a whole ImageReward."""
        from reno.weights.reward_models import ImageRewardModel

        self.model = load_model(ImageRewardModel, folder, dtype, device)
        self.tokenizer = load_tokenizer(folder)
        self.preprocess = Preprocessing.from_folder(folder)
        self.limit = min(LONGEST, text_limit(self.tokenizer, self.model.config.text_config))
        self.dtype, self.device = dtype, device
        self.looking = (self.model,)

    def check_prompt(self, text: str) -> None:
        check_length(self.tokenizer, text, self.limit, READER)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> RewardText:
        tokens = self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
        ).to(self.device)
        return RewardText(self.model.text_encoder.embeddings(input_ids=tokens.input_ids), tokens.attention_mask)

    def __call__(self, images: torch.Tensor, encoded: RewardText) -> torch.Tensor:
        pixels = self.preprocess(images).to(self.dtype)
        seen = self.model.vision_model(pixel_values=pixels).last_hidden_state
        hidden = read_beside(self.model.text_encoder, encoded.embeddings, encoded.mask, seen)
        return (at_least_float32(self.model.mlp(hidden[:, 0])).squeeze(-1) - MEAN) / STD


load = ImageReward


def reader(folder: Path, **_: object) -> TextReader:
    """What checks prompts, without the weights."""
    return TextReader(READER, folder, most=LONGEST)
