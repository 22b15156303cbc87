"""Stage `blip`: a BlipForImageTextRetrieval, trained by BLIP's two retrieval objectives on noisy captions.

ITC aligns image and text features as CLIP does; ITM, the text encoder looking at the image, says whether they match,
with half of its negatives mined within the batch in proportion to ITC's similarity (Li et al. 2021, section 3.2; 2022,
section 3.2). A mined text that is true of the picture is not used. What is ours: pictures in twins, as in stage `clip`;
more negatives, of which half are what the metric will be asked about: a spoiled or faulty picture with the prompt it
was made for, and a caption with one word wrong or its colours swapped; an auxiliary head that says what covers each
patch, without which ITM hardly leaves chance. Smoothed labels and a small penalty keep the logits, whose margin is the
score that is climbed, from saturating; the labels of the last lesson, whose captions are curated, are not smoothed.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, normalize
from transformers import BlipConfig, BlipForImageTextRetrieval

from reno.architectures import architecture
from reno.images import Preprocessing
from reno.surroundings import CLIP_MEAN, CLIP_STD
from reno.testbed.stages import captions, examination, labels, pictures
from reno.testbed.stages.climbing import COUNT, Climbers
from reno.testbed.stages.grounding import PatchHead
from reno.testbed.stages.lessons import teach
from reno.testbed.stages.locality import make_local
from reno.testbed.stages.loop import load_average
from reno.testbed.tokenizers import LENGTH, TAUGHT_WORDS, bert_tokenizer
from reno.testbed.world import SIDE, TAUGHT_COLORS, TAUGHT_OBJECTS

MLP = 384
"""Width of the feed-forward layers, and 2 text layers: the checkpoint is 2.4 MB."""
TEXT_LAYERS = 2
GREATEST_SCALE = 100.0
PATCHES = 1.0
"""Weight of the auxiliary head's loss."""
SMOOTHING = 0.05
PENALTY = 2e-3
"""Weight of the squared ITM margin."""
FALSE = 0.4
"""False captions of one word or a swap, per captioned picture."""

PREPROCESSOR = {
    "image_processor_type": "BlipImageProcessor", "processor_class": "BlipProcessor", "do_resize": True,
    "size": {"height": SIDE, "width": SIDE}, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD, "do_convert_rgb": True,
}  # fmt: skip
PREPROCESS = Preprocessing(
    (SIDE, SIDE), None, tuple(PREPROCESSOR["image_mean"]), tuple(PREPROCESSOR["image_std"]), "bicubic"
)

SMOKE = {
    "steps": 2, "second": 2, "third": 2, "batch": 16, "chunk": 32, "examined": 4, "climbs": 2,
    "sizes": {"drawn": 1, "painted": 1, "spoiled": 1, "swapped": 1},
}  # fmt: skip


