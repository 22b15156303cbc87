"""What the stages `clip` and `blip` have in common: a learner, three lessons, the examination, the export.

Each lesson is a training of its own that continues from the one before. The first begins with the patch head alone
(`patch_head`), and at two points in it images are optimised against the metric and join the pictures (`climbing`). In
the second and the third, batches hold twins with their colours swapped.
"""

from __future__ import annotations

import math
import random
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import torch

from reno.testbed.tokenizers import LENGTH, TAUGHT_WORDS
from reno.testbed.training import captions, examination
from reno.testbed.training.climbing import COUNT, Climbers, Score
from reno.testbed.training.labels import Naming
from reno.testbed.training.loop import load_average, train
from reno.testbed.training.patch_head import PatchHead
from reno.testbed.training.picture_pool import CHUNK, SIZES, PicturePool, Pictures, augmented
from reno.weights.architectures import architecture

MLP = 384
"""Width of the feed-forward layers; it keeps each checkpoint below 2.5 MB."""
GREATEST_SCALE = 100.0
"""Largest inverse temperature (Radford et al. 2021, section 2.4)."""
PATCHES = 1.0
"""Weight of the patch head's loss."""
LESSONS = ("first", "second", "third")
RATES = (1.5e-3, 1e-3, 7e-4)
"""Highest learning rate of each lesson."""
SEEING = 0.2
"""Share of the first lesson, at its start, in which only the patch head's loss is used."""
SPOILED, SWAPPED = 0.15, 0.3
"""Shares of the pictures in the later lessons that are spoiled, and that are twins with their colours swapped."""

Loss = tuple[torch.Tensor, dict[str, float]]
"""The scalar to minimise, and numbers to print."""


@dataclass(frozen=True)
class Course:
    """How long a metric learns, and from how much."""

    steps: tuple[int, int, int]
    """Of each lesson."""
    seed: int
    batch: int = 64
    generated: float = 0.4
    """Share of the generator's images in a batch; 0 trains without a generator."""
    sizes: dict[str, int] = field(default_factory=lambda: SIZES)
    """Chunks of each family of pictures."""
    chunk: int = CHUNK
    """Pictures in a chunk."""
    noise: captions.CaptionNoise = captions.NOISE
    """Of the captions of the first two lessons."""
    examined: int = 256
    """Pictures in the examination."""
    climbs: int = COUNT
    """Prompts whose images are optimised each time."""

    def short(self) -> Course:
        """A few steps on a few pictures, to see that the stage runs."""
        sizes = dict.fromkeys(self.sizes, 1)
        return replace(self, steps=(2, 2, 2), batch=16, chunk=32, sizes=sizes, examined=4, climbs=2)


class MetricLearner(torch.nn.Module, ABC):
    """A metric in training: the model, which is exported, and the patch head, which is not."""

    stage: ClassVar[str]
    seed: ClassVar[int]
    """Of the first weights."""
    naming: ClassVar[Naming]
    model: torch.nn.Module
    head: PatchHead

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    @staticmethod
    @abstractmethod
    def write_tokenizer(folder: Path, words: tuple[str, ...]):
        """Writes the model's tokenizer into a folder and loads it."""

    @abstractmethod
    def patches(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, 64, 64) in [0, 1] to the hidden states of their patches (N, 64, width)."""

    @abstractmethod
    def lesson_loss(self, batch: Pictures, rng: random.Random, number: int, noise: captions.CaptionNoise) -> Loss:
        """The loss on a batch in lesson 0, 1 or 2, with captions as noisy as stated."""

    @abstractmethod
    def scores(self) -> dict[str, Score]:
        """The scores to examine, by the prefix of their numbers; images are optimised against the first."""

    @abstractmethod
    def log_temperature(self) -> torch.nn.Parameter:
        """The logarithm of the inverse temperature."""

    @classmethod
    def build(cls, build_dir: Path) -> Self:
        """The learner before training; its tokenizer is written into the build folder."""
        torch.manual_seed(cls.seed)
        return cls(cls.write_tokenizer(build_dir / f"tokenizer-{cls.stage}", TAUGHT_WORDS))

    def tokens(self, texts: list[str]):
        """Token ids and attention mask of M texts, padded to the longest."""
        return self.tokenizer(texts, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")

    def seeing_loss(self, batch: Pictures) -> Loss:
        """The patch head's loss alone, and its accuracy."""
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.patches(augmented(batch.images))
        value, right = self.head.loss(hidden, batch.patches)
        return value, {"patches": right}


def run(build_dir: Path, learner: MetricLearner, course: Course) -> dict:
    """Trains, then examines: held-out accuracies, and with a generator what optimising images against it does."""
    pool = PicturePool(build_dir, learner.naming, generated=course.generated, sizes=course.sizes, chunk=course.chunk)
    teach(build_dir / learner.stage, learner, pool, course)
    learner = trained(build_dir, learner).requires_grad_(False)
    return examination.report(build_dir, learner.stage, learner.scores(), course.examined)


def teach(folder: Path, learner: MetricLearner, pool: PicturePool, course: Course) -> None:
    """Trains the learner; saves the last lesson in `folder` and the others in `folder/first` and `folder/second`."""
    first_steps = course.steps[0]
    climbers = None
    if course.generated:
        score = next(iter(learner.scores().values()))
        climbers = Climbers(folder, learner, score, pool, first_steps, course.climbs)

    def loss_in(number: int):
        noise = course.noise if number < 2 else captions.CURATED

        def loss(step: int, rng: random.Random) -> Loss:
            if climbers:
                climbers.join(step if number == 0 else first_steps)
            shares = {"spoiled": SPOILED, "swapped": SWAPPED} if number else {}
            drawn = pool.draw(rng, course.batch, **shares)
            if number == 0 and step < SEEING * first_steps:
                return learner.seeing_loss(drawn)
            with torch.no_grad():
                learner.log_temperature().clamp_(max=math.log(GREATEST_SCALE))
            return learner.lesson_loss(drawn, rng, number, noise)

        return loss

    for number, (lesson, steps, lr) in enumerate(zip(LESSONS, course.steps, RATES, strict=True)):
        train(
            f"{learner.stage}, {lesson}",
            learner,
            loss_in(number),
            folder=folder if lesson == LESSONS[-1] else folder / lesson,
            steps=steps,
            lr=lr,
            seed=course.seed + 100 * number,
            average=0.995,
            trained_on=pool.fingerprint,
        )


def trained(build_dir: Path, learner: MetricLearner) -> MetricLearner:
    """The learner with the weights that its stage has reached."""
    return load_average(build_dir / learner.stage, learner)


def export(build_dir: Path, learner: MetricLearner, folder: Path) -> None:
    """Writes the model in fp16, its tokenizer and its preprocessing in transformers' format."""
    trained(build_dir, learner).model.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    learner.write_tokenizer(folder, TAUGHT_WORDS)
    shutil.copyfile(
        architecture(learner.stage, "testbed").folder / "preprocessor_config.json", folder / "preprocessor_config.json"
    )
