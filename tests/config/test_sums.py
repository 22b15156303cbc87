"""Sums of metrics by their names, the paper's sum, and the weight of one metric."""

from __future__ import annotations

import pytest
import torch

from reno.config.page import RUN
from reno.config.words import parse
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.weights.architectures import PUBLISHED
from reno.weights.folders import CLIP_MEAN, CLIP_STD
from reno.weights.images import Preprocessing

FOUR = ("imagereward", "hpsv2", "pickscore", "clip_vit_h")
"""The metrics of the paper's sum."""


def summed(metric):
    return [(term.name, term.weight) for term in metric.terms]


def test_a_sum_has_the_metrics_that_are_typed_in_their_order(compose):
    metric = compose("metric=sum", "metric.weights={clip: 1, imagereward: 5}").metric
    assert metric.name == "clip+5imagereward" and summed(metric) == [("clip", 1.0), ("imagereward", 5.0)]
    metric = compose("metric=sum", "metric.weights.blip=0.5").metric
    assert metric.name == "0.5blip" and summed(metric) == [("blip", 0.5)]
    metric = compose("metric=sum", "metric.weights={clip: 2, clip_vit_l: 0}").metric
    assert metric.name == "2clip" and summed(metric) == [("clip", 2.0)]


def test_a_sum_by_names_is_the_same_trials_as_a_file_of_its_terms(compose):
    for words, file in (("{clip: 1, blip: 1}", "clip+blip"), ("{blip: 1}", "blip")):
        by_names, by_file = compose("metric=sum", f"metric.weights={words}"), compose(f"metric={file}")
        assert by_names.metric.name == by_file.metric.name == file
        assert [t.id for t in make_plan(by_names).trials] == [t.id for t in make_plan(by_file).trials]


def test_a_sum_may_hold_sums(compose):
    metric = compose("metric=sum", "metric.weights={reno: 2, clip: 1}").metric
    assert metric.name == "2reno+clip"
    assert summed(metric) == [
        ("imagereward", 2.0),
        ("hpsv2", 10.0),
        ("pickscore", 0.1),
        ("clip_vit_h", 0.02),
        ("clip", 1),
    ]


def test_the_papers_sum_has_its_name_while_it_has_its_weights(compose):
    paper = compose("metric=reno").metric
    assert paper.name == "reno" and dict(summed(paper)) == dict(zip(FOUR, (1.0, 5.0, 0.05, 0.01), strict=True))
    assert compose("metric=reno", "metric.weights.hpsv2=5").metric == paper
    other = compose("metric=reno", "metric.weights.hpsv2=0").metric
    assert other.name == "imagereward+0.05pickscore+0.01clip_vit_h" and len(other.terms) == 3


def test_the_papers_loss_is_its_formula(compose):
    """With each model alone: 1 (2 - ImageReward) + 5 (1 - HPSv2.1) + .05 (30 - PickScore) + .01 (100 - CLIP)."""
    cpu, pool, prompts = torch.device("cpu"), ModelPool(), ["a red car", "a blue cup"]
    pictures = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    both = {
        name: pool._metric(make_plan(compose(f"metric={name}")).metric, torch.float64, cpu) for name in ("reno", *FOUR)
    }
    with torch.no_grad():
        scores = {name: one.total(one(pictures, one.encode(prompts))) for name, one in both.items()}
    loss = both["reno"].loss(scores["reno"])
    imagereward, hpsv2, pickscore, clip = (scores[name] for name in FOUR)
    expected = 1 * (2 - imagereward) + 5 * (1 - hpsv2) + 0.05 * (30 - pickscore) + 0.01 * (100 - clip)
    torch.testing.assert_close(loss, expected)


def test_the_four_have_one_preprocessing_as_in_the_papers_code():
    """Bicubic, 224 x 224, CLIP's mean and standard deviation."""
    shared = Preprocessing(224, (224, 224), tuple(CLIP_MEAN), tuple(CLIP_STD), "bicubic")
    assert [Preprocessing.from_folder(PUBLISHED / name / "full") for name in FOUR] == [shared] * 4


def test_a_metrics_weight_is_in_its_name_and_the_unweighted_one_can_be_recorded(compose):
    job = compose("metric=clip", "metric.weight=0.01", "record=[clip]")
    assert job.metric.name == "clip_weight0.01" and summed(job.metric) == [("clip", 0.01)]
    assert job.recorded[0].name == "clip" and summed(job.recorded[0]) == [("clip", 1.0)]
    assert compose("metric=clip", "metric.weight=1").metric == compose("metric=clip").metric
    twice = compose("metric=sum", "metric.weights={clip: 1, blip: 3}", "metric.weight=2").metric
    assert twice.name == "clip+3blip_weight2" and summed(twice) == [("clip", 2.0), ("blip", 6.0)]


def test_the_papers_adam(compose):
    settings = compose("optimizer=adam_paper").settings
    assert (settings.optimizer, settings.optimizer_settings) == ("adam", {"betas": [0.9, 0.999], "eps": 0.01})
    assert (settings.grad_clip, settings.regularization, settings.lr) == (0.1, 0.01, 0.01)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["metric=sum"], "metric=sum sums no metric; give it some, as in 'metric.weights={clip: 1, blip: 5}'"),
        (["metric=sum", "metric.weights={clip: 0}"], "metric=sum sums no metric; give it some"),
        (["metric=sum", "metric.weights={clop: 1}"], "metric.weights=clop is not known; use aesthetic, blip"),
        (["metric=sum", "metric.weights={sum: 1}"], "metric=sum sums no metric"),
        (["metric=sum", "metric.weights.clip=-1"], "metric.weights.clip must be a number at least 0, not -1"),
        (["metric=sum", "metric.weights.clip=a"], "metric.weights.clip must be a number at least 0, not 'a'"),
        (["metric=sum", "metric.weights=3"], "metric.weights must hold keys and values, not 3"),
        (
            ["metric=sum", "metric.weights.clip=1", "metric.head=itc"],
            "metric.head is not a knob; metric has name, weights",
        ),
        (["metric=clip", "metric.weight=0"], "metric.weight must be a number above 0, not 0"),
        (
            ["metric=clip", "metric.weights={clip: 1}"],
            "metric.weights sums metrics by their names: choose metric=sum with",
        ),
    ],
)
def test_what_cannot_be_summed_is_refused_in_one_sentence(refusal, words, says):
    assert refusal(*words).startswith(says)


def test_sums_are_swept():
    words = parse(RUN, ["-m", "metric=sum", "metric.weights={clip: 1},{clip: 1, blip: 5}"])
    assert words.knobs[1] == "++metric.weights={clip: 1},{clip: 1, blip: 5}" and words.multirun
