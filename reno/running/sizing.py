"""The choice of how many trials run side by side: `batch_size=auto`.

It is the fastest batch size on this machine among those that fit into the free memory. The times are measured once for
a machine and its models, by a short calibration or by `make bench`, and kept. The first worker of a job writes its
choice into the store (results/settled/), and every other worker and every later run of the job takes it. The choice
changes results only by the rounding of kernels.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from reno import cache_folder, methods
from reno.device.residence import free_bytes, release
from reno.running.batch import run_batch
from reno.running.fit.cards import CONTEXT, GIB, largest_batch
from reno.running.fit.prediction import rehearse
from reno.running.plan import Plan
from reno.running.pool import Models
from reno.running.provenance import Environment, environment
from reno.spec.trial import digest
from reno.store.records import Cut
from reno.store.settled import settle, settled
from reno.store.stored import Stored

log = logging.getLogger(__name__)

GAIN = 0.05
"""A larger batch must cut the seconds per image by this share to be worth its memory."""
LONG = 5.0
"""Seconds. If an image takes longer in a batch of one, one trial uses the whole device and larger batches are not
timed."""
MOST = 64
"""The largest number of trials side by side."""
REPLAYS = 6
"""Replays of a graph that are timed."""
REPEATS = 3
"""How often a batch is timed; the shortest time counts."""
PATIENCE = 2
"""The search ends after this many doublings in a row without a gain. One is not enough: on a busy machine one may be
slow by chance."""

SETTLED_BY_FIRST = "settled by this job's first worker: "
"""How the reason begins of a batch size that another worker, or an earlier run, has chosen."""

Paces: TypeAlias = dict[int, float]
"""Seconds per image, by the number of trials side by side."""


def choose_batch_size(
    plan: Plan, finished: dict[str, Stored], models: Models, tell: Callable[[str], None] = log.info
) -> Cut:
    """The batch size that the job gives. For auto: the one that was settled for its trials, else the one that its
    stored trials ran with, else the fastest that fits.

    finished: the plan's stored trials, by id. tell: called with a line for the user before the calibration.
    """
    if plan.job.batch_size is not None:
        return Cut(size=plan.job.batch_size, reason="as asked", automatic=False)
    if known := settled(plan.job.results, _job_key(plan), _as_settled):
        return _as_settled(known)
    surroundings = environment(models.generator.device)
    before = _chosen_before(plan, finished, surroundings.device)
    if before is not None:
        return _automatic(before, "this job's stored trials ran with it")
    if len(plan.trials) == 1:
        return _automatic(1, "there is one trial")
    tell("batch_size=auto: timing batches to find the fastest size that fits into memory")
    most = largest_that_fits(plan, models, min(len(plan.trials), MOST))
    if most < 2:
        fits = "only one trial fits" if most else "even one trial may not fit"
        return _automatic(1, f"{fits} into the free memory")
    key = machine_key(plan, models, surroundings)
    paces = calibrate(lambda size: seconds_per_image(plan, models, size), recall(key), most)
    remember(key, paces)
    release(models.generator.device)
    return _explained(paces, most, len(plan.trials))


def settle_batch_size(plan: Plan, chosen: Cut) -> Cut:
    """The batch size that all workers on the store take for this job: the first one that was chosen by itself. It is
    written down. Raises OSError."""
    if not chosen.automatic:
        return chosen
    values = {"batch_size": chosen.size, "reason": chosen.reason, "trials": len(plan.trials)}
    found = settle(plan.job.results, _job_key(plan), values, _as_settled)
    return chosen if found == values else _as_settled(found)


def _job_key(plan: Plan) -> str:
    """The job's trials in their order: batches are cut from them."""
    return digest({"batch_size": [trial.id for trial in plan.trials]})


def _as_settled(values: dict[str, Any]) -> Cut | None:
    """The batch size that was written down; None if it is none."""
    size, reason = values.get("batch_size"), values.get("reason")
    if not isinstance(size, int) or size < 1 or not isinstance(reason, str):
        return None
    return _automatic(size, f"{SETTLED_BY_FIRST}{reason.removeprefix(SETTLED_BY_FIRST)}")


def _automatic(size: int, reason: str) -> Cut:
    return Cut(size=size, reason=reason, automatic=True)


def _chosen_before(plan: Plan, finished: dict[str, Stored], device: str) -> int | None:
    """The batch size that was chosen for the first stored trial that a job with batch_size=auto ran on this device."""
    for trial in plan.trials:
        if trial.id not in finished:
            continue
        provenance = finished[trial.id].record.provenance
        chosen = provenance.batch.cut
        if isinstance(chosen, Cut) and chosen.automatic and provenance.device == device:
            return chosen.size
    return None


