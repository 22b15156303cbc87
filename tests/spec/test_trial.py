"""What makes two trials the same."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import pytest

from reno.methods import identity
from reno.spec.job import MethodSettings
from reno.spec.prompts import Binding, Prompt
from reno.spec.trial import TrialSpec, digest, noise_name, own_seed

TRIAL = TrialSpec(
    Prompt("a gold bench and a green clock"),
    42,
    "sha256:aa",
    ({"kind": "clip", "head": None, "weight": 1.0, "weights": "sha256:bb"},),
    "float32",
    identity(MethodSettings("reno", 50, 0.01, 0.0, None, "adam", {"betas": [0.9, 0.999], "eps": 1e-8})),
)


def test_the_identity_is_the_sha256_of_canonical_json():
    """A golden value: if it moves, every stored trial is orphaned, and ALGORITHM should have been raised."""
    assert TRIAL.id == "5a2519c4df5d1a1e6c3d6d19d929af577dbda46536cb02abc86ef57d75a82f6a"


def test_the_identity_is_made_of_json_values():
    assert TRIAL.identity == {
        "algorithm": 1,
        "generator": "sha256:aa",
        "metric": [{"kind": "clip", "head": None, "weight": 1.0, "weights": "sha256:bb"}],
        "dtype": "float32",
        "method": TRIAL.method,
        "prompt": "a gold bench and a green clock",
        "seed": 42,
    }


@pytest.mark.parametrize(("dtype", "scale"), [("float16", 4096.0), ("float32", None), ("bfloat16", None)])
def test_the_loss_scale_is_part_of_it_where_there_is_one(dtype, scale):
    assert dataclasses.replace(TRIAL, dtype=dtype).identity.get("loss_scale") == scale


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": Prompt("a gold bench and a green clock ")},
        {"seed": 43},
        {"generator": "sha256:ab"},
        {"dtype": "float16"},
        {"metric": ({"kind": "clip", "head": None, "weight": 2.0, "weights": "sha256:bb"},)},
        {"metric": TRIAL.metric * 2},
        {"method": {**TRIAL.method, "lr": 0.02}},
    ],
)
def test_what_decides_the_outcome_changes_the_identity(change):
    assert dataclasses.replace(TRIAL, **change).id != TRIAL.id


def test_bindings_judge_an_image_and_do_not_make_it():
    assert dataclasses.replace(TRIAL, prompt=Prompt(TRIAL.prompt.text, (Binding("gold", "bench"),))).id == TRIAL.id


def test_a_digest_is_of_sorted_compact_ascii():
    written = b'{"a":[1,null,true],"b":"\\u00e9\\ud83d\\udc36"}'
    assert digest({"b": "é🐶", "a": [1, None, True]}) == hashlib.sha256(written).hexdigest()
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1}) != digest({"a": 1, "b": 2})


def test_a_number_that_json_does_not_have_has_no_digest():
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError):
            digest({"lr": value})


def test_a_text_that_is_no_unicode_has_an_id_and_a_seed():
    trial = dataclasses.replace(TRIAL, prompt=Prompt("a red \ud800 car"))
    assert len(trial.id) == 64 and trial.id != TRIAL.id
    assert own_seed("a red \ud800 car", 0) != own_seed("a red \ud801 car", 0)


def test_a_prompts_own_seed_comes_from_its_text_and_the_seed():
    """SHA-256 of "0 a blue cup", its first 8 digits."""
    assert [own_seed("a blue cup", seed) for seed in (0, 1)] == [0xFF746831, 0x0243C2F0]
    assert own_seed("a red car", 0) == int(hashlib.sha256(b"0 a red car").hexdigest()[:8], 16)


def test_a_noise_is_named_by_the_seed_that_was_typed():
    assert noise_name("a red car", 42) == "seed 42"
    assert noise_name("a red car", own_seed("a red car", 3)) == "own noise, seed 3"
    assert noise_name("a blue cup", own_seed("a red car", 3)) == f"seed {own_seed('a red car', 3)}"
