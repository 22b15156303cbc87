"""The rewards against their architectures, called or written out here step by step, and against finite differences."""

from __future__ import annotations

import functools
import importlib
import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import normalize

from reno.metrics import blip2_itm, pickscore, siglip2
from reno.spec.errors import BadInput
from tests.metrics.originals import attention, linear, norm

CPU = torch.device("cpu")
PROMPTS = ["a gold bench and a green clock", "a car"]
BEST = {
    "clip_vit_l": 100.0, "pickscore": 30.0, "siglip2": 100.0, "hpsv2": 1.0, "imagereward": 2.0, "aesthetic": 10.0,
    "blip2_itm": 100.0,
}  # fmt: skip
"""The score at which the loss is 0: the paper's for the four that it has."""
every = pytest.mark.parametrize("name", BEST)
that_read = pytest.mark.parametrize("name", [name for name in BEST if name != "aesthetic"])


def module_of(name: str):
    return importlib.import_module(f"reno.metrics.{'clip' if name.startswith('clip') else name}")


pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def loaded(tiny, name: str, dtype: torch.dtype = torch.float64):
    """The metric, loaded once: no test changes it."""
    return module_of(name).load(tiny / name, dtype=dtype, device=CPU)


# --- What holds for each ----------------------------------------------------------------------------------------------


