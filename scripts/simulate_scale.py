"""Shows how the store's own work grows: a stub for the models; the real store, claims, looks, index and frames.

    python scripts/simulate_scale.py SCRATCH --trials 1000,10000,100000 --workers 1,8,64

Under SCRATCH it makes stores of made-up trials whose files are links, so that a hundred thousand of them fit on a
disk. The work of a worker is measured as CPU time; leave the machine alone meanwhile, for with other work on both cores
a look took twice as long. A worker claims and commits its own trials, and looks once at each trial that another one has
stored: with W workers, W - 1 looks for each of its own. What is measured goes into SCRATCH/measured.csv, and the curves
into SCRATCH/curves.png; the same command again does what is missing. Remove SCRATCH afterwards.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import argparse
import csv
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import msgspec
import numpy as np

from analysis.data.from_store import index_store, load_store
from analysis.data.index import INDEX as INDEX_FOLDER
from analysis.data.results import Results
from analysis.figures.style import INK, PAGE, PALETTE, style
from reno.config.script import Options, a_path, run_script
from reno.letters.output import say, say_page, warn
from reno.running.plan import cut, missing, read_finished
from reno.running.sharing import Left
from reno.spec.errors import BadInput
from reno.spec.trial import digest
from reno.store.claims import Claims
from reno.store.overview import overview
from reno.store.records import TrialRecord, sealed_bytes
from reno.store.staging import own_name
from reno.store.store import Finished, Store
from reno.store.stored import Stored
from scripts.synthesise_store import synthesise

BATCH = 4
TRIAL_SECONDS = 2.0
"""A short trial, of which the store's work is given as a share."""
MADE, LOOKED_AT, COMMITTED = 200, 1000, 200
"""Trials that are made up and linked, that a job looks at, and that a worker commits."""
STORED, LOOK, ABSENT, OWN, STATUS, INDEX = (
    f"a job finds that its {LOOKED_AT} trials are stored, every byte read",
    "a look at a trial that another worker has stored",
    "a look at a trial that is missing",
    "a trial claimed, committed and given back, its files encoded before",
    "`reno.status`, of the jobs of 200 trials",
    "making the index",
)
FILES, INDEXED = (
    ("frames from the trials' own files", "curves of all trials, from their own files"),
    ("frames from the index", "curves of all trials, from the index"),
)
"""What is measured. The first four are of one trial."""


def main(arguments: list[str] | None = None) -> int:
    """Prints the table. Exit status 0, or 2 with one sentence if the arguments cannot be used."""
    return run_script(lambda: _simulate(arguments), "interrupted; the same command goes on")


def _simulate(arguments: list[str] | None) -> int:
    parser = Options(description=__doc__.partition("\n")[0])
    parser.add_argument("scratch", type=a_path, help="a folder for the stores, on the disk that is to be measured")
    parser.add_argument("--trials", type=_numbers, default=[1_000, 10_000], help="trials stored before")
    parser.add_argument("--workers", type=_numbers, default=[1, 8, 64])
    parser.add_argument(
        "--own-files", type=int, default=10_000, help="the largest store whose trials are read without an index"
    )
    options = parser.parse_args(arguments)
    measured = Measured(options.scratch / "measured.csv")
    if options.scratch.exists() and any(options.scratch.iterdir()) and not measured.file.exists():
        raise BadInput(f"give a new folder, or one that this script has made; {options.scratch} holds other files")
    options.scratch.mkdir(parents=True, exist_ok=True)
    measured.save()
    say_page("| stored | what | measured |\n| ---: | --- | ---: |")
    for count in options.trials:
        _at(options.scratch / str(count), count, measured, own_files=count <= options.own_files)
        for workers in options.workers:
            share = 100 * measured.share(count, workers)
            say(f"| {count:,} | of a trial of {TRIAL_SECONDS:g} s, with {workers} workers on one job | {share:.2f}% |")
    draw(measured, options.trials, options.workers, options.scratch / "curves.png")
    say()
    say(f"{options.scratch / 'curves.png'}")
    return 0


