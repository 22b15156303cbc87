"""What the measurements say of stored trials, against values worked out by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.stats import chi

from reno.spec.judgements import Judgement, Verdict
from reno.store.records import FileEntry, JudgedTrial
from reno.store.stored import Stored
from reno.testbed.training import cards, measure
from tests.store.records import record

RENO = {"name": "reno", "iterations": 50, "lr": 0.05, "regularization": 0.0, "grad_clip": None}
ADAM = {"name": "adam", "betas": [0.9, 0.999], "eps": 1e-8}


def verdict(bound: list[bool], **faults: bool) -> Verdict:
    judgements = tuple(Judgement("gold", "bench", True, True, flag, 1.0, 1.0, float(flag)) for flag in bound)
    return Verdict(judgements, {"swapped": False, "junk": False, "mixed": False, **faults})


def _entry(path: Path) -> FileEntry:
    return FileEntry(bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def trial(
    prompt: str, seed: int, before: Verdict, after: Verdict, folder: Path = Path("nowhere"), method: dict | None = None
) -> Stored:
    whole = record(seed, prompt)
    changed = msgspec.structs.replace(
        whole,
        spec=msgspec.structs.replace(whole.spec, method=method or {}),
        judgements={"oracle": JudgedTrial(kin="none", initial=before, best=after)},
        files={path.name: _entry(path) for path in folder.glob("*")},
    )
    return Stored(folder, changed)


@pytest.mark.parametrize("shape", [(8, 8, 8), (4, 64, 64)])
def test_the_norm_of_noise_is_held_against_its_chi_distribution(shape):
    noise = 1.1 * np.random.default_rng(0).standard_normal(shape)
    law = chi(noise.size)
    expected = (np.linalg.norm(noise) - law.mean()) / law.std()
    assert measure.noise_deviation(noise) == pytest.approx(expected, rel=1e-3)


def test_shares_count_whole_prompts(tmp_path):
    noise = np.full((8, 8, 8), 1.0, np.float32)
    save_file({"initial": noise, "best": noise}, tmp_path / "noise.safetensors")
    some = [
        trial("a", 0, verdict([True, False]), verdict([True, True]), tmp_path),
        trial("b", 0, verdict([True, True]), verdict([True, False], junk=True), tmp_path),
    ]
    row = measure.outcome_row("adam 0.05", "clip", some)
    assert (row.bound_before, row.bound_after, row.junk_after, row.trials) == (0.5, 0.5, 0.5, 2)
    assert (row.junk_before, row.mixed_after, row.there_before, row.noise_within_3_sd) == (0.0, 0.0, 1.0, 1.0)


def test_the_gain_is_paired_on_prompt_and_seed():
    def some(*outcomes: tuple[str, int, bool]) -> list[Stored]:
        return [trial(prompt, seed, verdict([False]), verdict([bound])) for prompt, seed, bound in outcomes]

    reno = some(("a", 0, True), ("a", 1, True), ("b", 0, False))
    other = some(("a", 0, False), ("a", 1, True), ("b", 1, True))
    gain = measure.gain({("paper", "clip"): reno, ("best of n", "clip"): other}, "paper", "clip", ["a", "b"])
    assert gain.pairs == 2 and gain.prompts == 1  # of b no seed is in both
    assert gain.difference == gain.low == gain.high == 0.5


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ({**RENO, "optimizer": ADAM}, "adam 0.05"),
        ({**RENO, "optimizer": ADAM, "lr": 0.01}, "adam 0.01"),
        ({**RENO, "optimizer": ADAM, "regularization": 0.1}, "adam 0.05, regularised"),
        ({**RENO, "optimizer": {"name": "sgd", "momentum": 0.9}, "lr": 5.0, "regularization": 0.01}, "paper"),
        ({"name": "best_of_n", "iterations": 50}, "best of n"),
    ],
)
def test_a_trial_belongs_to_the_setting_that_made_it(method, setting):
    blank = verdict([True])
    assert setting in measure.SETTINGS
    assert measure.setting_of(trial("a", 0, blank, blank, method=method)) == setting


def test_a_card_says_what_sets_a_checkpoint_apart_if_it_was_told(tmp_path):
    numbers = cards.StageNumbers(tmp_path, {}, None)
    assert numbers.otherwise("generator") == []
    (tmp_path / "generator").mkdir()
    (tmp_path / "generator" / "otherwise.txt").write_text("First trained on another law.\n")
    assert numbers.otherwise("generator") == ["First trained on another law."]
    assert "First trained on another law." in cards.generator(numbers)


def test_a_number_that_was_not_measured_is_not_made_up(tmp_path):
    card = cards.clip(cards.StageNumbers(tmp_path, {"clip": {"swap": 0.953}}, None))
    assert "| swapped colours | 95.3% | 50% |" in card and "| another object | not measured | 50% |" in card
    assert "What optimising it does" not in card
