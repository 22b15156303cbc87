"""One batch of trials, from the initial noise to the values that the store keeps of each trial.

The method yields steps. `run_batch` adds each step to the traces and frames and keeps the best image; after the last
step the recorded metrics score the images and the judges judge them. `run_batch` yields its state after every step, so
that the caller can show and track it.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from reno import methods
from reno.device.graphs import record_graph
from reno.device.reading import Reader
from reno.evaluators import Evaluator, checked_verdicts, not_finite
from reno.methods import Problem, Step, TermScores, lost_in, try_these, wider_dtype
from reno.methods._ahead import Ahead
from reno.methods._tape import Tape
from reno.metrics import WeightedSum
from reno.running.drafts import FullImages, Redraw
from reno.running.noise import NoiseSource, further_noises
from reno.running.pool import Models
from reno.running.progress import BatchRun, KeptImages, Progress, digest, why_stopped
from reno.running.saving import UNSAVED, Astray, Save, SavedStep, Unsaved
from reno.spec.errors import BadInput
from reno.spec.job import MethodSettings
from reno.spec.trial import LOSS_SCALE, TrialSpec
from reno.store.records import SCORED
from reno.weights.images import from_uint8, to_uint8

JUDGED_AT_ONCE = 4
"""Images that a judge sees in one call, so that its memory does not grow with the batch."""


def run_batch(
    batch: Sequence[TrialSpec],
    settings: MethodSettings,
    metric_name: str,
    models: Models,
    shape: int = 1,
    save: Save | Unsaved = UNSAVED,
) -> Iterator[BatchRun]:
    """Runs trials side by side. Yields the state after every step, and once more after scoring and judging.

    shape: how many run side by side at least. A smaller batch is filled up with copies of its last trial, whose results
    are dropped: kernels round differently in a smaller batch. save: where the state is saved, and goes on from; the
    saved steps are yielded like new ones. Raises Astray if they lead to another noise.
    """
    filled = [*batch, *[batch[-1]] * (shape - len(batch))]
    device = models.generator.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run = BatchRun([Progress(trial) for trial in batch])
    images = KeptImages()
    problem, redraw = _problem(filled, models, methods.asked(settings), save.tape)
    full = FullImages(redraw, problem.score, device) if redraw else None
    steps = methods.steps(problem, settings)
    for number in itertools.count():
        started = time.perf_counter()
        step = next(steps, None)
        saved = save.step(number)
        if step is None and saved:
            raise Astray
        if step is None:
            break
        _check_step(step, len(filled))
        drafted = step.scores.total if full else None
        if saved:
            step, pixels, seconds = _as_saved(step, saved)
        else:
            step = full.of(step) if full else step
            pixels = to_uint8(step.images) if step.pixels is None else step.pixels  # waits for the device
            seconds = time.perf_counter() - started
        run.seconds += seconds
        digest(run.trials, step, models.metric.names, seconds, pixels, drafted)
        if full:
            full.keep(step.noise, run.trials)
        if saved:
            images = save.check(number, step.noise) or images
        else:
            images.keep(step.images, run.trials)
            new = SavedStep(pixels[: len(batch)], seconds, step.scores if full else None)
            save.add(number, step.noise, new, images)
        for progress in run.trials:
            progress.stopped = progress.stopped or why_stopped(progress, settings.stop, len(filled))
        yield run
        if all(progress.stopped for progress in run.trials):
            break
    if full:
        run.seconds += full.finish(run.trials, models.metric.names, images)
    if device.type == "cuda":
        run.device_bytes = torch.cuda.max_memory_allocated(device)
    _score(run.trials, filled, images, metric_name, models)
    _judge(run.trials, models)
    run.scored = True
    yield run


def _as_saved(step: Step, saved: SavedStep) -> tuple[Step, np.ndarray, float]:
    """A step that comes from the past, as it was, with its pixels and its seconds."""
    if saved.full is None:
        return step, saved.pixels, saved.seconds
    device = step.noise.device
    scores = TermScores(saved.full.total.to(device), saved.full.terms.to(device))
    return dataclasses.replace(step, scores=scores), saved.pixels, saved.seconds


def _check_step(step: object, trials: int) -> None:
    """Raises ValueError if a method yields something else than a Step of the whole batch."""
    if not isinstance(step, Step):
        raise ValueError(f"the method yielded a {type(step).__name__}; it has to yield reno.methods.Step")
    if len(step.images) != trials:
        raise ValueError(f"the method yielded {len(step.images)} images of a batch of {trials} trials")


def _problem(
    batch: Sequence[TrialSpec], models: Models, asked: Sequence[str] = (), tape: Tape | None = None
) -> tuple[Problem, Redraw | None]:
    """The problem that the method solves, and what makes the full images if the method sees drafts. The initial noise
    and the encoded prompts do not change over the iterations, so they are computed once, here.

    asked: the recorded metrics that the method asks besides."""
    generator, metric = models.generator, models.metric
    texts = [trial.prompt.text for trial in batch]
    dtype = torch.float64 if generator.dtype == torch.float64 else torch.float32
    seeds = [trial.seed for trial in batch]
    source = NoiseSource(seeds, generator.latent_shape, generator.device, dtype)
    conditioning = generator.encode(texts)
    if generator.noises:
        conditioning = generator.with_noises(conditioning, further_noises(seeds, generator.noises, source))
    encoded = metric.encode(texts)

    def score(images: torch.Tensor) -> TermScores:
        terms = metric(images, encoded)
        return TermScores(metric.total(terms), terms)

    def redraw(noise: torch.Tensor) -> torch.Tensor:
        return generator(noise, conditioning)

    problem = Problem(
        noise=source.draw(),
        draw=source.draw,
        generate=(lambda noise: generator.draft(noise, conditioning)) if generator.drafts else redraw,
        decode=_no_decode if generator.drafts else generator.decode,
        score=score,
        loss=metric.loss,
        loss_scale=LOSS_SCALE.get(batch[0].dtype, 1.0),
        dtype=batch[0].dtype,
        others={name: _other(models, name, texts, tape) for name in asked},
        ahead=_ahead(generator.device, models.execution.graph),
        tape=tape,
    )
    return problem, redraw if generator.drafts else None


def _other(models: Models, name: str, texts: list[str], tape: Tape | None) -> Callable[[torch.Tensor], torch.Tensor]:
    """The scores (B,) of images (B, 3, H, W) by a recorded metric, which is on the device only during the call."""
    metric = models.recorded[name]
    terms = len(models.metric.names)
    encoded: list[Any] = []
    """The texts as the metric reads them, once; not before they are needed, since a tape needs no model."""

    @torch.no_grad()
    def score(images: torch.Tensor) -> torch.Tensor:
        if tape and (answer := tape.next(images.device)):
            return answer.total
        try:
            metric.bring()
            encoded[:] = encoded or [metric.encode(texts)]
            scores = metric.total(metric(images, *encoded))
        finally:
            metric.leave()
            models.metric.bring()  # it may share a model with the recorded one
        if tape:
            tape.add(images, scores, scores[:, None].expand(-1, terms))  # as many terms as the other answers have
        return scores

    return score


def _no_decode(latents: torch.Tensor) -> torch.Tensor:
    raise BadInput("this method makes images by the generator's own decoder alone; use models.generator.decoder=null")


def _ahead(device: torch.device, graph: bool) -> Ahead | None:
    """How the device runs ahead of the host. Only a CUDA GPU does: a CPU works for both."""
    if device.type != "cuda":
        return None
    return Ahead(Reader(device).begin, record_graph if graph else None, fused=True)


@torch.no_grad()
def _score(
    trials: list[Progress], filled: Sequence[TrialSpec], images: KeptImages, metric_name: str, models: Models
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


def _scores_of(metric: WeightedSum, texts: list[str], images: KeptImages) -> dict[str, list[float | None]]:
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
