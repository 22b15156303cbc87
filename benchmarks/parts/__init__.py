"""The parts of the bench, in the order they run: each is a module with `EFFORTS` and `measure(setting)`.

EFFORTS says how much is measured for each effort of a setting; for the other efforts the part is skipped. `measure`
returns rows.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import msgspec

from benchmarks.setting import setting_from

PARTS = {
    "loop": "an iteration of the loop against the bare floor",
    "batch": "trials side by side against one at a time",
    "sweep": "a sweep in one process against separate commands",
    "notebook": "this program against a straightforward loop in a notebook",
    "growth": "how time and memory grow, and whether anything leaks",
    "kernels": "compile and channels_last",
    "memory": "the predicted peak against the measured one",
    "speed": "a trial's seconds, and its arithmetic against the device's",
    "trial": "a trial of 50 iterations on a GPU",
}


def measures(part: str, effort: str) -> bool:
    """Whether the part is for settings of this effort."""
    return effort in importlib.import_module(f"benchmarks.parts.{part}").EFFORTS


def measured(part: str, setting: dict[str, Any]) -> dict[str, Any]:
    """The rows of a part on a setting, and the environment, as JSON values. Called in a new process."""
    from reno.device.choice import choose_device, make_deterministic
    from reno.running.provenance import environment

    asked = setting_from(setting)
    job = asked.job()
    make_deterministic(job.threads)
    rows = importlib.import_module(f"benchmarks.parts.{part}").measure(asked)
    surroundings = environment(choose_device(job.device))
    return {"rows": [dataclasses.asdict(row) for row in rows], "environment": msgspec.to_builtins(surroundings)}
