"""Reward-based noise optimisation (Eyring et al., NeurIPS 2024, arXiv 2406.04312, Algorithm 1).

    e_0 ~ N(0, I);   e_{k+1} = optimiser step on  loss(G(e_k, p), p) + lambda * K(e_k)

over the whole chain: generator, image decoder, resize, metric. The image with the best score is the result; the caller
keeps track of it.

With start=k the first k images are of k fresh noises, and e_0 is the one of them with the best score. That is the idea
of CARINOX (arXiv 2509.17458); which noise it starts from, and how many images each part gets, is this program's own
choice. start=1 is ReNO as published. With start_by=NAME another metric chooses e_0; the trial's scores, and its best
image, are still those of the metric that is optimised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias

import torch

from reno.config.checks import text, whole_number
from reno.device.reading import Tensors
from reno.methods import (
    Problem,
    Step,
    TermScores,
    by_trial,
    finite_or_lowest,
    leaders,
    lost_in,
    picked,
    try_these,
    unoptimised,
    whole_identity,
    wider_dtype,
)
from reno.methods._ahead import climb_ahead
from reno.spec.errors import BadInput
from reno.spec.job import MethodSettings
from reno.weights.images import levels

Regularizer: TypeAlias = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""From a noise and the metric's gradient there, both (B, C, h, w), to the weighted regulariser (B,) and its
gradient."""
STATIC = RESUMES = True
Direction: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""From the metric's gradient (B, C, h, w) to the one that is followed instead, of the same shape."""


def steps(problem: Problem, settings: MethodSettings, *, start: int = 1, start_by: str | None = None) -> Iterator[Step]:
    """Yields iterations + 1 steps. With start=1, step k holds the image after k updates.

    start: how many noises are tried first. With k > 1 the first k steps hold their images, and the next one holds the
    best of them again, now with its gradient; iterations - k updates follow. start_by: a recorded metric that says
    which is best; None: the metric that is optimised.
    """
    yield from from_best_start(problem, settings, start, start_by=start_by)


def from_best_start(
    problem: Problem,
    settings: MethodSettings,
    start: int,
    regularizer: Regularizer | None = None,
    direction: Direction | None = None,
    start_by: str | None = None,
) -> Iterator[Step]:
    """The steps of ReNO, or of a variant of it. regularizer: another one, beside that of the noise's norm. direction:
    what is followed instead of the metric's gradient. start_by: as in `steps`."""
    if start == 1:
        yield from climb(Ascent(problem, problem.noise, settings, regularizer, direction), settings.iterations)
        return
    (best,) = yield from best_starts(problem, start, kept=1, by=start_by)
    ascent = Ascent(problem, best, settings, regularizer, direction)
    yield from climb(ascent, settings.iterations - start, first=start)


def check(settings: MethodSettings) -> None:
    """Raises BadInput if the noises that are tried first leave no image for an update."""
    start = whole_number("method.start", settings.options.get("start", 1), at_least=1)
    if start > 1 and start >= settings.iterations:
        raise BadInput(
            f"method.start={start} leaves no update of iterations={settings.iterations}, as each noise that is tried "
            f"takes an iteration; use a smaller method.start, or iterations={start + 1} or more"
        )
    if settings.options.get("start_by") is not None:
        text("method.start_by", settings.options["start_by"])
        if start == 1:
            raise BadInput("method.start_by chooses among several noises; give their number, such as method.start=20")


def asked(settings: MethodSettings) -> tuple[str, ...]:
    """The metric that chooses the start, if it is another one."""
    by = settings.options.get("start_by")
    return () if by is None else (str(by),)


def identity(settings: MethodSettings) -> dict[str, Any]:
    """start=1 and start_by=null are left out: trials from before there was a choice keep their ids."""
    unchosen = (("start", 1), ("start_by", None))
    options = {name: value for name, value in settings.options.items() if (name, value) not in unchosen}
    return whole_identity(dataclasses.replace(settings, options=options))


def shortened(settings: MethodSettings, iterations: int) -> MethodSettings:
    """With two noises tried, if there are several, and at most so many updates."""
    start = min(settings.options.get("start", 1), 2)
    before = start if start > 1 else 0
    options = settings.options | ({"start": start} if before else {})
    return dataclasses.replace(settings, iterations=min(settings.iterations, before + iterations), options=options)


