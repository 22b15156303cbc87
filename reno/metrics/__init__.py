"""Frozen, differentiable scores of an image against a prompt. Higher is better; every loss is 100 - score.

| metric    | score                                            | range                     | at its best     |
| clip      | logit_scale * cosine (logit_scale: 100 at most)  | -100 to 100               | loss 0          |
| blip, itm | logit margin: log-odds that text and image match | unbounded; 0 is undecided | loss below 100  |
| blip, itc | 100 * cosine                                     | -100 to 100               | loss 0          |

So a unit of loss is a unit of score everywhere, and the losses of the report (100 - logit_scale * cosine) are CLIP's
here. BLIP's probability of a match saturates where the optimiser starts or ends; its log-odds do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Metric(Protocol):
    def set_checkpointing(self, on: bool) -> None:
        """Whether a backward pass runs the layers again instead of keeping what they computed."""
        ...

    def bring(self) -> None:
        """What sees an image goes to the device's memory; what reads a prompt comes by itself, in `encode`."""
        ...

    def leave(self) -> None:
        """It goes to host memory, until the next `bring`."""
        ...

    def check_prompt(self, text: str) -> None:
        """Raises BadInput if the text encoder would cut the text."""
        ...

    def encode(self, prompts: Sequence[str]) -> Any:
        """Whatever of B prompts does not depend on the image, computed once a trial."""
        ...

    def __call__(self, images: torch.Tensor, encoded: Any) -> torch.Tensor:
        """Scores (B,), float32 or wider, of images (B, 3, H, W) in [0, 1] against B encoded prompts."""
        ...


def loss_of(scores: torch.Tensor, total_weight: float = 1.0) -> torch.Tensor:
    """The loss (B,) that falls as the score rises: 100 - score, or its weighted sum over a metric's terms."""
    return 100.0 * total_weight - scores


class WeightedSum:
    """Several metrics as one: score = sum of weight * score."""

    def __init__(self, terms: Sequence[tuple[float, Metric]]):
        self.terms = tuple(terms)

    def set_checkpointing(self, on: bool) -> None:
        for _, metric in self.terms:
            metric.set_checkpointing(on)

    def bring(self) -> None:
        for _, metric in self.terms:
            metric.bring()

    def leave(self) -> None:
        for _, metric in self.terms:
            metric.leave()

    def check_prompt(self, text: str) -> None:
        for _, metric in self.terms:
            metric.check_prompt(text)

    def encode(self, prompts: Sequence[str]) -> list[Any]:
        return [metric.encode(prompts) for _, metric in self.terms]

    def __call__(self, images: torch.Tensor, encoded: list[Any]) -> torch.Tensor:
        scores = [weight * metric(images, text) for (weight, metric), text in zip(self.terms, encoded, strict=True)]
        return torch.stack(scores).sum(0)
