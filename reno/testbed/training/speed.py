"""How fast the trained models are: seconds of loading them, and of a trial. Part of the stage `measure`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from reno.letters.output import say


class Speed(msgspec.Struct, kw_only=True):
    """Seconds on a CPU. `alone`: of one trial; `batch_of_4`: of a trial in a batch of four."""

    threads: int
    first_load_seconds: float
    """Of loading all models in a new process, with the import of their libraries."""
    load_seconds: float
    """Of loading them again."""
    clip_alone: float
    clip_batch_of_4: float
    blip_alone: float
    blip_batch_of_4: float


def speed(weights: Path, iterations: int) -> Speed:
    """Measures in a new process, with torch's own number of threads."""
    script = "import sys; from reno.testbed.training.speed import print_speed; print_speed(*sys.argv[1:])"
    shown = subprocess.run(
        [sys.executable, "-c", script, str(weights), str(iterations)], capture_output=True, text=True, check=True
    )
    return msgspec.json.decode(shown.stdout.splitlines()[-1], type=Speed)


def print_speed(weights: str, iterations: str) -> None:
    """Prints the Speed as a line of JSON."""
    say(json.dumps(timed(Path(weights), int(iterations))))


def timed(weights: Path, iterations: int) -> dict[str, float]:
    """The values of Speed."""
    import torch

    from reno.generators.stable_diffusion import StableDiffusion
    from reno.methods import whole_identity
    from reno.metrics import WeightedSum
    from reno.metrics.blip import BlipMetric
    from reno.metrics.clip import ClipMetric
    from reno.running.batch import run_batch
    from reno.running.pool import Models
    from reno.spec.job import Execution, MethodSettings
    from reno.spec.prompts import Prompt
    from reno.spec.trial import TrialSpec

    place = {"dtype": torch.float32, "device": torch.device("cpu")}
    found: dict[str, float] = {"threads": torch.get_num_threads()}
    for name in ("first_load_seconds", "load_seconds"):
        started = time.perf_counter()
        generator = StableDiffusion(weights / "generator", variant=None, **place)
        metrics = {"clip": ClipMetric(weights / "clip", **place), "blip": BlipMetric(weights / "blip", **place)}
        found[name] = round(time.perf_counter() - started, 2)
    settings = MethodSettings("reno", iterations, 0.05, 0.0, None, "adam", {"betas": [0.9, 0.999], "eps": 1e-8})
    prompt = Prompt("a gold bench and a green clock")
    for name, metric in metrics.items():
        models = Models(generator, WeightedSum((name,), (metric,), (1.0,)), {}, (), Execution(checkpointing=False))
        for key, size in (("alone", 1), ("batch_of_4", 4)):
            identity = whole_identity(settings)
            trials = [TrialSpec(prompt, seed, "testbed", ({},), "float32", identity) for seed in range(size)]
            *_, run = run_batch(trials, settings, name, models)
            found[f"{name}_{key}"] = round(run.seconds / size, 2)
    return found
