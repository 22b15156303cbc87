"""Shows how the store's own work grows: a stub for the models; the real store, claims, looks and frames.

    python scripts/simulate_scale.py SCRATCH --trials 1000,10000,100000 --workers 1,8,64

Under SCRATCH it makes stores of made-up trials whose files are links, so that a hundred thousand of them fit on a
disk. The work of a worker is measured as CPU time, which other load on the machine changes little. A worker claims and
commits its own trials, and looks once at each trial that another one has stored: with W workers, W - 1 looks for each
of its own.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from analysis.data.from_store import index_store, load_store
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


def main(arguments: list[str] | None = None) -> int:
    """Prints the table. Exit status 0, or 2 with one sentence if the arguments cannot be used."""
    return run_script(lambda: _simulate(arguments), "interrupted; remove the scratch folder")


def _simulate(arguments: list[str] | None) -> int:
    parser = Options(description=__doc__.partition("\n")[0])
    parser.add_argument("scratch", type=a_path, help="a folder for the stores, on the disk that is to be measured")
    parser.add_argument("--trials", type=_numbers, default=[1_000, 10_000], help="trials stored before")
    parser.add_argument("--workers", type=_numbers, default=[1, 8, 64])
    parser.add_argument(
        "--own-files", type=int, default=10_000, help="the largest store whose trials are read without an index"
    )
    options = parser.parse_args(arguments)
    if options.scratch.exists():
        raise BadInput(f"give a new folder; {options.scratch} is there already")
    say_page("| stored | what | measured |\n| ---: | --- | ---: |")
    try:
        for count in options.trials:
            _at(options.scratch / str(count), count, options.workers, count <= options.own_files)
    finally:
        shutil.rmtree(options.scratch, ignore_errors=True)
    return 0


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _at(root: Path, count: int, workers: list[int], own_files: bool) -> None:
    """The rows for a store with so many trials. own_files: whether they are also read without an index."""
    warn(f"making a store of {count} trials")
    synthesise(root, MADE, seed=0)
    store = Store(root)
    made = list(store.whole())
    for number in range(count - len(made)):
        _link(made[number % len(made)], _renamed(made[number % len(made)].record, f"{number}"), store)
    job = [_renamed(made[0].record, f"stored {number}") for number in range(LOOKED_AT)]
    for record in job:
        _link(made[0], record, store)
    trials = [record.trial for record in job]
    _show(count, f"a job finds that its {LOOKED_AT} trials are stored, every byte read",
          _timed(lambda: read_finished(trials, store)) / LOOKED_AT, "ms a trial")  # fmt: skip
    look = _timed(lambda: [store.find(record.id) for record in job], time.process_time) / LOOKED_AT
    _show(count, "a look at a trial that another worker has stored", look, "ms of CPU")
    none = ["0" * 63 + f"{number % 10}" for number in range(LOOKED_AT)]
    absent = _timed(lambda: [store.find(trial) for trial in none], time.process_time) / LOOKED_AT
    _show(count, "a look at a trial that is missing", absent, "ms of CPU")
    own = _timed(lambda: _work(root, made[0]), time.process_time) / COMMITTED
    _show(count, "a trial claimed, committed and given back, its files encoded before", own, "ms of CPU")
    for number in workers:
        share = 100 * (own + (number - 1) * look) / TRIAL_SECONDS
        say(f"| {count:,} | of a trial of {TRIAL_SECONDS:g} s, with {number} workers on one job | {share:.2f}% |")
    _show(
        count, "`reno.status`, of the jobs of 200 trials", _timed(lambda: overview(root), time.process_time), "s of CPU"
    )
    if own_files:
        _show_frames(count, root, "frames from the trials' own files", "curves of all trials, from their own files")
    _show(count, "making the index", _timed(lambda: index_store(root), time.process_time), "s of CPU")
    _show_frames(count, root, "frames from the index", "curves of all trials, from the index")


def _show_frames(count: int, root: Path, frames: str, curves: str) -> None:
    """The rows of what a report reads of a store."""
    started = time.process_time()
    results = load_store(root)
    _show(count, frames, time.process_time() - started, "s of CPU")
    _show(count, curves, _timed(lambda: results.all_traces, time.process_time), "s of CPU")


def _show(count: int, what: str, seconds: float, unit: str) -> None:
    value = 1000 * seconds if unit.startswith("ms") else seconds
    say(f"| {count:,} | {what} | {value:.3g} {unit} |")


def _timed(act: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    act()
    return clock() - started


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
