"""What a GPU makes of an iteration: seconds of a trial, the rate of its arithmetic against that of a matrix product,
and what the device did meanwhile. It ends within 8 minutes, so that it fits a short lease of a card."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.apart import Failed, apart
from benchmarks.arithmetic import matrix_rate, tflop_of
from benchmarks.bare import bare_iteration, captured, seconds_each
from benchmarks.jobs import loaded, ran
from benchmarks.profile import Profile, profiled
from benchmarks.rows import Row
from benchmarks.setting import Setting, prompts, seeds
from benchmarks.timing import say
from reno.device.graphs import NotCaptured
from reno.device.residence import out_of_memory, release
from reno.running.listeners import Listener, RunningBatch
from reno.running.progress import BatchRun
from reno.spec.job import JobSpec
from reno.store.stored import Stored

BEFORE = Path(__file__).resolve().parent.parent / "before.json"
"""What an earlier commit took, by device: copied from the tables of docs/cost.md."""


@dataclass(frozen=True)
class SpeedEffort:
    iterations: int
    sizes: tuple[int, ...]
    """Trials side by side with CLIP."""
    others: tuple[str, ...]
    """Metrics that are measured with one trial."""
    side: int
    """Of the matrices that are multiplied."""
    notebook: int
    """Iterations of the notebook's loop; 0: left out."""
    within: float
    """Seconds. What has not begun by then is left out, and its row says so."""


EFFORTS = {
    "quick": SpeedEffort(12, (1,), (), 512, 0, 60.0),
    "testbed": SpeedEffort(50, (1, 4), ("blip",), 1024, 20, 400.0),
    "gpu": SpeedEffort(50, (1, 16), ("blip",), 8192, 20, 330.0),
}


def measure(setting: Setting) -> list[Row]:
    return Speed(setting, EFFORTS[setting.effort]).rows()


