"""A problem small enough to work by hand: the noise is its own image."""

from __future__ import annotations

import torch

from reno.methods import Problem, Step, TermScores, steps
from reno.spec.job import MethodSettings

ADAM = {"betas": [0.9, 0.999], "eps": 1e-8}


def settings(
    method="reno",
    iterations=3,
    lr=0.1,
    regularization=0.0,
    grad_clip=None,
    optimizer="adam",
    optimizer_settings=None,
    kind="",
    **options,
) -> MethodSettings:
    """options: the method's own."""
    own = optimizer_settings or ADAM
    return MethodSettings(method, iterations, lr, regularization, grad_clip, optimizer, own, kind, options)


def sgd(momentum=0.0, nesterov=False, **others) -> MethodSettings:
    return settings(optimizer="sgd", optimizer_settings={"momentum": momentum, "nesterov": nesterov}, **others)


def quadratic(batch=2, generate=None, score=None, target=0.3, loss_scale=1.0, dtype="bfloat16") -> Problem:
    """noise (B, 1, 2, 2) is its own image; the score (B,) is highest where the image is `target`.

    dtype: what it says of its models."""
    noise = torch.randn(batch, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fresh = torch.Generator().manual_seed(1)
    total = score or (lambda images: -(images - target).square().flatten(1).sum(1))

    def score_terms(images):
        scores = total(images)
        return TermScores(scores, torch.stack([scores, 2 * scores], dim=1))

    return Problem(
        noise=noise,
        draw=lambda: torch.randn(noise.shape, dtype=torch.float64, generator=fresh),
        generate=generate or (lambda noise: noise * 1.0),
        decode=lambda noise: noise * 2.0,
        score=score_terms,
        loss=lambda scores: 100 - scores,
        loss_scale=loss_scale,
        dtype=dtype,
    )


def run(problem: Problem, chosen: MethodSettings) -> list[Step]:
    """Every step, with its noise as it was when the step was made."""
    return [
        Step(
            step.iteration, step.noise.clone(), step.images, step.scores, step.losses, step.regularizer, step.grad_norm,
            dict(step.failures),
        )
        for step in steps(problem, chosen)
    ]  # fmt: skip
