"""The training chain, a few steps of each stage: it resumes, and what it exports the bench loads."""

from __future__ import annotations

import json

import pytest
import torch

from reno.generators.one_step import OneStepGenerator
from scripts import train_testbed


@pytest.mark.slow
def test_the_chain_trains_resumes_and_exports(tmp_path):
    arguments = ["--build", str(tmp_path), "--threads", "1", "--export", str(tmp_path / "out"), "vae", "generator"]
    assert train_testbed.main(["--steps", "2", *arguments]) == 0
    assert train_testbed.main(["--steps", "3", *arguments]) == 0
    for stage in ("vae", "generator"):
        assert json.loads((tmp_path / stage / "progress.json").read_text())["step"] == 3
        assert (tmp_path / stage / "samples.png").stat().st_size > 1000
    generator = OneStepGenerator(tmp_path / "out", variant=None, dtype=torch.float32, device=torch.device("cpu"))
    with torch.no_grad():
        images = generator(torch.randn(1, *generator.latent_shape), generator.encode(["a gold bench"]))
    assert images.shape == (1, 3, 64, 64) and images.isfinite().all()
