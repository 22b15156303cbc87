"""Gradient preconditioning (Hwang and Sung 2026, arXiv 2602.08646): ReNO along a gradient that is made noise-like.

The gradient's spectrum is cut into blocks of `block` complex numbers. In each block the magnitudes a are replaced by
the nearest ones with the norms that white noise has on average,

    |a|_1 = (sqrt(pi) / 2) * block   and   |a|_2^2 = block,

and the phases stay. The nearest point is c * max(a - t, 0), with one threshold t for a block, in closed form.
The paper uses Adam (lr 0.1 for SDXL-Turbo, 0.02 for FLUX), clips at 0.03 and has no regulariser of the norm. The
regulariser's gradient, if there is one, is added after the projection.

Not confirmed from the paper: the order in which elements and frequencies are cut into blocks. Here the noise is one
line in the order of its elements, and a block holds neighbouring frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from reno.config.checks import whole_number
from reno.methods import Problem, Step, reno
from reno.spec.job import MethodSettings

identity, shortened = reno.identity, reno.shortened

STATIC = RESUMES = True


def steps(problem: Problem, settings: MethodSettings, *, start: int = 1, block: int = 16) -> Iterator[Step]:
    """ReNO's steps along the projected gradient. block: complex numbers in a block; the last one may be shorter."""
    yield from reno.from_best_start(problem, settings, start, direction=lambda slope: noise_like(slope, block))


def check(settings: MethodSettings) -> None:
    """Raises BadInput for options that cannot be used."""
    reno.check(settings)
    whole_number("method.block", settings.options.get("block", 16), at_least=2)


def noise_like(gradient: torch.Tensor, block: int) -> torch.Tensor:
    """The gradient (B, ...) with projected magnitudes; a block of zeros stays zero. Raises ValueError for an odd number
    of elements."""
    values = spectrum(gradient.flatten(1))
    sizes = values.abs()
    projected = torch.cat([project(part) for part in sizes.split(block, dim=1)], dim=1)
    phases = torch.where(sizes > 0, values / sizes.clamp_min(torch.finfo(sizes.dtype).tiny), 0)
    return line_of(projected * phases).reshape(gradient.shape)


def spectrum(lines: torch.Tensor) -> torch.Tensor:
    """The unitary discrete Fourier transform of real lines (B, N) as (B, N / 2) complex numbers. The first holds the
    two real ones, of frequencies 0 and N / 2. Of white noise ~ N(0, 1), each has a mean square of 1."""
    count = lines.shape[1]
    if count % 2:
        raise ValueError(f"the noise has {count} elements; a spectrum is packed only of an even number")
    values = torch.fft.rfft(lines, norm="ortho")
    ends = torch.complex(values[:, 0].real, values[:, -1].real) / math.sqrt(2)
    return torch.cat([ends[:, None], values[:, 1:-1]], dim=1)


def line_of(values: torch.Tensor) -> torch.Tensor:
    """The real lines (B, N) of a packed spectrum (B, N / 2)."""
    ends = values[:, :1] * math.sqrt(2)
    first, last = (torch.complex(end, torch.zeros_like(end)) for end in (ends.real, ends.imag))
    return torch.fft.irfft(torch.cat([first, values[:, 1:], last], dim=1), norm="ortho")


def project(sizes: torch.Tensor) -> torch.Tensor:
    """The nearest magnitudes (B, n) to these with |a|_1 = (sqrt(pi) / 2) n and |a|_2^2 = n.

    They are c * max(a - t, 0). If the k largest stay, with mean m and variance v, the ratio of the two norms asks for
    m - t = sqrt(r v / (k - r)) with r = (pi / 4) n; k is right if t lies between the k-th and the next. Magnitudes that
    are all equal have no nearest point, and keep their ratio; zeros stay zero.
    """
    count = sizes.shape[1]
    ratio = math.pi / 4 * count
    largest = sizes.amax(dim=1, keepdim=True)
    scaled = sizes / torch.where(largest > 0, largest, 1)  # the projection does not depend on their scale
    falling = scaled.sort(dim=1, descending=True).values
    kept = torch.arange(1, count + 1, device=sizes.device, dtype=sizes.dtype)
    mean = falling.cumsum(1) / kept
    variance = (falling.square().cumsum(1) / kept - mean.square()).clamp_min(0)
    enough = kept > ratio
    threshold = mean - (ratio * variance / (kept - ratio).where(enough, torch.ones_like(kept))).sqrt()
    following = torch.cat([falling[:, 1:], torch.full_like(falling[:, :1], float("-inf"))], dim=1)
    right = enough & (threshold < falling) & (threshold >= following)
    place = torch.where(right.any(dim=1), right.long().argmax(dim=1), count - 1)
    shifted = (scaled - threshold.gather(1, place[:, None])).clamp_min(0)
    shifted = torch.where(shifted.any(dim=1, keepdim=True), shifted, scaled)
    norm = shifted.norm(dim=1, keepdim=True)
    return shifted * (math.sqrt(count) / torch.where(norm > 0, norm, 1))