def _numbers(text: str) -> list[int]:
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError("give whole numbers, 1 or more, with commas between them")
    return [int(one) for one in text.split(",")]


class Measured:
    """The seconds of each thing measured, by (trials stored, what), in a file."""

    def __init__(self, file: Path):
        self.file = file
        self.seconds: dict[tuple[int, str], float] = {}
        if file.exists():
            try:
                with file.open(newline="") as rows:
                    self.seconds = {(int(count), what): float(seconds) for count, what, seconds in csv.reader(rows)}
            except ValueError:
                raise BadInput(f"{file} is damaged; remove {file.parent}, or give a new folder") from None

    def save(self) -> None:
        with self.file.open("w", newline="") as rows:
            csv.writer(rows).writerows((*key, seconds) for key, seconds in self.seconds.items())

    def row(self, count: int, what: str, measure: Callable[[], float]) -> None:
        """Prints a row of the table, measured if it was not before."""
        if (count, what) not in self.seconds:
            self.seconds[count, what] = measure()
            self.save()
        seconds = self.seconds[count, what]
        of_one = what in (STORED, LOOK, ABSENT, OWN)
        value = 1000 * seconds if of_one else seconds
        shown = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        say(f"| {count:,} | {what} | {shown} {'ms' if of_one else 's'} of CPU |")

    def share(self, count: int, workers: int) -> float:
        """The store's part of a trial of TRIAL_SECONDS, where so many workers run one job."""
        return (self.seconds[count, OWN] + (workers - 1) * self.seconds[count, LOOK]) / TRIAL_SECONDS


def _at(root: Path, count: int, measured: Measured, own_files: bool) -> None:
    """The rows for a store with so many trials. own_files: whether they are also read without an index."""
    example, job = _made(root, count)
    store = Store(root)
    trials = [record.trial for record in job]
    none = ["0" * 63 + f"{number % 10}" for number in range(LOOKED_AT)]
    measured.row(count, STORED, lambda: _timed(lambda: read_finished(trials, store)) / LOOKED_AT)
    measured.row(count, LOOK, lambda: _timed(lambda: [store.find(record.id) for record in job]) / LOOKED_AT)
    measured.row(count, ABSENT, lambda: _timed(lambda: [store.find(trial) for trial in none]) / LOOKED_AT)
    measured.row(count, OWN, lambda: _timed(lambda: _work(root, example)) / COMMITTED)
    measured.row(count, STATUS, lambda: _timed(lambda: overview(root)))
    if own_files:
        _frames(root, count, measured, *FILES)
    measured.row(count, INDEX, lambda: _timed(lambda: index_store(root)))
    _frames(root, count, measured, *INDEXED)


def _frames(root: Path, count: int, measured: Measured, frames: str, curves: str) -> None:
    """The rows of what a report reads of a store. An index is there for INDEXED alone."""
    if not {(count, frames), (count, curves)} <= measured.seconds.keys():
        if (frames, curves) == FILES:
            shutil.rmtree(root / INDEX_FOLDER, ignore_errors=True)
        else:
            index_store(root)
    read: list[Results] = []

    def seconds_of_frames() -> float:
        return _timed(lambda: read.append(load_store(root)))

    def seconds_of_curves() -> float:
        results = read[0] if read else load_store(root)
        return _timed(lambda: results.all_traces)

    measured.row(count, frames, seconds_of_frames)
    measured.row(count, curves, seconds_of_curves)


def _made(root: Path, count: int) -> tuple[Stored, list[TrialRecord]]:
    """A store of so many linked trials: one of them, and the records of the LOOKED_AT trials of one job."""
    store, whole = Store(root), root.with_suffix(".whole")
    if not whole.exists():
        shutil.rmtree(root, ignore_errors=True)
        warn(f"making a store of {count} trials")
        synthesise(root, MADE, seed=0)
        made = list(store.whole())
        for number in range(count - len(made)):
            _link(made[number % len(made)], _renamed(made[number % len(made)].record, f"{number}"), store)
        for number in range(LOOKED_AT):
            _link(made[0], _renamed(made[0].record, f"stored {number}"), store)
        whole.write_text(made[0].id)
    example = store.match(whole.read_text())
    return example, [_renamed(example.record, f"stored {number}") for number in range(LOOKED_AT)]


