"""One batch of trials, from the initial noise to the values that the store keeps of each trial.

The method yields steps. `run_batch` adds each step to the traces and frames and keeps the best image; after the last
step the recorded metrics score the images and the judges judge them. `run_batch` yields its state after every step, so
that the caller can show and track it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from reno import methods
from reno.device.graphs import record_graph
from reno.device.reading import Reader
from reno.evaluators import Evaluator, checked_verdicts, not_finite
from reno.methods import Problem, Step, TermScores, lost_in, try_these, wider_dtype
from reno.methods._ahead import Ahead
from reno.metrics import WeightedSum
from reno.running.noise import NoiseSource
from reno.running.pool import Models
from reno.spec.job import MethodSettings, Stop
from reno.spec.judgements import Verdict
from reno.spec.trial import LOSS_SCALE, TrialSpec
from reno.store.files import TraceRow
from reno.store.records import SCORED
from reno.weights.images import from_uint8, to_uint8

JUDGED_AT_ONCE = 4
"""Images that a judge sees in one call, so that its memory does not grow with the batch."""


@dataclass
class Progress:
    """The results of one trial so far."""

    trial: TrialSpec
    trace: list[TraceRow] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)
    """uint8 (H, W, 3), one per iteration."""
    best: int = -1
    """The iteration with the best score so far; of equal scores the first; -1 before the first finite score."""
    best_noise: np.ndarray | None = None
    initial_noise: np.ndarray | None = None
    failure: str | None = None
    stopped: str | None = None
    """Why it ended before its method's last image: patience, score, seconds or images; None if it did not, or not
    yet."""
    stepped: bool = True
    """Whether the last step of the batch is one of this trial's."""
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """By image (initial, best, last), then by metric."""
    verdicts: dict[str, tuple[str, Verdict, Verdict]] = field(default_factory=dict)
    """By judge: its kin, and its verdicts on the initial and the best image."""

    @property
    def iterations(self) -> dict[str, int]:
        """The iteration of each scored image."""
        return {"initial": 0, "best": self.best, "last": len(self.trace) - 1}

    @property
    def seconds(self) -> float:
        """Wall seconds of the batch until this trial's last image."""
        return sum(row["seconds"] for row in self.trace)


@dataclass
class BatchRun:
    """The trials of one batch, while they run and afterwards."""

    trials: list[Progress]
    seconds: float = 0.0
    """Wall seconds of the whole batch's optimisation, without recorded metrics and judges."""
    scored: bool = False
    """All steps are done, the recorded metrics have scored and the judges have judged."""
    device_bytes: int | None = None
    """Peak bytes that torch held on the GPU; None on the CPU."""


def run_batch(
    batch: Sequence[TrialSpec], settings: MethodSettings, metric_name: str, models: Models, shape: int = 1
) -> Iterator[BatchRun]:
    """Runs trials side by side. Yields the state after every step, and once more after scoring and judging.

    shape: how many run side by side at least. A smaller batch is filled up with copies of its last trial, whose results
    are dropped: kernels round differently in a smaller batch.
    """
    filled = [*batch, *[batch[-1]] * (shape - len(batch))]
    device = models.generator.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run = BatchRun([Progress(trial) for trial in batch])
    images = _KeptImages()
    steps = methods.steps(_problem(filled, models), settings)
    while True:
        started = time.perf_counter()
        step = next(steps, None)
        if step is None:
            break
        _check_step(step, len(filled))
        pixels = to_uint8(step.images) if step.pixels is None else step.pixels  # waits for the device
        seconds = time.perf_counter() - started
        run.seconds += seconds
        _digest(run.trials, step, models.metric.names, seconds, pixels)
        images.keep(step.images, run.trials)
        for progress in run.trials:
            progress.stopped = progress.stopped or why_stopped(progress, settings.stop, len(filled))
        yield run
        if all(progress.stopped for progress in run.trials):
            break
    if device.type == "cuda":
        run.device_bytes = torch.cuda.max_memory_allocated(device)
    _score(run.trials, filled, images, metric_name, models)
    _judge(run.trials, models)
    run.scored = True
    yield run


