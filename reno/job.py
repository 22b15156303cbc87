"""The job: plan trials, skip the finished, run the others batch by batch, store, track, summarise.

    from reno.job import run_job
    outcome = run_job(job_spec, folder)      # folder: where the job's own log and summary go

The store is the source of truth. A trial is committed there first; Weights & Biases is a view of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reno.display import Display
from reno.errors import BadInput, typed_line
from reno.outcome import Outcome
from reno.plan import Plan, estimate_seconds, make_plan
from reno.record import card_of, provenance_of, summary_values, trial_record, write_job_record
from reno.results import Finished, Store, Stored
from reno.spec import JobSpec, TrialSpec, as_json
from reno.tracking import TrackingSpec, TrialCard, logged, make_tracker

if TYPE_CHECKING:
    from reno.batch import BatchRun, Progress
    from reno.batch_size import Choice

log = logging.getLogger("reno.job")

PENDING_COMMITS = 8
"""Trials that may wait for the disk before the next batch waits for them."""


def run_job(job: JobSpec, folder: Path, *, group: str, command: str = "", reference: float | None = None) -> Outcome:
    """Runs what is missing of a job and shows the whole. Raises BadInput before anything is written.

    folder: where the job's log, record and contact sheet go. group: the study or sweep, for the tracker.
    command: what the user typed, for the record. reference: seconds per image of a trial of these models, for the
    estimate of a first dry run.
    """
    plan = make_plan(job)
    store = Store(job.results)
    finished = plan.finished(store)
    display = Display(plan, finished)
    if job.dry_run:
        display.dry_run(estimate_seconds(plan, store, len(_missing(plan, finished)), reference))
        return Outcome(skipped=list(finished))
    tracking = TrackingSpec(**job.tracking)
    models = cut = None
    if _missing(plan, finished):
        models = _load(plan)  # before the first write: a prompt may be too long for an encoder
        cut = _choose_batch_size(plan, finished, models, display)
        plan = dataclasses.replace(plan, job=dataclasses.replace(job, batch_size=cut.size))
    missing = _missing(plan, finished)
    store.prepare()
    outcome = Outcome(skipped=[trial.id for trial in plan.trials if trial.id in finished])
    with _log_in(folder):
        return _run(plan, store, finished, missing, models, cut, tracking, display, outcome, folder, group, command)


def _missing(plan: Plan, finished: dict[str, Stored]) -> list[tuple[TrialSpec, ...]]:
    """The batches in which something is to be done."""
    return [batch for batch in plan.batches() if any(trial.id not in finished for trial in batch)]


def _run(plan, store, finished, missing, models, cut, tracking, display, outcome, folder, group, command) -> Outcome:
    """The part of a job that writes."""
    job = plan.job
    tracker = make_tracker(tracking, job.results, display.warn)
    started = time.perf_counter()
    try:
        _replay(finished, job.results, tracker, plan, group)
        if missing:
            display.start(len(missing))
            with _termination_as_interrupt():
                _run_missing(plan, missing, finished, models, cut, store, tracker, display, outcome, group)
    except KeyboardInterrupt:
        outcome.interrupted = True
    finally:
        display.stop()
        where = tracker.close()
    stored = plan.finished(store)
    write_job_record(folder, plan, outcome, group, command, time.perf_counter() - started)
    display.summary(outcome, stored, _contact_sheet(plan, stored, folder), where)
    return outcome


def _load(plan: Plan):
    from reno.models import load_models
    from reno.reproducibility import choose_device, make_deterministic
    from reno.residence import out_of_memory

    make_deterministic(plan.job.threads)
    device = choose_device(plan.job.device)
    try:
        return load_models(plan, device)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        advice = _for_less_memory(plan.dtype, device.type, True)
        raise BadInput(f"the models do not fit in the memory of {device} in {plan.dtype}; {advice}") from None


def _choose_batch_size(plan: Plan, finished: dict[str, Stored], models, display: Display) -> Choice:
    from reno.batch_size import choose_batch_size

    choice = choose_batch_size(plan, finished, models, tell=display.note)
    if choice.automatic:
        display.note(f"{choice.size} side by side: {choice.reason}")
    return choice


def _for_less_memory(dtype: str, device_type: str, checkpointing: bool) -> str:
    """What a user can still change when even one trial does not fit."""
    knobs = [] if checkpointing else ["checkpointing=true"]
    if dtype not in ("float16", "bfloat16"):
        knobs.append("dtype=float16" if device_type == "cuda" else "dtype=bfloat16")
    return "try " + ", ".join([*knobs, "a smaller metric or generator", "or a device with more memory"])


def _run_missing(plan, missing, finished, models, cut, store, tracker, display, outcome, group) -> None:
    """Runs the batches one by one; commits and tracking go on beside the next batch.

    When memory runs out the batch is run again in halves, and so are those after it, down to one trial at a time.
    """
    from reno.reproducibility import environment, why_dtype
    from reno.residence import release

    device = models.generator.device
    surroundings = {**environment(device), "execution": as_json(models.execution)}
    log.info("models in %s: %s", plan.dtype, why_dtype(plan.job.dtype, device.type))
    log.info("executed with %s", models.execution)
    log.info("%d trials side by side: %s", cut.size, cut.reason)
    commits: list[Future] = []
    waiting = deque(missing)
    side_by_side = max(len(batch) for batch in missing)
    with ThreadPoolExecutor(1, thread_name_prefix="commit") as writer:
        try:
            while waiting:
                batch = waiting.popleft()
                if len(batch) > side_by_side:
                    parts = [part for part in _cut(batch, side_by_side) if any(t.id not in finished for t in part)]
                    waiting.extendleft(reversed(parts))
                    display.more_batches(len(parts) - 1)
                    continue
                cards = {
                    trial.id: card_of(trial, plan, group, provenance_of(plan, batch, trial, cut, surroundings))
                    for trial in batch
                    if trial.id not in finished
                }
                done = _attempt(batch, cards, plan, models, tracker, display)
                if isinstance(done, Broken):
                    release(device)
                    if done.out_of_memory and len(batch) > 1:
                        side_by_side = (len(batch) + 1) // 2
                        waiting.appendleft(batch)
                        display.warn(
                            f"out of memory with {len(batch)} trials side by side; going on with {side_by_side}"
                        )
                        continue
                    reason = done.reason
                    if done.out_of_memory:
                        advice = _for_less_memory(plan.dtype, device.type, bool(models.execution.checkpointing))
                        reason = f"out of memory on {surroundings['device']} even alone; {advice}"
                    for card in cards.values():
                        tracker.start(card)
                        _fail(card.id, reason, tracker, outcome)
                    display.batch_done()
                    continue
                for progress in done.trials:
                    if progress.trial.id not in cards:
                        continue  # stored already; it ran only to keep its batch-mates company
                    if progress.failure:
                        _fail(progress.trial.id, progress.failure, tracker, outcome)
                        continue
                    record = trial_record(progress, done, plan, cards[progress.trial.id].config["provenance"])
                    commits.append(writer.submit(_commit, store, record, progress, tracker, outcome))
                display.batch_done()
                _wait_for(commits, PENDING_COMMITS)
        finally:
            _wait_for(commits, 0)


def _cut(batch: tuple[TrialSpec, ...], size: int) -> list[tuple[TrialSpec, ...]]:
    return [batch[start : start + size] for start in range(0, len(batch), size)]


@dataclass(frozen=True)
class Broken:
    """Why a batch did not come to its end."""

    reason: str
    out_of_memory: bool


def _attempt(batch, cards, plan, models, tracker, display) -> BatchRun | Broken:
    """Runs one batch, showing and tracking its steps. What an error's traceback holds is let go on return."""
    from reno.batch import run_batch
    from reno.residence import out_of_memory

    started = False
    try:
        for run in run_batch(batch, plan.job.settings, plan.job.metric.name, models):
            if not started:  # not before there is an image: memory mostly runs out at the first
                for card in cards.values():
                    tracker.start(card)
                started = True
            _track_step(run, cards, tracker)
            display.step(run, cards)
        return run
    except (RuntimeError, ValueError, MemoryError) as error:  # one batch that breaks must not stop the others
        reason = typed_line(error)
        log.error("a batch of %d failed: %s", len(batch), reason, exc_info=not out_of_memory(error))
        broken = Broken(reason, out_of_memory(error))
        if broken.out_of_memory and len(batch) > 1 and started:
            for trial_id in cards:  # it begins anew, in a smaller batch
                tracker.finish(trial_id, {}, failed="out of memory; begun again in a smaller batch")
        return broken