def best_starts(problem: Problem, count: int, kept: int, by: str | None = None) -> Generator[Step, None, torch.Tensor]:
    """Yields the images of the initial noise and of count - 1 fresh ones, as best of n makes them. Returns each trial's
    `kept` noises with the best scores, best first, (kept, B, C, h, w); of equal scores the first. by: a name in
    `problem.others`, whose scores count; None: those of the metric that is optimised."""
    noises, scores = [], []
    for sample in range(count):
        step = unoptimised(problem, problem.draw() if sample else problem.noise, sample)
        score = problem.others[by](step.images) if by else step.scores.total  # before the step may be saved
        yield step
        noises.append(step.noise)
        scores.append(finite_or_lowest(score))
    return picked(torch.stack(noises), leaders(torch.stack(scores), kept))


def climb(ascent: Ascent, updates: int, first: int = 0) -> Iterator[Step]:
    """Yields updates + 1 steps: the k-th holds the image after k updates. The last takes no gradient. first: the number
    of the first step."""
    if ascent.may_run_ahead:
        yield from climb_ahead(ascent, first, first + updates, ascent.problem.ahead)
        yield ascent.last(first + updates)
        return
    for iteration in range(first, first + updates):
        yield ascent.look(iteration)
        ascent.move()
    yield ascent.last(first + updates)


class Ascent:
    """One noise of each trial on its way up: `look` takes the gradient at it, and `move` follows that gradient."""

    def __init__(
        self,
        problem: Problem,
        noise: torch.Tensor,
        settings: MethodSettings,
        regularizer: Regularizer | None = None,
        direction: Direction | None = None,
    ):
        """noise: where it begins, (B, C, h, w)."""
        self.problem, self.settings = problem, settings
        self.regularizer, self.direction = regularizer, direction
        self.noise = noise.clone().requires_grad_(True)
        self.optimizer = make_optimizer(self.noise, settings, fused=bool(problem.ahead and problem.ahead.fused))
        self.scale = torch.full((len(noise),), problem.loss_scale, dtype=noise.dtype, device=noise.device)
        self.failures: dict[int, str] = {}
        """Why a trial cannot go on, by its place. Its noise no longer changes."""
        self.begun = False
        self.regular = torch.ones((), dtype=torch.bool, device=noise.device)
        """Of `advance`: whether every number was finite since the last `move`."""

    @property
    def may_run_ahead(self) -> bool:
        """A further regularizer may draw noise on the host, which no device can do by itself; a tape is written by the
        host at each step."""
        return self.problem.ahead is not None and self.regularizer is None and self.problem.tape is None

    def look(self, iteration: int) -> Step:
        """The image, its score and its gradient."""
        noise = self.noise
        images, scores, losses, slope = _with_gradient(self.problem, noise, self.scale)
        for trial in _stopping(slope, not self.begun) - self.failures.keys():
            self.failures[trial] = where_cut(self.problem, noise, trial, iteration, self.scale)
        self.begun = True
        with torch.no_grad():
            regularizer, pull = _regularize(noise, self.settings.regularization)
            for trial in lost_in(pull) - self.failures.keys():
                self.failures[trial] = _irregular(noise, trial, iteration)
            if self.regularizer is not None:
                further, own_pull = self.regularizer(noise.detach(), slope)
                regularizer, pull = regularizer + further, pull + own_pull
            self.gradient = (slope if self.direction is None else self.direction(slope)) + pull
            self.grad_norm = self.gradient.flatten(1).norm(dim=1)
        failures = dict(self.failures)
        return Step(iteration, noise.detach(), images, scores, losses, regularizer, self.grad_norm, failures)

    def move(self) -> None:
        """One optimiser step along the gradient, clipped for each trial by itself."""
        self.noise.grad = clip_by_trial(self.gradient, self.grad_norm, self.settings.grad_clip)
        _update(self.optimizer, self.noise, stopped=sorted(self.failures))
        self.regular.fill_(True)

    def advance(self) -> Tensors:
        """`look` and `move` in one, of which the host reads nothing: tensors of B trials, the noise and the images as
        they were before the update. Not before the first `move`, which makes the optimiser's state.

        Where any number is not finite, "regular" is False, and nothing moves until the next `move`: the step is to be
        taken by `look` and `move`.
        """
        before = [tensor.detach().clone() for tensor in self.state()]
        images, scores, losses, slope = _once_with_gradient(self.problem, self.noise, self.scale)
        with torch.no_grad():
            regularizer, pull = _regularize(self.noise, self.settings.regularization)
            gradient = (slope if self.direction is None else self.direction(slope)) + pull
            grad_norm = gradient.flatten(1).norm(dim=1)
            self.regular.logical_and_(slope.isfinite().all() & pull.isfinite().all())
            self.noise.grad = clip_by_trial(gradient, grad_norm, self.settings.grad_clip)
            self.optimizer.step()
            for tensor, kept in zip(self.state(), before, strict=True):
                if tensor is not self.regular:
                    tensor.copy_(torch.where(self.regular, tensor, kept))
            return {
                "noise": before[0],
                "images": images,
                "pixels": levels(images).contiguous(),
                "total": scores.total,
                "terms": scores.terms,
                "losses": losses,
                "regularizer": regularizer,
                "grad_norm": grad_norm,
                "regular": self.regular.clone(),
            }

    def state(self) -> list[torch.Tensor]:
        """What `advance` changes: the noise first, the optimiser's tensors, and whether all was regular."""
        own = self.optimizer.state[self.noise].values()
        return [self.noise, *(value for value in own if torch.is_tensor(value)), self.regular]

    def last(self, iteration: int) -> Step:
        """The image and its score, without a gradient."""
        noise = self.noise.detach()
        step = unoptimised(self.problem, noise, iteration)
        images, scores = step.images, step.scores.total
        for trial in (lost_in(images) | lost_in(scores[:, None])) - self.failures.keys():
            self.failures[trial] = _lost(self.problem, images, scores, trial, iteration)
        regularizer, _ = _regularize(noise, self.settings.regularization)
        if self.regularizer is not None:
            regularizer = torch.full_like(regularizer, float("nan"))  # it may depend on the gradient
        return dataclasses.replace(step, regularizer=regularizer, failures=dict(self.failures))


