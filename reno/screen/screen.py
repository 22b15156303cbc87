"""Shows a job: its progress, at its end a table of results, and where the results are.

Progress is a live bar on a terminal, and elsewhere a plain line for each batch, so that a log file stays readable.
"""

from __future__ import annotations

import shlex
import sys
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reno.letters.amounts import duration
from reno.letters.console import PatientConsole
from reno.letters.harmless import visible
from reno.letters.output import warn
from reno.prompts.reader import read_text, why_unbound
from reno.running.listeners import Listener, RunningBatch, RunningJob
from reno.running.outcome import Outcome
from reno.running.plan import Plan
from reno.running.progress import BatchRun
from reno.screen.words import count, number, seed_text
from reno.spec.addresses import named
from reno.spec.errors import why_not_written
from reno.spec.prompts import Prompt
from reno.spec.trial import noise_name
from reno.store.records import JudgedTrial
from reno.store.stored import Stored

LONGEST_TABLE = 40
"""Rows of a table on a terminal; the store and the contact sheet have more."""


class Screen(Listener):
    """Shows one job."""

    def __init__(self) -> None:
        self.console = PatientConsole(soft_wrap=not (sys.stdout and sys.stdout.isatty()))
        self.bar: Progress | None = None
        self.started = time.perf_counter()

    def job_begins(self, job: RunningJob) -> None:
        self.job, self.plan, self.started = job, job.plan, time.perf_counter()
        self.stored_before = len(job.finished)
        for note in prompt_notes(self.plan):
            self.say(note)
        if not job.batches:
            return
        to_do = len(self.plan.trials) - len(job.finished)
        stored = f", {len(job.finished)} more are stored already" if job.finished else ""
        self.say(f"{name_of(self.plan)}: {count(to_do, 'trial')} to run{stored}")
        if self.plan.random:
            self.say("note: these checkpoints hold random weights; the images are noise and the scores mean nothing")
        if self.console.live:
            self._start_bar(to_do)

    def _start_bar(self, to_do: int) -> None:
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

    def step(self, batch: RunningBatch, run: BatchRun) -> None:
        if self.bar is None or run.scored:
            return
        trials = [progress for progress in run.trials if progress.trial.id in batch.provenance]
        iteration, images = max(len(progress.trace) for progress in trials), self.plan.images
        losses = [progress.trace[-1]["loss"] for progress in trials if progress.trace[-1]["loss"] is not None]
        loss = f"loss {sum(losses) / len(losses):.2f}" if losses else "loss not finite"
        done = (batch.number - 1 + iteration / images) / batch.of
        left = (time.perf_counter() - self.started) * (1 / done - 1)
        self.bar.update(
            self.task,
            completed=int(done * self.bar.tasks[0].total),
            state=f"iteration {iteration - 1} of {images - 1}, {loss}",
            left=duration(left),
        )

    def batch_ends(self, batch: RunningBatch, run: BatchRun | None) -> None:
        if self.bar is not None or run is None:
            return
        first = run.trials[0]
        before, after = first.trace[0]["score"], first.trace[first.best]["score"]
        elapsed = time.perf_counter() - self.started
        left = elapsed / batch.number * (batch.of - batch.number)
        self.say(
            f"  batch {batch.number} of {batch.of} · {first.trial.prompt.text} · "
            f"score {number(before)} -> {number(after)} · {duration(elapsed)} elapsed, {duration(left)} left"
        )

    def noted(self, message: str) -> None:
        self.say(message)

    def warned(self, message: str) -> None:
        warn(f"warning: {message}")

    def job_ends(self, outcome: Outcome) -> None:
        """Shows the table of results, the failed trials, and where the results are."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        trials = [self.job.finished[trial.id] for trial in self.plan.trials if trial.id in self.job.finished]
        judged = [trial.judgements() for trial in trials]
        if outcome.done or outcome.elsewhere:
            self.console.print(_table(self.plan, trials[:LONGEST_TABLE], judged))
            if len(trials) > LONGEST_TABLE:
                self.say(f"... and {len(trials) - LONGEST_TABLE} more")
        for trial in self.plan.trials:
            if trial.id in outcome.failed:
                reason = outcome.failed[trial.id]
                warn(f"failed: {trial.prompt.text} · {noise_name(trial.prompt.text, trial.seed)}: {reason}")
        self.say(_ending(self.plan, trials, outcome))
        self._say_unjudged(trials, judged)
        self.say(f"results        {named(self.plan.job.results)}/trials")
        if trials:
            self._draw_contact_sheet(trials)
        for line in outcome.places:
            self.say(line)

    def _draw_contact_sheet(self, trials: Sequence[Stored]) -> None:
        from reno.screen.contact_sheet import draw_contact_sheet  # matplotlib's fonts: a dry run needs none

        try:
            sheet = draw_contact_sheet(trials, self.plan.job.metric.name, self.job.folder / "contact_sheet.png")
        except OSError as error:
            self.job.warn(f"the contact sheet could not be written ({why_not_written(error)})")
        else:
            self.say(f"contact sheet  {_from_here(sheet)}")

    def _say_unjudged(self, trials: Sequence[Stored], judged: Sequence[dict[str, JudgedTrial]]) -> None:
        job = self.plan.job
        for judge in self.plan.evaluators:
            name, pairs = judge.spec.name, zip(trials, judged, strict=True)
            if lacking := sum(judge.asks(trial.record.prompt) and name not in said for trial, said in pairs):
                words = ["python", "-m", "reno.evaluate", f"evaluators={name}", f"results={named(job.results)}"]
                command = shlex.join([*words, *_of_the_judges(self.job.command)])
                self.say(f"{count(lacking, 'trial')} stored before without {name}'s judgement; to judge: {command}")

    def say(self, line: str) -> None:
        """Prints a line that is never cut."""
        self.console.print(line, overflow="ignore", crop=False)


def _of_the_judges(command: str) -> list[str]:
    """The words of a job's command that a judge needs as well: folders of one's own, and checkpoints."""
    words = shlex.split(command)
    kept = []
    for place, word in enumerate(words):
        name = word.partition("=")[0]
        if name in ("-cd", "--config-dir"):
            kept += words[place : place + 1 + (name == word)]
        elif name.lstrip("+").startswith("models.checkpoints."):
            kept.append(word)
    return kept


def prompt_notes(plan: Plan) -> list[str]:
    """What a user should know of the job's prompts before it runs, a line each."""
    job = plan.job
    notes = [f"note: {note}" for note in job.prompt_notes]
    unbound = [prompt for prompt in job.prompts if not any(judge.asks(prompt) for judge in plan.evaluators)]
    if job.evaluators and unbound:
        why = "; ".join(f"{prompt.text[:60]!r}: {_why_not_judged(prompt)}" for prompt in unbound[:3])
        are = "1 prompt has" if len(unbound) == 1 else f"{len(unbound)} prompts have"
        notes.append(f"note: {are} nothing that a judge here looks for, of {len(job.prompts)} ({why})")
    return [*notes, *filter(None, [_other_protocol(plan), _official_judge(plan), not_english(plan)])]