def _wait_for(commits: list[Future], at_most: int) -> None:
    """Waits until no more than `at_most` commits are pending; memory stays bounded when the disk is slow."""
    while len(commits) > at_most:
        commits.pop(0).result()


def _commit(store: Store, record: dict[str, Any], progress: Progress, tracker, outcome: Outcome) -> None:
    """Stores one trial, then closes its run in the tracker."""
    trial_id = record["id"]
    try:
        store.commit(
            Finished(
                record, progress.trace, progress.frames, progress.best, progress.initial_noise, progress.best_noise
            )
        )
    except OSError as error:
        log.exception("a commit failed")
        _fail(trial_id, f"it could not be stored ({error.strerror or error})", tracker, outcome)
        return
    outcome.done.append(trial_id)
    tracker.finish(trial_id, summary_values(record))
    log.info("stored %s", trial_id)


def _fail(trial_id: str, reason: str, tracker, outcome: Outcome) -> None:
    log.error("trial %s failed: %s", trial_id, reason)
    outcome.failed[trial_id] = reason
    tracker.finish(trial_id, {}, failed=reason)


def _track_step(run: BatchRun, cards: dict[str, TrialCard], tracker) -> None:
    if run.scored:
        return  # the last state repeats the last step's images
    for progress in run.trials:
        if progress.trial.id in cards:
            row = progress.trace[-1]
            tracker.log(progress.trial.id, row["iteration"], row, progress.frames[-1])


def _replay(finished: dict[str, Stored], results: Path, tracker, plan: Plan, group: str) -> None:
    """Tracks stored trials whose run in the tracker never ended, because the process did."""
    for trial in plan.trials:
        stored = finished.get(trial.id)
        if stored is None or logged(results, trial.id):
            continue
        tracker.start(card_of(trial, plan, group, stored.record["provenance"]))
        for row, frame in zip(stored.trace().to_dict("records"), stored.frames(), strict=True):
            tracker.log(trial.id, int(row["iteration"]), row, frame)
        tracker.finish(trial.id, summary_values(stored.record))


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM, by which a cluster takes a machine back, ends the job as Ctrl-C does: what is finished is stored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _log_in(folder: Path) -> Iterator[None]:
    """This process's log goes to the job's folder meanwhile; the terminal shows only what a person asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "job.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _contact_sheet(plan: Plan, stored: dict[str, Stored], folder: Path) -> Path | None:
    from reno.contact_sheet import draw_contact_sheet

    trials = [stored[trial.id] for trial in plan.trials if trial.id in stored]
    return draw_contact_sheet(trials, plan.job.metric.name, folder / "contact_sheet.png") if trials else None
