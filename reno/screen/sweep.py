"""Shows a sweep when its jobs have ended: a table with a line a job, one sheet of pictures of all jobs, and three
commands to type next. It reads the jobs' records, so the jobs may have run in other processes."""

from __future__ import annotations

import math
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from reno.config.programs import as_called
from reno.letters.amounts import duration
from reno.letters.console import PatientConsole
from reno.letters.harmless import visible
from reno.letters.lines import lines_of, width_of
from reno.screen.contact_sheet import settings_of
from reno.screen.words import number
from reno.spec.addresses import named
from reno.store.records import JobRecord, JudgedTrial, read_json
from reno.store.stored import Damaged, Stored, read_trial

LONGEST_PROMPT = 40
"""Letters of a typed prompt in a job's name."""
QUANTILE = 1.959964
"""Of the standard normal distribution: intervals are of 95%."""


@dataclass(frozen=True)
class EndedJob:
    """A job of a sweep, with the trials that it stored or found."""

    name: str
    """What tells it from the sweep's other jobs: `clip · lr 0.01`."""
    record: JobRecord
    root: Path
    trials: tuple[Stored, ...]
    judged: tuple[dict[str, JudgedTrial], ...]
    """What the judges say of each trial, by judge; read once."""


@dataclass(frozen=True)
class Bound:
    """On how many of a job's images every binding is right, as one judge sees them."""

    before: int
    after: int
    images: int
    prompts: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval (1927) of the share after, of as many independent images as there are prompts: the
        images of one prompt resemble each other."""
        return wilson(self.after / self.images, self.prompts)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's score interval of a share of `count` > 0 independent images, at 95%."""
    square = QUANTILE**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    reach = QUANTILE * math.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def show_sweep(folder: Path, fewest: int = 2) -> None:
    """Shows the sweep whose jobs' folders lie under `folder`, if at least so many jobs have trials. fewest: 1 where a
    launcher ran the jobs in other processes, so that nothing of them was shown here."""
    jobs = ended_jobs(folder)
    if len(jobs) < fewest:
        return
    console = PatientConsole(soft_wrap=True)
    console.print()
    judge = _judge_of(jobs)
    console.print(table_of(jobs, judge))
    if judge:
        console.print(
            f"fully bound: images with every binding right, as {judge} judges, before -> after; [..]: 95% interval of "
            "after", markup=False,
        )  # fmt: skip
    sheet = _draw(jobs, judge, folder)
    if sheet:
        console.print(f"pictures of all jobs  {sheet}", markup=False)
    console.print()
    console.print("next:")
    for command, what in next_commands(jobs):
        console.print(f"  {command}    # {what}", markup=False)


def ended_jobs(folder: Path) -> list[EndedJob]:
    """The jobs under a sweep's folder that have at least one stored trial, in their order. Of several workers of one
    job, the one that was the longest at it stands for all: they end when the last trial is stored."""
    found = []
    for path in sorted(folder.rglob("job.json"), key=_in_order):
        root = next((above for above in path.parents if (above / "trials").is_dir()), None)
        try:
            record = JobRecord.from_json(read_json(path))
        except (OSError, ValueError):
            continue
        if root is not None:
            read = (read_trial(root / "trials" / trial.id) for trial in record.trials)
            trials = tuple(trial for trial in read if not isinstance(trial, Damaged))
            if trials:
                found.append((record, root, trials, f"job {path.parent.name}"))
    longest: dict[tuple, int] = {}
    for place, (record, *_) in enumerate(found):
        shared = " workers=" in record.command  # else jobs of the same trials differ in what decides no trial
        key = tuple(trial.id for trial in record.trials) if shared else (place,)
        kept = longest.setdefault(key, place)
        if record.seconds > found[kept][0].seconds:
            longest[key] = place
    found = [found[place] for place in sorted(longest.values())]
    names = names_of(
        [(record, trials[0].record.spec.method) for record, _, trials, _ in found], [where for *_, where in found]
    )
    return [
        EndedJob(name, record, root, trials, tuple(trial.judgements() for trial in trials))
        for name, (record, root, trials, _) in zip(names, found, strict=True)
    ]