def _why_not_judged(prompt: Prompt) -> str:
    if prompt.asks:
        return "it has bindings, which none of the judges here looks for"
    if prompt.cut and read_text(prompt.text).bindings:
        return "the generator does not read what it asks for"
    return why_unbound(prompt)


def _other_protocol(plan: Plan) -> str | None:
    """A note if the job does not do what the suite's protocol asks for."""
    suite, job = plan.job.suite, plan.job
    if suite is None:
        return None
    wanted, judges = suite.protocol, [judge.spec.name for judge in plan.evaluators]
    lacking = []
    if len(job.seeds) != wanted.images or not job.own_noise:
        seeds = str(list(range(wanted.images))).replace(" ", "")
        lacking.append(f"{count(wanted.images, 'image')} per prompt (seed={seeds} own_noise=true)")
    if wanted.judge and wanted.judge not in judges:
        lacking.append(f"the judge {wanted.judge} (evaluators={wanted.judge})")
    return f"note: the protocol {wanted.name} asks for {' and '.join(lacking)}" if lacking else None


def _official_judge(plan: Plan) -> str | None:
    """A note if the protocol's own judge is not among those of this project."""
    suite = plan.job.suite
    if suite is None or not suite.protocol.official:
        return None
    protocol = suite.protocol
    stands_in = f"; {protocol.judge} follows its rule and is not the official one" if protocol.judge else ""
    return f"note: the official judge of {suite.benchmark}'s {suite.category} prompts is {protocol.official}{stands_in}"


