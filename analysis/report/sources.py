"""What the numbers rest on: machines, code, checkpoints, the commands, and what is missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from msgspec import UNSET

from analysis.data import Results
from analysis.numbers.slices import Slice
from analysis.numbers.tuning import reported
from analysis.numbers.verdicts import MARGIN
from analysis.report.unasked import Unasked, unasked
from analysis.report.words import of_prompts
from analysis.tables import cells
from analysis.tables.notes import cautions
from reno.letters.harmless import typed
from reno.spec.addresses import named
from reno.spec.errors import BadInput, few
from reno.spec.trial import noise_name
from reno.store.records import BatchRecord, Origin, Provenance

MOST_NAMED = 20
"""Absent trials, and damaged ones, that are named one by one."""


@dataclass(frozen=True)
class Sources:
    facts: tuple[tuple[str, str], ...]
    """(what, value)."""
    commands: tuple[str, ...]
    """In the order to type them."""
    missing: tuple[str, ...]
    """A sentence each; the first says whether anything is missing."""
    cautions: tuple[str, ...]
    """What the intervals do not cover, a sentence each: shown beside the answer."""
    unasked: tuple[Unasked, ...] = ()
    """The judges that did not look at all images."""


def sources(results: Results, slices: Sequence[Slice], out: Path) -> Sources:
    careful = tuple(_cautions(cells(reported(slices))))
    return Sources(
        tuple(_facts(results)),
        tuple(map(typed, _commands(results, slices, out))),
        tuple(_missing(results)),
        careful,
        tuple(unasked(results, slices)),
    )


def _cautions(shown: Sequence[Sequence[Slice]]) -> Iterator[str]:
    """Each caution once; with the generators and prompt sets that it is about, unless it is about all."""
    about: dict[str, list[str]] = {}
    for cell in shown:
        for sentence in cautions(cell):
            about.setdefault(sentence, []).append(f"{cell[0].models}, prompts {cell[0].prompt_set}")
    for sentence, places in about.items():
        yield sentence if len(places) == len(shown) else f"On {'; '.join(places)}: {sentence}"


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    trials = results.trials
    yield "store", f"{named(results.root)}: {len(trials)} trials, {trials['prompt'].nunique()} prompts"
    yield "generators", _counts(trials["models"])
    prompts = results.members.assign(prompt=results.members["trial"].map(trials.set_index("trial")["prompt"]))
    counted = prompts.groupby("prompt_set")["prompt"].nunique()
    yield "prompts", ", ".join(of_prompts(str(name), int(count)) for name, count in counted.items())
    yield "methods", _counts(trials["method"])
    yield "judges", ", ".join(sorted(results.verdicts["judge"].unique())) or "none"
    yield "devices", _counts(trials["device"])
    yield "trials side by side", _counts(trials["batch_size"].map("{:g} in a batch".format, na_action="ignore"))
    for said, count in trials["cut"][trials["cut"] != ""].value_counts().items():
        yield "prompt cut", f"{said} ({count} trials)"
    yield "code", _counts(trials["commit"].map(lambda commit: f"commit {commit[:12]}", na_action="ignore"))
    yield "ran", f"{_day(trials['finished'].min())} to {_day(trials['finished'].max())}; {_time(trials['seconds'])}"
    firsts = trials.groupby(["models", "metric"])["trial"].first()
    for metric in results.metrics:
        for models in trials["models"].unique():
            if (models, metric) in firsts.index:
                for name, value in _sample(results, firsts[models, metric]):
                    yield f"{name} ({models}, {metric})", value


def _counts(values: pd.Series) -> str:
    counts = values.fillna("not recorded").value_counts()
    shown = [f"{value} ({count})" for value, count in counts.items()]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _day(moment: object) -> str:
    return str(moment)[:10] if isinstance(moment, str) else "not recorded"


def _time(seconds: pd.Series) -> str:
    return f"{seconds.sum() / 3600:.1f} hours of optimisation"


def _sample(results: Results, trial: str) -> Iterator[tuple[str, str]]:
    """Checkpoints and versions of one trial; the others of its kind are not read again."""
    try:
        provenance: Provenance = results.stored(trial).record.provenance
    except (BadInput, OSError):
        return
    if provenance.checkpoints is not UNSET:
        used = provenance.checkpoints
        asked = (origin for terms in (used.asked or {}).values() for origin in terms)
        origins = (used.generator, used.decoder or None, *(used.parts or {}).values(), *used.metric, *asked)
        yield from (("checkpoint", _origin(origin)) for origin in origins if origin is not None)
    yield "batch of one trial", _batch(provenance.batch)
    yield "versions", ", ".join(f"{name} {version}" for name, version in provenance.versions.items() if version)


def _batch(batch: BatchRecord) -> str:
    """The trials that ran beside one: their number can change its last digits."""
    mates = [mate.id[:12] for place, mate in enumerate(batch.trials) if place != batch.place]
    beside = f", beside {', '.join(mates)}" if mates else ""
    filled = "" if batch.shape is UNSET else f", filled up to {batch.shape} with copies"
    return f"place {batch.place + 1} of {batch.size}{beside}{filled}"


def _origin(origin: Origin) -> str:
    parts = (origin.model, origin.source, origin.inside or None, origin.commit, origin.variant)
    return " ".join(part for part in parts if part)


def _commands(results: Results, slices: Sequence[Slice], out: Path) -> Iterator[str]:
    commits = results.trials["commit"].dropna().value_counts()
    if len(commits):
        yield f"git checkout {shlex.quote(commits.index[0])}"
    yield from results.commands
    knobs = [f"results={named(results.root)}", f"out={out}"]
    knobs += [f"margin={slices[0].margin:g}"] * (slices[0].margin != MARGIN)
    knobs += [f"labels={results.labels}"] * (results.labels is not None)
    yield f"python -m analysis {shlex.join(knobs)}"
    if not results.in_folders:
        return
    first = results.trials["trial"].iloc[0]
    root = "" if str(results.root) == "results" else f" {shlex.quote(f'results={named(results.root)}')}"
    yield f"python -m reno.reproduce {first[:12]}{root}"


def _missing(results: Results) -> Iterator[str]:
    absent = results.absent.drop_duplicates("trial")
    damaged = [*results.damaged, *results.not_shown.values()]
    if absent.empty and not damaged:
        yield "Nothing: every trial that a job planned is in the store and could be read."
        return
    planned = len(results.trials) + len(absent)
    if len(absent):
        counts = ", ".join(f"{count} {state}" for state, count in results.lacking.items())
        yield (
            f"{len(absent)} of {planned} planned trials are not in any number here: {counts}. "
            "Run the same commands again to fill in what is missing."
        )
    named = [
        f"{row.state}: {row.models}, {row.method} with {row.metric}, {row.settings or 'settings not recorded'}, "
        f"“{row.prompt}”, {noise_name(row.prompt, row.seed)}"
        + (f" ({row.reason})" if row.state == "failed" and row.reason else "")
        for row in absent.itertuples()
    ]
    if results.damaged and results.in_folders:
        yield (
            f"{len(results.damaged)} trials, judgements or job records are damaged or cannot be read, and are in no "
            "number here."
        )
    if results.not_shown:
        yield f"Images of {len(results.not_shown)} trials are damaged or cannot be read, and are not shown here."
    for lines, what in ((named, "absent trials"), (damaged, "damaged files")):
        yield from few(lines, what, MOST_NAMED)
