"""ReNO with the probability regulariser of direct noise optimisation (Tang et al. 2024, arXiv 2405.18881).

The noise is cut into m pieces z_i of k = 4 elements. Of pieces ~ N(0, I), two deviations are bounded,

    log p_1 = -m |mean z_i|^2 / (2 k)                                          the mean
    log p_2 = -m max(sqrt(1 + M) - 1 - sqrt(k / m), 0)^2 / 2                   the covariance
              with M = ||mean z_i z_i^T - I||_2,

each at most log(1/2), so that noise that is likely anyway has no gradient. R = -(log p_1 + log p_2) of the noise in its
own order plus its mean over `shuffles` random orders. gamma R is added to the loss.

The formulas are those of the authors' code; that the paper's text has the same constants was not confirmed. The authors
use AdamW, lr 0.01, and clip at 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from reno.config.checks import number, whole_number
from reno.methods import Problem, Step, reno
from reno.methods.mpgr import shuffled
from reno.spec.job import MethodSettings

identity, shortened = reno.identity, reno.shortened

RESUMES = True

PIECE = 4


def steps(
    problem: Problem, settings: MethodSettings, *, start: int = 1, gamma: float = 1.0, shuffles: int = 100
) -> Iterator[Step]:
    """ReNO's steps with the regulariser. gamma: its weight. shuffles: random orders at each step, 0 or more."""

    def regularizer(noise: torch.Tensor, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            probe = noise.clone().requires_grad_(True)
            line = probe.flatten(1)
            values = improbability(line)
            if shuffles:
                orders = torch.cat([shuffled(line, problem.draw()) for _ in range(shuffles)])
                values = values + improbability(orders).reshape(shuffles, -1).mean(dim=0)
            (pull,) = torch.autograd.grad(gamma * values.sum(), probe)
        return gamma * values.detach(), pull

    yield from reno.from_best_start(problem, settings, start, regularizer=regularizer)


def check(settings: MethodSettings) -> None:
    """Raises BadInput for options that cannot be used."""
    reno.check(settings)
    number("method.gamma", settings.options.get("gamma", 1.0), at_least=0.0)
    whole_number("method.shuffles", settings.options.get("shuffles", 100), at_least=0)


def improbability(lines: torch.Tensor) -> torch.Tensor:
    """-(log p_1 + log p_2) of lines (B, d), (B,); 2 log 2 or more. Elements after the last whole piece are left out."""
    count = lines.shape[1] // PIECE
    pieces = lines[:, : count * PIECE].reshape(len(lines), count, PIECE)
    of_mean = count * pieces.mean(dim=1).square().sum(dim=1) / (2 * PIECE)
    unit = torch.eye(PIECE, dtype=lines.dtype, device=lines.device)
    covariance = pieces.transpose(1, 2) @ pieces / count
    deviation = torch.linalg.matrix_norm(covariance - unit, ord=2)
    excess = ((1 + deviation).sqrt() - 1 - math.sqrt(PIECE / count)).clamp_min(0)
    return of_mean.clamp_min(math.log(2)) + (count * excess.square() / 2).clamp_min(math.log(2))
