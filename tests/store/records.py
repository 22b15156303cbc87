"""Records to store: the golden ones, which an earlier version of the program wrote, and small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from reno.spec.trial import TrialSpec, digest
from reno.store.files import TraceRow
from reno.store.records import TrialIdentity, TrialRecord, read_json
from reno.store.store import Finished

GOLDEN = Path(__file__).resolve().parent / "golden"


def golden(name: str) -> dict[str, Any]:
    """The JSON values of a golden record."""
    return read_json(GOLDEN / f"{name}.json")


def record(seed: int = 1, prompt: str = "../x/\n<script>🐶", trial: TrialSpec | None = None) -> TrialRecord:
    """A trial's record with another prompt and seed, or of another trial; without files."""
    whole = TrialRecord.from_json(golden("trial_clip"))
    spec = msgspec.structs.replace(whole.spec, prompt=prompt, seed=seed)
    if trial is not None:
        spec = TrialIdentity.from_json(trial.identity)
    return msgspec.structs.replace(whole, id=digest(spec.to_json()), spec=spec, files={})


ID = record().id


def trace(count: int) -> list[TraceRow]:
    return [
        {
            "iteration": k, "loss": 100.0 - k, "score": float(k), "regularizer": 0.0, "grad_norm": None,
            "noise_norm": 1.0, "seconds": 0.1,
        }
        for k in range(count)
    ]  # fmt: skip


def finished(count: int = 4, side: int = 16, seed: int = 1, trial: TrialSpec | None = None, **changes: Any) -> Finished:
    """A trial of `count` images whose best is the third."""
    frames = [np.random.default_rng(k).integers(0, 256, (side, side, 3), dtype=np.uint8) for k in range(count)]
    noise = np.random.default_rng(9).normal(size=(4, 2, 2)).astype(np.float32)
    values = {"record": record(seed, trial=trial), "trace": trace(count), "frames": frames, "best": 2}
    return Finished(**{**values, "initial_noise": noise, "best_noise": noise * 2, **changes})
