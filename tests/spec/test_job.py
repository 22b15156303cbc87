"""A job's own values."""

from __future__ import annotations

from reno.spec.job import Checkpoint, MetricTerm, NamedCheckpoint


def test_a_term_is_called_like_its_model_else_like_the_end_of_its_kind():
    model = NamedCheckpoint("clip_vit_h", Checkpoint("x"), "models.checkpoints.clip_vit_h")
    assert MetricTerm("clip", model).name == "clip_vit_h"
    assert MetricTerm("lab.metrics.sharp").name == "sharp" and MetricTerm("sharp").name == "sharp"
