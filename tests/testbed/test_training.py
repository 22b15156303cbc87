"""The training chain of the embedded models: it runs whole, resumes, and the bench takes what it exports."""

from __future__ import annotations

import json
import random

import pytest
import torch

from reno.spec.errors import BadInput
from reno.testbed.training.loop import train
from scripts import train_testbed


@pytest.mark.slow
def test_the_whole_chain_in_a_few_steps(tmp_path):
    """Every stage, as `make testbed` runs them: trained, exported, measured by the bench itself, described."""
    weights = tmp_path / "weights"
    assert train_testbed.main(["--smoke", "--build", str(tmp_path / "build"), "--weights", str(weights)]) == 0
    for stage in ("vae", "generator", "judge", "clip", "blip"):
        assert (tmp_path / "build" / stage / "samples.png").stat().st_size > 1000
    measured = json.loads((tmp_path / "build" / "measure" / "numbers.json").read_text())
    rows = measured["outcomes"]["pairs_test"]
    assert {(row["setting"], row["metric"]) for row in rows} >= {("adam 0.05", "clip"), ("best of n", "blip")}
    assert all(row["trials"] == 1 for row in rows)
    for model in ("generator", "clip", "blip", "judge"):
        assert (weights / model / "README.md").read_text().startswith("# ")
        assert (weights / model / "samples.png").exists()
    overview = (weights / "README.md").read_text()
    assert "| best of n | blip (1) |" in overview and "a trial takes" in overview


def regression(folder, steps, stop=None, trained_on=""):
    """Trains a line on numbers drawn from each step's own generator; raises KeyboardInterrupt at step `stop`."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)

    def loss(step, rng: random.Random):
        if step == stop:
            raise KeyboardInterrupt
        x = torch.tensor([[rng.gauss(0, 1) for _ in range(3)] for _ in range(8)])
        return (model(x) - x.sum(1, keepdim=True)).square().mean(), {}

    return train(
        "line", model, loss, folder=folder, steps=steps, lr=0.05, seed=4, save_seconds=0, trained_on=trained_on
    )


def test_a_stopped_stage_goes_on_to_the_same_weights(tmp_path, capsys):
    whole = regression(tmp_path / "whole", steps=40)
    with pytest.raises(KeyboardInterrupt):
        regression(tmp_path / "stopped", steps=40, stop=17)
    resumed = regression(tmp_path / "stopped", steps=40)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_stage_never_goes_on_from_what_was_trained_on_something_else(tmp_path):
    regression(tmp_path, steps=3, trained_on="one")
    with pytest.raises(BadInput, match="trained on another world"):
        regression(tmp_path, steps=6, trained_on="other")


def test_an_unknown_stage_is_named(capsys):
    assert train_testbed.main(["generater"]) == 2
    assert "no stage is called 'generater'" in capsys.readouterr().err