def draw(measured: Measured, counts: list[int], workers: list[int], file: Path) -> None:
    """The curves: the store's part of a trial over the workers, and what a report reads over the trials."""
    with style():
        canvas, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
        for count, color in zip(counts, PALETTE, strict=False):
            left.plot(workers, [100 * measured.share(count, one) for one in workers], "o-", color=color, markersize=4,
                      label=f"{count:,} stored")  # fmt: skip
        left.axhline(1, color=INK, linewidth=0.8, linestyle="--")
        left.set(xscale="log", xticks=workers, xticklabels=workers, xlabel="workers on one job", ylim=(0, None),
                 ylabel=f"the store's part of a\ntrial of {TRIAL_SECONDS:g} s, per cent")  # fmt: skip
        left.minorticks_off()
        left.legend(loc="upper left", bbox_to_anchor=(0.0, 0.95), frameon=False, labelspacing=0.3)
        for what, color in zip((INDEX, FILES[0], *INDEXED), PALETTE, strict=False):
            there = [count for count in counts if (count, what) in measured.seconds]
            right.plot(there, [measured.seconds[count, what] for count in there], "o-", color=color, markersize=4,
                       label=what.replace(", ", ",\n").replace(" from", "\nfrom"))  # fmt: skip
        right.set(xscale="log", yscale="log", xlabel="trials stored", ylabel="seconds of CPU", xticks=counts)
        for axis in (right.xaxis, right.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        right.minorticks_off()
        right.tick_params(axis="x", rotation=20)
        right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        canvas.savefig(file)
        plt.close(canvas)


def _timed(act: Callable[[], Any]) -> float:
    """The seconds of CPU that it takes."""
    started = time.process_time()
    act()
    return time.process_time() - started


def _renamed(record: TrialRecord, salt: str) -> TrialRecord:
    """The record of another trial, whose prompt has a few more letters."""
    spec = msgspec.structs.replace(record.spec, prompt=f"{record.spec.prompt} {salt}")
    return msgspec.structs.replace(record, id=digest(spec.to_json()), spec=spec)


def _link(example: Stored, record: TrialRecord, store: Store) -> None:
    """Stores a trial whose files are links to another one's."""
    folder = store.trials / record.id
    folder.mkdir()
    for name in record.files:
        try:
            os.link(example.folder / name, folder / name)
        except OSError:  # a disk gives a file some ten thousand names
            shutil.copy(example.folder / name, folder / name)
    (folder / "trial.json").write_bytes(sealed_bytes(record))


def _work(root: Path, example: Stored) -> None:
    """What a worker does for COMMITTED trials, without a model and without encoding images."""
    store, files = Store(root), {name: (example.folder / name).read_bytes() for name in example.record.files}
    records = [_renamed(example.record, own_name()) for _ in range(COMMITTED)]
    by_id = {record.id: record for record in records}

    class Encoded(Finished):
        def files(self) -> dict[str, bytes]:
            return files

    nothing = np.zeros((1,))
    with Claims(root, "stub") as claims:
        left = Left(missing(cut([record.trial for record in records], BATCH), {}), {}, store, claims)
        while (batch := left.next()) is not None:
            for trial in batch:
                finished = Encoded(by_id[trial.id], (), (), 0, nothing, nothing)
                left.finished[trial.id] = store.commit(finished)
                left.release([trial])
    if left.finished.keys() != by_id.keys():
        raise RuntimeError(f"{len(left.finished)} trials were run for {len(by_id)}")


if __name__ == "__main__":
    sys.exit(main())
