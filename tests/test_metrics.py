"""Each metric against the transformers model called as its own documentation calls it."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from reno.errors import BadInput
from reno.images import to_uint8
from reno.metrics import WeightedSum, loss_of
from reno.metrics.blip import BlipMetric
from reno.metrics.clip import ClipMetric

CPU = torch.device("cpu")
PROMPTS = ["a gold bench and a green clock", "a car"]


@pytest.fixture
def images():
    """Two images that are whole levels, so that a processor sees the same."""
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(3)), 96)
    return (smooth * 255).round() / 255


def pictures(images):
    return [Image.fromarray(pixels) for pixels in to_uint8(images)]


@pytest.mark.parametrize("name", ["clip", "clip_vit_h"])
def test_clip_is_the_models_own_logits(tiny, images, name):
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    metric = ClipMetric(tiny / name, dtype=torch.float32, device=CPU)
    model = CLIPModel.from_pretrained(tiny / name).eval()
    tokens = AutoTokenizer.from_pretrained(tiny / name)(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        pixels = CLIPImageProcessorPil.from_pretrained(tiny / name)(pictures(images), return_tensors="pt")
        expected = model(**tokens, **pixels).logits_per_image.diagonal()
        scores = metric(images, metric.encode(PROMPTS))
    torch.testing.assert_close(scores, expected, atol=0.5, rtol=0)  # the processor rounds to whole levels
    torch.testing.assert_close(loss_of(scores), 100 - scores)
    exact = metric.preprocess(images)
    with torch.no_grad():
        torch.testing.assert_close(
            scores, model(**tokens, pixel_values=exact).logits_per_image.diagonal(), atol=1e-3, rtol=0
        )


@pytest.mark.parametrize("name", ["blip", "blip_large"])
@pytest.mark.parametrize("head", ["itm", "itc"])
def test_blip_is_the_models_own_score(tiny, images, name, head):
    from transformers import AutoTokenizer, BlipForImageTextRetrieval

    metric = BlipMetric(tiny / name, dtype=torch.float32, device=CPU, head=head)
    model = BlipForImageTextRetrieval.from_pretrained(tiny / name).eval()
    tokens = AutoTokenizer.from_pretrained(tiny / name)(PROMPTS, padding=True, return_tensors="pt")
    given = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    with torch.no_grad():
        output = model(**given, pixel_values=metric.preprocess(images), use_itm_head=head == "itm").itm_score
        expected = output[:, 1] - output[:, 0] if head == "itm" else 100 * output.diagonal()
        scores = metric(images, metric.encode(PROMPTS))
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
    assert scores[0] != scores[1]


def test_the_itm_margin_is_the_log_odds_of_a_match(tiny, images):
    metric = BlipMetric(tiny / "blip", dtype=torch.float64, device=CPU)
    margin = metric(images.double(), metric.encode(PROMPTS))
    probability = torch.sigmoid(margin)
    torch.testing.assert_close(margin, probability.log() - (1 - probability).log())


def test_a_weighted_sum_is_one(tiny, images):
    clip = ClipMetric(tiny / "clip", dtype=torch.float32, device=CPU)
    blip = BlipMetric(tiny / "blip", dtype=torch.float32, device=CPU)
    both = WeightedSum([(0.5, clip), (2.0, blip)])
    with torch.no_grad():
        parts = 0.5 * clip(images, clip.encode(PROMPTS)) + 2.0 * blip(images, blip.encode(PROMPTS))
        scores = both(images, both.encode(PROMPTS))
    torch.testing.assert_close(scores, parts)
    torch.testing.assert_close(loss_of(scores, 2.5), 250 - parts)


def test_a_score_does_not_depend_on_the_other_prompts(tiny, images):
    """The short prompt is padded beside the long one; its score must not know."""
    for kind, name in ((ClipMetric, "clip"), (BlipMetric, "blip")):
        metric = kind(tiny / name, dtype=torch.float64, device=CPU)
        together = metric(images.double(), metric.encode(PROMPTS))[1]
        alone = metric(images[1:].double(), metric.encode(PROMPTS[1:]))[0]
        torch.testing.assert_close(together, alone, atol=1e-8, rtol=0)


def test_a_model_of_another_kind_is_refused(tiny):
    with pytest.raises(BadInput, match="BlipForImageTextRetrieval"):
        BlipMetric(tiny / "clip", dtype=torch.float32, device=CPU)


def test_a_checkpoint_that_lacks_a_weight_is_refused(tiny, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny / "blip", tmp_path / "blip")
    weights = load_file(tmp_path / "blip" / "model.safetensors")
    del weights["itm_head.weight"]
    save_file(weights, tmp_path / "blip" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="itm_head"):
        BlipMetric(tmp_path / "blip", dtype=torch.float32, device=CPU)
