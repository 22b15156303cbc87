"""What `dry_run=true` prints: a job's trials, and for a sweep one total."""

from __future__ import annotations

from rich.table import Table

from reno.letters.console import PatientConsole
from reno.letters.harmless import visible
from reno.letters.output import say, warn
from reno.letters.sizes import in_bytes
from reno.running.fit.cards import seconds_on_a_t4
from reno.running.forecast import Forecast, Foresight
from reno.running.plan import Plan
from reno.screen.screen import name_of, prompt_notes
from reno.screen.words import count, duration
from reno.spec.errors import few


def show_forecast(found: Forecast) -> None:
    """Prints a job's trials, which of them are stored, and how long the others take."""
    plan, console = found.plan, PatientConsole()
    table = Table("trial", "prompt", "seed", "state", box=None, pad_edge=False)
    for trial in plan.trials:
        new = "to do" if trial.id in found.new else "of an earlier job"
        table.add_row(
            "?" if plan.to_fetch else trial.id[:12],
            visible(trial.prompt.text),
            str(trial.seed),
            "stored" if trial.id in found.finished else new,
        )
    console.print(table)
    to_do = len(found.new)
    earlier = len(plan.trials) - len(found.finished) - to_do
    line = f"{name_of(plan)}: {count(len(plan.trials), 'trial')}, {len(found.finished)} stored, {to_do} to do"
    if earlier:
        line += f", {earlier} of an earlier job"
    if to_do and found.seconds:
        line += f"; about {duration(found.seconds[0])} ({found.seconds[1]})"
    elif to_do:
        line += "; it is not known yet how long a trial of these models takes"
    if to_do and found.size is not None:
        line += f"; about {in_bytes(found.size)} of results"
    say(line)
    if to_do:
        for line in judges_lines(plan):
            say(line)
    for wanted in plan.to_fetch:
        say(f"to fetch first: {wanted}")
    if plan.to_fetch:
        say("a trial's id follows from the weights, so which trials are stored is known once they are fetched")
    for note in prompt_notes(plan):
        say(note)
    for sentence in few(found.damaged, "damaged ones"):
        warn(f"warning: {sentence}")


def judges_lines(plan: Plan) -> list[str]:
    """What the judges of real images need, a line, if their files say it; none for other judges."""
    needs = {judge.spec.name: judge.spec.needs for judge in plan.evaluators if judge.spec.needs}
    if not needs:
        return []
    weights, most = sum(one.gb for one in needs.values()), max(one.gib for one in needs.values())
    seconds = sum(seconds_on_a_t4(1e12 * one.tflop, "float32") for one in needs.values())
    return [
        f"judges after the optimisation: {', '.join(needs)}; {weights:.1f} GB of weights, on a GPU {most:.1f} GiB "
        f"beside the loop's weights and {seconds:.0f} s a trial on a T4, at most (predicted); evaluators=[] turns them "
        "off"
    ]


def show_total(seen: Foresight, refused: int) -> None:
    """Prints the total of a sweep: every trial counts once, however many jobs have it. refused: jobs that cannot
    run."""
    jobs = len(seen.forecasts)
    new = sum(len(one.new) for one in seen.forecasts)
    line = f"total: {count(jobs, 'job')}, {count(seen.trials, 'trial')}, {seen.stored} stored, {new} new"
    busy = [one for one in seen.forecasts if one.new]
    timed = [one.seconds[0] for one in busy if one.seconds]
    sized = [one.size for one in busy if one.size is not None]
    if sized:
        line += f"; about {in_bytes(sum(sized))} of results{_of(len(sized), len(busy))}"
    if timed:
        line += f"; about {duration(sum(timed))}{_of(len(timed), len(busy))}"
    if busy and not timed:
        line += "; it is not known yet how long a trial of these models takes"
    if refused:
        line += f"; {count(refused, 'job')} cannot run"
    say(line)


def _of(known: int, all_: int) -> str:
    return "" if known == all_ else f" for {known} of the {all_} jobs with new trials, of the others it is not known"
