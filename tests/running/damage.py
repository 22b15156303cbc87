"""What damage does to a store: files are spoilt at random and every command is run over them; jobs are killed at random
moments and run again; and a job ends at each single change that it makes to its store, and runs again.

    python -m tests.running.damage 400 50 1     # files to spoil, jobs to kill, every so many crash points (0: none)

The spoilt trials are those of the parts in docs/house.md, which run in milliseconds; the other jobs are the testbed's.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from analysis.data import load
from reno.evaluate import main as evaluate
from reno.reproduce import main as reproduce
from reno.run import main as run
from reno.spec.errors import BadInput
from reno.store.files import FILES
from reno.store.records import read_json, record_bytes
from reno.store.store import Store
from reno.store.stored import Stored, checked

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = ("analysis", "reproduce", "evaluate", "run")
NAMED, SAME, OLDER = "named", "as without damage", "taken as an older version's"
SILENT, LEFT, RAW = "used without a word", "not made again", "raw error"
"""What a command did with a spoilt file. The last three must not happen."""
WORDS = re.compile(r"damaged|cannot be read|of another version|is not a|no trial")
ODD = (None, -1, 10**400, 1e308, 1.5, "x", "", [], {}, [[]], {"a": {}}, True)
"""In place of a value in a record."""


class Bench:
    """A whole store of four trials, judged later, and copies of it to spoil."""

    def __init__(self, room: Path):
        self.room, self.whole, self.copy = room, room / "whole", room / "copy"
        for text in re.findall(r"```\w*\n(.*?)```", (ROOT / "docs" / "house.md").read_text("utf-8"), re.S):
            if place := re.match(r"(?:# @package _global_\n)?# ((?:mine|myconf)/\S+)\n", text):
                (room / place[1]).parent.mkdir(parents=True, exist_ok=True)
                (room / place[1]).write_text(text, "utf-8")
        if str(room) not in sys.path:
            sys.path.insert(0, str(room))
        assert run(self.run_words(self.whole)) == 0
        assert evaluate(self.evaluate_words(self.whole)) == 0
        self.trials = sorted(path.name for path in (self.whole / "trials").iterdir())
        self.seen = seen(self.whole)

    def run_words(self, results: Path, *more: str) -> list[str]:
        return [
            "-cd", str(self.room / "myconf"), "models=toy", "metric=redness", "seed=[0,1]", "iterations=3",
            "prompt=[a red car,a red car and a blue cup]", "batch_size=2", "evaluators=[]", "tracking=disabled",
            "threads=1", f"results={results}", *more,
        ]  # fmt: skip

    def evaluate_words(self, results: Path) -> list[str]:
        return ["-cd", str(self.room / "myconf"), "evaluators=looker", f"results={results}", "threads=1"]

    def spoilt(self, spoil: Callable[[Path], None]) -> dict[str, str]:
        """What each command does with a copy of the store that `spoil` changed."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.whole, self.copy)
        spoil(self.copy)
        found = {"analysis": self._analysis()}
        found["reproduce"] = self._command(reproduce, [self.trials[0], f"results={self.copy}"], "identical: ")
        found["evaluate"] = self._command(evaluate, self.evaluate_words(self.copy), None)
        if found["evaluate"] == SAME:  # it read the judgements alone: now it has to look at the images
            shutil.rmtree(self.copy / "judgements")
            found["evaluate"] = self._command(evaluate, self.evaluate_words(self.copy), None)
        found["run"] = self._command(run, self.run_words(self.copy), None)
        return found

    def _analysis(self) -> str:
        try:
            now = seen(self.copy)
        except BadInput:
            return NAMED
        except Exception as error:
            print(f"analysis: {type(error).__name__}: {error}"[:300], file=sys.stderr)
            return RAW
        if now.pop("damaged"):
            return NAMED
        return SAME if now == {key: value for key, value in self.seen.items() if key != "damaged"} else SILENT

    def _command(self, main: Callable[[list[str]], int], words: list[str], expected: str | None) -> str:
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(words)
        except BaseException as error:
            err.write(f"Traceback {type(error).__name__}: {error}")
            status = -1
        said = out.getvalue() + err.getvalue()
        if status not in (0, 1, 2) or "Traceback" in said or "debug=true" in said or re.search(r"\w+Error: ", said):
            print(f"{main.__module__}: {said}"[:600], file=sys.stderr)
            return RAW
        if WORDS.search(said):
            return LEFT if main is run and self.differences(self.copy) else NAMED
        if expected is not None:
            return SAME if expected in said else SILENT
        same = judged(self.copy) == judged(self.whole) if main is evaluate else not self.differences(self.copy)
        return SAME if status == 0 and same else SILENT

    def differences(self, store: Path) -> list[str]:
        """The trials that are not bit-equal to those of the whole store, times aside."""
        return differences(store, self.whole)


def differences(store: Path, whole: Path) -> list[str]:
    """The trials of a whole store that are not bit-equal in another one, times aside."""
    trials = sorted(path.name for path in (whole / "trials").iterdir())
    return [trial for trial in trials if essence(store, trial) != essence(whole, trial)]


