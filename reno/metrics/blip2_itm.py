"""BLIP-2 (Li et al. 2023, arXiv 2301.12597) with its image-text matching head.

A transformer with learned queries (Q-Former) reads the text and, in every second layer, looks at the image with its
queries alone. The head gives two logits for each query, mismatch and match; the score is the difference of their means
over the queries, the log-odds of a match. Only the tokens' embeddings are computed once per trial.

Texts have at most 32 tokens, as in the authors' code (LAVIS). In float16 the Q-Former stays in float32, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reno.metrics import Metric, at_least_float32
from reno.weights.images import Preprocessing
from reno.weights.loading import load_model
from reno.weights.texts import TextReader, check_length, load_tokenizer, text_limit

READER = "BLIP-2's Q-Former"
READ = 32
"""Tokens of a text, with the first and the last, that are read."""


@dataclass(frozen=True)
class Blip2Text:
    """B encoded prompts."""

    embeddings: torch.Tensor
    """(B, tokens, width)."""
    mask: torch.Tensor
    """(B, tokens), 1 where there is a token."""


class Blip2ItmMetric(Metric):
    """Score = match logit - mismatch logit, each the mean over the queries."""

    def __init__(self, folder: Path, *, dtype: torch.dtype, device: torch.device):
        """Raises BadInput if the folder does not hold a whole BLIP-2 of this kind."""
        from transformers import Blip2ForImageTextRetrieval

        self.model = load_model(Blip2ForImageTextRetrieval, folder, dtype, device)
        if dtype == torch.float16:  # transformers loads it so; a model without weights is told
            self.model.qformer.float()
        self.tokenizer = load_tokenizer(folder)
        self.preprocess = Preprocessing.from_folder(folder)
        self.limit = min(READ, text_limit(self.tokenizer, self.model.config.qformer_config))
        self.dtype, self.device = dtype, device
        self.looking, self.reading = (self.model,), ()

    def check_prompt(self, text: str) -> None:
        check_length(self.tokenizer, text, self.limit, READER)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Blip2Text:
        tokens = self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
        ).to(self.device)
        return Blip2Text(self.model.embeddings(tokens.input_ids), tokens.attention_mask)

    def __call__(self, images: torch.Tensor, encoded: Blip2Text) -> torch.Tensor:
        pixels = self.preprocess(images).to(self.dtype)
        seen = self.model.vision_model(pixel_values=pixels).last_hidden_state
        queries = self.model.query_tokens.to(encoded.embeddings.dtype).expand(len(images), -1, -1)
        count = queries.shape[1]
        hidden = self.model.qformer(
            query_embeds=torch.cat([queries, encoded.embeddings], dim=1),
            query_length=count,
            attention_mask=torch.cat([encoded.mask.new_ones(queries.shape[:2]), encoded.mask], dim=1),
            encoder_hidden_states=seen,  # without a mask: every patch is seen
        ).last_hidden_state
        head = self.model.itm_head
        logits = at_least_float32(head(hidden[:, :count].to(head.weight.dtype)))
        mismatch, match = logits.mean(dim=1).unbind(-1)
        return match - mismatch


load = Blip2ItmMetric


def reader(folder: Path, **_: object) -> TextReader:
    """What checks prompts, without the weights."""
    return TextReader(READER, folder, most=READ)
