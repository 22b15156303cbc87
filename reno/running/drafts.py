"""Drafts and full images, where a generator has a small decoder.

The method sees drafts: it follows, ranks and stops by their scores. The generator's own decoder makes these images of a
trial again, from the same noise, and the metric scores them: the first, every tenth, and at the end the one with the
best draft and the last one. They are the full images. The trial's best image is the best of them by their own scores.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from reno.methods import Step, TermScores
from reno.running.progress import KeptImages, Progress, rows_of, score_columns
from reno.weights.images import to_uint8

EVERY = 10
"""Iterations from one full image to the next."""

Redraw: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Noise (B, ...) to images (B, 3, H, W) by the generator's own decoder."""


class FullImages:
    """Makes the full images of one batch of B trials."""

    def __init__(self, redraw: Redraw, score: Callable[[torch.Tensor], TermScores], device: torch.device):
        self.redraw, self.score, self.device = redraw, score, device
        self.leading: torch.Tensor | None = None
        """(B, ...), the noise of each trial's best draft so far."""
        self.last: torch.Tensor | None = None
        """(B, ...), the noise of each trial's last image so far."""

    def of(self, step: Step) -> Step:
        """A step with its full images and their scores, if it is one of those that have them; otherwise with its drafts
        and with NaN for the scores of full images."""
        if step.iteration % EVERY:
            total, terms = step.scores.total, step.scores.terms
            unknown = TermScores(torch.full_like(total, float("nan")), torch.full_like(terms, float("nan")))
            return dataclasses.replace(step, scores=unknown)
        images, scores = self._made(step.noise)
        return dataclasses.replace(step, images=images, scores=scores, pixels=None)

    def keep(self, noise: torch.Tensor, trials: Sequence[Progress]) -> None:
        """Keeps the noise (B, ...) of the step that was just added to the trials, as far as a full image may be made of
        it at the end."""
        if self.last is None:
            self.leading, self.last = noise.clone(), noise.clone()
        for place, progress in enumerate(trials):
            if progress.stepped:
                self.last[place] = noise[place]
                if progress.leading == len(progress.trace) - 1:
                    self.leading[place] = noise[place]

    def finish(self, trials: Sequence[Progress], terms: Sequence[str], images: KeptImages) -> float:
        """Adds the full images that are still missing at the method's end to the traces, frames and kept images.
        Returns the seconds that it took, which count as the last iteration's.

        terms: the names of the metric's terms."""
        started = time.perf_counter()
        self._add(self.leading, {place: one.leading for place, one in enumerate(trials)}, trials, terms, images)
        ended = {place: len(one.trace) - 1 for place, one in enumerate(trials)}
        images.last = images.last.clone()
        for place, image in self._add(self.last, ended, trials, terms, images).items():
            images.last[place] = image
        seconds = time.perf_counter() - started
        for progress in trials:
            progress.trace[-1]["seconds"] += seconds
        return seconds

    def _add(
        self,
        noise: torch.Tensor,
        iterations: dict[int, int],
        trials: Sequence[Progress],
        terms: Sequence[str],
        images: KeptImages,
    ) -> dict[int, torch.Tensor]:
        """Adds the full images of noise (B, ...), each of its trial's iteration, where they are missing. Returns them
        (3, H, W) by the trial's place. The whole batch is made, as in every iteration: kernels round differently in a
        smaller one."""
        missing = {place: at for place, at in iterations.items() if at > 0 and at % EVERY}
        if not missing:
            return {}
        made, scores = self._made(noise)
        rows, pixels = rows_of(score_columns(scores, terms)), to_uint8(made)
        for place, at in missing.items():
            progress = trials[place]
            progress.trace[at] |= rows[place]
            progress.frames[at] = pixels[place]
            progress.rank(at, noise[place])
            if progress.best == at:
                images.best[place] = made[place]
        return {place: made[place] for place in missing}

    @torch.no_grad()
    def _made(self, noise: torch.Tensor) -> tuple[torch.Tensor, TermScores]:
        images = self.redraw(noise.to(self.device))
        return images, self.score(images)
