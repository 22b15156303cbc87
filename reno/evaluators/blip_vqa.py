"""BLIP-VQA, after T2I-CompBench (Huang et al., NeurIPS 2023, arXiv 2307.06350, section 4.1, "Disentangled BLIP-VQA").

A BLIP for visual question answering (Li et al. 2022) is asked one question per noun phrase, "a gold bench?", so that an
attribute counts only for its own object. The probability of a phrase is p(yes) / (p(yes) + p(no)) at the first token of
the answer; the image's score is the product over its phrases.

As in the paper's code, the phrase has its article ("a gold bench?" and not "gold bench?"), the question's first token
is [ENC] (BLIP was trained with it; transformers' own pipeline sends [CLS]), and images have 480 pixels per side
(`image_size`). The paper loads BLIP's own file, whose table of positions is for 480 pixels. The file on the model hub
was made at 384: its converter resampled the table, and it is resampled back here, so that what is finer than 24 x 24
positions is lost. Unlike there, the noun phrases are the prompt's bindings, without spaCy, and probabilities are not
rounded to four digits.

The paper has no judgements; here they are: an object is there if the probability of "a bench?" is at least `threshold`;
an attribute is somewhere if that of "gold?" is; a binding holds if that of its phrase is. Two attributes are swapped if
the probabilities of both exchanged phrases ("a green bench?", "a gold clock?") are at least `threshold`, and each is
higher than that of the prompt's phrase for the same object.

The judge is a BLIP: it may favour images that were optimised against a BLIP.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import torch

from reno.evaluators import Evaluator
from reno.spec.errors import BadInput
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding, Prompt, with_article
from reno.weights.images import Preprocessing
from reno.weights.loading import load_model
from reno.weights.texts import TextReader, check_length, load_tokenizer, read_config, text_limit

READER = "BLIP-VQA's text encoder"
QUESTIONS_AT_ONCE = 64
"""Questions answered side by side; each holds its image's features, about 3 MB at 480 pixels."""


