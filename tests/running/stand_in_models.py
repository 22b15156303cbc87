"""A generator, a metric, a method and a judge whose every number is written down here, and batches of them.

The image of trial t at iteration k has (k + 0.25) / 255 in its red channel and t / 255 in its green one: whoever sees
an image can tell which it is. Rounded to whole levels, as an image is stored, the quarter is gone. Trials are called
"trial 0", "trial 1", ... A script gives a metric's score by trial and iteration.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from reno.evaluators import Evaluator
from reno.generators import Generator
from reno.methods import Step
from reno.metrics import Metric, WeightedSum
from reno.running.batch import run_batch
from reno.running.pool import Models
from reno.spec.job import Execution, MethodSettings
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding, Prompt
from reno.spec.trial import TrialSpec

NAN = float("nan")
SEEDS = tuple(range(11, 22))


class Clock:
    """A clock that stands still until somebody works."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@dataclass
class Numbered(Generator):
    """Makes the image of each trial's next iteration. A pass takes a second."""

    clock: Clock = field(default_factory=Clock)
    device: object = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    latent_shape = (1, 2, 2)
    image_size = (3, 5)

    def __post_init__(self):
        self.made = 0
        self.noises = []

    def encode(self, prompts):
        return [int(text.split()[-1]) for text in prompts]

    def __call__(self, noise, conditioning):
        self.clock.now += 1
        self.noises.append(noise.clone())
        images = torch.zeros(len(noise), 3, *self.image_size, dtype=torch.float64)
        images[:, 0] = (self.made + 0.25) / 255
        images[:, 1] = torch.tensor(conditioning, dtype=torch.float64)[:, None, None] / 255
        self.made += 1
        return images


def seen(images):
    """(trial, iteration) of each image, the iteration with the quarter that rounding takes away."""
    return [(round(float(image[1, 0, 0]) * 255), float(image[0, 0, 0]) * 255) for image in images]


class Scripted(Metric):
    """Scores by trial and iteration. It takes 100 seconds where it is only recorded."""

    best = 10.0

    def __init__(self, script, clock=None):
        self.script, self.clock = script, clock
        self.moves = []

    def encode(self, prompts):
        return [int(text.split()[-1]) for text in prompts]

    def __call__(self, images, encoded):
        if self.clock:
            self.clock.now += 100
        scores = []
        for trial, (shown, iteration) in zip(encoded, seen(images), strict=True):
            assert trial == shown, "an image was scored against the prompt of another trial"
            scores.append(self.script(trial, iteration))
        return torch.tensor(scores, dtype=torch.float64)

    def bring(self):
        self.moves.append("bring")

    def leave(self):
        self.moves.append("leave")


def table(*rows):
    """The script that has a row of scores for each trial; it is only asked of images that are not rounded."""

    def script(trial, iteration):
        place = round(iteration - 0.25)
        assert abs(place + 0.25 - iteration) < 1e-9, "an image was rounded before it was scored"
        return rows[trial][place]

    return script


class Looking(Evaluator):
    """A judge that says which image it saw, and takes 1000 seconds."""

    name, kin = "looker", "clip"

    def __init__(self, clock=None):
        self.clock = clock or Clock()
        self.calls, self.moves = [], []

    def bring(self):
        self.moves.append("bring")

    def leave(self):
        self.moves.append("leave")

    def judge(self, images, prompts):
        assert self.moves[-1] == "bring", "it judged while its weights were not on the device"
        self.clock.now += 1000
        self.calls.append([prompt.text for prompt in prompts])
        verdicts = []
        for prompt, (trial, iteration) in zip(prompts, seen(images), strict=True):
            assert prompt.text == f"trial {trial}", "an image was judged against the prompt of another trial"
            verdicts.append(said(trial, iteration))
        return verdicts


def said(trial, iteration):
    bound = Judgement(f"a{trial}", f"o{trial}", True, True, True, 1.0, 1.0, 1.0)
    return Verdict((bound,), {}, score=round(iteration, 6))


def trials(count, dtype="float32", judged=None):
    """judged: the trials whose prompts have a binding; None: all."""

    def prompt(number):
        bound = judged is None or number in judged
        return Prompt(f"trial {number}", (Binding(f"a{number}", f"o{number}"),) if bound else ())

    return [
        TrialSpec(prompt(number), SEEDS[number], "g", ({"kind": "scripted"},), dtype, {"name": "best_of_n"})
        for number in range(count)
    ]


def models_of(metric, generator=None, recorded=None, judges=()):
    one = metric if isinstance(metric, WeightedSum) else WeightedSum(("scripted",), (metric,), (1.0,))
    others = {name: WeightedSum((name,), (other,), (1.0,)) for name, other in (recorded or {}).items()}
    return Models(generator or Numbered(), one, others, tuple(judges), Execution(checkpointing=False))


def settings(iterations, method="best_of_n", kind=""):
    return MethodSettings(method, iterations, 0.1, 0.0, None, "adam", {}, kind)


def ran(batch, models, chosen, name="scripted"):
    *_, done = run_batch(batch, chosen, name, models)
    return done


def column(progress, name):
    return [row[name] for row in progress.trace]


def written(problem, settings):
    """Every number tells its trial and its iteration. The noise changes in place, as an optimiser changes it."""
    count = len(problem.noise)
    place = torch.arange(count, dtype=torch.float64)
    noise = problem.noise
    for iteration in range(settings.iterations + 1):
        images = problem.generate(noise)
        scores = problem.score(images)
        failures = {1: "it fell over"} if iteration else {}
        yield Step(
            iteration, noise, images, scores, problem.loss(scores.total),
            regularizer=1000 + 10 * iteration + place, grad_norm=2000 + 10 * iteration + place, failures=failures,
        )  # fmt: skip
        noise += 1
