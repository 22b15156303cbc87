"""Trials side by side against one at a time. The times are kept for `batch_size=auto` on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.jobs import loaded
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts
from benchmarks.timing import in_turn, ratio
from reno.running.provenance import environment
from reno.running.sizing import MOST, best_size, largest_that_fits, machine_key, remember, seconds_per_image


@dataclass(frozen=True)
class BatchEffort:
    sizes: tuple[int, ...]
    rounds: int
    at_least: float | None
    """Least ratio that the best size should reach; None: no target."""


EFFORTS = {
    "quick": BatchEffort((1, 2), 1, None),
    "testbed": BatchEffort((1, 2, 4, 8, 16, 32), 7, 1.3),
    "gpu": BatchEffort((1, 2, 4, 8, 16), 2, None),
}


def measure(setting: Setting) -> list[Row]:
    effort = EFFORTS[setting.effort]
    plan, models, device = loaded(setting.job(prompts(1), "iterations=1"))
    fits = largest_that_fits(plan, models, MOST) if device.type == "cuda" else MOST
    sizes = [size for size in effort.sizes if size <= fits]

    def images_a_second(size: int) -> float:
        return 1 / seconds_per_image(plan, models, size, repeats=1)

    found = in_turn({str(size): lambda size=size: images_a_second(size) for size in sizes}, effort.rounds)
    paces = {size: 1 / median(found[str(size)]) for size in sizes}
    best = best_size(paces)
    if setting.effort != "quick":
        remember(machine_key(plan, models, environment(device)), paces)
    return [
        Row(
            f"images of {size} trial{'s' * (size > 1)} side by side" + (", the best here" if size == best else ""),
            median(found[str(size)]), "images/s",
            "one at a time", median(found["1"]), ratio(found[str(size)], found["1"]),
            at_least=effort.at_least if size == best else None,
        )
        for size in sizes
    ]  # fmt: skip
