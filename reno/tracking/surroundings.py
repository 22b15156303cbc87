"""What the environment variables of Weights & Biases ask for: the sweep that started this job, and the runs' group.

W&B's agent starts a job with WANDB_SWEEP_ID, WANDB_RUN_ID and WANDB_SWEEP_PARAM_PATH. WANDB_PROJECT, WANDB_ENTITY,
WANDB_NAME, WANDB_TAGS, WANDB_NOTES, WANDB_DIR and WANDB_MODE are read where wandb is called, in runs.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reno.spec.errors import BadInput
from reno.tracking import TrackingSpec


@dataclass(frozen=True)
class Sweep:
    """The sweep of W&B that started this job."""

    id: str
    run: str
    """The id of the run that the job is to be."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What the sweep chose, by its own names; they are knobs of the job as well."""


def sweep_of(environment: Mapping[str, str] = os.environ) -> Sweep | None:
    """The sweep that started this process; None if none did."""
    sweep, run = environment.get("WANDB_SWEEP_ID", ""), environment.get("WANDB_RUN_ID", "")
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", text) for text in (sweep, run)):  # a run's id names files
        return None
    return Sweep(sweep, run, _parameters(environment.get("WANDB_SWEEP_PARAM_PATH")))


def check_sweep(
    settings: TrackingSpec, several_jobs: bool = False, environment: Mapping[str, str] = os.environ
) -> None:
    """Raises BadInput for what cannot be a run of the sweep that started this process, if one did: several jobs, and a
    project or a team that was chosen and is not the sweep's."""
    if sweep_of(environment) is None or settings.mode == "disabled":
        return
    if several_jobs:
        raise BadInput(
            "an agent of W&B starts one job, which is one run of its sweep; leave out -m and experiments that sweep, "
            "or add tracking=disabled"
        )
    for knob, variable in (("project", "WANDB_PROJECT"), ("entity", "WANDB_ENTITY")):
        chosen, own = getattr(settings, knob), environment.get(variable)
        if chosen and own and chosen != own:
            raise BadInput(
                f"tracking.{knob}={chosen!r} is not the {knob} of the sweep that started this job, {own!r}; leave out "
                f"tracking.{knob}"
            )


def group_of(study: str | None, default: str, environment: Mapping[str, str] = os.environ) -> str:
    """The group of a job's runs: its study, else WANDB_RUN_GROUP, else the W&B sweep, else `default`."""
    sweep = sweep_of(environment)
    return study or environment.get("WANDB_RUN_GROUP") or (f"sweep {sweep.id}" if sweep else default)


def _parameters(file: str | None) -> dict[str, Any]:
    """The values of the agent's file, `lr: {value: 0.05}`; empty if it cannot be read."""
    try:
        found = yaml.safe_load(Path(file or "").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): one["value"] for name, one in found.items() if isinstance(one, dict) and "value" in one}