def _explained(paces: Paces, most: int, trials: int) -> Cut:
    size = best_size(paces, most)
    tried = ", ".join(f"{n}: {paces[n]:.3g}" for n in sorted(paces) if n <= most)
    reason = f"the fastest here (seconds per image, by batch size: {tried})"
    if paces.get(1, 0) > LONG:
        reason = f"an image takes {paces[1]:.0f} s: one trial uses the whole device"
    elif not paces:
        reason = "the first batch that was timed failed"
    limit = f"{most} fit into the free memory" if most < min(trials, MOST) else f"{min(trials, MOST)} at most"
    return _automatic(size, f"{reason}; {limit}")


# --- What fits --------------------------------------------------------------------------------------------------------


def largest_that_fits(plan: Plan, models: Models, most: int) -> int:
    """The largest batch, up to `most`, that is predicted to fit into the memory that the loaded models leave free; 0 if
    not even one trial fits."""
    device = models.generator.device
    found = rehearse(as_loaded(plan, models), device.type)
    free = free_bytes(device)
    # Added to the free bytes, as `largest_batch` subtracts them: the weights and a GPU's context take memory already.
    fits = largest_batch(found, free + found.weight_bytes + CONTEXT, most)
    log.info("%.1f GiB are free: %d trials side by side fit", free / GIB, fits)
    return fits


def as_loaded(plan: Plan, models: Models) -> Plan:
    """The plan with the execution of its loaded models. Compiled blocks are rehearsed without compilation."""
    execution = dataclasses.replace(models.execution, compile=False, graph=False)
    return dataclasses.replace(plan, job=dataclasses.replace(plan.job, execution=execution))


# --- What is fastest --------------------------------------------------------------------------------------------------


def calibrate(pace: Callable[[int], float], known: Paces, most: int) -> Paces:
    """Times batches of 1, 2, 4, ... up to `most`, until PATIENCE doublings in a row have not cut the seconds per image
    by GAIN. A known pace is not timed again. A batch that fails ends the search."""
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
    """The smallest batch size up to `most` whose pace is within GAIN of the fastest; 1 if no pace is known."""
    allowed = {size: seconds for size, seconds in paces.items() if size <= most}
    quickest = min(allowed.values(), default=0.0)
    return min((size for size, seconds in allowed.items() if (1 - GAIN) * seconds <= quickest), default=1)


def seconds_per_image(plan: Plan, models: Models, size: int, repeats: int = REPEATS) -> float:
    """Wall seconds per image in a batch of `size`, over one iteration and the last image: the shortest of `repeats`
    runs. A first run is not counted, unless it takes longer than LONG. Nothing is judged or stored.

    Where iterations are replayed as a graph, it is the median over the replays of one run: the capture is paid for once
    in a batch."""
    if models.execution.graph:
        return _seconds_per_replay(plan, models, size)
    settings = methods.shortened(plan.job.settings, 1)
    bare = dataclasses.replace(models, recorded={}, evaluators=())
    longest = max(plan.trials, key=lambda trial: len(trial.prompt.text))

    def timed() -> float:
        *_, done = run_batch([longest] * size, settings, plan.job.metric.name, bare)
        return done.seconds / size / len(done.trials[0].frames)

    first = timed()
    return first if first > LONG else min(timed() for _ in range(repeats))


def _seconds_per_replay(plan: Plan, models: Models, size: int) -> float:
    settings = methods.shortened(plan.job.settings, 2 + REPLAYS)
    bare = dataclasses.replace(models, recorded={}, evaluators=())
    longest = max(plan.trials, key=lambda trial: len(trial.prompt.text))
    *_, done = run_batch([longest] * size, settings, plan.job.metric.name, bare)
    # The first iterations are taken plainly and captured, and the last image is made without a gradient.
    return median(row["seconds"] for row in done.trials[0].trace[-1 - REPLAYS : -1]) / size


# --- The paces that are kept for this machine -------------------------------------------------------------------------


def machine_key(plan: Plan, models: Models, surroundings: Environment) -> str:
    """Everything that a pace depends on, as canonical JSON."""
    return json.dumps(
        {
            "device": surroundings.device,
            "threads": surroundings.threads,
            "torch": surroundings.versions["torch"],
            "generator": plan.generator.identity,
            "metric": plan.metric.identity,
            "dtype": plan.dtype,
            "method": plan.job.settings.method,
            "execution": dataclasses.asdict(models.execution),
        },
        sort_keys=True,
    )


def machine_table() -> Path:
    """The file of this machine's paces, in the cache folder."""
    return cache_folder() / "paces.json"


def recall(key: str) -> Paces:
    """The paces kept under a key; empty if there are none or the file cannot be read."""
    return {int(size): float(seconds) for size, seconds in _kept().get(key, {}).items()}


def remember(key: str, paces: Paces) -> None:
    """Keeps paces under a key, replacing earlier ones. If the file cannot be written, the log says so."""
    place = machine_table()
    kept = {**_kept(), key: {str(size): seconds for size, seconds in sorted(paces.items())}}
    beside = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        beside.replace(place)
    except OSError as error:
        log.info("%s cannot be written (%s); the next job times its batches again", place, error.strerror)


def _kept() -> dict[str, dict[str, float]]:
    try:
        kept = json.loads(machine_table().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