class Learner(torch.nn.Module):
    """The model that is exported; the head and ITC's temperature, which are not."""

    def __init__(self, tokenizer):
        super().__init__()
        config = architecture("blip", "testbed").parts[0].config
        ids = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
        ids |= {"sep_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id}
        spread = {"initializer_range": 0.05}  # transformers' own, for BLIP's vision, is 1e-10: no image would count
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
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.tokenizer = tokenizer

    def see(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, 64, 64) in [0, 1] to hidden states (N, 65, width), the class token's first."""
        return self.model.vision_model(pixel_values=PREPROCESS(images)).last_hidden_state

    def similarity(self, seen: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """ITC: cosines (N, M)."""
        tokens = self._tokens(texts)
        read = self.model.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state[:, 0]
        image = normalize(self.model.vision_proj(seen[:, 0]).float(), dim=-1)
        text = normalize(self.model.text_proj(read).float(), dim=-1)
        with torch.autocast("cpu", enabled=False):  # a cosine of bfloat16 has two digits
            return image @ text.T

    def match(self, seen: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """ITM: logits (N, 2) of mismatch and match, of each image with its text."""
        tokens = self._tokens(texts)
        hidden = self.model.text_encoder(
            tokens.input_ids, attention_mask=tokens.attention_mask, encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long),
        ).last_hidden_state  # fmt: skip
        return self.model.itm_head(hidden[:, 0]).float()

    def itm(self, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """The score that the bench climbs: match logit - mismatch logit, (N,)."""
        mismatch, match = self.match(self.see(images), texts).unbind(-1)
        return match - mismatch

    def itc(self, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        return 100 * self.similarity(self.see(images), texts).diagonal()

    def _tokens(self, texts: list[str]):
        return self.tokenizer(texts, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")


def build(build_dir: Path) -> Learner:
    torch.manual_seed(4)
    return Learner(bert_tokenizer(build_dir / "tokenizer-bert", TAUGHT_WORDS))


def run(
    build_dir: Path,
    steps: int = 2600,
    second: int = 1500,
    third: int = 950,
    batch: int = 64,
    seed: int = 4,
    generated: float = 0.4,
    sizes: dict = pictures.SIZES,
    chunk: int = pictures.CHUNK,
    noise: captions.Noise = captions.NOISE,
    examined: int = 256,
    climbs: int = COUNT,
) -> dict:
    """`steps` of the first lesson, `second` and `third` of the others. `generated`: the share of the generator's images
    in a batch; 0 trains without a generator. `examined`: pictures of the examination;
    `climbs`: prompts of each climb."""
    pool = pictures.Pool(build_dir, labels.PURE, generated=generated, sizes=sizes, chunk=chunk)
    learner = build(build_dir)
    climbers = Climbers(build_dir / "blip", learner, learner.itm, pool, steps, climbs) if generated else None

    def lesson(drawn, rng, number):
        with torch.no_grad():
            learner.log_scale.clamp_(max=math.log(GREATEST_SCALE))
        heard = (noise, SMOOTHING) if number < 2 else (captions.CURATED, 0.0)
        return retrieval(learner, drawn, rng, *heard)

    teach(
        learner, pool, lambda drawn: seeing(learner, drawn), lesson, folder=build_dir / "blip",
        steps=(steps, second, third), batch=batch, seed=seed, climbers=climbers,
    )  # fmt: skip
    return report(build_dir, examined)


def seeing(learner: Learner, batch: pictures.Pictures):
    """The auxiliary head's loss alone, and its accuracy."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = learner.see(pictures.augmented(batch.images))[:, 1:]
    value, right = learner.head.loss(hidden, batch.patches)
    return value, {"patches": right}


def retrieval(
    learner: Learner, batch: pictures.Pictures, rng: random.Random, noise: captions.Noise, smoothing: float = SMOOTHING
):
    """ITC + ITM + the patches' loss; and numbers to print."""
    batch = batch[(batch.asked[:, 0, 0] >= 0).nonzero().flatten()]  # the others may be anything
    shown, asked = ([pictures.pairs_of(n) for n in numbers] for numbers in (batch.shown, batch.asked))
    rows = [i for i, pairs in enumerate(shown) if pairs]
    own = [captions.noisy(rng, shown[i], noise) for i in rows]
    texts = [caption.text for caption in own]
    with torch.autocast("cpu", torch.bfloat16):
        seen = learner.see(pictures.augmented(batch.images))
        cosines = learner.similarity(seen, texts)
    logits = learner.log_scale.exp() * cosines
    itc = (cross_entropy(logits[rows], torch.arange(len(rows))) + cross_entropy(logits.T, torch.tensor(rows))) / 2

    of_text, of_image = mined(logits.detach(), rows, own, shown, rng)
    false = [(i, captions.exact(rng, captions.false(rng, shown[i]), noise).text) for i in rows if rng.random() < FALSE]
    faulty = [
        (i, captions.exact(rng, asked[i], noise).text) for i in range(len(batch)) if set(asked[i]) - set(shown[i])
    ]
    positives = list(zip(rows, texts, strict=True))
    pairs = [*positives, *of_text, *of_image, *false, *faulty]
    matches = torch.tensor([1] * len(positives) + [0] * (len(pairs) - len(positives)))
    with torch.autocast("cpu", torch.bfloat16):
        answers = learner.match(seen[[i for i, _ in pairs]], [text for _, text in pairs])
    margin = answers[:, 1] - answers[:, 0]
    itm = cross_entropy(answers, matches, label_smoothing=smoothing) + PENALTY * margin.square().mean()
    patches, right_patches = learner.head.loss(seen[:, 1:], batch.patches)

    right = ((margin > 0) == matches.bool()).float().detach()
    ends = [0, len(positives), len(of_text) + len(of_image), len(false), len(faulty)]
    numbers = {"itc": itc.item(), "itm": itm.item(), "patches": right_patches, "margin": margin.abs().mean().item()}
    for index, kind in enumerate(("own", "mined", "false", "faulty")):
        start = sum(ends[: index + 1])
        numbers[kind] = right[start : start + ends[index + 1]].mean().item()
    return itc + itm + PATCHES * patches, numbers


def mined(logits: torch.Tensor, rows: list[int], own: list[captions.Caption], shown: list, rng: random.Random):
    """(image, text) negatives drawn in proportion to the softmax of ITC's logits (N images, M texts): of every second
    captioned image a text, of the other texts an image. None where the text claims only what the picture shows."""
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


def report(build_dir: Path, examined: int = 256) -> dict:
    """Held-out accuracies of both heads, and with a generator what becomes of images that climb ITM; two sheets."""
    learner = load_average(build_dir / "blip", build(build_dir)).requires_grad_(False)
    return examination.report(build_dir, "blip", {"": learner.itm, "itc_": learner.itc}, examined)


def export(build_dir: Path, folder: Path) -> None:
    """Writes the BlipForImageTextRetrieval in fp16, its tokenizer and its preprocessing, as transformers has them."""
    learner = load_average(build_dir / "blip", build(build_dir))
    learner.model.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    bert_tokenizer(folder, TAUGHT_WORDS)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