def _check_step(step: object, trials: int) -> None:
    """Raises ValueError if a method yields something else than a Step of the whole batch."""
    if not isinstance(step, Step):
        raise ValueError(f"the method yielded a {type(step).__name__}; it has to yield reno.methods.Step")
    if len(step.images) != trials:
        raise ValueError(f"the method yielded {len(step.images)} images of a batch of {trials} trials")


def _problem(batch: Sequence[TrialSpec], models: Models) -> Problem:
    """The problem that the method solves. The initial noise and the encoded prompts do not change over the iterations,
    so they are computed once, here."""
    generator, metric = models.generator, models.metric
    texts = [trial.prompt.text for trial in batch]
    dtype = torch.float64 if generator.dtype == torch.float64 else torch.float32
    source = NoiseSource([trial.seed for trial in batch], generator.latent_shape, generator.device, dtype)
    conditioning = generator.encode(texts)
    encoded = metric.encode(texts)

    def score(images: torch.Tensor) -> TermScores:
        terms = metric(images, encoded)
        return TermScores(metric.total(terms), terms)

    return Problem(
        noise=source.draw(),
        draw=source.draw,
        generate=lambda noise: generator(noise, conditioning),
        decode=generator.decode,
        score=score,
        loss=metric.loss,
        loss_scale=LOSS_SCALE.get(batch[0].dtype, 1.0),
        dtype=batch[0].dtype,
        ahead=_ahead(generator.device, models.execution.graph),
    )


def _ahead(device: torch.device, graph: bool) -> Ahead | None:
    """How the device runs ahead of the host. Only a CUDA GPU does: a CPU works for both."""
    if device.type != "cuda":
        return None
    return Ahead(Reader(device).begin, record_graph if graph else None, fused=True)


def _digest(trials: list[Progress], step: Step, terms: Sequence[str], seconds: float, pixels: np.ndarray) -> None:
    """Adds one step to the traces and frames of the trials that have not stopped, and keeps the noise of the best image
    so far.

    terms: the names of the metric's terms; if there are several, each gets a column."""
    columns = {
        "loss": step.losses,
        "score": step.scores.total,
        "regularizer": step.regularizer,
        "grad_norm": step.grad_norm,
        "noise_norm": step.noise_norm,
    }
    if len(terms) > 1:
        columns |= {f"score/{name}": step.scores.terms[:, place] for place, name in enumerate(terms)}
    values = {name: column.double().tolist() for name, column in columns.items()}
    for place, progress in enumerate(trials):
        progress.stepped = progress.stopped is None
        if not progress.stepped:
            continue
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


def why_stopped(progress: Progress, stop: Stop, side_by_side: int) -> str | None:
    """What ends a trial after its last image so far, by the name of the limit; None if it goes on.

    side_by_side: the trials of the batch, copies included, which share its seconds."""
    score = progress.trace[-1]["score"]
    since = len(progress.trace) - 1 - max(progress.best, 0)
    reached = {
        "images": stop.images is not None and len(progress.trace) >= stop.images,
        "score": stop.score is not None and score is not None and score >= stop.score,
        "patience": stop.patience is not None and since >= stop.patience,
        "seconds": stop.seconds is not None and progress.seconds / side_by_side >= stop.seconds,
    }
    return next((name for name, ends in reached.items() if ends), None)


def _as_array(noise: torch.Tensor) -> np.ndarray:
    return noise.detach().float().cpu().numpy().copy()


