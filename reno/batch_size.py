"""How many trials run side by side where that is left to the program: `batch_size=auto`.

As many as are fastest on this machine and no more than fit into the memory that is free. What is fastest is found by a
short calibration, or by `make bench`, once for a machine and a pair of models, and kept. A job that goes on where it
stopped cuts its trials as it did before: what it chose then is in their provenance. No trial's result depends on it but
by the rounding of kernels.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reno.batch import run_batch
from reno.memory.cards import CONTEXT, GIB, largest_batch
from reno.memory.prediction import rehearse
from reno.models import Models
from reno.plan import Plan
from reno.reproducibility import environment
from reno.residence import free_bytes, release
from reno.results import Stored

log = logging.getLogger("reno.batch_size")

GAIN = 0.05
"""A larger batch has to be faster by this share of a trial's seconds, else it is not worth its memory."""
LONG = 5.0
"""Seconds of a single trial's image from which a device is taken to be full with it, and is not calibrated further."""
MOST = 64
"""Trials side by side at most."""
REPEATS = 3
"""Times that a batch is timed; the quickest counts."""
PATIENCE = 2
"""Doublings in a row that have to bring nothing before no more are tried: on a busy machine one may seem to."""

Paces = dict[int, float]
"""Seconds that an image of one trial takes, by the number of trials side by side."""


@dataclass(frozen=True)
class Choice:
    """How many trials are to run side by side, and why."""

    size: int
    reason: str
    automatic: bool


def choose_batch_size(
    plan: Plan, finished: dict[str, Stored], models: Models, tell: Callable[[str], None] = log.info
) -> Choice:
    """What the job asked for, or, where it asked for auto: as before, else the fastest that fits.

    finished: the plan's stored trials, by id. tell: hears what takes a while.
    """
    if plan.job.batch_size is not None:
        return Choice(plan.job.batch_size, "as asked", False)
    surroundings = environment(models.generator.device)
    before = _chosen_before(plan, finished, surroundings["device"])
    if before is not None:
        return Choice(before, "as this job's stored trials were cut", True)
    if len(plan.trials) == 1:
        return Choice(1, "there is one trial", True)
    tell("batch_size=auto: looking for the batch that fits and is fastest")
    most = largest_that_fits(plan, models, min(len(plan.trials), MOST))
    if most < 2:
        fits = "no more than one trial fits" if most else "even one trial may not fit"
        return Choice(1, f"{fits} into the free memory", True)
    key = machine_key(plan, models, surroundings)
    paces = calibrate(lambda size: seconds_per_image(plan, models, size), recall(key), most)
    remember(key, paces)
    release(models.generator.device)
    return _explained(paces, most, len(plan.trials))


def _chosen_before(plan: Plan, finished: dict[str, Stored], device: str) -> int | None:
    """The batch size that was chosen for the first stored trial that a job with batch_size=auto ran on this device."""
    for trial in plan.trials:
        provenance = finished[trial.id].record["provenance"] if trial.id in finished else {}
        cut = provenance.get("batch", {}).get("cut", {})
        if cut.get("automatic") and provenance.get("device") == device:
            return cut["size"]
    return None


def _explained(paces: Paces, most: int, trials: int) -> Choice:
    size = best_size(paces, most)
    tried = ", ".join(f"{n}: {paces[n]:.3g}" for n in sorted(paces) if n <= most)
    reason = f"the fastest here (seconds an image by batch: {tried})"
    if paces.get(1, 0) > LONG:
        reason = f"an image of one trial takes {paces[1]:.0f} s: it fills the device"
    elif not paces:
        reason = "a first try failed"
    limit = f"{most} fit into the free memory" if most < min(trials, MOST) else f"{min(trials, MOST)} at most"
    return Choice(size, f"{reason}; {limit}", True)


# --- What fits ----------------------------------------------------------------------------------------------


def largest_that_fits(plan: Plan, models: Models, most: int) -> int:
    """The largest batch, up to `most`, that the prediction allows in the memory that is free beside the loaded models;
    0 if not even one trial fits."""
    device = models.generator.device
    found = rehearse(_as_loaded(plan, models), device.type)
    free = free_bytes(device)
    # The weights are there already, and so is a GPU's context: `largest_batch` counts both.
    fits = largest_batch(found, free + found.weight_bytes + CONTEXT, most)
    log.info("%.1f GiB are free: %d trials side by side fit", free / GIB, fits)
    return fits