def not_english(plan: Plan) -> str | None:
    """A note if prompts hold letters or signs that are not English, and CLIP or BLIP reads them."""
    readers = [plan.generator.spec.kind, *(term.kind for term in plan.metric.spec.terms)]
    foreign = [prompt for prompt in plan.job.prompts if any(map(_foreign, prompt.text))]
    if not foreign or not {"stable_diffusion", "clip", "blip"} & {kind.rpartition(".")[2] for kind in readers}:
        return None
    are = "1 prompt holds" if len(foreign) == 1 else f"{len(foreign)} prompts hold"
    return (
        f"note: {are} letters or signs that are not English; CLIP and BLIP have learned English only, so images and "
        "scores may not follow such a prompt"
    )


def _foreign(char: str) -> bool:
    """A letter, mark or sign outside ASCII; quotation marks and dashes are none."""
    return not char.isascii() and unicodedata.category(char)[0] in "LMS"


def name_of(plan: Plan) -> str:
    """A job in a few words."""
    job = plan.job
    return f"{job.models}, {job.settings.method}, metric {job.metric.name}"


def _table(plan: Plan, trials: Sequence[Stored], judged: Sequence[dict[str, JudgedTrial]]) -> Table:
    metric = plan.job.metric.name
    judges = sorted({judge for said in judged for judge in said})
    table = Table(box=None, pad_edge=False)
    table.add_column("prompt", overflow="fold")
    for heading in ("seed", f"{metric} score", *(f"bound ({judge})" for judge in judges)):
        table.add_column(heading, justify="right", overflow="fold")  # a cut number says nothing
    for trial, said in zip(trials, judged, strict=False):
        scores, spec = trial.record.scores, trial.record.spec
        score = f"{number(scores.initial.get(metric))} -> {number(scores.best.get(metric))}"
        seed = seed_text(spec.prompt, spec.seed)
        table.add_row(visible(spec.prompt), seed, score, *(_bound(trial, said.get(judge)) for judge in judges))
    return table


def _bound(trial: Stored, judged: JudgedTrial | None) -> str:
    if judged is None:
        return "not judged"
    said = []
    if trial.record.bindings:
        said.append(f"{judged.initial.bound} -> {judged.best.bound} of {len(trial.record.bindings)}")
    if judged.best.correct is not None:
        before, after = ("right" if one.correct else "wrong" for one in (judged.initial, judged.best))
        said.append(f"{before} -> {after}")
    if not trial.record.bindings and judged.best.score is not None:
        said.append(f"score {number(judged.initial.score)} -> {number(judged.best.score)}")
    return ", ".join(said) or "no binding"


def _ending(plan: Plan, trials: Sequence[Stored], outcome: Outcome) -> str:
    """The job's end in one line."""
    if outcome.interrupted:
        return f"interrupted: {len(trials)} of {len(plan.trials)} trials are stored; the same command runs the rest"
    if not (outcome.done or outcome.elsewhere or outcome.failed) and len(trials) == len(plan.trials):
        return f"{name_of(plan)}: all {len(plan.trials)} trials are stored already, nothing to do"
    failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
    elsewhere = f", {len(outcome.elsewhere)} run by others" if outcome.elsewhere else ""
    early = sum(trial.record.stopped is not UNSET for trial in trials)
    stopped = f", {early} stopped early" if early else ""
    ran = f"{count(len(outcome.done), 'trial')} run, {len(outcome.skipped)} stored before{elsewhere}{failed}{stopped}"
    return ran + _mean_change(trials, plan.job.metric.name)


def _mean_change(trials: Sequence[Stored], metric: str) -> str:
    pairs = [(trial.record.scores.initial.get(metric), trial.record.scores.best.get(metric)) for trial in trials]
    pairs = [pair for pair in pairs if None not in pair]
    if not pairs:
        return ""
    before, after = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    return f"; mean {metric} score {number(before)} -> {number(after)}"


def _from_here(path: Path) -> Path:
    """A path relative to the working folder, if it is inside it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
