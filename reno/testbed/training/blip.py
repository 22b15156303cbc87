"""Stage `blip`: a BlipForImageTextRetrieval, trained by BLIP's two retrieval objectives on noisy captions.

ITC aligns image and text features as CLIP does. ITM says whether a text matches an image: its text encoder attends to
the image, and half of its negatives are mined within the batch in proportion to ITC's similarity (Li et al. 2021,
section 3.2; 2022, section 3.2). A mined text that is true of the picture is not used. Added to that:

- Pictures come in twins, as in stage `clip`.
- There are more negatives. Half of them are what the metric will be asked about: a spoiled or faulty picture with the
  prompt it was made for, and a caption with one word wrong or its colours swapped.
- The patch head says what covers each patch. Without it ITM hardly gets above chance.
- Smoothed labels and a small penalty keep the logits from saturating; their margin is the score that is optimised. In
  the last lesson, whose captions are curated, the labels are not smoothed.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, normalize
from transformers import BlipConfig, BlipForImageTextRetrieval

from reno.testbed.tokenizers import LENGTH, bert_tokenizer
from reno.testbed.training import captions, metric_stage
from reno.testbed.training.climbing import Score
from reno.testbed.training.labels import PURE
from reno.testbed.training.local_attention import make_local
from reno.testbed.training.metric_stage import MLP, PATCHES, Course, Loss, MetricLearner
from reno.testbed.training.patch_head import PatchHead
from reno.testbed.training.picture_pool import Pictures, augmented, pairs_of
from reno.testbed.world import TAUGHT_COLORS, TAUGHT_OBJECTS
from reno.weights.architectures import architecture
from reno.weights.images import Preprocessing

TEXT_LAYERS = 2
SMOOTHING = 0.05
"""Of ITM's labels, in the first two lessons."""
PENALTY = 2e-3
"""Weight of the squared ITM margin."""
FALSE = 0.4
"""False captions (one word wrong, or swapped colours) per captioned picture."""

START = architecture("blip", "testbed")
PREPROCESS = Preprocessing.from_folder(START.folder)
COURSE = Course(steps=(2600, 1500, 950), seed=4)
SMOKE = {"course": COURSE.short()}

ImageText = tuple[int, str]
"""A picture's index in the batch, and a text."""


