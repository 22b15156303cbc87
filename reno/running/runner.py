"""The runner: skips stored trials, runs the others batch by batch, stores each trial and calls its listeners.

    runner = Runner(plan, Store(job.results), pool, listeners, folder=folder, group="study", command="...")
    outcome = runner.run()

The store is the source of truth: a trial is on disk before a listener is told that it is stored. A second thread
encodes and writes files; everything else happens on one thread.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reno.device.choice import choose_device, make_deterministic, why_dtype
from reno.device.graphs import NotCaptured
from reno.device.residence import out_of_memory, release
from reno.running.batch import run_batch
from reno.running.ending import ends_when_told
from reno.running.execution import choices, choose_execution, for_less_memory, without_graph, worth_telling
from reno.running.listeners import Listener, Listeners, RunningBatch, RunningJob
from reno.running.outcome import Outcome
from reno.running.plan import Batch, Plan, cut, damaged_judgements, judged_otherwise, missing, read_finished
from reno.running.pool import ModelPool, Models
from reno.running.progress import BatchRun
from reno.running.provenance import Environment, environment, git_diff
from reno.running.recording import finished_trial, job_record, provenances
from reno.running.saving import Astray, Save, Saves, Unsaved
from reno.running.sharing import Left
from reno.running.sizing import choose_batch_size, settle_batch_size
from reno.spec.errors import BadInput, disk_is_full, few, typed_line, why_not_written
from reno.spec.trial import TrialSpec
from reno.store.records import Cut, JobRecord, Provenance
from reno.store.store import Store, write_job_record
from reno.store.stored import Stored

log = logging.getLogger(__name__)

PENDING_COMMITS = 8
"""The next batch waits while more trials than this are still to be written."""


@dataclass(frozen=True)
class Broken:
    """Why a batch failed."""

    reason: str
    out_of_memory: bool
    not_captured: bool = False
    astray: bool = False


class Runner:
    """One job, from its plan to its outcome."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        pool: ModelPool,
        listeners: Sequence[Listener] = (),
        *,
        folder: Path,
        group: str,
        command: str = "",
        pending_commits: int = PENDING_COMMITS,
    ):
        """folder: where the job's record and log go. group: the study or sweep. command: what the user typed, for the
        record. pending_commits: trials that may wait to be written while the next batch runs."""
        self.plan, self.store, self.pool = plan, store, pool
        self.folder, self.group, self.command = folder, group, command
        self.pending_commits = pending_commits
        self.listeners = Listeners(listeners)
        self.outcome = Outcome()
        self.finished: dict[str, Stored] = {}
        self._disk_was_full = False
        self._left: Left
        self._saves = Saves(store.root, plan.job.save_every, self._warn)
        self._commits: deque[tuple[Future[Stored], TrialSpec, Provenance]] = deque()

    def run(self) -> Outcome:
        """Runs the missing trials. Raises BadInput, before anything is written, if the job cannot run."""
        self.finished, damaged = read_finished(self.plan.trials, self.store)
        self.outcome.skipped = [trial.id for trial in self.plan.trials if trial.id in self.finished]
        models, size = self._prepare()
        self._prepare_folders(needed=models is not None)
        size = size and self._settled(size)
        waiting = missing(cut(self.plan.trials, size.size), self.finished) if size else []
        moved = [sentence for one in damaged if (sentence := self.store.set_aside(one))]
        unjudged = damaged_judgements(self.finished.values())
        started = time.perf_counter()
        if waiting:
            with contextlib.suppress(OSError):  # whoever looks at the store does not see the job yet; the end warns
                write_job_record(self.folder, self._record(0.0, ended=False))
        job = RunningJob(self.plan, self.folder, self.group, self.command, self.finished, len(waiting), self._warn)
        self.listeners.tell("job_begins", job)
        for sentence in (*few(moved, "damaged trials"), *few(unjudged, "damaged judgements")):
            self._warn(sentence)
        if other := judged_otherwise(self.plan.trials, self.finished):
            self._warn(other)
        try:
            if models is not None:
                with ends_when_told(), ThreadPoolExecutor(1, thread_name_prefix="commit") as writer:
                    self._share_batches(waiting, models, size, writer)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        finally:
            self._write_record(time.perf_counter() - started)
            self.listeners.tell("job_ends", self.outcome)
        return self.outcome

    # --- Before the first write -------------------------------------------------------------------------------------

    def _prepare(self) -> tuple[Models | None, Cut | None]:
        """The loaded models and the batch size; (None, None) if all trials are stored."""
        if len(self.finished) == len(self.plan.trials):
            return None, None
        models = choose_execution(self.plan, self._load())
        for choice in worth_telling(models):
            self._note(choice)
        size = choose_batch_size(self.plan, self.finished, models, tell=self._note)
        if (self.plan.job.save_every or 0) > self.plan.images:
            self._note(
                f"note: save_every={self.plan.job.save_every} saves nothing: a trial makes {self.plan.images} images"
            )
        if self.plan.may_amplify_rounding:
            self._note(
                f"note: with SGD at lr={self.plan.job.settings.lr:g}, rounding can grow until it changes the image: at "
                "another batch size, thread count or machine a trial may end as another image under the same id"
            )
        return models, size

    def _settled(self, chosen: Cut) -> Cut:
        """The batch size that all workers of this job take."""
        try:
            size = settle_batch_size(self.plan, chosen)
        except OSError as error:
            size = chosen
            why = why_not_written(error)
            self._warn(f"batch_size={size.size} could not be written down ({why}): another worker may take another one")
        if size.automatic:
            self._note(f"batch_size={size.size}: {size.reason}")
        return size

    def _prepare_folders(self, needed: bool) -> None:
        """Makes the store's folders and the job's. needed: whether there is a trial to store; if not, it is no error
        that nothing can be written. Raises BadInput."""
        try:
            self.store.prepare()
            self.folder.mkdir(parents=True, exist_ok=True)
        except BadInput:
            if needed:
                raise

    def _load(self) -> Models:
        make_deterministic(self.plan.job.threads)
        device = choose_device(self.plan.job.device)
        try:
            return self.pool.load(self.plan, device)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            advice = _for_less_memory(self.plan, device.type, checkpointing=True)
            raise BadInput(f"the models do not fit in the memory of {device} in {self.plan.dtype}; {advice}") from None

    # --- Batches ----------------------------------------------------------------------------------------------------

    def _share_batches(self, batches: list[Batch], models: Models, size: Cut, writer: ThreadPoolExecutor) -> None:
        """Runs the batches that no other worker on this store runs."""
        surroundings = environment(models.generator.device)
        with contextlib.ExitStack() as stack:
            try:
                claims = stack.enter_context(self.store.claims(surroundings.device))
            except OSError as error:
                claims = None
                self._warn(f"no batch can be claimed ({why_not_written(error)}): other workers may run the same trials")
            self._left = Left(
                batches, self.finished, self.store, claims, idle=lambda: self._collect(at_most=0), note=self._note
            )
            self.outcome.elsewhere = self._left.elsewhere
            self._saves.clear(self.store.trials)
            self._run_batches(models, size, surroundings, writer)
            self._saves.clear(self.store.trials)

    def _run_batches(self, models: Models, size: Cut, surroundings: Environment, writer: ThreadPoolExecutor) -> None:
        """Runs the batches one by one; a batch's files are written while the next one runs. A short batch, such as the
        last one, is filled up: a trial is then the same to the last bit whichever job it runs in.

        If memory runs out, this batch and those after it run with checkpointing, if that was left open, and then in
        halves, down to one trial at a time.
        """
        device, left = models.generator.device, self._left
        self._log_choices(models, size)
        side_by_side = size.size
        number = 1
        try:
            while (batch := left.next()) is not None:
                if len(batch) > side_by_side:
                    left.again(*missing(cut(batch, side_by_side), self.finished))
                    continue
                wanted = [trial for trial in batch if trial.id not in self.finished]
                found = provenances(self.plan, batch, wanted, (size, side_by_side), surroundings, models)
                running = RunningBatch(batch, found, number, number + len(left))
                save = self._saves.of(batch, side_by_side, models, surroundings)
                if save.steps:
                    self._note(f"a batch goes on from image {save.steps}, where it was saved")
                done = self._attempt(running, models, side_by_side, save)
                if isinstance(done, Broken) and done.astray:
                    save.remove()
                    left.again(batch)
                    self._warn(f"{done.reason}; it begins anew")
                    continue
                if isinstance(done, Broken) and done.not_captured:
                    release(device)
                    models = without_graph(models, done.reason)
                    left.again(batch)
                    self._warn(f"{done.reason}; going on without a graph")
                    continue
                if isinstance(done, Broken) and done.out_of_memory and (leaner := for_less_memory(self.plan, models)):
                    release(device)
                    models = leaner
                    left.again(batch)
                    self._warn(f"out of memory with {side_by_side} side by side; going on with checkpointing")
                    continue
                if isinstance(done, Broken) and done.out_of_memory and side_by_side > 1:
                    release(device)
                    too_many, side_by_side = side_by_side, (side_by_side + 1) // 2
                    left.again(batch)
                    self._warn(f"out of memory with {too_many} trials side by side; going on with {side_by_side}")
                    continue
                number += 1
                if isinstance(done, Broken):
                    release(device)
                    self._fail_all(running, done, models, surroundings)
                    self.listeners.tell("batch_ends", running, None)
                    continue
                self._hand_in(running, done, writer)
                self.listeners.tell("batch_ends", running, done)
                self._collect(at_most=self.pending_commits)
        finally:
            self._collect(at_most=0)

    def _attempt(self, batch: RunningBatch, models: Models, shape: int, save: Save | Unsaved) -> BatchRun | Broken:
        """Runs one batch and tells the listeners of its steps. The error is not kept: its traceback refers to
        tensors."""
        self.listeners.tell("batch_begins", batch)
        job = self.plan.job
        try:
            for run in run_batch(batch.trials, job.settings, job.metric.name, models, shape, save):
                self.listeners.tell("step", batch, run)
                self._collect()
            return run
        except Astray:
            return Broken("what was saved of a batch leads to another noise than it did", False, astray=True)
        except (Exception, SystemExit) as error:  # one batch that breaks must not stop the others, whatever broke it
            reason, memory = typed_line(error), out_of_memory(error)
            if isinstance(error, NotCaptured):
                return Broken(str(error), memory, not_captured=True)
            log.error("a batch of %d failed: %s", len(batch.trials), reason, exc_info=not memory)
            return Broken(reason, memory)

    def _fail_all(self, batch: RunningBatch, broken: Broken, models: Models, surroundings: Environment) -> None:
        reason = broken.reason
        if broken.out_of_memory:
            device_type = models.generator.device.type
            advice = _for_less_memory(self.plan, device_type, bool(models.execution.checkpointing))
            where = f"out of memory on {surroundings.device} even with one trial at a time"
            reason = f"{where} ({broken.reason}); {advice}"
        for trial in batch.trials:
            if trial.id in batch.provenance:
                self._fail(trial, batch.provenance[trial.id], reason)

    # --- Trials -----------------------------------------------------------------------------------------------------

    def _hand_in(self, batch: RunningBatch, run: BatchRun, writer: ThreadPoolExecutor) -> None:
        """Passes the batch's trials that are not stored yet to the writing thread. Failed trials are not written."""
        for progress in run.trials:
            provenance = batch.provenance.get(progress.trial.id)
            if provenance is None:
                continue
            if progress.failure:
                self._saves.ended(progress.trial.id)
                self._fail(progress.trial, provenance, progress.failure)
                continue
            finished = finished_trial(progress, run, self.plan, provenance)
            self._commits.append((writer.submit(self.store.commit, finished), progress.trial, provenance))

    def _collect(self, at_most: int | None = None) -> None:
        """Tells the listeners of the trials that are written by now. at_most: waits until at most so many are left to
        write; None: does not wait."""
        while self._commits and (self._commits[0][0].done() or (at_most is not None and len(self._commits) > at_most)):
            commit, trial, provenance = self._commits.popleft()
            try:
                stored = commit.result()
            except Exception as error:  # such as a full disk, or no memory for the encoded files
                self._not_stored(trial, provenance, error)
                continue
            self.finished[trial.id] = stored
            self._left.release([trial])
            self._saves.ended(trial.id)
            self.outcome.done.append(trial.id)
            log.info("stored %s", trial.id)
            self.listeners.tell("trial_stored", stored)

    def _not_stored(self, trial: TrialSpec, provenance: Provenance, error: Exception) -> None:
        full = disk_is_full(error)
        if full and not self._disk_was_full:
            self._disk_was_full = True
            self._warn(
                f"the disk of results={self.store.root} is full: trials are lost until there is space again; the same "
                "command runs them again"
            )
        log.error("a trial could not be written", exc_info=None if full else error)
        self._fail(trial, provenance, f"it could not be stored ({why_not_written(error)})")

    def _fail(self, trial: TrialSpec, provenance: Provenance, reason: str) -> None:
        log.error("trial %s failed: %s", trial.id, reason)
        self.outcome.failed[trial.id] = reason
        self._left.release([trial])
        self.listeners.tell("trial_failed", trial, provenance, reason)

    # --- Messages and the job's record ------------------------------------------------------------------------------

    def _note(self, message: str) -> None:
        self.listeners.tell("noted", message)

    def _warn(self, message: str) -> None:
        self.listeners.tell("warned", message)

    def _log_choices(self, models: Models, size: Cut) -> None:
        job, device = self.plan.job, models.generator.device
        log.info("models in %s: %s", self.plan.dtype, why_dtype(job.dtype, self.plan.dtype, device.type))
        log.info("executed with %s", models.execution)
        for choice in choices(models):
            log.info(choice)
        log.info("batch_size=%d: %s", size.size, size.reason)

    def _record(self, seconds: float, ended: bool) -> JobRecord:
        return job_record(self.plan, self.outcome, self.group, self.command, seconds, ended)

    def _write_record(self, seconds: float) -> None:
        """Writes job.json and, if the code has uncommitted changes, changes.patch. A warning says what could not be
        written; the trials are stored all the same."""
        try:
            write_job_record(self.folder, self._record(seconds, ended=True))
        except OSError as error:
            self._warn(f"job.json could not be written ({why_not_written(error)})")
        if self.outcome.done and (diff := git_diff()):
            try:
                (self.folder / "changes.patch").write_bytes(diff)
            except OSError as error:
                self._warn(f"changes.patch could not be written ({why_not_written(error)})")


def _for_less_memory(plan: Plan, device_type: str, checkpointing: bool) -> str:
    """What the user can still change if even one trial does not fit."""
    knobs = [] if checkpointing else ["checkpointing=true"]
    if plan.dtype not in ("float16", "bfloat16"):
        knobs.append("dtype=float16" if device_type == "cuda" else "dtype=bfloat16")
    knobs += ["evaluators=[] (and reno.evaluate later)"] if plan.evaluators else []
    return "try " + ", ".join([*knobs, "a smaller metric or generator", "or a device with more memory"])
