"""Shows how far the jobs of a store are: a line a job, and one for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from reno.letters.amounts import duration
from reno.letters.console import PatientConsole
from reno.letters.harmless import visible
from reno.screen.sweep import names_of
from reno.screen.words import count
from reno.store.claims import Worker
from reno.store.overview import JobOverview


def show_status(jobs: Sequence[JobOverview]) -> None:
    """Prints the table."""
    console = PatientConsole(soft_wrap=True)
    console.print(_table(jobs))
    for line in _below(jobs):
        console.print(line, markup=False)


def _table(jobs: Sequence[JobOverview]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("job", overflow="fold")
    for heading in ("stored", "running", "failed", "to do", "time left", "device hours"):
        table.add_column(heading, justify="right", overflow="fold")
    methods = [(job.record, job.record.spec.get("method", {})) for job in jobs]
    names = names_of(methods, [job.folder for job in jobs])
    for name, job in zip(names, jobs, strict=True):
        table.add_row(
            visible(name),
            f"{job.done} of {len(job.record.trials)}",
            str(sum(job.running.values())),
            str(job.failed),
            str(job.to_do),
            _left(job),
            ", ".join(_spent(hours, kind) for kind, hours in sorted(job.hours.items())) or "-",
        )
    return table


def _left(job: JobOverview) -> str:
    if not job.to_do and not job.running:
        return "-"
    return "not known" if job.seconds_left is None else duration(job.seconds_left)


def _spent(hours: float, kind: str) -> str:
    return f"{hours:.2f} {kind}" if hours >= 0.1 else f"{hours:.1g} {kind}"


def _below(jobs: Sequence[JobOverview]) -> list[str]:
    """Who runs what, and what the time left is."""
    workers: Counter[Worker] = Counter()
    for job in jobs:
        workers.update(job.running)
    lines = [
        f"{visible(worker.machine)} ({visible(worker.device or 'device not known')}) runs {count(trials, 'trial')}"
        for worker, trials in sorted(workers.items(), key=lambda item: (item[0].machine, item[0].name))
    ]
    waiting = [job for job in jobs if job.to_do or job.running]
    if waiting and not workers:
        lines.append("no worker runs; the same commands go on with what is to do")
    if any(job.seconds_left is not None for job in waiting):
        lines.append("time left: of each job, with the workers that run it now, or one; loading models is not counted")
    return lines
