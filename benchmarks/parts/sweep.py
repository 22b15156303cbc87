"""A sweep of four jobs in one process against four separate commands: the models load once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from statistics import median

from benchmarks.apart import ROOT, Failed, apart
from benchmarks.rows import Row
from benchmarks.setting import PROMPTS, Setting
from benchmarks.timing import in_turn, ratio

GRID = [("clip", "0.01"), ("clip", "0.05"), ("blip", "0.01"), ("blip", "0.05")]
SWEEP = ["-m", "metric=clip,blip", "lr=0.01,0.05"]


@dataclass(frozen=True)
class SweepEffort:
    iterations: int
    rounds: int


EFFORTS = {"quick": SweepEffort(1, 1), "testbed": SweepEffort(5, 3), "gpu": SweepEffort(5, 2)}


def measure(setting: Setting) -> list[Row]:
    effort = EFFORTS[setting.effort]
    words = [*setting.words, f"iterations={effort.iterations}", "tracking=disabled", "evaluators=[]"]
    words.append(f"prompt={PROMPTS[0]!r}")
    apart_words = [[*words, f"metric={metric}", f"lr={lr}"] for metric, lr in GRID]
    sides = {"separate": lambda: _seconds(apart_words), "sweep": lambda: _seconds([[*words, *SWEEP]])}
    found = in_turn(sides, effort.rounds)
    loads = apart("benchmarks.parts.sweep:generators_loaded", words=[*words, *SWEEP])
    return [
        Row(
            f"a sweep of four jobs, one prompt and {effort.iterations} iterations each",
            median(found["sweep"]), "s",
            "four commands", median(found["separate"]), ratio(found["sweep"], found["separate"]),
            at_most=1.0,
        ),
        Row("generators loaded by the sweep", loads, "", "one", 1, float(loads), at_most=1.0),
    ]  # fmt: skip


def _seconds(commands: list[list[str]]) -> float:
    """Wall seconds of commands, one after the other, into a new store."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    with tempfile.TemporaryDirectory() as results:
        started = time.perf_counter()
        for command in commands:
            done = subprocess.run(
                [sys.executable, "-m", "reno.run", f"results={results}", *command],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
            )
            if done.returncode:
                raise Failed(f"reno.run ended with exit status {done.returncode}")
        return time.perf_counter() - started


def generators_loaded(words: list[str]) -> int:
    """How often one command loads a generator."""
    from reno.generators import stable_diffusion
    from reno.run import main

    made = []
    whole = stable_diffusion.load

    def counted(*arguments, **named):
        made.append(arguments)
        return whole(*arguments, **named)

    stable_diffusion.load = counted
    with tempfile.TemporaryDirectory() as results:
        if main([f"results={results}", *words]):
            raise Failed("the sweep failed")
    return len(made)
