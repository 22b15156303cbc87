"""The progress and the results of judging stored trials, for a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import fmean

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reno.letters.console import PatientConsole
from reno.letters.output import say, warn
from reno.running.judging import Judging
from reno.screen.words import count, number
from reno.spec.errors import few
from reno.spec.judgements import Verdict

LINE_EVERY = 30.0
"""Seconds between two lines of progress if the output is not a terminal."""
MOST_REASONS = 10
"""Failures of one judge that are printed."""


class JudgingBar:
    """Progress of one judge after the other: a live bar on a terminal, elsewhere a line every LINE_EVERY seconds."""

    def __init__(self) -> None:
        self.console = PatientConsole()
        self.bar: Progress | None = None
        self.started = self.told = 0.0

    def __enter__(self) -> JudgingBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def tell(self, judging: Judging, done: int) -> None:
        """Shows how many of a judge's trials are judged or failed; 0: the judge begins."""
        total = len(judging.waiting)
        if done == 0:
            self._begin(judging, total)
        elif self.bar is not None:
            self.bar.update(self.task, completed=done)
        elif time.perf_counter() - self.told > LINE_EVERY:
            self.told = time.perf_counter()
            left = (self.told - self.started) * (total / done - 1)
            self.console.print(f"  {done} of {total} trials, about {left:.0f} s left")

    def _begin(self, judging: Judging, total: int) -> None:
        self._stop()
        self.started = self.told = time.perf_counter()
        skipped = len(judging.outcome.skipped)
        before = f", {skipped} judged before" if skipped else ""
        self.console.print(f"{judging.name}: {count(total, 'trial')} to judge{before}")
        if self.console.live:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("judging", total=total)

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def show_judging(judging: Judging) -> None:
    """Prints how many trials a judge judged, why others failed, and which judgements were damaged."""
    outcome = judging.outcome
    for sentence in few([one.sentence for one in judging.damaged], "damaged judgements", MOST_REASONS):
        warn(f"damaged: {sentence}")
    for place, (trial_id, reason) in enumerate(outcome.failed.items()):
        if place == MOST_REASONS:
            warn(f"... and {len(outcome.failed) - MOST_REASONS} more failed")
            break
        warn(f"failed: {trial_id[:12]}: {reason}")
    parts = [f"{count(len(outcome.done), 'trial')} judged", f"{len(outcome.skipped)} judged before"]
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    if judging.nothing_to_judge:
        parts.append(f"{judging.nothing_to_judge} with nothing to judge")
    left = {trial.id for trial in judging.waiting} - set(outcome.done) - set(outcome.failed)
    if left:
        parts.append(f"{len(left)} left; the same command goes on with them")
    say(f"{judging.name}: {', '.join(parts)}")
    if shares := shares_of(judging.verdicts):
        say(f"{judging.name}: {', '.join(shares)}")


def shares_of(verdicts: Sequence[tuple[Verdict, Verdict]]) -> list[str]:
    """What a judge says of its trials' images, in words. verdicts: of the initial and the best image of each trial.
    Where the two agree throughout, as in trials with one image, one value is shown, and else `before -> after`."""
    images = 1 if all(initial == best for initial, best in verdicts) else 2

    def told(values: Sequence[float], show: Callable[[float], str]) -> str:
        return " -> ".join(show(value) for value in values[-images:])

    def share(of: Callable[[Verdict], int], pairs: Sequence[tuple[Verdict, Verdict]], total: int) -> str:
        counts = [sum(map(of, side)) for side in zip(*pairs, strict=True)]
        return f"{told(counts, str)} of {total} ({told([100 * one / total for one in counts], '{:.0f}%'.format)})"

    bound = [pair for pair in verdicts if pair[1].judgements]
    whole = [pair for pair in verdicts if pair[1].correct is not None]
    scored = [pair for pair in verdicts if pair[1].score is not None]
    said = []
    if bound:
        said.append(f"images with all bindings right {share(lambda one: one.all_bound, bound, len(bound))}")
        bindings = sum(len(best.judgements) for _, best in bound)
        said.append(f"bindings that hold {share(lambda one: one.bound, bound, bindings)}")
    if whole:
        said.append(f"correct images {share(lambda one: bool(one.correct), whole, len(whole))}")
    if scored:
        means = [fmean(one.score or 0.0 for one in side) for side in zip(*scored, strict=True)]
        said.append(f"mean score {told(means, number)}")
    return said
