"""What `dry_run=true` prints: a job's trials, or a line for each job of a sweep and one total."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from reno.letters.amounts import duration, in_bytes
from reno.letters.console import PatientConsole
from reno.letters.harmless import visible
from reno.letters.output import say, warn
from reno.running.fit.cards import seconds_on_a_t4
from reno.running.forecast import Forecast, Foresight
from reno.running.plan import BY_REFERENCE, Plan
from reno.screen.screen import name_of, prompt_notes
from reno.screen.words import count, seed_text
from reno.spec.errors import few


class ForecastScreen:
    """Prints what the jobs of a command would run. Of a sweep each job is a line, and what several jobs need is said
    once."""

    def __init__(self, sweeping: bool) -> None:
        self.sweeping, self._said = sweeping, set[str]()

    def show(self, found: Forecast) -> None:
        """Prints a job: how many of its trials are stored, how long the others take, and what they need."""
        plan = found.plan
        if not self.sweeping:
            PatientConsole().print(_trials(found))
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
        needs = judges_lines(plan) if to_do else []
        needs += [f"to fetch first: {wanted}" for wanted in plan.to_fetch]
        if plan.to_fetch:
            needs.append(
                "a trial's id follows from the weights, so which trials are stored is known once they are fetched"
            )
        for one in (*needs, *prompt_notes(plan)):
            if one not in self._said:
                say(one)
        self._said.update(needs, prompt_notes(plan))
        for sentence in few(found.damaged, "damaged ones"):
            warn(f"warning: {sentence}")

    def total(self, seen: Foresight, refused: int) -> None:
        """Prints the total of a sweep: every trial counts once, however many jobs have it. refused: jobs that cannot
        run."""
        jobs = len(seen.forecasts)
        new = sum(len(one.new) for one in seen.forecasts)
        line = f"total: {count(jobs, 'job')}, {count(seen.trials, 'trial')}, {seen.stored} stored, {new} new"
        busy = [one for one in seen.forecasts if one.new]
        timed = [one.seconds for one in busy if one.seconds]
        sized = [one.size for one in busy if one.size is not None]
        if sized:
            line += f"; about {in_bytes(sum(sized))} of results{_of(len(sized), len(busy))}"
        if timed:
            line += f"; about {duration(sum(seconds for seconds, _ in timed))}"
            line += f"{_by_reference([source for _, source in timed])}{_of(len(timed), len(busy))}"
        if busy and not timed:
            line += "; it is not known yet how long a trial of these models takes"
        if refused:
            line += f"; {count(refused, 'job')} cannot run"
        say(line)


def _trials(found: Forecast) -> Table:
    """A row a trial."""
    table = Table("trial", "prompt", "seed", "state", box=None, pad_edge=False)
    for trial in found.plan.trials:
        new = "to do" if trial.id in found.new else "of an earlier job"
        table.add_row(
            "?" if found.plan.to_fetch else trial.id[:12],
            visible(trial.prompt.text),
            seed_text(trial.prompt.text, trial.seed),
            "stored" if trial.id in found.finished else new,
        )
    return table


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


def _by_reference(sources: Sequence[str]) -> str:
    """What machine a sweep's time is of, where no stored trials tell it. sources: of the jobs' times."""
    guessed = sources.count(BY_REFERENCE)
    which = "" if guessed == len(sources) else f"{guessed} of the {len(sources)} jobs "
    said = f" ({which}{BY_REFERENCE}; nothing is known of another device until a trial is stored)"
    return said if guessed else ""


def _of(known: int, all_: int) -> str:
    return "" if known == all_ else f" for {known} of the {all_} jobs with new trials, of the others it is not known"