def make_optimizer(noise: torch.Tensor, settings: MethodSettings, fused: bool = False) -> torch.optim.Optimizer:
    """Adam or SGD on the batch's noise. Both update each element by itself, so trials do not affect each other.

    fused: in one kernel, which rounds differently; the count of steps is a tensor on the noise's device.
    """
    options = settings.optimizer_settings
    kernel: dict[str, Any] = {"fused": True} if fused else {}
    if settings.optimizer == "adam":
        capturable = {"capturable": True} if fused and noise.is_cuda else {}
        betas, eps = tuple(options["betas"]), options["eps"]
        return torch.optim.Adam([noise], lr=settings.lr, betas=betas, eps=eps, **kernel, **capturable)
    momentum, nesterov = options["momentum"], options["nesterov"]
    return torch.optim.SGD([noise], lr=settings.lr, momentum=momentum, nesterov=nesterov, **kernel)


def noise_regularizer(noise: torch.Tensor) -> torch.Tensor:
    """K(e) = |e|^2 / 2 - (d - 1) log |e| of each trial, (B,): the negative log-density of the norm of a d-dimensional
    standard Gaussian, up to a constant (ReNO, section 3.3, after Samuel et al. 2023). Smallest at |e| = sqrt(d - 1).

    noise: (B, C, h, w), float32 or wider: the terms are of the order of d and nearly cancel.
    """
    flat = noise.flatten(1)
    norm = flat.norm(dim=1)
    return 0.5 * norm**2 - (flat.shape[1] - 1) * norm.log()


def noise_regularizer_gradient(noise: torch.Tensor) -> torch.Tensor:
    """dK/de = (1 - (d - 1) / |e|^2) e, shaped like the noise. It is computed in closed form, so that autograd gives the
    metric's gradient alone."""
    flat = noise.flatten(1)
    scale = 1 - (flat.shape[1] - 1) / flat.square().sum(dim=1)
    return noise * by_trial(scale, noise)


