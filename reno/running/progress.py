"""What a batch of trials has so far: traces, frames, the best images and their noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from reno.methods import Step, TermScores
from reno.spec.job import Stop
from reno.spec.judgements import Verdict
from reno.spec.trial import TrialSpec
from reno.store.files import DRAFT_SCORE, TraceRow


@dataclass
class Progress:
    """The results of one trial so far."""

    trial: TrialSpec
    trace: list[TraceRow] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)
    """uint8 (H, W, 3), one per iteration."""
    best: int = -1
    """The iteration with the best score so far; of equal scores the first; -1 before the first finite score."""
    leading: int = -1
    """The iteration with the best score that the method has seen. It is `best`, unless the method sees drafts."""
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

    def seen(self, iteration: int) -> float | None:
        """The score that the method saw at an iteration."""
        row = self.trace[iteration]
        return row.get(DRAFT_SCORE, row["score"])

    def rank(self, iteration: int, noise: torch.Tensor) -> None:
        """Notes whether an iteration's image is the best so far, by what the method saw and by its score. noise: the
        image's, (C, h, w)."""
        if _is_better(self.seen, iteration, self.leading):
            self.leading = iteration
        if _is_better(lambda at: self.trace[at]["score"], iteration, self.best):
            self.best = iteration
            self.best_noise = _as_array(noise)


def _is_better(score: Callable[[int], float | None], iteration: int, best: int) -> bool:
    """Whether an iteration has a higher score than the best one, or an equal one earlier. best: -1 for none yet."""
    value = score(iteration)
    return value is not None and (best < 0 or (value, -iteration) > (score(best), -best))


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


@dataclass
class KeptImages:
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


def digest(
    trials: list[Progress],
    step: Step,
    terms: Sequence[str],
    seconds: float,
    pixels: np.ndarray,
    drafted: torch.Tensor | None,
) -> None:
    """Adds one step to the traces and frames of the trials that have not stopped, and keeps the noise of the best image
    so far.

    terms: the names of the metric's terms; if there are several, each gets a column. drafted: the scores (B,) of the
    drafts that the method saw; None if it saw the step's own images."""
    scores = score_columns(step.scores, terms)
    columns = {
        "loss": step.losses,
        "score": scores.pop("score"),
        "regularizer": step.regularizer,
        "grad_norm": step.grad_norm,
        "noise_norm": step.noise_norm,
        **scores,
        **({} if drafted is None else {DRAFT_SCORE: drafted}),
    }
    rows = rows_of(columns)
    for place, progress in enumerate(trials):
        progress.stepped = progress.stopped is None
        if not progress.stepped:
            continue
        progress.trace.append({"iteration": step.iteration, **rows[place], "seconds": seconds})
        progress.frames.append(pixels[place])
        progress.failure = progress.failure or step.failures.get(place)
        if progress.initial_noise is None:
            progress.initial_noise = _as_array(step.noise[place])
        progress.rank(step.iteration, step.noise[place])


def score_columns(scores: TermScores, terms: Sequence[str]) -> dict[str, torch.Tensor]:
    own = {f"score/{name}": scores.terms[:, place] for place, name in enumerate(terms)} if len(terms) > 1 else {}
    return {"score": scores.total, **own}


def rows_of(columns: dict[str, torch.Tensor]) -> list[TraceRow]:
    """The values of columns (B,) by trial; None for one that is not finite."""
    values = [column.double().tolist() for column in columns.values()]
    finite = ([value if np.isfinite(value) else None for value in row] for row in zip(*values, strict=True))
    return [dict(zip(columns, row, strict=True)) for row in finite]


def why_stopped(progress: Progress, stop: Stop, side_by_side: int) -> str | None:
    """What ends a trial after its last image so far, by the name of the limit; None if it goes on.

    side_by_side: the trials of the batch, copies included, which share its seconds."""
    score = progress.seen(-1)
    since = len(progress.trace) - 1 - max(progress.leading, 0)
    reached = {
        "images": stop.images is not None and len(progress.trace) >= stop.images,
        "score": stop.score is not None and score is not None and score >= stop.score,
        "patience": stop.patience is not None and since >= stop.patience,
        "seconds": stop.seconds is not None and progress.seconds / side_by_side >= stop.seconds,
    }
    return next((name for name, ends in reached.items() if ends), None)


def _as_array(noise: torch.Tensor) -> np.ndarray:
    return noise.detach().float().cpu().numpy().copy()
