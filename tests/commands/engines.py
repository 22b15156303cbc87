"""One study by every engine that this machine has, next to the plain command:

    make engines ARGS=SCRATCH      # a new folder; nothing else should run meanwhile

It prints a row an engine: whether its store is the plain one bit for bit, the seconds from the command's start to its
end, and how many trials were run more than once. An engine that is not here has no row. Exit status 1 if a store
differs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from reno.store.records import DONE, JobRecord, read_json
from tests.commands.one_node import LAUNCHED, OneNode, lacking
from tests.commands.test_launchers import there
from tests.running.workers import essence
from tests.store.s3_server import BUCKET, s3_server

ROOT = Path(__file__).resolve().parents[2]
RAY_PYTHON = ROOT / "build" / "ray" / "bin" / "python"
"""Ray needs an environment of its own, which `make test-ray` makes."""
STUDY = ("-m", "metric=clip,blip", "lr=0.02,0.05", "prompt=[a red car,a blue cup,a gold star]", "seed=[0,1,2,3]",
         "iterations=10", "batch_size=2", "threads=1", "tracking=disabled")  # fmt: skip
"""Four jobs of twelve trials each."""
RAY = ("hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2", "hydra.launcher.ray.remote.num_cpus=1",
       "hydra.launcher.ray.remote.num_gpus=0")  # fmt: skip


def main(scratch: Path) -> int:
    if scratch.exists():
        sys.exit(f"give a new folder; {scratch} is there already")
    scratch.mkdir(parents=True)
    plain = scratch / "plain"
    seconds = _run([_words(plain)])
    wanted = essence(plain)
    print(f"{len(wanted)} trials in 4 jobs\n")
    print("| engine | store | seconds | trials run twice |\n| --- | --- | ---: | ---: |")
    _show("the plain command", plain, seconds, wanted)
    same = True
    for name, root, seconds in _others(scratch):
        same = _show(name, root, seconds, wanted) and same
    return 0 if same else 1


def _others(scratch: Path) -> Iterator[tuple[str, Path, float]]:
    """Each engine's name, the folder with its store, and the seconds that it took."""
    root = scratch / "two"
    yield "two plain commands at the same time, on one store", root, _run([_words(root)] * 2)
    if there("joblib"):
        root = scratch / "joblib"
        yield "`gpus` (joblib), 2 workers", root, _run([_words(root, "hydra/launcher=gpus", "hydra.launcher.n_jobs=2")])
    if there("submitit"):
        root = scratch / "submitit"
        yield "`submitit_local`, 4 jobs at the same time", root, _run([_words(root, "hydra/launcher=submitit_local")])
    if RAY_PYTHON.exists():
        root = scratch / "ray"
        yield "`ray`, local, 2 CPUs", root, _run([_words(root, *RAY, python=RAY_PYTHON)])
    if there("submitit") and not lacking():
        root, node = scratch / "slurm", OneNode(_made(scratch / "node"))
        try:
            node.start()
            yield "`slurm`, one node of 2 CPUs", root, _run([_words(root, *LAUNCHED)], node.environment)
        finally:
            node.stop()
    with contextlib.suppress(ImportError), s3_server() as found:
        address = f"s3://{BUCKET}/study"
        own = [{**found, "RENO_STORES": str(scratch / f"machine {number}")} for number in range(2)]
        seconds = _run([_words(address)] * 2, *own)
        yield "two plain commands, on one S3 store", _fetched(address, scratch / "copy", found), seconds


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _words(results: Path | str, *more: str, python: Path = Path(sys.executable)) -> list[str]:
    return [str(python), "-m", "reno.run", *STUDY, *more, f"results={results}"]


def _run(commands: list[list[str]], *around: dict[str, str]) -> float:
    """The seconds until all commands, begun at the same time, have ended. around: environment variables of each."""
    started, own = time.perf_counter(), around or ({},) * len(commands)
    running = [
        subprocess.Popen(words, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
        for words, env in zip(commands, own, strict=True)
    ]
    if any([command.wait() for command in running]):
        sys.exit(f"a command failed: {' '.join(commands[0])}")
    return time.perf_counter() - started


def _fetched(address: str, copy: Path, found: dict[str, str]) -> Path:
    """A folder with everything of that store."""
    words = [sys.executable, "-m", "reno.merge", address, f"results={copy}"]
    subprocess.run(words, cwd=ROOT, env={**os.environ, **found, "RENO_STORES": f"{copy} 3"}, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return copy


def _show(name: str, root: Path, seconds: float, wanted: dict) -> bool:
    jobs = [JobRecord.from_json(read_json(path)) for path in root.rglob("job.json")]
    done = sum(trial.state == DONE for job in jobs for trial in job.trials)
    same = essence(root) == wanted
    print(f"| {name} | {'equal' if same else 'DIFFERENT'} | {seconds:.0f} | {done - len(wanted)} |", flush=True)
    return same


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