def _regularize(noise: torch.Tensor, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted regulariser (B,) and its gradient, shaped like the noise. With weight 0 both are 0, also for a noise
    that is zero or too large, of which K is not finite."""
    if not weight:
        return noise.new_zeros(len(noise)), torch.zeros_like(noise)
    return weight * noise_regularizer(noise), weight * noise_regularizer_gradient(noise)


def clip_by_trial(gradient: torch.Tensor, grad_norm: torch.Tensor, limit: float | None) -> torch.Tensor:
    """Scales each trial's gradient (B, ...) so that its norm (B,) is at most `limit`; None leaves it as it is."""
    if limit is None:
        return gradient
    scale = (limit / grad_norm.clamp_min(torch.finfo(grad_norm.dtype).tiny)).clamp_max(1.0)
    return gradient * by_trial(scale, gradient)


def _with_gradient(
    problem: Problem, noise: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, TermScores, torch.Tensor, torch.Tensor]:
    """Images, scores, losses and d loss / d noise, all without a graph.

    scale: (B,), the factor of each trial's loss while its gradient is taken. If a gradient overflows, the factor is
    halved in place, for the later steps too, and the chain runs again, until the gradient is finite or the factor is 1.
    The other trials get the same numbers from every run.
    """
    tape = problem.tape
    if tape and (answer := tape.next(noise.device)):
        scale.copy_(answer.scale)
        return answer.blank(), TermScores(answer.total, answer.terms), problem.loss(answer.total), answer.slope
    while True:
        images, scores, losses, slope = _once_with_gradient(problem, noise, scale)
        if problem.loss_scale == 1:
            break
        overflown = losses.isfinite() & ~slope.flatten(1).isfinite().all(dim=1) & (scale > 1)
        if not overflown.any():
            break
        scale[overflown] /= 2
        del images, scores, losses, slope  # the next run needs their memory
    if tape:
        tape.add(images, scores.total, scores.terms, slope, scale)
    return images, scores, losses, slope


def _once_with_gradient(
    problem: Problem, noise: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, TermScores, torch.Tensor, torch.Tensor]:
    """The same from one run of the chain, finite or not."""
    images = problem.generate(noise)
    scores = problem.score(images)
    losses = problem.loss(scores.total)
    slope = _metric_gradient(losses, noise, scale)
    return images.detach(), TermScores(scores.total.detach(), scores.terms.detach()), losses.detach(), slope


def _metric_gradient(losses: torch.Tensor, noise: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """d loss / d noise of each trial, shaped like the noise; zero if the chain has no graph."""
    if not losses.requires_grad:
        return torch.zeros_like(noise)
    # Summing keeps the trials apart: the derivative of the sum with respect to one trial's noise is its own.
    (gradient,) = torch.autograd.grad((losses * scale).sum(), noise, allow_unused=True)
    if gradient is None:
        return torch.zeros_like(noise)
    return gradient / by_trial(scale, noise)


def _stopping(gradient: torch.Tensor, first: bool) -> set[int]:
    """The trials whose gradient (B, ...) cannot be followed: not finite, or, in the first step, exactly zero."""
    cut = set((gradient == 0).flatten(1).all(dim=1).nonzero().flatten().tolist()) if first else set()
    return lost_in(gradient) | cut


def where_cut(problem: Problem, noise: torch.Tensor, trial: int, iteration: int, scale: torch.Tensor) -> str:
    """A sentence that says where between noise and loss one trial's gradient is lost. Runs the chain once more."""
    at = f"iteration {iteration}"
    rounded = ", or is too small or too large for float16; try dtype=float32" if problem.loss_scale > 1 else ""
    probe = noise.detach().requires_grad_(True)
    images = problem.generate(probe)
    seen = images.detach().requires_grad_(True)
    scores = problem.score(seen).total
    if lost := _lost(problem, images, scores, trial, iteration):
        return lost
    slope = _metric_gradient(problem.loss(scores), seen, scale)[trial]
    if not slope.isfinite().all():
        advice = _advice(problem, iteration)
        return f"{at}: the metric's gradient with respect to the image is not finite{advice}"
    if not slope.any():
        return f"{at}: the chain is cut in the metric: the gradient of its loss at the image is zero{rounded}"
    if not images.requires_grad:
        return f"{at}: the chain is cut in the generator: its image carries no graph back to the noise"
    return f"{at}: the chain is cut in the generator: no usable gradient passes back to the noise{rounded}"


def _lost(problem: Problem, images: torch.Tensor, scores: torch.Tensor, trial: int, iteration: int) -> str | None:
    """A sentence if one trial's image or score is not finite. images: (B, 3, H, W); scores: (B,)."""
    if not images[trial].isfinite().all():
        what = "the generator made an image with values that are not finite"
    elif not scores[trial].isfinite():
        what = "the metric's score is not finite"
    else:
        return None
    return f"iteration {iteration}: {what}{_advice(problem, iteration)}"


def _irregular(noise: torch.Tensor, trial: int, iteration: int) -> str:
    """Why a trial cannot follow its regulariser."""
    norm = float(noise[trial].detach().norm())
    return (
        f"iteration {iteration}: the gradient of the noise-norm regulariser is not finite: the noise's norm is "
        f"{norm:g}; try regularization=0"
    )


def _advice(problem: Problem, iteration: int) -> str:
    """The end of a sentence about numbers that are not finite. Only after an update can a step have been too large."""
    return try_these([*wider_dtype(problem.dtype), *["a smaller lr"] * (iteration > 0)])


def _update(optimizer: torch.optim.Optimizer, noise: torch.Tensor, stopped: list[int]) -> None:
    """One optimiser step. The noise of stopped trials does not change, even if it has momentum."""
    if not stopped:
        optimizer.step()
        return
    noise.grad[stopped] = 0.0
    kept = noise.detach()[stopped].clone()
    optimizer.step()
    with torch.no_grad():
        noise[stopped] = kept
