"""Trials that are shown to a tracker, and the runs that this leaves in a results folder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from reno.tracking import RunCard

KEY = "0123456789abcdef0123456789abcdef01234567"  # has the form of a key, and belongs to nobody
IDS = [digit * 64 for digit in "abc"]
CONFIG = {
    "prompt": "a gold bench and a green clock",
    "optimizer": {"name": "adam", "lr": 0.01},
    "seed": 42,
    "clip": None,
    "provenance": {"spec": "of a trial"},
}


def card(trial_id: str, **changes) -> RunCard:
    values = {"name": "gold bench", "group": "study", "job_type": "clip", "config": CONFIG, "tags": ("dev",)}
    return RunCard(trial_id, **{**values, **changes})


def picture(iteration: int) -> np.ndarray:
    image = np.zeros((16, 24, 3), np.uint8)
    image[..., iteration % 3] = iteration % 256
    return image


def show(tracker, ids, iterations=51, pause=0.0, finish=True) -> None:
    """Show whole trials, in turn at each iteration as a batch does."""
    for trial_id in ids:
        tracker.start(card(trial_id))
    for iteration in range(iterations):
        for place, trial_id in enumerate(ids):
            values = {"loss": 90.0 - iteration - place, "score": 10.0 + iteration, "grad_norm": None}
            tracker.log(trial_id, iteration, values, picture(iteration))
        time.sleep(pause)
    for trial_id in ids if finish else ():
        tracker.finish(trial_id, {"score/best": 60.0, "bound": True, "verdict": "bound", "absent": None})


def directories(results: Path, trial_id: str = "") -> list[Path]:
    return sorted(path for path in (results / "wandb").glob("*run-*") if trial_id in path.name)


def no_key_in(folder: Path) -> bool:
    return not any(KEY.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
