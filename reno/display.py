"""What a person sees of a job: progress while it runs, a table at its end, and where everything is.

On a terminal a live bar; elsewhere a plain line a batch, so that a log file stays readable.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from reno.batch import BatchRun
    from reno.outcome import Outcome
    from reno.plan import Plan
    from reno.results import Stored

LONGEST_TABLE = 40
"""Rows of a summary on a terminal; the store and the contact sheet have them all."""


class Display:
    def __init__(self, plan: Plan, finished: dict[str, Stored]):
        self.plan, self.finished = plan, finished
        self.console = Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())
        self.errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.bar: Progress | None = None
        self.batches = self.batches_done = 0
        self.started = time.perf_counter()
        self.latest: BatchRun | None = None

    def dry_run(self, estimate: tuple[float, str] | None) -> None:
        """Lists the trials, which are stored already, and how long the others will take."""
        table = Table("trial", "prompt", "seed", "state", box=None, pad_edge=False)
        for trial in self.plan.trials:
            state = "stored" if trial.id in self.finished else "to do"
            table.add_row(trial.id[:12], printable(trial.prompt.text), str(trial.seed), state)
        self.console.print(table)
        to_do = len(self.plan.trials) - len(self.finished)
        line = (
            f"{self._job_name()}: {count(len(self.plan.trials), 'trial')}, {len(self.finished)} stored, {to_do} to do"
        )
        if to_do and estimate:
            line += f"; about {duration(estimate[0])} ({estimate[1]})"
        elif to_do:
            line += "; nothing known yet of how long a trial of these models takes"
        self._say(line)

    def start(self, batches: int) -> None:
        self.batches, self.started = batches, time.perf_counter()
        to_do = len(self.plan.trials) - len(self.finished)
        stored = f", {len(self.finished)} more are stored already" if self.finished else ""
        self._say(f"{self._job_name()}: {count(to_do, 'trial')} to run{stored}")
        if self.plan.random:
            self._say("note: these checkpoints hold random weights; the images are noise and the scores mean nothing")
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("trials · {task.fields[state]} ·"),
                TimeElapsedColumn(),
                TextColumn("· {task.fields[left]} left"),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task("optimising", total=to_do, completed=0, state="starting", left="?")

    def step(self, run: BatchRun, cards: dict[str, Any]) -> None:
        """Shows the state of the batch that runs."""
        self.latest = run
        if self.bar is None or run.scored:
            return
        trials = [progress for progress in run.trials if progress.trial.id in cards]
        iteration, images = len(trials[0].trace), self.plan.images
        losses = [progress.trace[-1]["loss"] for progress in trials if progress.trace[-1]["loss"] is not None]
        loss = f"loss {sum(losses) / len(losses):.2f}" if losses else "loss not finite"
        done = (self.batches_done + iteration / images) / self.batches
        left = (time.perf_counter() - self.started) * (1 / done - 1)
        self.bar.update(
            self.task,
            completed=int(done * self.bar.tasks[0].total),
            state=f"iteration {iteration - 1} of {images - 1}, {loss}",
            left=duration(left),
        )

    def more_batches(self, number_of: int) -> None:
        """A batch is run in several, so there are so many more."""
        self.batches += number_of

    def batch_done(self) -> None:
        self.batches_done += 1
        if self.bar is not None or self.latest is None:
            return
        first = self.latest.trials[0]
        before, after = first.trace[0]["score"], first.trace[first.best]["score"]
        elapsed = time.perf_counter() - self.started
        left = elapsed / self.batches_done * (self.batches - self.batches_done)
        self._say(
            f"  batch {self.batches_done} of {self.batches} · {printable(first.trial.prompt.text)} · "
            f"score {number(before)} -> {number(after)} · {duration(elapsed)} gone, {duration(left)} left"
        )

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def note(self, message: str) -> None:
        """One line of what the program decides."""
        self._say(message)

    def warn(self, message: str) -> None:
        self.errors.print(f"warning: {message}")

    def summary(self, outcome: Outcome, stored: dict[str, Stored], sheet: Path | None, tracked: list[str]) -> None:
        """The table of results and where everything is."""
        trials = [stored[trial.id] for trial in self.plan.trials if trial.id in stored]
        rows = [{**trial.record, "judgements": trial.judgements()} for trial in trials]
        if outcome.done:
            self.console.print(self._table(rows[:LONGEST_TABLE]))
            if len(rows) > LONGEST_TABLE:
                self._say(f"... and {len(rows) - LONGEST_TABLE} more")
        for trial in self.plan.trials:
            if trial.id in outcome.failed:
                reason = outcome.failed[trial.id]
                self.errors.print(f"failed: {printable(trial.prompt.text)} · seed {trial.seed}: {reason}")
        if outcome.interrupted:
            self._say(
                f"interrupted: {len(stored)} of {len(self.plan.trials)} trials are stored; the same command runs "
                f"the rest"
            )
        elif not outcome.done and not outcome.failed:
            self._say(f"{self._job_name()}: all {len(self.plan.trials)} trials are stored already, nothing to do")
        else:
            change = _mean_change(rows, self.plan.job.metric.name)
            failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
            self._say(f"{count(len(outcome.done), 'trial')} run, {len(outcome.skipped)} stored before{failed}{change}")
        for judge in (spec.name for spec in self.plan.job.evaluators):
            if lacking := sum(bool(row["bindings"]) and judge not in row["judgements"] for row in rows):
                command = f"python -m reno.evaluate evaluators={judge} results={self.plan.job.results}"
                self._say(f"{count(lacking, 'trial')} stored before without {judge}'s judgement: {command}")
        self._say(f"results        {self.plan.job.results / 'trials'}")
        if sheet is not None:
            self._say(f"contact sheet  {_from_here(sheet)}")
        for line in tracked:
            self._say(line)

    def _table(self, records: list[dict[str, Any]]) -> Table:
        metric = self.plan.job.metric.name
        judges = sorted({judge for record in records for judge in record["judgements"]})
        table = Table(box=None, pad_edge=False)
        table.add_column("prompt", overflow="fold")
        for heading in ("seed", f"{metric} before", "after", *(f"bound before -> after ({judge})" for judge in judges)):
            table.add_column(heading, justify="right")
        for record in records:
            scores = record["scores"]
            cells = [number(scores["initial"][metric]), number(scores["best"][metric])]
            cells += [_bound(record, judge) for judge in judges]
            table.add_row(printable(record["spec"]["prompt"]), str(record["spec"]["seed"]), *cells)
        return table

    def _job_name(self) -> str:
        job = self.plan.job
        return f"{job.models}, {job.settings.method}, metric {job.metric.name}"

    def _say(self, line: str) -> None:
        self.console.print(line, overflow="ignore", crop=False)


def _from_here(path: Path) -> Path:
    """A path as short as it can be typed."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _bound(record: dict[str, Any], judge: str) -> str:
    judged = record["judgements"].get(judge)
    if judged is None:
        return "not judged"
    counts = [sum(item["bound"] for item in judged[which]["judgements"]) for which in ("initial", "best")]
    return f"{counts[0]} -> {counts[1]} of {len(record['bindings'])}"


def _mean_change(records: list[dict[str, Any]], metric: str) -> str:
    if not records:
        return ""
    means = [sum(record["scores"][which][metric] for record in records) / len(records) for which in ("initial", "best")]
    return f"; mean {metric} score {number(means[0])} -> {number(means[1])}"


def printable(text: str) -> str:
    """A prompt on one line, safe to print: control characters, newlines among them, are shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def count(number_of: int, word: str) -> str:
    return f"{number_of} {word}" + ("" if number_of == 1 else "s")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def duration(seconds: float) -> str:
    """Seconds as 8 s, 3 min 20 s, 5 h 12 min or 3 d 4 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
