"""ReNO with a regulariser of moments and power spectrum (Hwang, Kim and Sung 2025, arXiv 2509.07027).

The noise is taken as one line x of d elements in a random order, another one at each step, with spectrum y:

    R = |mean(x) - 0| + |mean(x^2) - 1| + 25 * mean over bins of 16 frequencies of |mean(|y|) - 0.875|

Its gradient is scaled to `weight` times the length of the metric's. The paper uses Nesterov momentum and clips at 0.01.

Not confirmed from the paper: which moments it uses, and how their losses are weighted. The spectrum is packed as in
reno/methods/gper.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from reno.config.checks import number
from reno.methods import Problem, Step, by_trial, reno
from reno.methods.gper import spectrum
from reno.spec.job import MethodSettings

identity, shortened = reno.identity, reno.shortened

RESUMES = True

BIN = 16
AMPLITUDE = 0.875
"""The mean amplitude of a bin that has no loss. That of white noise is sqrt(pi) / 2 = 0.886."""
SPECTRAL = 25.0


def steps(problem: Problem, settings: MethodSettings, *, start: int = 1, weight: float = 1.0) -> Iterator[Step]:
    """ReNO's steps with the regulariser. weight: the length of its gradient, in lengths of the metric's."""

    def regularizer(noise: torch.Tensor, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            probe = noise.clone().requires_grad_(True)
            values = irregularity(shuffled(probe.flatten(1), problem.draw()))
            (pull,) = torch.autograd.grad(values.sum(), probe)
        length = pull.flatten(1).norm(dim=1)
        factor = weight * slope.flatten(1).norm(dim=1) / torch.where(length > 0, length, 1)
        return factor * values.detach(), by_trial(factor, pull) * pull

    yield from reno.from_best_start(problem, settings, start, regularizer=regularizer)


def check(settings: MethodSettings) -> None:
    """Raises BadInput for options that cannot be used."""
    reno.check(settings)
    number("method.weight", settings.options.get("weight", 1.0), at_least=0.0)


def irregularity(lines: torch.Tensor) -> torch.Tensor:
    """R of real lines (B, d), (B,). The last bin of the spectrum may be shorter. Raises ValueError for an odd d."""
    moments = lines.mean(dim=1).abs() + (lines.square().mean(dim=1) - 1).abs()
    bins = [part.mean(dim=1) for part in spectrum(lines).abs().split(BIN, dim=1)]
    return moments + SPECTRAL * (torch.stack(bins, dim=1) - AMPLITUDE).abs().mean(dim=1)


def shuffled(lines: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Each line (B, d) in a random order of its own, by the ranks of fresh noise (B, ...): all orders are as likely."""
    return lines.gather(1, noise.flatten(1).argsort(dim=1))