class BlipLearner(MetricLearner):
    stage, seed, naming = "blip", 4, PURE
    write_tokenizer = staticmethod(bert_tokenizer)

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        config = START.parts[0].config
        ids = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
        ids |= {"sep_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id}
        # transformers' own range for BLIP's vision is 1e-10: the score would not depend on the image.
        spread = {"initializer_range": 0.05}
        sizes = {"intermediate_size": MLP, **spread}
        text = {
            **config["text_config"], **ids, **sizes, "num_hidden_layers": TEXT_LAYERS, "vocab_size": len(tokenizer),
            "max_position_embeddings": LENGTH,
        }  # fmt: skip
        config = {**config, "text_config": text, "vision_config": {**config["vision_config"], **sizes}, **spread}
        self.model = BlipForImageTextRetrieval(BlipConfig(**config))
        vision = self.model.vision_model
        make_local(
            vision.embeddings.patch_embedding,
            vision.embeddings.position_embedding[0],
            [layer.self_attn.qkv.weight.chunk(3)[:2] for layer in vision.encoder.layers],
        )
        self.head = PatchHead(vision.config.hidden_size)
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # of ITC; not exported

    def log_temperature(self) -> torch.nn.Parameter:
        return self.log_scale

    def see(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, 64, 64) in [0, 1] to hidden states (N, 65, width); the first is the class token's."""
        return self.model.vision_model(pixel_values=PREPROCESS(images)).last_hidden_state

    def patches(self, images: torch.Tensor) -> torch.Tensor:
        return self.see(images)[:, 1:]

    def similarity(self, seen: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """ITC: cosines (N, M)."""
        tokens = self.tokens(texts)
        read = self.model.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state[:, 0]
        image = normalize(self.model.vision_proj(seen[:, 0]).float(), dim=-1)
        text = normalize(self.model.text_proj(read).float(), dim=-1)
        with torch.autocast("cpu", enabled=False):  # in bfloat16 a cosine would have two digits
            return image @ text.T

    def match(self, seen: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """ITM: logits (N, 2) of mismatch and match, of each image with its text."""
        tokens = self.tokens(texts)
        hidden = self.model.text_encoder(
            tokens.input_ids, attention_mask=tokens.attention_mask, encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long),
        ).last_hidden_state  # fmt: skip
        return self.model.itm_head(hidden[:, 0]).float()

    def itm(self, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """The score that the bench optimises: match logit - mismatch logit, (N,)."""
        mismatch, match = self.match(self.see(images), texts).unbind(-1)
        return match - mismatch

    def itc(self, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """100 x cosine of each image and its text, (N,)."""
        return 100 * self.similarity(self.see(images), texts).diagonal()

    def scores(self) -> dict[str, Score]:
        return {"": self.itm, "itc_": self.itc}

    def lesson_loss(self, batch: Pictures, rng: random.Random, number: int, noise: captions.CaptionNoise) -> Loss:
        """ITC + ITM + the patch head's loss."""
        batch = batch[(batch.asked[:, 0, 0] >= 0).nonzero().flatten()]  # of the others it is unknown what they show
        shown, asked = ([pairs_of(numbers) for numbers in column] for column in (batch.shown, batch.asked))
        rows = [i for i, pairs in enumerate(shown) if pairs]
        own = [captions.noisy(rng, shown[i], noise) for i in rows]
        texts = [caption.text for caption in own]
        with torch.autocast("cpu", torch.bfloat16):
            seen = self.see(augmented(batch.images))
            cosines = self.similarity(seen, texts)
        logits = self.log_scale.exp() * cosines
        itc = (cross_entropy(logits[rows], torch.arange(len(rows))) + cross_entropy(logits.T, torch.tensor(rows))) / 2

        of_text, of_image = mined(logits.detach(), rows, own, shown)
        false = [
            (i, captions.exact(rng, captions.false(rng, shown[i]), noise).text) for i in rows if rng.random() < FALSE
        ]
        faulty = [
            (i, captions.exact(rng, asked[i], noise).text) for i in range(len(batch)) if set(asked[i]) - set(shown[i])
        ]
        groups = {"own": list(zip(rows, texts, strict=True)), "mined": [*of_text, *of_image]}
        groups |= {"false": false, "faulty": faulty}
        itm, numbers = self._matching(seen, groups, SMOOTHING if number < 2 else 0.0)
        patches, right = self.head.loss(seen[:, 1:], batch.patches)
        return itc + itm + PATCHES * patches, {"itc": itc.item(), **numbers, "patches": right}

    def _matching(self, seen: torch.Tensor, groups: dict[str, list[ImageText]], smoothing: float) -> Loss:
        """ITM's loss on pairs of image and text, of which only those of the group `own` match; how often each group is
        answered rightly."""
        pairs = [pair for group in groups.values() for pair in group]
        matches = torch.tensor([int(name == "own") for name, group in groups.items() for _ in group])
        with torch.autocast("cpu", torch.bfloat16):
            answers = self.match(seen[[i for i, _ in pairs]], [text for _, text in pairs])
        margin = answers[:, 1] - answers[:, 0]
        loss = cross_entropy(answers, matches, label_smoothing=smoothing) + PENALTY * margin.square().mean()
        right = ((margin > 0) == matches.bool()).float().split([len(group) for group in groups.values()])
        shares = {name: part.mean().item() for name, part in zip(groups, right, strict=True)}
        return loss, {"itm": loss.item(), "margin": margin.abs().mean().item(), **shares}


def mined(
    logits: torch.Tensor, rows: list[int], own: list[captions.Caption], shown: list[captions.Pairs]
) -> tuple[list[ImageText], list[ImageText]]:
    """Negatives drawn in proportion to the softmax of ITC's logits (N images, M texts): for every second captioned
    image a text, and for the texts of the other images an image. None where the text claims only what the picture
    shows."""
    claims = torch.stack([_combinations(caption.claims) for caption in own])
    shows = torch.stack([_combinations(pairs) for pairs in shown])
    true = (1 - shows) @ claims.T < 0.5  # (N, M): claims nothing that is not shown
    weights = logits.masked_fill(true, -torch.inf)
    of_text, of_image = [], []
    for column, row in enumerate(rows):
        if column % 2:
            of_text += [(row, own[int(at)].text) for at in _drawn(weights[row].softmax(0))]
        else:
            of_image += [(int(at), own[column].text) for at in _drawn(weights[:, column].softmax(0))]
    return of_text, of_image


def _drawn(chances: torch.Tensor) -> list[torch.Tensor]:
    return [torch.multinomial(chances, 1)[0]] if chances.isfinite().all() else []


def _combinations(pairs: captions.Pairs) -> torch.Tensor:
    """(420,): 1 for each (colour, object) among the pairs, and for each object."""
    answer = torch.zeros(len(TAUGHT_COLORS) + 1, len(TAUGHT_OBJECTS))
    for color, name in pairs:
        answer[-1, TAUGHT_OBJECTS.index(name)] = 1
        if color:
            answer[TAUGHT_COLORS.index(color), TAUGHT_OBJECTS.index(name)] = 1
    return answer.flatten()


def build(build_dir: Path) -> BlipLearner:
    return BlipLearner.build(build_dir)


def run(build_dir: Path, course: Course = COURSE) -> dict:
    return metric_stage.run(build_dir, build(build_dir), course)


def export(build_dir: Path, folder: Path) -> None:
    metric_stage.export(build_dir, build(build_dir), folder)
