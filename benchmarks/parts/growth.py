"""How time and memory grow with iterations, batch and prompts, and whether a long run leaks."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.apart import Failed, apart
from benchmarks.jobs import loaded, ran
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts, seeds, setting_from
from benchmarks.timing import MIB, off_the_line, peak_bytes, say
from reno.running.batch import run_batch
from reno.running.listeners import Listener, RunningBatch
from reno.running.plan import cut
from reno.running.progress import BatchRun
from reno.running.provenance import peak_host_bytes

BASE = {"iterations": 10, "batch": 4, "prompts": 4}


@dataclass(frozen=True)
class GrowthEffort:
    points: dict[str, tuple[int, ...]]
    """The measured values of each axis; the other axes stay at BASE."""
    repeats: int
    trials: tuple[int, int]
    """The numbers of trials after which a long run's peak is read: an early one, and the last."""


EFFORTS = {
    "quick": GrowthEffort({"batch": (1, 2)}, 1, (4, 8)),
    "testbed": GrowthEffort(
        {"iterations": (5, 10, 20, 40), "batch": (1, 2, 4, 8), "prompts": (4, 8, 16, 32)}, 3, (20, 200)
    ),
    "gpu": GrowthEffort({"iterations": (5, 10, 20, 40), "batch": (1, 2, 3, 4), "prompts": (4, 8, 16)}, 2, (20, 100)),
}  # fmt: skip


def measure(setting: Setting) -> list[Row]:
    effort = EFFORTS[setting.effort]
    asked = dataclasses.asdict(setting)
    rows: list[Row] = []
    for axis, places in effort.points.items():
        seconds, peaks = [], []
        for place in places:
            values = {**BASE, axis: place}
            if axis == "batch":
                values["prompts"] = place
            found = apart("benchmarks.parts.growth:point", setting=asked, repeats=effort.repeats, **values)
            seconds.append(found["seconds"])
            peaks.append(found["peak"] / MIB)
            say(f"{axis} {place}: {seconds[-1]:.3g} s, {peaks[-1]:.0f} MiB")
        rows += [_line(axis, places, seconds, "time", "s", 0.1), _line(axis, places, peaks, "peak memory", "MiB", 0.05)]
    early, late = effort.trials
    found = apart("benchmarks.parts.growth:long_run", setting=asked, early=early, late=late)
    rows.append(
        Row(
            f"peak memory of a job at trial {late}", found["late"] / MIB, "MiB",
            f"at trial {early}", found["early"] / MIB, found["late"] / found["early"], at_most=1.05,
        )
    )  # fmt: skip
    return rows


def _line(axis: str, places: tuple[int, ...], values: list[float], what: str, unit: str, at_most: float) -> Row:
    """The growth of a value per unit of an axis, and its largest distance from a straight line, as a share of the
    largest value."""
    slope, apart_by = off_the_line(places, values)
    return Row(
        f"growth of {what} with {axis}, {places[0]} to {places[-1]}",
        slope, f"{unit} each",
        "ratio: furthest from a straight line", None, apart_by, at_most=at_most,
    )  # fmt: skip


def point(setting: dict, repeats: int, iterations: int, batch: int, prompts: int) -> dict[str, float]:
    """Wall seconds of the optimisation of `prompts` trials, one per prompt, and the peak of memory in bytes."""
    from benchmarks.setting import prompts as prompts_knob

    words = (prompts_knob(prompts), f"iterations={iterations}", f"batch_size={batch}")
    job = setting_from(setting).job(*words)
    plan, models, device = loaded(job)

    def whole(settings) -> float:
        started = time.perf_counter()
        for trials in cut(plan.trials, batch):
            for _ in run_batch(trials, settings, job.metric.name, models):
                pass
        return time.perf_counter() - started

    whole(dataclasses.replace(job.settings, iterations=1))
    return {"seconds": median(whole(job.settings) for _ in range(repeats)), "peak": peak_bytes(device)}


def long_run(setting: dict, early: int, late: int) -> dict[str, int]:
    """Peak resident bytes of a job that stores frames and logs to W&B offline, after `early` and `late` trials. The
    contact sheet is drawn after the last trial and is not counted."""
    per_batch = BASE["batch"]
    trials = (prompts(per_batch), seeds(late // per_batch), f"batch_size={per_batch}")
    words = (*trials, "iterations=2", "tracking=offline")
    peaks = Peaks()
    with tempfile.TemporaryDirectory() as scratch:
        job = setting_from(setting).job(*words, f"results={scratch}")
        outcome = ran(job, Path(scratch) / "job", peaks)
    if len(outcome.done) != late:
        raise Failed(f"{len(outcome.done)} of {late} trials were stored")
    return {"early": peaks.bytes[early // per_batch - 1], "late": peaks.bytes[-1]}


class Peaks(Listener):
    """The process's peak resident bytes after each batch."""

    def __init__(self) -> None:
        self.bytes: list[int] = []

    def batch_ends(self, batch: RunningBatch, run: BatchRun | None) -> None:
        self.bytes.append(peak_host_bytes())
