"""What a loaded metric or judge says of a picture, in the units of the published values.

Each function takes what `load` of the checkpoint's module returned, an image (1, 3, H, W) in [0, 1], and what is asked.
The metrics see the picture as transformers' own processor shows it, so that the values tell of the weights and the
texts alone; the resize of a run, which is differentiable, is compared with the processor's in libraries.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from reno.evaluators.blip_vqa import BlipVqa
from reno.evaluators.detector import Detector
from reno.metrics import Metric
from reno.metrics.blip import ITC_SCALE

BEAMS, LONGEST = 3, 10
"""How BLIP's demo generates an answer: the width of its search, and its most tokens."""


def score(metric: Metric, image: torch.Tensor, ask: Sequence[str]) -> list[float]:
    """The metric's score of the image against each text."""
    return metric(image.expand(len(ask), -1, -1, -1), metric.encode(list(ask))).tolist()


def probability(metric: Metric, image: torch.Tensor, ask: Sequence[str]) -> list[float]:
    """The probability of a match, of which BLIP's ITM score is the log-odds."""
    return torch.sigmoid(torch.tensor(score(metric, image, ask), dtype=torch.float64)).tolist()


def cosine(metric: Metric, image: torch.Tensor, ask: Sequence[str]) -> list[float]:
    """The cosine of image and text, of which BLIP's ITC score is a hundredfold."""
    return [value / ITC_SCALE for value in score(metric, image, ask)]


def answer(judge: BlipVqa, image: torch.Tensor, ask: Sequence[str]) -> list[str]:
    """The judge's BLIP's answers to questions, which begin with [ENC] as in BLIP's own code."""
    pixels = judge.preprocess(image)
    answers = []
    for question in ask:
        tokens = torch.tensor([[judge.encode, *judge.tokenizer(question).input_ids[1:]]], device=judge.device)
        said = judge.model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            pixel_values=pixels,
            interpolate_pos_encoding=judge.interpolate,
            num_beams=BEAMS,
            max_length=LONGEST,
        )
        words = [token for token in said[0].tolist() if token not in (judge.start, judge.encode)]
        answers.append(judge.tokenizer.decode(words, skip_special_tokens=True))
    return answers


def detections(judge: Detector, image: torch.Tensor, ask: Sequence[str]) -> list[list[float]]:
    """The two detections with the highest scores: [score, left, top, right, bottom], sides in pixels."""
    scores, corners = judge.finder.look(image, list(ask))
    best = scores.max(-1).values.topk(2).indices
    return [[float(scores[place].max()), *corners[place].tolist()] for place in best]


def class_logits(judge: Detector, image: torch.Tensor, ask: Sequence[str]) -> list[float]:
    """The first three class logits of the first query."""
    return judge.finder.model(pixel_values=judge.finder.preprocess(image)).class_queries_logits[0, 0, :3].tolist()


MEASURES: dict[str, Callable[[Any, torch.Tensor, Sequence[str]], list]] = {
    function.__name__: function for function in (score, probability, cosine, answer, detections, class_logits)
}
