"""Records to store: the golden ones, which an earlier version of the program wrote, and small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from reno.store.files import TraceRow
from reno.store.records import TrialRecord, read_json
from reno.store.store import Finished

GOLDEN = Path(__file__).resolve().parent / "golden"
ID = "ab" * 32


def golden(name: str) -> dict[str, Any]:
    """The JSON values of a golden record."""
    return read_json(GOLDEN / f"{name}.json")


def record(trial_id: str = ID, prompt: str = "../x/\n<script>🐶") -> TrialRecord:
    """A trial's record with another id and prompt, without files."""
    whole = TrialRecord.from_json(golden("trial_clip"))
    spec = msgspec.structs.replace(whole.spec, prompt=prompt)
    return msgspec.structs.replace(whole, id=trial_id, spec=spec, files={})


def trace(count: int) -> list[TraceRow]:
    return [
        {
            "iteration": k, "loss": 100.0 - k, "score": float(k), "regularizer": 0.0, "grad_norm": None,
            "noise_norm": 1.0, "seconds": 0.1,
        }
        for k in range(count)
    ]  # fmt: skip


def finished(count: int = 4, side: int = 16, trial_id: str = ID, **changes: Any) -> Finished:
    """A trial of `count` images whose best is the third."""
    frames = [np.random.default_rng(k).integers(0, 256, (side, side, 3), dtype=np.uint8) for k in range(count)]
    noise = np.random.default_rng(9).normal(size=(4, 2, 2)).astype(np.float32)
    values = {"record": record(trial_id), "trace": trace(count), "frames": frames, "best": 2}
    return Finished(**{**values, "initial_noise": noise, "best_noise": noise * 2, **changes})