class Speed:
    """One setting's measurements, while time is left."""

    def __init__(self, setting: Setting, effort: SpeedEffort):
        self.setting, self.effort = setting, effort
        self.deadline = time.monotonic() + effort.within

    def rows(self) -> list[Row]:
        plan, _, self.device = loaded(self.setting.job(prompts(1)))
        dtype = getattr(torch, plan.dtype)
        self.rate = matrix_rate(self.device, dtype, self.effort.side, 10)
        say(f"a product of {self.effort.side} x {self.effort.side} in {plan.dtype}: {self.rate:.3g} TFLOP/s")
        self._warm_up()
        found = [Row(f"a product of {self.effort.side} x {self.effort.side}, {plan.dtype}", self.rate, "TFLOP/s")]
        for size in self.effort.sizes:
            found += self._while_time(f"clip, {size} side by side", lambda size=size: self.pair("clip", size))
        for metric in self.effort.others:
            found += self._while_time(f"{metric}, 1 side by side", lambda metric=metric: self.pair(metric, 1))
        found += self._while_time("what the device did", self.profile)
        if self.effort.notebook:
            found += self._while_time("the notebook's loop", self.notebook)
        return found

    def _while_time(self, what: str, measure: Callable[[], list[Row]]) -> list[Row]:
        if time.monotonic() > self.deadline:
            return [Row(what, None, "s", note="the time was up")]
        try:
            return measure()
        except (RuntimeError, Failed) as error:  # one figure that cannot be had does not take the others along
            release(self.device)
            why = "it ran out of memory" if out_of_memory(error) else f"it failed: {str(error).splitlines()[0]}"
            return [Row(what, None, "s", note=why)]

    def _warm_up(self) -> None:
        """The first job starts W&B's process and prepares kernels."""
        self._run(self.setting.job(prompts(1), "iterations=1", "batch_size=1", "tracking=offline"))

    def pair(self, metric: str, size: int) -> list[Row]:
        """A generator with a metric, so many trials side by side: as a job runs, against the floor and earlier."""
        knobs = (f"metric={metric}", prompts(1), seeds(size), f"batch_size={size}")
        job = self.setting.job(*knobs, f"iterations={self.effort.iterations}", "tracking=offline")
        watch = self._run(job)
        plan, models, _ = loaded(job)
        how = _described(models.execution)
        floor, what = self._floor(plan, models, size)
        tflop = tflop_of(bare_iteration(plan, models, size))
        name = f"{metric}, {size} side by side, {how}"
        say(f"{name}: {watch.trial_seconds:.3g} s a trial, {watch.iteration:.4g} s an iteration, {what} {floor:.4g} s")
        before = self._before(metric, size)
        reached = tflop / watch.iteration
        return [
            Row(
                f"a trial of {self.effort.iterations} iterations, {name}", watch.trial_seconds, "s",
                before["code"], before["trial"], before["trial"] and watch.trial_seconds / before["trial"],
            ),
            Row(f"iterations of a trial a second, {name}", size / watch.iteration, "1/s"),
            Row(f"an iteration, {name}", watch.iteration, "s", what, floor, watch.iteration / floor, at_most=1.05),
            Row(f"arithmetic, {name}", reached, "TFLOP/s", "the product's", self.rate, reached / self.rate),
        ]  # fmt: skip

    def _floor(self, plan, models, size: int) -> tuple[float, str]:
        iteration = bare_iteration(plan, models, size)
        iteration()
        plain, what = iteration, "forward and backward alone"
        if models.execution.graph:
            iteration, what = captured(plain), "forward and backward alone, as a graph"
        return seconds_each(iteration, max(2, self.effort.iterations // 4), self.device), what

    def profile(self) -> list[Row]:
        plan, models, _ = loaded(self.setting.job(prompts(1), "batch_size=1", "iterations=20"))
        return _profile_rows(profiled(plan, models))

    def notebook(self) -> list[Row]:
        asked = dataclasses.asdict(self.setting)
        found = apart(
            "benchmarks.parts.notebook:notebook", setting=asked, trials=1, iterations=self.effort.notebook
        )  # fmt: skip
        return [Row("an iteration of the notebook's loop, clip, 1 side by side", found["seconds"], "s")]

    def _run(self, job: JobSpec) -> TrialWatch:
        watch = TrialWatch()
        with tempfile.TemporaryDirectory() as scratch:
            outcome = ran(dataclasses.replace(job, results=Path(scratch)), Path(scratch) / "job", watch)
        if outcome.failed or watch.stored is None:
            raise NotCaptured(next(iter(outcome.failed.values()), "no trial was stored"))
        return watch

    def _before(self, metric: str, size: int) -> dict:
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        known = json.loads(BEFORE.read_text(encoding="utf-8"))
        for one in known:
            if one["device"] == device and one["metric"] == metric and one["side_by_side"] == size:
                return one
        return {"code": "", "trial": None}


class TrialWatch(Listener):
    """What a job's one batch took: from its beginning until its last trial was on disk."""

    def __init__(self) -> None:
        self.began = 0.0
        self.stored: float | None = None
        self.iteration = 0.0
        """Seconds: the median of the iterations with a gradient, without the first ones, which prepare."""
        self.trials = 0

    def batch_begins(self, batch: RunningBatch) -> None:
        self.began = time.perf_counter()

    def batch_ends(self, batch: RunningBatch, run: BatchRun | None) -> None:
        if run is not None:
            seconds = [row["seconds"] for row in run.trials[0].trace[:-1]]
            self.iteration = median(seconds[3:] or seconds)

    def trial_stored(self, stored: Stored) -> None:
        self.stored = time.perf_counter()
        self.trials += 1

    @property
    def trial_seconds(self) -> float:
        """Seconds of the batch, divided by its trials."""
        return (self.stored - self.began) / self.trials


def _described(execution) -> str:
    words = ["graph"] if execution.graph else ["compiled"] if execution.compile else ["kernel by kernel"]
    return ", ".join([*words, *["checkpointed"] * bool(execution.checkpointing)])


def _profile_rows(found: Profile) -> list[Row]:
    busy = Row(
        "kernels of an iteration", found.busy, "ms", "the iteration", found.wall, found.busy / found.wall,
        note="the rest are gaps",
    )  # fmt: skip
    return [busy, *(Row(f"kernel: {name}", value, "ms") for name, value in found.top)]