@every
def test_the_gradient_is_that_of_finite_differences(tiny, images, name):
    metric = loaded(tiny, name)
    encoded = metric.encode(PROMPTS)
    given = (0.2 + 0.6 * images.double()).requires_grad_(True)
    (slope,) = torch.autograd.grad(metric(given, encoded).sum(), given)
    step = 1e-5 * torch.randn(given.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():
        measured = (metric(given + step, encoded) - metric(given - step, encoded)).sum() / 2
    assert slope.abs().flatten(1).max(1).values.gt(0).all()
    torch.testing.assert_close((slope * step).sum(), measured, rtol=1e-5, atol=1e-12)


@every
def test_a_score_does_not_depend_on_the_other_prompts(tiny, images, name):
    metric = loaded(tiny, name)
    together = metric(images.double(), metric.encode(PROMPTS))[1]
    alone = metric(images[1:].double(), metric.encode(PROMPTS[1:]))[0]
    torch.testing.assert_close(together, alone, atol=1e-8, rtol=0)


@every
@pytest.mark.parametrize(("dtype", "wide"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_scores_are_float32_or_wider(tiny, images, name, dtype, wide):
    metric = loaded(tiny, name, dtype)
    scores = metric(images.to(wide), metric.encode(PROMPTS))
    assert metric.model.dtype == dtype and scores.dtype == wide and scores.shape == (2,)


@every
def test_its_loss_is_zero_at_the_papers_best(tiny, name):
    assert loaded(tiny, name).best == BEST[name]


@every
def test_what_looks_and_what_reads_are_the_whole_model(tiny, name):
    metric = loaded(tiny, name)
    seeing, reading = (
        {id(p) for part in parts for p in part.parameters()} for parts in (metric.looking, metric.reading)
    )
    everything = {id(p) for key, p in metric.model.named_parameters() if not key.startswith("logit_")}
    assert seeing | reading == everything and not seeing & reading
    assert not any(p.requires_grad for p in metric.model.parameters())


@that_read
def test_a_prompt_that_would_be_cut_is_refused_with_and_without_the_weights(tiny, name):
    metric, read, long = loaded(tiny, name), module_of(name).reader(tiny / name), "zebra " * 100
    for reader in (metric, read):
        reader.check_prompt("a red car")
    with pytest.raises(BadInput, match="too long for") as by_the_metric:
        metric.check_prompt(long)
    with pytest.raises(BadInput) as without_weights:
        read.check_prompt(long)
    assert str(without_weights.value) == str(by_the_metric.value)


# --- PickScore --------------------------------------------------------------------------------------------------------


def test_pickscore_is_the_models_own_logit(tiny, images):
    from transformers import AutoTokenizer, CLIPModel

    metric = pickscore.load(tiny / "pickscore", dtype=torch.float64, device=CPU)
    model = CLIPModel.from_pretrained(tiny / "pickscore", dtype=torch.float64).eval()
    tokens = AutoTokenizer.from_pretrained(tiny / "pickscore")(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**tokens, pixel_values=metric.preprocess(images.double())).logits_per_image.diagonal()
        torch.testing.assert_close(metric(images.double(), metric.encode(PROMPTS)), expected)


# --- BLIP-2 -----------------------------------------------------------------------------------------------------------


def test_blip2_is_the_models_own_log_odds(tiny, images):
    from transformers import AutoTokenizer, Blip2ForImageTextRetrieval

    metric = blip2_itm.load(tiny / "blip2_itm", dtype=torch.float64, device=CPU)
    model = Blip2ForImageTextRetrieval.from_pretrained(tiny / "blip2_itm", dtype=torch.float64).eval()
    tokens = AutoTokenizer.from_pretrained(tiny / "blip2_itm")(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        given = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
        pixels = metric.preprocess(images.double())
        logits = model(pixel_values=pixels, use_image_text_matching_head=True, **given).logits_per_image
        torch.testing.assert_close(metric(images.double(), metric.encode(PROMPTS)), logits[:, 1] - logits[:, 0])


def test_blip2_written_out(tiny, images):
    """The image's patches and a class token through pre-norm layers; then queries and text attend to each other, the
    queries look at the image in layers 0, 2, ... and have feed-forward layers of their own: from the paper's
    description, with the weights alone."""
    from safetensors.torch import load_file
    from torch.nn.functional import conv2d, gelu

    metric = blip2_itm.load(tiny / "blip2_itm", dtype=torch.float64, device=CPU)
    weights = {key: value.double() for key, value in load_file(tiny / "blip2_itm" / "model.safetensors").items()}
    prompt = PROMPTS[0]
    pixels = metric.preprocess(images[:1].double())

    key = "vision_model.embeddings"
    patches = conv2d(
        pixels, weights[f"{key}.patch_embedding.weight"], weights[f"{key}.patch_embedding.bias"], stride=12
    )
    x = (
        torch.cat([weights[f"{key}.class_embedding"], patches.flatten(2).mT], dim=1)
        + weights[f"{key}.position_embedding"]
    )
    for layer in ("vision_model.encoder.layers.0", "vision_model.encoder.layers.1"):
        q, k, v = linear(weights, f"{layer}.self_attn.qkv", norm(weights, f"{layer}.layer_norm1", x, 1e-6)).chunk(3, -1)
        x = x + linear(weights, f"{layer}.self_attn.projection", attention(q, k, v, 3))
        inner = gelu(linear(weights, f"{layer}.mlp.fc1", norm(weights, f"{layer}.layer_norm2", x, 1e-6)))
        x = x + linear(weights, f"{layer}.mlp.fc2", inner)
    seen = norm(weights, "vision_model.post_layernorm", x, 1e-6)

    ids = metric.tokenizer(prompt).input_ids
    text = (
        weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    )
    x = norm(weights, "qformer.layernorm", torch.cat([weights["query_tokens"], text[None]], dim=1), 1e-12)
    queries = weights["query_tokens"].shape[1]

    def attended(name, x, around):
        q, k, v = (
            linear(weights, f"{name}.attention.{part}", y)
            for part, y in zip(("query", "key", "value"), (x, around, around), strict=True)
        )
        return norm(
            weights,
            f"{name}.output.LayerNorm",
            linear(weights, f"{name}.output.dense", attention(q, k, v, 4)) + x,
            1e-12,
        )

    def fed(name, x, of):
        inner = gelu(linear(weights, f"{name}.intermediate{of}.dense", x))
        return norm(
            weights, f"{name}.output{of}.LayerNorm", linear(weights, f"{name}.output{of}.dense", inner) + x, 1e-12
        )

    for place in range(3):
        name = f"qformer.encoder.layer.{place}"
        x = attended(f"{name}.attention", x, x)
        asking, read = x[:, :queries], x[:, queries:]
        if place % 2 == 0:
            asking = attended(f"{name}.crossattention", asking, seen)
        x = torch.cat([fed(name, asking, "_query"), fed(name, read, "")], dim=1)
    mismatch, match = linear(weights, "itm_head", x[:, :queries]).mean(1)[0]
    with torch.no_grad():
        torch.testing.assert_close(metric(images[:1].double(), metric.encode([prompt]))[0], match - mismatch)


def test_blip2s_q_former_stays_in_float32_beside_float16(tiny, images):
    metric = blip2_itm.load(tiny / "blip2_itm", dtype=torch.float16, device=CPU)
    kept = {key: value.dtype for key, value in metric.model.named_parameters()}
    assert kept["qformer.layernorm.weight"] == torch.float32 and kept["itm_head.weight"] == torch.float16
    wide = blip2_itm.load(tiny / "blip2_itm", dtype=torch.float32, device=CPU)
    scores = metric(images, metric.encode(PROMPTS))
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, wide(images, wide.encode(PROMPTS)), atol=0.02, rtol=0.02)


# --- SigLIP 2 ---------------------------------------------------------------------------------------------------------


def test_siglip2_is_the_models_own_logit(tiny, images):
    from transformers import AutoTokenizer, SiglipModel

    metric = siglip2.load(tiny / "siglip2", dtype=torch.float64, device=CPU)
    model = SiglipModel.from_pretrained(tiny / "siglip2", dtype=torch.float64).eval()
    tokens = AutoTokenizer.from_pretrained(tiny / "siglip2")(
        PROMPTS, padding="max_length", max_length=64, return_tensors="pt"
    )
    assert tokens.input_ids.shape == (2, 64) and (tokens.input_ids[1] == 0).sum() > 50
    with torch.no_grad():
        given = {"input_ids": tokens.input_ids, "pixel_values": metric.preprocess(images.double())}
        expected = model(**given).logits_per_image.diagonal()
        torch.testing.assert_close(metric(images.double(), metric.encode(PROMPTS)), expected)


def test_siglip2_written_out(tiny, images):
    """Mean-free layers, attention over patches, a learned query that pools them: from the paper's description, with
    the weights alone."""
    from safetensors.torch import load_file

    metric = siglip2.load(tiny / "siglip2", dtype=torch.float64, device=CPU)
    weights = {key: value.double() for key, value in load_file(tiny / "siglip2" / "model.safetensors").items()}

    def linear(x, key):
        return x @ weights[f"{key}.weight"].T + weights[f"{key}.bias"]

    def norm(x, key):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * weights[f"{key}.weight"] + weights[f"{key}.bias"]

    def attend(q, k, v, heads):
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        shares = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return (shares @ v).transpose(1, 2).flatten(2)

    def mlp(x, key):
        x = linear(x, f"{key}.fc1")
        return linear(0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))), f"{key}.fc2")

    def tower(x, name):
        for layer in (f"{name}.encoder.layers.{i}" for i in range(2)):
            y = norm(x, f"{layer}.layer_norm1")
            queries, keys, values = (linear(y, f"{layer}.self_attn.{one}_proj") for one in "qkv")
            x = x + linear(attend(queries, keys, values, 3), f"{layer}.self_attn.out_proj")
            x = x + mlp(norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp")
        return x

    pixels = metric.preprocess(images.double())
    place = "vision_model.embeddings"
    patches = pixels.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    seen = patches @ weights[f"{place}.patch_embedding.weight"].flatten(1).T
    seen = seen + weights[f"{place}.patch_embedding.bias"] + weights[f"{place}.position_embedding.weight"]
    seen = norm(tower(seen, "vision_model"), "vision_model.post_layernorm")
    pool = "vision_model.head"
    projections = (
        weights[f"{pool}.attention.in_proj_weight"].chunk(3),
        weights[f"{pool}.attention.in_proj_bias"].chunk(3),
    )
    probe = weights[f"{pool}.probe"].expand(2, -1, -1)
    pairs = zip((probe, seen, seen), *projections, strict=True)
    queries, keys, values = (x @ matrix.T + bias for x, matrix, bias in pairs)
    pooled = linear(attend(queries, keys, values, 3), f"{pool}.attention.out_proj")
    pooled = (pooled + mlp(norm(pooled, f"{pool}.layernorm"), f"{pool}.mlp"))[:, 0]

    ids = [metric.tokenizer(prompt).input_ids for prompt in PROMPTS]
    ids = torch.tensor([one + [0] * (64 - len(one)) for one in ids])
    read = weights["text_model.embeddings.token_embedding.weight"][ids]
    read = tower(read + weights["text_model.embeddings.position_embedding.weight"], "text_model")
    read = linear(norm(read[:, -1], "text_model.final_layer_norm"), "text_model.head")

    cosine = (normalize(pooled, dim=-1) * normalize(read, dim=-1)).sum(-1)
    expected = weights["logit_scale"].exp() * cosine + weights["logit_bias"]
    with torch.no_grad():
        torch.testing.assert_close(metric(images.double(), metric.encode(PROMPTS)), expected)


def test_siglip2s_scale_is_taken_to_its_power_in_float32():
    """exp(4.6875), of which bfloat16 keeps three digits."""
    seen = SimpleNamespace(pooler_output=torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16))
    metric = SimpleNamespace(
        preprocess=lambda images: images,
        dtype=torch.bfloat16,
        model=SimpleNamespace(get_image_features=lambda pixel_values: seen),
        logit_scale=torch.tensor([4.6875], dtype=torch.bfloat16),
        logit_bias=torch.tensor([-16.0], dtype=torch.bfloat16),
    )
    (found,) = siglip2.Siglip2Metric.__call__(metric, torch.zeros(1, 3, 2, 2), torch.tensor([[1.0, 0.0]]))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(math.exp(4.6875) * 0.6 - 16, rel=1e-5)


def test_siglip2_reads_capitals_as_small_letters(tiny):
    metric = siglip2.load(tiny / "siglip2", dtype=torch.float64, device=CPU)
    assert torch.equal(metric.encode(["A Gold BENCH"]), metric.encode(["a gold bench"]))


# --- ImageReward and the aesthetic predictor --------------------------------------------------------------------------


def test_imagereward_reads_35_tokens(tiny):
    metric, read = loaded(tiny, "imagereward"), module_of("imagereward").reader(tiny / "imagereward")
    for reader in (metric, read):
        reader.check_prompt("zebra " * 33)
        with pytest.raises(BadInput, match="it has 36 tokens of at most 35"):
            reader.check_prompt("zebra " * 34)


def test_no_prompt_is_too_long_for_the_aesthetic_predictor(tiny):
    for reader in (loaded(tiny, "aesthetic"), module_of("aesthetic").reader(tiny / "aesthetic")):
        reader.check_prompt("zebra " * 5000)