def judged(store: Path) -> dict[str, str]:
    """What the judges say of each trial that has a record."""
    return {trial.id: repr(trial.judgements()) for trial in Store(store).whole()}


def essence(store: Path, trial: str) -> Any:
    """Everything of a stored trial that a run on the same machine must make again; None if it is not whole."""
    (found,) = checked([Store(store).find(trial) or "absent"]) if Store(store).find(trial) else ("absent",)
    if not isinstance(found, Stored):
        return None
    record = found.record.to_json()
    kept = {key: record[key] for key in ("spec", "bindings", "labels", "scores", "best_iteration", "judgements")}
    trace = found.trace().drop(columns="seconds").to_csv()
    return kept, trace, [found.read(name) for name in FILES if name != "trace.parquet"]


def seen(store: Path) -> dict[str, Any]:
    """What the analysis makes of a store: its frames as text, its images, and what it says is damaged."""
    results = load(store)
    frames = {name: getattr(results, name).to_csv() for name in ("trials", "judged", "scores", "members", "absent")}
    images = {
        trial: results.shown(trial, lambda one: [one.image("initial"), one.image("best"), *one.frames()])
        for trial in results.trials["trial"]
    }
    pixels = {trial: images[trial] and [image.tobytes() for image in images[trial]] for trial in images}
    said = (*results.damaged, *results.not_shown.values())
    return {**frames, "traces": results.all_traces.to_csv(), "pixels": pixels, "damaged": said}


# --- Ways to spoil a file ---------------------------------------------------------------------------------------------


def spoilers(bench: Bench, chance: random.Random) -> Iterator[tuple[str, str, Callable[[Path], None]]]:
    """Without end: a file, a way to spoil it, and what does that to a store."""
    trial = bench.trials[0]
    names = [f"trials/{trial}/{name}" for name in (*FILES, "trial.json")]
    judgement = next((bench.whole / "judgements").rglob(f"{trial}.json")).relative_to(bench.whole)
    job = next((bench.whole / "jobs").rglob("job.json")).relative_to(bench.whole)
    while True:
        for name in [*names, str(judgement), str(job)]:
            never_there = (gone,) if name in (str(judgement), str(job)) else ()  # no damage: as if it never was
            ways = [way for way in WAYS if way not in never_there]
            for way in [*ways, *(OF_RECORDS if name.endswith(".json") else ())]:
                yield name, way.__name__, lambda store, name=name, way=way: way(store / name, chance)


def flipped_bit(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place = chance.randrange(8 * len(data))
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)


def cut_off(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])


