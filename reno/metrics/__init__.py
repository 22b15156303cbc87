"""Frozen, differentiable scores of an image against a prompt. A metric is one module here and one file in conf/metric.

The module has

    load(folder, *, dtype, device, **options) -> Metric     # folder: of its checkpoint; None for a metric without one
    identity(options) -> dict                               # optional: the options that decide a score; default: all

    reader(folder, **options)      # optional: what has its check_prompt, without its weights; a dry run asks it

and conf/metric/NAME.yaml gives its checkpoint and its options. `kind:` in that file may be the dotted path of a module
elsewhere.

| metric      | score, higher is better                          | range                     | best: loss 0 at |
| clip        | logit_scale * cosine (logit_scale: 100 at most)  | -100 to 100               | 100             |
| blip, itm   | log-odds that text and image match (ITM head)    | unbounded; 0 is undecided | 100             |
| blip, itc   | 100 * cosine (ITC head)                          | -100 to 100               | 100             |
| blip2_itm   | log-odds that text and image match (ITM head)    | unbounded; 0 is undecided | 100             |
| siglip2     | log-odds that text and image match               | unbounded; 0 is undecided | 100             |
| pickscore   | logit_scale * cosine                             | -100 to 100; near 20      | 30              |
| hpsv2       | cosine                                           | -1 to 1; near 0.28        | 1               |
| imagereward | standardised reward                              | unbounded; mostly -2 to 2 | 2               |
| aesthetic   | rating of the image alone                        | about 1 to 10             | 10              |

loss = best - score: a unit of loss is a unit of score, and CLIP's losses are those of the report
(100 - logit_scale * cosine). BLIP's probability of a match saturates; its log-odds do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from reno.device.checkpointing import set_checkpointing
from reno.device.residence import bring, send_away


class Metric:
    """The base class of metrics. A subclass needs `__call__` and, if it encodes prompts, `encode`."""

    best: float = 100.0
    """The score at which the loss is 0."""
    device: torch.device = torch.device("cpu")
    looking: tuple[torch.nn.Module, ...] = ()
    """The modules that see an image: on the device while noise is optimised."""
    reading: tuple[torch.nn.Module, ...] = ()
    """The modules that read a prompt: on the device only within `encode`."""
    static: bool = False
    """Whether `__call__` runs the same kernels on every call, draws no number and leaves no value for the host to read
    or bring: then a CUDA graph can replay it."""

    def check_prompt(self, text: str) -> None:
        """Raises BadInput if the text encoder would cut the text."""

    def encode(self, prompts: Sequence[str]) -> Any:
        """Encodes B prompts once; independent of the image."""
        return list(prompts)

    def __call__(self, images: torch.Tensor, encoded: Any) -> torch.Tensor:
        """Scores (B,), float32 or wider, of images (B, 3, H, W) in [0, 1] against B encoded prompts."""
        raise TypeError(f"{type(self).__name__} has no __call__(images, encoded)")

    def bring(self) -> None:
        """Moves the modules that see an image to the device."""
        bring(self.device, self.looking)

    def leave(self) -> None:
        """Moves everything to host memory, until the next `bring`."""
        send_away(self.device, (*self.looking, *self.reading))

    def set_checkpointing(self, on: bool) -> None:
        """on: the backward pass runs the layers again instead of keeping their activations."""
        for module in self.looking:
            set_checkpointing(module, on)


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Values in float32 or float64: a cosine or a logit in half precision has only three digits."""
    return values if values.dtype == torch.float64 else values.float()


@dataclass(frozen=True)
class WeightedSum:
    """A job's metric: one term or several. score = sum of weight * score, loss = sum of weight * (best - score)."""

    names: tuple[str, ...]
    terms: tuple[Metric, ...]
    weights: tuple[float, ...]

    @property
    def best(self) -> float:
        """The total score at which the loss is 0."""
        return sum(weight * term.best for weight, term in zip(self.weights, self.terms, strict=True))

    def check_prompt(self, text: str) -> None:
        """Raises BadInput if a text encoder would cut the text."""
        for term in self.terms:
            term.check_prompt(text)

    def encode(self, prompts: Sequence[str]) -> list[Any]:
        """Each term's encoding of B prompts."""
        return [term.encode(prompts) for term in self.terms]

    def __call__(self, images: torch.Tensor, encoded: list[Any]) -> torch.Tensor:
        """Scores (B, T) of each term, before weighting."""
        scores = [term(images, text) for term, text in zip(self.terms, encoded, strict=True)]
        for name, score in zip(self.names, scores, strict=True):
            if not isinstance(score, torch.Tensor) or score.shape != (len(images),):
                got = tuple(score.shape) if isinstance(score, torch.Tensor) else type(score).__name__
                raise ValueError(f"metric {name} returned {got}; it has to return a tensor ({len(images)},)")
        return torch.stack(scores, dim=1)

    def total(self, scores: torch.Tensor) -> torch.Tensor:
        """The weighted sum (B,) of the terms' scores (B, T)."""
        parts = [
            score if weight == 1.0 else weight * score
            for weight, score in zip(self.weights, scores.unbind(1), strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)

    def loss(self, total: torch.Tensor) -> torch.Tensor:
        """Losses (B,) of total scores (B,)."""
        return self.best - total

    def bring(self) -> None:
        for term in self.terms:
            term.bring()

    def leave(self) -> None:
        for term in self.terms:
            term.leave()

    def set_checkpointing(self, on: bool) -> None:
        for term in self.terms:
            term.set_checkpointing(on)
