"""CLIP against the transformers model called as its own documentation calls it."""

from __future__ import annotations

import functools

import pytest
import torch
from PIL import Image

from reno.device.residence import meta_acts_as
from reno.metrics.clip import ClipMetric, load, reader
from reno.spec.errors import BadInput
from reno.weights.images import to_uint8
from tests.device.places import Places

CPU = torch.device("cpu")
PROMPTS = ["a gold bench and a green clock", "a car"]

kept = functools.cache(ClipMetric)
"""The metric of a folder, loaded once: no test changes it."""


@pytest.mark.parametrize("name", ["clip", "clip_vit_h"])
def test_it_is_the_models_own_logits(tiny, images, name):
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    metric = kept(tiny / name, dtype=torch.float32, device=CPU)
    model = CLIPModel.from_pretrained(tiny / name).eval()
    tokens = AutoTokenizer.from_pretrained(tiny / name)(PROMPTS, padding=True, return_tensors="pt")
    pictures = [Image.fromarray(pixels) for pixels in to_uint8(images)]
    with torch.no_grad():
        pixels = CLIPImageProcessorPil.from_pretrained(tiny / name)(pictures, return_tensors="pt")
        rounded = model(**tokens, **pixels).logits_per_image.diagonal()
        exact = model(**tokens, pixel_values=metric.preprocess(images)).logits_per_image.diagonal()
        scores = metric(images, metric.encode(PROMPTS))
    torch.testing.assert_close(scores, rounded, atol=0.5, rtol=0)  # the processor rounds to whole levels
    torch.testing.assert_close(scores, exact, atol=1e-3, rtol=0)
    assert (scores[0] - scores[1]).abs() > 0.1


def test_a_score_does_not_depend_on_the_other_prompts(tiny, images):
    """The short prompt is padded beside the long one; its score must not know."""
    metric = kept(tiny / "clip", dtype=torch.float64, device=CPU)
    together = metric(images.double(), metric.encode(PROMPTS))[1]
    alone = metric(images[1:].double(), metric.encode(PROMPTS[1:]))[0]
    torch.testing.assert_close(together, alone, atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "wide"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)]
)
def test_scores_are_float32_or_wider(tiny, images, dtype, wide):
    metric = kept(tiny / "clip", dtype=dtype, device=CPU)
    encoded = metric.encode(PROMPTS)
    scores = metric(images.to(wide), encoded)
    assert metric.model.dtype == dtype and scores.dtype == encoded.dtype == wide
    torch.testing.assert_close(encoded.norm(dim=-1), torch.ones(2, dtype=wide))
    exact = kept(tiny / "clip", dtype=torch.float64, device=CPU)
    expected = exact(images.double(), exact.encode(PROMPTS))
    torch.testing.assert_close(scores.double(), expected, atol=2.0 if dtype == torch.bfloat16 else 1e-3, rtol=0)


def test_the_scale_is_not_rounded_with_the_model(tiny, images):
    """A cosine of 1 scores exp(logit_scale); in bfloat16 that exponential would be off by up to 0.4%."""
    metric = kept(tiny / "clip", dtype=torch.bfloat16, device=CPU)
    with torch.no_grad():
        features = metric.model.get_image_features(metric.preprocess(images).bfloat16()).pooler_output.float()
        scores = metric(images, torch.nn.functional.normalize(features, dim=-1))
    expected = torch.exp(metric.logit_scale.double())
    assert expected.bfloat16().double() != expected
    torch.testing.assert_close(scores.double(), expected.expand(2), rtol=1e-5, atol=0)


def test_the_text_carries_no_graph_and_the_image_does(tiny, images):
    metric = kept(tiny / "clip", dtype=torch.float32, device=CPU)
    encoded = metric.encode(PROMPTS)
    given = images.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(metric(given, encoded).sum(), given)
    assert not encoded.requires_grad and slope.abs().flatten(1).max(1).values.gt(0).all()
    assert not any(parameter.requires_grad for parameter in metric.model.parameters())


def test_what_sees_the_image_and_what_reads_the_prompt_are_the_whole_model(tiny):
    metric = kept(tiny / "clip", dtype=torch.float32, device=CPU)
    seeing, reading = (
        {id(p) for part in parts for p in part.parameters()} for parts in (metric.looking, metric.reading)
    )
    everything = {id(p) for name, p in metric.model.named_parameters() if name != "logit_scale"}
    assert not seeing & reading and seeing | reading == everything
    assert seeing == {id(p) for name, p in metric.model.named_parameters() if name.startswith("vis")}


def test_the_whole_model_leaves_a_gpu(tiny):
    metric = kept(tiny / "clip", dtype=torch.float32, device=CPU)
    for device, sent in ((torch.device("meta"), ["cpu"]), (CPU, [])):
        metric.device, metric.model = device, Places()
        with meta_acts_as("cuda"):
            metric.leave()
        assert metric.model.sent == sent


def test_a_prompt_that_would_be_cut_is_refused(tiny):
    metric = kept(tiny / "clip", dtype=torch.float32, device=CPU)
    metric.check_prompt("a gold bench")
    with pytest.raises(BadInput, match=r"too long for CLIP's text encoder: it has .* tokens of at most 77"):
        metric.check_prompt("a red car and " * 40)


def test_a_model_of_another_kind_is_refused(tiny):
    with pytest.raises(BadInput, match="holds a blip model and is not a CLIPModel"):
        ClipMetric(tiny / "blip", dtype=torch.float32, device=CPU)


def test_without_the_weights_the_same_prompts_are_refused(tiny):
    read, long = reader(tiny / "clip"), "zebra " * 100
    read.check_prompt("a car")
    with pytest.raises(BadInput) as by_the_metric:
        load(tiny / "clip", dtype=torch.float32, device=CPU).check_prompt(long)
    with pytest.raises(BadInput) as without_weights:
        read.check_prompt(long)
    assert str(without_weights.value) == str(by_the_metric.value)
