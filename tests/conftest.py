"""Tiny checkpoints in the true formats, made once a session, and a quiet, isolated environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reno.quiet import quieten_libraries

quieten_libraries()  # the libraries look once, as they are imported: before the first fixture, as before the first job

NAMES = ("sd_turbo", "clip", "clip_vit_h", "blip", "blip_large", "blip_vqa", "clip_vit_l", "mask2former", "owlv2")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A folder with each of NAMES at size tiny."""
    import torch

    from scripts.make_checkpoints import make_checkpoint

    torch.set_num_threads(1)  # models this small lose more to handing work around than two threads gain
    folder = tmp_path_factory.mktemp("tiny")
    for name in NAMES:
        make_checkpoint(name, "tiny", folder)
    return folder


@pytest.fixture(scope="session")
def knobs(tiny) -> list[str]:
    """Knobs that run models=sd_turbo on the tiny checkpoints, in two iterations, on one thread."""
    paths = [f"models.checkpoints.{name}.path={tiny / name}" for name in NAMES if name != "sd_turbo"]
    return ["models=sd_turbo", f"models.generator.path={tiny / 'sd_turbo'}", *paths, "iterations=2", "threads=1"]


@pytest.fixture(scope="session")
def generator(tiny):
    """The tiny SD-Turbo in float64, where finite differences mean something."""
    import torch

    from reno.generators.one_step import OneStepGenerator

    return OneStepGenerator(tiny / "sd_turbo", variant=None, dtype=torch.float64, device=torch.device("cpu"))


@pytest.fixture
def compose(knobs):
    """compose(*overrides): the validated JobSpec of the tiny models."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from reno.choices import register_resolver
    from reno.compose import values_of
    from reno.help import CONF
    from reno.spec import job_from_config

    register_resolver()

    def make(*overrides: str):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return job_from_config(values_of(hydra_compose("config", [*knobs, *overrides])))

    return make