def _as_loaded(plan: Plan, models: Models) -> Plan:
    """The plan with nothing left to choose. Compiled kernels are rehearsed as plain ones; judges are loaded and look at
    finished images, without a graph."""
    execution = dataclasses.replace(models.execution, compile=False)
    return dataclasses.replace(plan, job=dataclasses.replace(plan.job, execution=execution), evaluators=())


# --- What is fastest ----------------------------------------------------------------------------------------


def calibrate(pace: Callable[[int], float], known: Paces, most: int) -> Paces:
    """Doubles the batch, from 1 and up to `most`, until PATIENCE doublings in a row have not made a trial's image
    faster by GAIN. What is known is not timed again; a batch that fails ends it."""
    paces = dict(known)
    size, quickest, in_vain = 1, math.inf, 0
    while size <= most and in_vain < PATIENCE:
        if size not in paces:
            try:
                paces[size] = pace(size)
            except (RuntimeError, ValueError, MemoryError) as error:
                log.info("a batch of %d could not be timed: %s", size, error)
                return paces
        if paces[1] > LONG:
            return paces
        in_vain = 0 if paces[size] <= (1 - GAIN) * quickest else in_vain + 1
        quickest = min(quickest, paces[size])
        size *= 2
    return paces


def best_size(paces: Paces, most: int = MOST) -> int:
    """The smallest batch, of those up to `most`, that is within GAIN of the fastest; 1 if nothing is known."""
    allowed = {size: seconds for size, seconds in paces.items() if size <= most}
    quickest = min(allowed.values(), default=0.0)
    return min((size for size, seconds in allowed.items() if (1 - GAIN) * seconds <= quickest), default=1)


def seconds_per_image(plan: Plan, models: Models, size: int, repeats: int = REPEATS) -> float:
    """Wall seconds of one trial's image in a batch of `size`, over one iteration and the last image, after a first try
    that is not counted unless it is longer than LONG. Nothing is scored by others, judged or stored."""
    settings = dataclasses.replace(plan.job.settings, iterations=min(plan.job.settings.iterations, 1))
    bare = dataclasses.replace(models, recorded={}, evaluators=())
    longest = max(plan.trials, key=lambda trial: len(trial.prompt.text))

    def timed() -> float:
        *_, done = run_batch([longest] * size, settings, plan.job.metric.name, bare)
        return done.seconds / size / len(done.trials[0].frames)

    first = timed()
    return first if first > LONG else min(timed() for _ in range(repeats))


# --- What is kept for this machine --------------------------------------------------------------------------


def machine_key(plan: Plan, models: Models, surroundings: dict) -> str:
    """What a pace depends on, as canonical JSON."""
    return json.dumps(
        {
            "device": surroundings["device"],
            "threads": surroundings["threads"],
            "torch": surroundings["versions"]["torch"],
            "generator": plan.generator.identity,
            "metric": plan.metric.identity,
            "dtype": plan.dtype,
            "method": plan.job.settings.method,
            "execution": dataclasses.asdict(models.execution),
        },
        sort_keys=True,
    )


def machine_table() -> Path:
    """Where this machine's paces are kept: $XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reno-bench" / "paces.json"


def recall(key: str) -> Paces:
    """The paces kept under a key; empty where none are, or where the file cannot be read."""
    return {int(size): float(seconds) for size, seconds in _kept().get(key, {}).items()}


def remember(key: str, paces: Paces) -> None:
    """Keeps paces under a key, in place of what was there. A folder that cannot be written costs a line in the log."""
    place = machine_table()
    kept = {**_kept(), key: {str(size): seconds for size, seconds in sorted(paces.items())}}
    beside = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        beside.replace(place)
    except OSError as error:
        log.info("%s cannot be written (%s); the next job is calibrated anew", place, error.strerror)


def _kept() -> dict[str, dict[str, float]]:
    try:
        kept = json.loads(machine_table().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
