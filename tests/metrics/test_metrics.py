"""What every metric has, and a weighted sum of several, on metrics whose scores are known."""

from __future__ import annotations

import pytest
import torch

from reno.device.checkpointing import blocks
from reno.device.residence import meta_acts_as
from reno.metrics import Metric, WeightedSum
from reno.metrics.blip import BlipMetric
from reno.metrics.clip import ClipMetric
from tests.device.places import Places

CPU = torch.device("cpu")
PROMPTS = ["a gold bench and a green clock", "a car"]


class Redness(Metric):
    """The mean of an image's first channel, times the number of the prompt's letters."""

    best = 3.0

    def encode(self, prompts):
        return torch.tensor([float(len(text)) for text in prompts])

    def __call__(self, images, encoded):
        return images[:, 0].flatten(1).mean(1) * encoded


class Darkness(Metric):
    def __call__(self, images, encoded):
        assert encoded == PROMPTS  # what the base class makes of the prompts: the texts themselves
        return -images.flatten(1).mean(1)


@pytest.fixture
def both():
    return WeightedSum(("redness", "darkness"), (Redness(), Darkness()), (0.5, 2.0))


def test_a_sum_has_a_column_a_term_in_order_and_before_weighting(both, images):
    scores = both(images, both.encode(PROMPTS))
    assert scores.shape == (2, 2)
    lengths = torch.tensor([30.0, 5.0])
    torch.testing.assert_close(scores[:, 0], images[:, 0].mean((1, 2)) * lengths)
    torch.testing.assert_close(scores[:, 1], -images.mean((1, 2, 3)))


def test_its_total_is_weighted_and_its_loss_is_zero_where_each_term_is_at_its_best(both):
    terms = torch.tensor([[4.0, 10.0], [3.0, 100.0], [0.0, 0.0]])
    total = both.total(terms)
    assert total.tolist() == [22.0, 201.5, 0.0]
    assert both.best == 0.5 * 3 + 2 * 100
    assert both.loss(total).tolist() == [179.5, 0.0, 201.5]


def test_encodings_and_scores_of_other_terms_are_refused(both, images):
    with pytest.raises(ValueError):
        both(images, both.encode(PROMPTS)[:1])
    with pytest.raises(ValueError):
        both.total(torch.ones(2, 1))


def test_of_one_term_of_weight_one_the_total_is_its_score_to_the_last_bit():
    score = torch.rand(5, 1, generator=torch.Generator().manual_seed(0))
    alone = WeightedSum(("darkness",), (Darkness(),), (1.0,))
    assert torch.equal(alone.total(score), score[:, 0]) and alone.best == 100
    heavy = WeightedSum(("darkness",), (Darkness(),), (3.0,))
    assert torch.equal(heavy.total(score), 3 * score[:, 0]) and heavy.best == 300


def test_a_sum_of_real_metrics_is_the_sum(tiny, images):
    clip = ClipMetric(tiny / "clip", dtype=torch.float32, device=CPU)
    blip = BlipMetric(tiny / "blip", dtype=torch.float32, device=CPU)
    both = WeightedSum(("clip", "blip"), (clip, blip), (0.5, 2.0))
    with torch.no_grad():
        seen, read = clip(images, clip.encode(PROMPTS)), blip(images, blip.encode(PROMPTS))
        scores = both(images, both.encode(PROMPTS))
    assert torch.equal(scores, torch.stack([seen, read], 1))
    torch.testing.assert_close(both.total(scores), 0.5 * seen + 2.0 * read)
    torch.testing.assert_close(both.loss(both.total(scores)), 0.5 * (100 - seen) + 2.0 * (100 - read))


def test_every_term_of_a_sum_checks_the_prompt():
    class Strict(Metric):
        def check_prompt(self, text):
            seen.append(text)

    seen: list[str] = []
    Metric().check_prompt("anything")
    WeightedSum(("a", "b"), (Strict(), Strict()), (1.0, 1.0)).check_prompt("a car")
    assert seen == ["a car", "a car"]


def test_a_metric_without_a_score_says_so(images):
    class Unfinished(Metric):
        pass

    with pytest.raises(TypeError, match="Unfinished has no __call__"):
        Unfinished()(images, [])


@pytest.mark.parametrize(
    ("made", "got"),
    [
        (lambda images: torch.zeros(len(images) + 1), "(3,)"),
        (lambda images: torch.zeros(len(images), 1), "(2, 1)"),
        (lambda images: [0.0, 0.0], "list"),
    ],
)
def test_a_term_has_to_return_a_score_for_each_image(images, made, got):
    class Odd(Darkness):
        def __call__(self, images, encoded):
            return made(images)

    both = WeightedSum(("dark", "odd"), (Darkness(), Odd()), (1.0, 1.0))
    with pytest.raises(ValueError) as raised:
        both(images, both.encode(PROMPTS))
    assert str(raised.value) == f"metric odd returned {got}; it has to return a tensor (2,)"


# --- Where its modules are --------------------------------------------------------------------------------------------


def test_only_what_sees_is_brought_and_everything_leaves():
    metrics = [Darkness(), Redness()]
    for metric in metrics:
        metric.device, metric.looking, metric.reading = torch.device("meta"), (Places(),), (Places(),)
    both = WeightedSum(("a", "b"), tuple(metrics), (1.0, 1.0))
    with meta_acts_as("cuda"):
        both.bring()
        both.leave()
    for metric in metrics:
        assert metric.looking[0].sent == ["meta", "cpu"] and metric.reading[0].sent == ["cpu"]


def test_checkpointing_reaches_what_sees_the_image_of_every_term(tiny):
    clip = ClipMetric(tiny / "clip", dtype=torch.float32, device=CPU)
    blip = BlipMetric(tiny / "blip", dtype=torch.float32, device=CPU, head="itc")
    both = WeightedSum(("clip", "blip"), (clip, blip), (1.0, 1.0))
    for on in (True, False):
        both.set_checkpointing(on)
        for metric in (clip, blip):
            wrapped = {"forward" in vars(block) for part in metric.looking for block in blocks(part)}
            assert wrapped == {on}
            assert not any("forward" in vars(block) for part in metric.reading for block in blocks(part))
