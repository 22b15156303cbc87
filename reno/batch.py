"""One batch of trials, from noise to what the store keeps of each.

The method yields steps; here they become traces and frames, the best image is kept, and the other metrics and the
judges look at what came out. `run_batch` is itself a generator, of the steps it has just digested, so that its caller
can show and track them.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reno.images import from_uint8, to_uint8
from reno.methods import Problem, Step, load_method
from reno.metrics import Metric, loss_of
from reno.models import Models
from reno.reproducibility import NoiseSource
from reno.spec import LOSS_SCALE, MethodSettings, TrialSpec


@dataclass
class Progress:
    """What is known of one trial so far."""

    trial: TrialSpec
    trace: list[dict[str, float | int | None]] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)
    """uint8 (H, W, 3), one an iteration."""
    best: int = -1
    """The iteration with the best score so far; -1 before the first finite score."""
    best_noise: np.ndarray | None = None
    initial_noise: np.ndarray | None = None
    failure: str | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """By image (initial, best, last), then by metric."""
    judgements: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By judge: its kin, and its verdicts on the initial and the best image."""


@dataclass
class BatchRun:
    """The trials of one batch while they run, and after."""

    trials: list[Progress]
    seconds: float = 0.0
    """Wall seconds of the optimisation of the whole batch; scoring by other metrics and judging not included."""
    scored: bool = False
    """All steps are done, and the other metrics and the judges have looked at the images."""
    device_bytes: int | None = None
    """Peak bytes that torch held on the GPU; None on the CPU."""


def run_batch(
    batch: Sequence[TrialSpec], settings: MethodSettings, metric_name: str, models: Models
) -> Iterator[BatchRun]:
    """Runs trials side by side, yielding the state after every step and, at last, once more when scored and judged."""
    generator = models.generator
    device = generator.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    problem = _problem(batch, models)
    run = BatchRun([Progress(trial) for trial in batch])
    extremes = _Extremes()
    steps = load_method(settings.method)(problem, settings)
    while True:
        started = time.perf_counter()
        step = next(steps, None)
        if step is None:
            break
        pixels = to_uint8(step.images)  # waits for the device
        seconds = time.perf_counter() - started
        run.seconds += seconds
        _digest(run.trials, step, pixels, seconds, extremes)
        yield run
    if device.type == "cuda":
        run.device_bytes = torch.cuda.max_memory_allocated(device)
    _score(run.trials, extremes, metric_name, models)
    _judge(run.trials, models)
    run.scored = True
    yield run


def _problem(batch: Sequence[TrialSpec], models: Models) -> Problem:
    """Everything that does not change over the iterations is computed here: the noise, and each prompt's text, once."""
    generator, texts = models.generator, [trial.prompt.text for trial in batch]
    dtype = torch.float64 if generator.dtype == torch.float64 else torch.float32
    source = NoiseSource([trial.seed for trial in batch], generator.latent_shape, generator.device, dtype)
    embeddings = generator.encode(texts)
    encoded = models.metric.encode(texts)
    return Problem(
        noise=source.draw(),
        draw=source.draw,
        generate=lambda noise: generator(noise, embeddings),
        decode=generator.decode,
        score=lambda images: models.metric(images, encoded),
        loss=lambda scores: loss_of(scores, models.total_weight),
        loss_scale=LOSS_SCALE.get(batch[0].dtype, 1.0),
    )


@dataclass
class _Extremes:
    """The images (B, 3, H, W) that other metrics will score, unrounded."""

    initial: torch.Tensor | None = None
    best: torch.Tensor | None = None
    last: torch.Tensor | None = None


def _digest(trials: list[Progress], step: Step, pixels: np.ndarray, seconds: float, extremes: _Extremes) -> None:
    """Adds one step to the traces and frames, and keeps what is best so far."""
    columns = {
        "loss": step.losses,
        "score": step.scores,
        "regularizer": step.regularizer,
        "grad_norm": step.grad_norm,
        "noise_norm": step.noise_norm,
    }
    values = {name: column.double().tolist() for name, column in columns.items()}
    if extremes.initial is None:
        extremes.initial, extremes.best = step.images, step.images.clone()
    extremes.last = step.images
    for place, progress in enumerate(trials):
        row = {name: column[place] for name, column in values.items()}
        row = {name: value if np.isfinite(value) else None for name, value in row.items()}
        progress.trace.append({"iteration": step.iteration, **row, "seconds": seconds})
        progress.frames.append(pixels[place])
        progress.failure = progress.failure or step.failures.get(place)
        if progress.initial_noise is None:
            progress.initial_noise = _as_array(step.noise[place])
        score = row["score"]
        if score is not None and (progress.best < 0 or score > progress.trace[progress.best]["score"]):
            progress.best = step.iteration
            progress.best_noise = _as_array(step.noise[place])
            extremes.best[place] = step.images[place]


def _as_array(noise: torch.Tensor) -> np.ndarray:
    return noise.detach().float().cpu().numpy().copy()


@torch.no_grad()
def _score(trials: list[Progress], extremes: _Extremes, metric_name: str, models: Models) -> None:
    """The optimised metric's scores are in the trace; the recorded metrics score the same images, without a graph and
    after the optimisation, when its memory is free again."""
    try:
        recorded = {name: _scores_of(metric, trials, extremes) for name, metric in models.recorded.items()}
    finally:
        models.metric.bring()  # if it shares a model with a recorded one
    for which in ("initial", "best", "last"):
        others = {name: scores[which] for name, scores in recorded.items()}
        for place, progress in enumerate(trials):
            if progress.best < 0:
                progress.failure = progress.failure or "the metric's score was never finite; try dtype=float32"
                continue
            iteration = {"initial": 0, "best": progress.best, "last": len(progress.trace) - 1}[which]
            own = progress.trace[iteration]["score"]
            progress.scores[which] = {metric_name: own, **{name: scores[place] for name, scores in others.items()}}


def _scores_of(metric: Metric, trials: list[Progress], extremes: _Extremes) -> dict[str, list[float]]:
    """What a metric says of each trial's initial, best and last image; it is in the device's memory meanwhile."""
    try:
        metric.bring()
        encoded = metric.encode([progress.trial.prompt.text for progress in trials])
        return {which: metric(getattr(extremes, which), encoded).double().tolist() for which in vars(extremes)}
    finally:
        metric.leave()


def _judge(trials: list[Progress], models: Models) -> None:
    """Judges see the images as they are stored, in whole levels: a judgement made later from the store is the same."""
    judged = [progress for progress in trials if progress.failure is None and progress.trial.prompt.bindings]
    if not judged:
        return
    prompts = [progress.trial.prompt for progress in judged]
    for evaluator in models.evaluators:
        initial = evaluator.judge(from_uint8(np.stack([progress.frames[0] for progress in judged])), prompts)
        best = evaluator.judge(from_uint8(np.stack([progress.frames[progress.best] for progress in judged])), prompts)
        for progress, before, after in zip(judged, initial, best, strict=True):
            progress.judgements[evaluator.name] = {
                "kin": evaluator.kin,
                "initial": before.to_json(),
                "best": after.to_json(),
            }


def peak_host_bytes() -> int:
    """The largest resident size of this process so far. On Linux its own: what getrusage tells begins with the size of
    the process that started it."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
