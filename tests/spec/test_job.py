"""A job's own values."""

from __future__ import annotations

from types import SimpleNamespace

from reno.spec.job import Checkpoint, JobSpec, MetricTerm, NamedCheckpoint
from reno.spec.prompts import Prompt
from reno.spec.trial import own_seed


def test_a_term_is_called_like_its_model_else_like_the_end_of_its_kind():
    model = NamedCheckpoint("clip_vit_h", Checkpoint("x"), "models.checkpoints.clip_vit_h")
    assert MetricTerm("clip", model).name == "clip_vit_h"
    assert MetricTerm("lab.metrics.sharp").name == "sharp" and MetricTerm("sharp").name == "sharp"


def test_seeds_are_shared_by_all_prompts_or_a_prompts_own():
    shared, own = (SimpleNamespace(seeds=(0, 7), own_noise=flag) for flag in (False, True))
    assert JobSpec.seeds_for(shared, Prompt("a blue cup")) == (0, 7)
    assert JobSpec.seeds_for(own, Prompt("a blue cup")) == (own_seed("a blue cup", 0), own_seed("a blue cup", 7))