@dataclass
class _KeptImages:
    """The images (B, 3, H, W) that recorded metrics will score, unrounded."""

    initial: torch.Tensor | None = None
    best: torch.Tensor | None = None
    last: torch.Tensor | None = None

    def keep(self, images: torch.Tensor, trials: list[Progress]) -> None:
        """Keeps the images of the step that was just added to the trials."""
        if self.initial is None:
            self.initial, self.best = images, images.clone()
        ended = [place for place, progress in enumerate(trials) if not progress.stepped]
        if ended:
            images = images.clone()
            images[ended] = self.last[ended]
        self.last = images
        for place, progress in enumerate(trials):
            if progress.stepped and progress.best == len(progress.trace) - 1:
                self.best[place] = images[place]


@torch.no_grad()
def _score(
    trials: list[Progress], filled: Sequence[TrialSpec], images: _KeptImages, metric_name: str, models: Models
) -> None:
    """Fills in the scores of the initial, best and last image. The optimised metric's scores are in the trace. The
    recorded metrics score the images after the optimisation, without a graph, when its memory is free again.

    filled: the trials and the copies beside them, one for each image."""
    texts = [trial.prompt.text for trial in filled]
    try:
        recorded = {name: _scores_of(metric, texts, images) for name, metric in models.recorded.items()}
    finally:
        models.metric.bring()  # it may share a model with a recorded one
    lost = {which: lost_in(of) for which, of in (("initial", images.initial), ("best", images.best))}
    for place, progress in enumerate(trials):
        progress.failure = progress.failure or _why_not_finite(progress, [w for w, bad in lost.items() if place in bad])
        if progress.best < 0:
            continue
        for which, iteration in progress.iterations.items():
            own = {metric_name: progress.trace[iteration]["score"]}
            progress.scores[which] = own | {name: scores[which][place] for name, scores in recorded.items()}


def _why_not_finite(progress: Progress, lost: Sequence[str]) -> str | None:
    """A sentence if the trial has no score, or if an image that judges see is not finite. lost: which of them."""
    if lost:
        what = f"the {lost[0]} image has values that are not finite"
    elif progress.best < 0:
        what = "the metric's score was never finite"
    else:
        return None
    return what + try_these(wider_dtype(progress.trial.dtype))


def _scores_of(metric: WeightedSum, texts: list[str], images: _KeptImages) -> dict[str, list[float | None]]:
    """A recorded metric's scores of the images (B, 3, H, W) against B texts, by image. The metric is on the device only
    during the call."""
    try:
        metric.bring()
        encoded = metric.encode(texts)
        scores = {which: metric.total(metric(getattr(images, which), encoded)).double().tolist() for which in SCORED}
    finally:
        metric.leave()
    return {which: [score if np.isfinite(score) else None for score in of] for which, of in scores.items()}


def _judge(trials: list[Progress], models: Models) -> None:
    """Judges the initial and the best images, one judge after the other; each is on the device only meanwhile. Images
    are rounded to uint8 as in the store, so that a later judgement of the stored images is the same."""
    whole = [progress for progress in trials if progress.failure is None]
    for evaluator in models.evaluators:
        judged = [progress for progress in whole if evaluator.asks(progress.trial.prompt)]
        if not judged:
            continue
        with evaluator.on_device():
            for start in range(0, len(judged), JUDGED_AT_ONCE):
                _judge_together(evaluator, judged[start : start + JUDGED_AT_ONCE])


def _judge_together(evaluator: Evaluator, judged: Sequence[Progress]) -> None:
    prompts = [progress.trial.prompt for progress in judged]
    initial = from_uint8(np.stack([progress.frames[0] for progress in judged]))
    best = from_uint8(np.stack([progress.frames[progress.best] for progress in judged]))
    verdicts = zip(
        checked_verdicts(evaluator, initial, prompts), checked_verdicts(evaluator, best, prompts), strict=True
    )
    for progress, (before, after) in zip(judged, verdicts, strict=True):
        progress.verdicts[evaluator.name] = (evaluator.kin, before, after)
        progress.failure = progress.failure or not_finite(evaluator, before) or not_finite(evaluator, after)