def _in_order(path: Path) -> list[tuple[int, int | str]]:
    """Job 10 comes after job 9."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in path.parts]


def names_of(jobs: Sequence[tuple[JobRecord, Mapping[str, Any]]], places: Sequence[str]) -> list[str]:
    """Names for jobs, each given with its method's settings. A name holds the words that differ between the jobs, and
    of the settings those that differ between jobs of one method; its place too, where another job has these words.

    places: `job 3` of a sweep, or a folder of jobs/."""
    described = [list(_described(*job)) for job in jobs]
    differing = [place for place in range(4) if len({words[place] for words in described}) > 1]
    settings = [words.pop().split(" · ") for words in described]
    methods = [record.labels.method for record, _ in jobs]
    shared = {
        method: set.intersection(*(set(own) for own, of in zip(settings, methods, strict=True) if of == method))
        for method in methods
    }
    names = []
    for words, own, method in zip(described, settings, methods, strict=True):
        parts = [words[place] for place in differing if place < 3] + [one for one in own if one not in shared[method]]
        names.append(" · ".join(parts) or words[1])
    return [f"{name} · {place}" if names.count(name) > 1 else name for name, place in zip(names, places, strict=True)]


def _described(record: JobRecord, method: Mapping[str, Any]) -> Iterator[str]:
    """Models, metric, method and prompts, then the settings."""
    yield record.labels.models
    yield record.labels.metric
    yield f"{record.labels.method} on {record.labels.prompts or _typed(record)}"
    yield settings_of(method)


def _typed(record: JobRecord) -> str:
    """The first of a job's typed prompts, and how many more it has."""
    first, *others = dict.fromkeys(trial.prompt for trial in record.trials) or [""]
    (line,) = lines_of(visible(first), lambda text: width_of(text) <= LONGEST_PROMPT, most=1)
    return f'"{line}"' + (f" and {len(others)} more" if others else "")


def table_of(jobs: Sequence[EndedJob], judge: str | None) -> Table:
    """A line a job. judge: whose word on the bindings is shown."""
    table = Table(box=None, pad_edge=False)
    table.add_column("job", overflow="fold")
    for heading in (*(["fully bound"] if judge else []), "own score", "time"):
        table.add_column(heading, justify="right", overflow="fold")
    for job in jobs:
        cells = [_bound_text(bound_of(job, judge))] if judge else []
        table.add_row(job.name, *cells, _score(job), duration(job.record.seconds))
    return table


def _judge_of(jobs: Sequence[EndedJob]) -> str | None:
    """The first judge that looked at a trial; one that is related to no metric comes first."""
    kin: dict[str, str] = {}
    for job in jobs:
        for judged in job.judged:
            kin |= {name: said.kin for name, said in judged.items()}
    return min(kin, key=lambda name: kin[name] != "none", default=None)


def bound_of(job: EndedJob, judge: str) -> Bound | None:
    """What a judge says of a job's trials; None if it judged none."""
    pairs = zip(job.trials, job.judged, strict=True)
    judged = [(trial, said[judge]) for trial, said in pairs if judge in said and trial.record.bindings]
    if not judged:
        return None
    before, after = (sum(getattr(said, which).all_bound for _, said in judged) for which in ("initial", "best"))
    return Bound(before, after, len(judged), len({trial.record.spec.prompt for trial, _ in judged}))


def _bound_text(bound: Bound | None) -> str:
    if bound is None:
        return "not judged"
    low, high = bound.interval
    return f"{bound.before} -> {bound.after} of {bound.images} [{low:.0%}, {high:.0%}]"


def _score(job: EndedJob) -> str:
    """The mean of the job's own score before and after."""
    metric = job.record.labels.metric
    pairs = [(trial.record.scores.initial.get(metric), trial.record.scores.best.get(metric)) for trial in job.trials]
    pairs = [pair for pair in pairs if None not in pair]
    if not pairs:
        return "-"
    before, after = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    return f"{number(before)} -> {number(after)}"


def _draw(jobs: Sequence[EndedJob], judge: str | None, folder: Path) -> Path | None:
    from reno.screen.sweep_sheet import draw_sweep_sheet

    try:
        pictures = {job.name: _by_noise(job) for job in jobs}
        return draw_sweep_sheet(pictures, judge, folder / "contact_sheet.png")
    except OSError:
        return None  # a picture beside the results; the jobs' own sheets say why none can be written


def _by_noise(job: EndedJob) -> Mapping[tuple[str, int], Stored]:
    return {(trial.record.spec.prompt, trial.record.spec.seed): trial for trial in job.trials}


def next_commands(jobs: Sequence[EndedJob]) -> list[tuple[str, str]]:
    """Three commands for what a user may want next, each with what it does."""
    job = jobs[0]
    results = "" if job.root.absolute() == Path.cwd() / "results" else f" results={shlex.quote(named(job.root))}"
    models = "" if job.record.labels.models == "testbed" else f" models={shlex.quote(job.record.labels.models)}"
    commands = [
        (f"python -m analysis{results}", "tables, figures and a page to look at"),
        (f"python -m reno.run{models}{results} prompt='a gold car and a blue bowl'", "a prompt of your own"),
        (f"python -m reno.run -m +experiments=clip_vs_blip{models}{results} dry_run=true", "what a whole study takes"),
    ]
    python = _python()
    return [(as_called(command).replace("python -m", f"{python} -m", 1), what) for command, what in commands]


def _python() -> str:
    """What a user types to start this interpreter: `python` where it is the one that the shell finds."""
    found = shutil.which("python")
    if found and Path(found).parent == Path(sys.executable).parent:
        return "python"
    here = Path(sys.executable)
    return shlex.quote(str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here))
