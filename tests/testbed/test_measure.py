"""What the measurements say of stored trials, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi

from reno.results import Stored
from reno.testbed.stages import cards, measure


def trial(prompt: str, seed: int, before: list[bool], after: list[bool], junk: bool = False) -> Stored:
    def judged(bound):
        return {
            "judgements": [{"bound": b, "object_present": True} for b in bound],
            "faults": {"swapped": False, "junk": junk, "mixed": False},
        }

    record = {
        "spec": {"prompt": prompt, "seed": seed},
        "judgements": {"oracle": {"initial": judged(before), "best": judged(after)}},
    }
    return Stored(Path("nowhere"), record)


@pytest.mark.parametrize("shape", [(8, 8, 8), (4, 64, 64)])
def test_the_norm_of_noise_is_held_against_its_chi_distribution(shape):
    noise = 1.1 * np.random.default_rng(0).standard_normal(shape)
    law = chi(noise.size)
    expected = (np.linalg.norm(noise) - law.mean()) / law.std()
    assert measure.noise_deviation(noise) == pytest.approx(expected, rel=1e-3)


def test_shares_count_whole_prompts(monkeypatch):
    monkeypatch.setattr(Stored, "noise", lambda self: {"best": np.full((8, 8, 8), 1.0)})
    some = [trial("a", 0, [True, False], [True, True]), trial("b", 0, [True, True], [True, False], junk=True)]
    row = measure.outcome_row("adam 0.05", "clip", some)
    assert (row["bound_before"], row["bound_after"], row["junk_after"], row["trials"]) == (0.5, 0.5, 0.5, 2)
    assert row["noise_within_3_sd"] == 1.0


def test_the_gain_is_paired_on_prompt_and_seed():
    reno = [trial("a", s, [False], [True]) for s in (0, 1)] + [trial("b", 0, [False], [False])]
    other = [trial("a", 0, [False], [False]), trial("a", 1, [False], [True]), trial("b", 1, [False], [True])]
    gain = measure.gain({("paper", "clip"): reno, ("best of n", "clip"): other}, "paper", "clip", ["a", "b"])
    assert gain["pairs"] == 2 and gain["prompts"] == 1  # of b no seed is in both
    assert gain["difference"] == gain["low"] == gain["high"] == 0.5


def test_a_card_says_what_sets_a_checkpoint_apart_if_it_was_told(tmp_path):
    assert cards.otherwise(tmp_path, "generator") == []
    (tmp_path / "generator").mkdir()
    (tmp_path / "generator" / "otherwise.txt").write_text("First trained on another law.\n")
    assert cards.otherwise(tmp_path, "generator") == ["First trained on another law."]