def zeroed(path: Path, chance: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbage(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


def a_block_of_zeros(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = chance.randrange(len(data))
    data[start : start + 16] = bytes(len(data[start : start + 16]))
    path.write_bytes(data)


def gone(path: Path, chance: random.Random) -> None:
    path.unlink()


def a_folder(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


WAYS = (flipped_bit, flipped_bit, flipped_bit, cut_off, zeroed, garbage, a_block_of_zeros, gone, a_folder)


def _rewrite(path: Path, change: Callable[[Any, Any, Any], None], chance: random.Random) -> None:
    """Changes one value of a record."""
    values = json.loads(path.read_bytes())
    inner = values
    while True:
        key = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not isinstance(inner[key], dict | list) or not inner[key] or chance.random() < 0.2:
            break
        inner = inner[key]
    change(inner, key, chance)
    path.write_text(json.dumps(values, indent=1))


def odd_value(path: Path, chance: random.Random) -> None:
    _rewrite(path, lambda inner, key, chance: inner.__setitem__(key, chance.choice(ODD)), chance)


def odd_number(path: Path, chance: random.Random) -> None:
    text = path.read_text()
    places = [one.span() for one in re.finditer(r"(?<=: )-?[\d.e-]+", text)]
    start, end = chance.choice(places)
    path.write_text(text[:start] + chance.choice(["NaN", "1e999", "-Infinity", "9" * 5000, "00", "-0"]) + text[end:])


def lost_key(path: Path, chance: random.Random) -> None:
    _rewrite(path, lambda inner, key, chance: inner.__delitem__(key), chance)


def deep(path: Path, chance: random.Random) -> None:
    def nest(inner: Any, key: Any, chance: random.Random) -> None:
        depth = chance.choice([40, 200, 400])
        inner[key] = json.loads("[" * depth + "]" * depth)

    _rewrite(path, nest, chance)


def of_an_older_version(path: Path, chance: random.Random) -> None:
    """Such a record has no digest of its own: only its values can tell."""
    path.write_bytes(record_bytes(read_json(path)))
    chance.choice((odd_value, odd_value, lost_key, deep, odd_number))(path, chance)


OF_RECORDS = (odd_value, lost_key, deep, odd_number, *[of_an_older_version] * 6)


def spoil_many(bench: Bench, count: int, seed: int = 0) -> tuple[Counter, list[str]]:
    """Spoils `count` files. Returns how often each command did what, and a line for each that it must not do."""
    counts, wrong = Counter(), []
    chance = random.Random(seed)
    for number, (name, way, spoil) in enumerate(spoilers(bench, chance)):
        if number == count:
            return counts, wrong
        for command, did in bench.spoilt(spoil).items():
            if did in (SILENT, LEFT) and way == of_an_older_version.__name__:
                did = OLDER
            counts[command, did] += 1
            if did in (SILENT, LEFT, RAW):
                wrong.append(f"{number}: {command} {did}: {way} of {Path(name).name}")
    return counts, wrong


# --- Kills ------------------------------------------------------------------------------------------------------------


def kill_many(room: Path, kills: int, seed: int = 0) -> Counter:
    """Kills a job of the testbed `kills` times at random moments, and runs it to its end after every third. Counts the
    trials that were lost, doubled or changed, and what was left behind: all must be none."""
    chance, counts, whole, store = random.Random(seed), Counter(), room / "undisturbed", room / "killed"
    assert _process(whole).wait() == 0
    while counts["kills"] < kills:
        shutil.rmtree(store, ignore_errors=True)
        for _ in range(3):
            counts["kills"] += _killed(store, chance.uniform(0.0, 2.0))
        if (store / "staging").exists() and any((store / "staging").iterdir()):
            counts["kills while a trial was written"] += 1
        assert _process(store).wait() == 0
        counts["runs to the end"] += 1
        counts["changed or lost"] += len(differences(store, whole))
        counts["doubled"] += len(list((store / "trials").iterdir())) - len(list((whole / "trials").iterdir()))
        counts["damaged"] += len(list((store / "damaged").rglob("*"))) if (store / "damaged").exists() else 0
        counts["left behind"] += len(list((store / "staging").iterdir())) + len(list(store.rglob("*.part")))
    return counts


CRASHING = """
import os, sys
point, store, count = int(sys.argv.pop(1)), sys.argv.pop(1), 0

def watch(event, arguments):
    global count
    changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if (changes or writes) and any(str(one).startswith(store) for one in arguments[:2]):
        count += 1
        if count == point:
            os._exit(99)

sys.addaudithook(watch)
from reno.run import main
status = main(sys.argv[1:])
print(count)
sys.exit(status)
"""
"""Runs a job that ends, with no chance to clean up, before its point-th change to the store; prints how many there
were."""


def crash_everywhere(room: Path, every: int = 1) -> Counter:
    """Ends a job of two trials before its first change to the store, before its second, and so on, and runs it again
    each time."""
    whole = room / "uncrashed"
    points = int(_crashed(whole, 0).stdout.split()[-1])
    counts = Counter({"crash points": points})
    for point in range(1, points + 1, every):
        store = room / f"crash{point}"
        counts["ended there"] += _crashed(store, point).returncode == 99
        counts["runs to the end"] += _crashed(store, 0).returncode == 0
        counts["changed or lost"] += len(differences(store, whole))
        counts["doubled"] += len(list((store / "trials").iterdir())) - len(list((whole / "trials").iterdir()))
        counts["damaged"] += len(list((store / "damaged").rglob("*"))) if (store / "damaged").exists() else 0
        counts["left behind"] += len(list((store / "staging").iterdir())) + len(list(store.rglob("*.part")))
    return counts


def _crashed(store: Path, point: int) -> subprocess.CompletedProcess:
    words = ["prompt=[a red car,a blue cup]", "iterations=1", "batch_size=1", *_PLAIN, f"results={store}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CRASHING, str(point), str(store), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


_PLAIN = ("threads=1", "record=[]", "tracking=disabled")


def _process(store: Path) -> subprocess.Popen:
    """A job of 12 trials, each a batch of its own, so that one is written while the next one runs."""
    words = ["prompt=[a red car,a blue cup]", "seed=[0,1,2,3,4,5]", "iterations=3", "batch_size=1", *_PLAIN]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "reno.run", *words, f"results={store}"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _killed(store: Path, wait: float) -> bool:
    """Kills a job some seconds after its first write. Returns whether it was still running."""
    process = _process(store)
    before = _latest(store)
    while process.poll() is None and _latest(store) == before:
        time.sleep(0.005)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def _latest(store: Path) -> int:
    """When something was written last: each job begins with a file in staging/."""
    return (store / "staging").stat().st_mtime_ns if (store / "staging").exists() else 0


def main() -> None:
    spoils, kills, every = (int(word) for word in (*sys.argv[1:], *("100", "50", "1")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory(prefix="reno-damage-test-") as room, contextlib.redirect_stdout(io.StringIO()):
        bench = Bench(Path(room))
        counts, wrong = spoil_many(bench, spoils)
        killed = kill_many(Path(room), kills) if kills else Counter()
        crashed = crash_everywhere(Path(room), every) if every else Counter()
    print(f"{spoils} spoilt files")
    for command in COMMANDS:
        print(
            f"  {command:<10}",
            ", ".join(f"{counts[command, did]} {did}" for did in (NAMED, SAME, OLDER, SILENT, LEFT, RAW)),
        )
    print("\n".join(wrong))
    for found in (killed, crashed):
        print(", ".join(f"{count} {what}" for what, count in found.items()))


if __name__ == "__main__":
    main()