class BlipVqa(Evaluator):
    kin = "blip"

    def __init__(self, name: str, folder: Path, *, device: torch.device, threshold: float, image_size: int | None):
        from transformers import BlipForQuestionAnswering

        self.name, self.threshold, self.device = name, threshold, device
        self.model = load_model(BlipForQuestionAnswering, folder, torch.float32, device)
        self.parts = (self.model,)
        self.tokenizer = load_tokenizer(folder)
        self.preprocess = Preprocessing.from_folder(folder)
        vision, text = self.model.config.vision_config, self.model.config.text_config
        if image_size is not None:
            _check_image_size(name, folder, image_size, vision.patch_size)
            self.preprocess = replace(self.preprocess, size=(image_size, image_size), crop=None)
        self.interpolate = self.preprocess.size != (vision.image_size, vision.image_size)
        self.limit = text_limit(self.tokenizer, text)
        self.start = self.model.decoder_start_token_id
        self.encode = text.bos_token_id + 1  # [ENC], the last of the vocabulary, after [DEC]
        self.yes, self.no = (self.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
        if self.tokenizer.unk_token_id in (self.yes, self.no) or self.encode >= text.vocab_size:
            raise BadInput(
                f"{folder} is not a BLIP that answers questions: its vocabulary lacks yes, no or [ENC]; give one with "
                "models.checkpoints.blip_vqa.path=FOLDER"
            )

    def check_prompt(self, prompt: Prompt) -> None:
        """Raises BadInput if a question would be cut."""
        for question in questions(prompt.bindings):
            check_length(self.tokenizer, question, self.limit, READER)

    def judge(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
        """Judges images (B, 3, H, W) in [0, 1] against their B prompts."""
        asked = [questions(prompt.bindings) for prompt in prompts]
        answers = self.ask(images, asked)
        return [
            verdict(prompt.bindings, dict(zip(texts, answered, strict=True)), self.threshold)
            for prompt, texts, answered in zip(prompts, asked, answers, strict=True)
        ]

    @torch.no_grad()
    def ask(self, images: torch.Tensor, texts: Sequence[Sequence[str]]) -> list[list[float]]:
        """p(yes) / (p(yes) + p(no)) of each question, by image. images: (B, 3, H, W) in [0, 1]. texts: the questions
        about each image."""
        pixels = self.preprocess(images.to(self.device, torch.float32))
        seen = self.model.vision_model(pixel_values=pixels, interpolate_pos_encoding=self.interpolate).last_hidden_state
        answers = [[0.0] * len(several) for several in texts]
        for part in self._parts(texts):
            places = [place for place, _, _ in part]
            tokens = torch.tensor([tokens for _, _, tokens in part], device=self.device)
            for (place, number, _), answer in zip(part, self._answer(seen[places], tokens), strict=True):
                answers[place][number] = answer
        return answers

    def _parts(self, texts: Sequence[Sequence[str]]) -> list[list[tuple[int, int, list[int]]]]:
        """The questions as (image, number of the question, tokens), in groups of one length, so that nothing is padded:
        transformers' decoder would attend to the padding."""
        by_length: dict[int, list[tuple[int, int, list[int]]]] = {}
        for place, several in enumerate(texts):
            for number, text in enumerate(several):
                tokens = [self.encode, *self.tokenizer(text).input_ids[1:]]
                by_length.setdefault(len(tokens), []).append((place, number, tokens))
        return [
            alike[start : start + QUESTIONS_AT_ONCE]
            for alike in by_length.values()
            for start in range(0, len(alike), QUESTIONS_AT_ONCE)
        ]

    def _answer(self, seen: torch.Tensor, tokens: torch.Tensor) -> list[float]:
        """The answers to N questions, tokens (N, length), about N images' features (N, patches, width)."""
        states = self.model.text_encoder(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long, device=self.device),
        ).last_hidden_state
        logits = self.model.text_decoder(
            input_ids=torch.full((len(tokens), 1), self.start, device=self.device),
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones_like(tokens),
        ).logits[:, 0]
        # After a softmax over the vocabulary, yes / (yes + no) is the sigmoid of the difference of the two logits.
        return torch.sigmoid((logits[:, self.yes] - logits[:, self.no]).cpu().double()).tolist()


def question(words: str) -> str:
    return f"{words}?"


def questions(bindings: Sequence[Binding]) -> list[str]:
    """All questions about an image whose prompt has these bindings, each once."""
    asked = [binding.phrase for binding in bindings]
    asked += [with_article(binding.object) for binding in bindings]
    asked += [binding.attribute for binding in bindings]
    for one, other in _exchangeable(bindings):
        asked += [Binding(other.attribute, one.object).phrase, Binding(one.attribute, other.object).phrase]
    return list(dict.fromkeys(question(words) for words in asked))


def verdict(bindings: Sequence[Binding], answers: dict[str, float], threshold: float) -> Verdict:
    """The verdict that follows from the answers. answers: the probability of yes to each of `questions(bindings)`."""

    def sure(words: str) -> float:
        return answers[question(words)]

    judgements = tuple(
        Judgement(
            attribute=binding.attribute,
            object=binding.object,
            object_present=sure(with_article(binding.object)) >= threshold,
            attribute_present=sure(binding.attribute) >= threshold,
            bound=sure(binding.phrase) >= threshold,
            object_confidence=sure(with_article(binding.object)),
            attribute_confidence=sure(binding.attribute),
            bound_confidence=sure(binding.phrase),
        )
        for binding in bindings
    )

    def exchanged(one: Binding, other: Binding) -> bool:
        taken = sure(Binding(other.attribute, one.object).phrase)
        return taken >= threshold and taken > sure(one.phrase)

    faults = {
        "swapped": any(exchanged(one, other) and exchanged(other, one) for one, other in _exchangeable(bindings)),
        "missing": not all(judgement.object_present for judgement in judgements),
    }
    score = math.prod(judgement.bound_confidence for judgement in judgements) if judgements else None
    return Verdict(judgements, faults, score)


def _exchangeable(bindings: Sequence[Binding]) -> list[tuple[Binding, Binding]]:
    """The pairs whose attributes could be swapped: their objects and their attributes differ."""
    pairs = combinations(bindings, 2)
    return [(one, other) for one, other in pairs if one.object != other.object and one.attribute != other.attribute]


def load(
    name: str,
    checkpoints: dict[str, Path],
    device: torch.device,
    threshold: float = 0.5,
    image_size: int | None = 480,
) -> BlipVqa:
    """threshold: the least probability that counts as yes; image_size: pixels per side, None for the checkpoint's own.
    Raises BadInput."""
    return BlipVqa(name, checkpoints["blip_vqa"], device=device, threshold=threshold, image_size=image_size)


class QuestionReader(Evaluator):
    """What checks the questions about a prompt, without the weights: it cannot judge."""

    def __init__(self, name: str, folder: Path):
        self.name, self._reader = name, TextReader(READER, folder)

    def check_prompt(self, prompt: Prompt) -> None:
        for question in questions(prompt.bindings):
            self._reader.check_prompt(question)


def reader(name: str, checkpoints: dict[str, Path], image_size: int | None = 480, **_: object) -> QuestionReader:
    """What checks prompts, without the weights. Raises BadInput for an image size that cannot be used."""
    folder = checkpoints["blip_vqa"]
    patch = (read_config(folder).get("vision_config") or {}).get("patch_size")
    if image_size is not None and isinstance(patch, int):
        _check_image_size(name, folder, image_size, patch)
    return QuestionReader(name, folder)


def _check_image_size(name: str, folder: Path, image_size: int, patch_size: int) -> None:
    if image_size % patch_size:
        raise BadInput(
            f"{name}: image_size={image_size} is not a multiple of {patch_size}, the patch size of {folder}; "
            f"use for example {max(1, image_size // patch_size) * patch_size}"
        )
