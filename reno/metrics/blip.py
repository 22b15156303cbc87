"""BLIP (Li et al. 2022), with one of two heads: image-text matching (ITM), where the text encoder attends to the image,
or image-text contrast (ITC), a cosine.

ITM's text encoder attends to the image in every layer, so only the token embeddings are computed once per trial; ITC's
text features are computed once per trial.

ITM's text begins with [ENC] where BLIP was trained, where it was evaluated on retrieval, and in LAVIS (Li et al. 2023);
with [CLS] in transformers and in BLIP's own demo. `first_token` chooses. ITC's text always begins with [CLS].
docs/metrics.md says what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.functional import normalize

from reno.device.residence import visiting
from reno.metrics import Metric, at_least_float32
from reno.spec.errors import BadInput
from reno.weights.images import Preprocessing
from reno.weights.loading import load_model
from reno.weights.texts import TextReader, check_length, load_tokenizer, text_limit

READER = "BLIP's text encoder"
ITC_SCALE = 100.0
"""The checkpoints lack ITC's temperature. With CLIP's, both cosines have the same scale."""


@dataclass(frozen=True)
class BlipText:
    """B encoded prompts."""

    embeddings: torch.Tensor | None
    """(B, tokens, width), for ITM."""
    mask: torch.Tensor | None
    """(B, tokens), 1 where there is a token, for ITM."""
    features: torch.Tensor | None
    """Unit features (B, D), for ITC."""


class BlipMetric(Metric):
    """head "itm": score = match logit - mismatch logit, the log-odds of a match. head "itc": score = 100 * cosine."""

    static = True

    def __init__(
        self,
        folder: Path,
        *,
        dtype: torch.dtype,
        device: torch.device,
        head: Literal["itm", "itc"] = "itm",
        first_token: Literal["cls", "enc"] = "cls",
    ):
        """first_token: of the text, for ITM; without effect for ITC. Raises BadInput if the folder does not hold a
        BLIP of this kind, or its vocabulary has no [ENC]."""
        from transformers import BlipForImageTextRetrieval

        self.model = load_model(BlipForImageTextRetrieval, folder, dtype, device)
        self.tokenizer = load_tokenizer(folder)
        self.preprocess = Preprocessing.from_folder(folder)
        self.limit = text_limit(self.tokenizer, self.model.config.text_config)
        self.dtype, self.device = dtype, device
        self.head = head
        self.first = self._encoding_token(folder) if first_token == "enc" and head == "itm" else None
        if head == "itm":
            self.looking, self.reading = (self.model,), ()
        else:
            self.looking = (self.model.vision_model, self.model.vision_proj)
            self.reading = (self.model.text_encoder, self.model.text_proj)

    def check_prompt(self, text: str) -> None:
        check_length(self.tokenizer, text, self.limit, READER)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> BlipText:
        tokens = self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
        ).to(self.device)
        if self.first is not None:
            tokens.input_ids[:, 0] = self.first
        if self.head == "itm":
            return BlipText(self.model.text_encoder.embeddings(input_ids=tokens.input_ids), tokens.attention_mask, None)
        with visiting(self.device, self.reading):
            hidden = self.model.text_encoder(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
            ).last_hidden_state
            return BlipText(None, None, normalize(at_least_float32(self.model.text_proj(hidden[:, 0])), dim=-1))

    def __call__(self, images: torch.Tensor, encoded: BlipText) -> torch.Tensor:
        pixels = self.preprocess(images).to(self.dtype)
        seen = self.model.vision_model(pixel_values=pixels).last_hidden_state
        if self.head == "itc":
            features = normalize(at_least_float32(self.model.vision_proj(seen[:, 0])), dim=-1)
            return ITC_SCALE * (features * encoded.features).sum(-1)
        hidden = read_beside(self.model.text_encoder, encoded.embeddings, encoded.mask, seen)
        mismatch, match = at_least_float32(self.model.itm_head(hidden[:, 0])).unbind(-1)
        return match - mismatch

    def _encoding_token(self, folder: Path) -> int:
        """The id of [ENC]. The published tokenizers lack BLIP's two extra tokens. In the text encoder's vocabulary
        [ENC] is the last, after [DEC], with which a decoder begins."""
        text = self.model.config.text_config
        found = self.tokenizer.get_vocab().get("[ENC]", text.bos_token_id + 1)
        if found >= text.vocab_size:
            raise BadInput(f"the BLIP in {folder} has no token [ENC]; use first_token=cls")
        return found


def read_beside(
    reader: torch.nn.Module, embeddings: torch.Tensor, mask: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor:
    """What a BERT that looks at images makes of texts beside them, (B, T, d).

    embeddings: of the tokens, (B, T, d). mask: (B, T), 1 for a token and 0 for padding. seen: the images' last hidden
    states, (B, patches + 1, d of the images)."""
    return reader(
        encoder_embeds=embeddings,
        attention_mask=mask,
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device),
    ).last_hidden_state


def identity(options: dict[str, Any]) -> dict[str, Any]:
    """The options that decide a score. `cls` is not among them: it is what every trial had before there was a choice,
    and those keep their ids. ITC's text has one first token only."""
    decided = options.get("first_token") == "cls" or options.get("head") == "itc"
    return {name: value for name, value in options.items() if not (decided and name == "first_token")}


load = BlipMetric


def reader(folder: Path, **_: object) -> TextReader:
    """What checks prompts, without the weights."""
    return TextReader(READER, folder)
