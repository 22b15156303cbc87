"""The arithmetic of a comparison: measuring sides in turn, the median of their ratios, the distance from a straight
line; and this process's peak memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from reno.letters.output import warn
from reno.spec.errors import BadInput

MIB = 2**20


def say(line: str) -> None:
    """Prints a line of progress to stderr, apart from the result on stdout."""
    warn(f"  {line}")


def in_turn(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The measurements of each side, round by round. Every second round goes through the sides backwards, so that a
    machine that slows down as it warms favours none."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            measured[name].append(sides[name]())
        said = ", ".join(f"{name} {values[-1]:.4g}" for name, values in measured.items())
        say(f"round {number + 1} of {rounds}: {said}")
    return measured


def ratio(values: Sequence[float], baseline: Sequence[float]) -> float:
    """The median over the rounds of value / baseline: what disturbs a whole round cancels."""
    return median(value / base for value, base in zip(values, baseline, strict=True))


def off_the_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """The slope of the least-squares line through (x, y), and how far the furthest point is from it, as a share of the
    largest |y|."""
    count = len(x)
    mean_x, mean_y = sum(x) / count, sum(y) / count
    spread = sum((value - mean_x) ** 2 for value in x)
    if not spread:
        raise BadInput(f"a straight line needs two different x values, not {list(x)}; measure at more places")
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    furthest = max(abs(b - mean_y - slope * (a - mean_x)) for a, b in zip(x, y, strict=True))
    return slope, furthest / max(map(abs, y))


def peak_bytes(device) -> int:
    """Peak bytes: of the tensors on a GPU, else of this process's resident memory."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    from reno.running.provenance import peak_host_bytes

    return peak_host_bytes()
