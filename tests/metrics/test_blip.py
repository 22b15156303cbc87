"""BLIP against the transformers model called as its own documentation calls it."""

from __future__ import annotations

import functools
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from reno.metrics.blip import BlipMetric, identity, load, reader
from reno.spec.errors import BadInput
from reno.weights.checkpoints import TESTBED

CPU = torch.device("cpu")
EMBEDDED = TESTBED / "blip"
PROMPTS = ["a gold bench and a green clock", "a car"]
HEADS = pytest.mark.parametrize("head", ["itm", "itc"])

kept = functools.cache(BlipMetric)
"""The metric of a folder, loaded once: no test changes it."""


@pytest.mark.parametrize("name", ["blip", "blip_large"])
@HEADS
def test_it_is_the_models_own_score(tiny, images, name, head):
    from transformers import AutoTokenizer, BlipForImageTextRetrieval

    metric = kept(tiny / name, dtype=torch.float32, device=CPU, head=head)
    model = BlipForImageTextRetrieval.from_pretrained(tiny / name).eval()
    tokens = AutoTokenizer.from_pretrained(tiny / name)(PROMPTS, padding=True, return_tensors="pt")
    given = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    with torch.no_grad():
        output = model(**given, pixel_values=metric.preprocess(images), use_itm_head=head == "itm").itm_score
        expected = output[:, 1] - output[:, 0] if head == "itm" else 100 * output.diagonal()
        scores = metric(images, metric.encode(PROMPTS))
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
    assert scores[0] != scores[1]


def test_the_itm_score_is_the_log_odds_of_the_models_probability_of_a_match(tiny, images):
    """The probability is a softmax of the model's two logits, as in transformers' documentation."""
    metric = kept(tiny / "blip", dtype=torch.float64, device=CPU)
    tokens = metric.tokenizer(PROMPTS, padding=True, return_tensors="pt")
    given = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    with torch.no_grad():
        probability = metric.model(**given, pixel_values=metric.preprocess(images.double())).itm_score.softmax(-1)[:, 1]
        score = metric(images.double(), metric.encode(PROMPTS))
    torch.testing.assert_close(torch.sigmoid(score), probability)


def test_the_itm_head_is_the_usual_one(tiny, images):
    usual, itm, itc = (
        BlipMetric(tiny / "blip", dtype=torch.float32, device=CPU, **options)
        for options in ({}, {"head": "itm"}, {"head": "itc"})
    )
    scores = [metric(images, metric.encode(PROMPTS)) for metric in (usual, itm, itc)]
    assert torch.equal(scores[0], scores[1]) and not torch.allclose(scores[0], scores[2])


# --- The first token of ITM's text ------------------------------------------------------------------------------------


def itm(folder, images, ids, mask) -> torch.Tensor:
    """The log-odds of a match that transformers' own model gives for these token ids."""
    from transformers import BlipForImageTextRetrieval

    metric = BlipMetric(folder, dtype=torch.float64, device=CPU)
    model = BlipForImageTextRetrieval.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask, pixel_values=metric.preprocess(images)).itm_score
    return output[:, 1] - output[:, 0]


@pytest.mark.parametrize(("name", "enc"), [("blip", 1279), ("testbed", 6)])
def test_the_first_token_is_the_one_that_is_asked_for(tiny, images, name, enc):
    """Against ids that are written out: [ENC] is the last of BLIP's vocabulary, and the embedded one has it at 6."""
    folder = tiny / name if name != "testbed" else EMBEDDED
    images = images.double()
    scores = {}
    for first in ("cls", "enc"):
        metric = BlipMetric(folder, dtype=torch.float64, device=CPU, first_token=first)
        with torch.no_grad():
            scores[first] = metric(images, metric.encode(PROMPTS))
        tokens = [metric.tokenizer(prompt).input_ids for prompt in PROMPTS]
        short = len(tokens[0]) - len(tokens[1])
        ids = torch.tensor([tokens[0], tokens[1] + [0] * short])
        mask = torch.tensor([[1] * len(tokens[0]), [1] * len(tokens[1]) + [0] * short])
        if first == "enc":
            ids = torch.cat([torch.full((2, 1), enc), ids[:, 1:]], 1)
        torch.testing.assert_close(scores[first], itm(folder, images, ids, mask), atol=1e-8, rtol=0)
    assert (scores["cls"] - scores["enc"]).abs().min() > 1e-4


def test_a_tokenizer_without_blips_own_tokens_gives_the_same(tiny, images, tmp_path):
    """The published ones are BERT's: they end before [DEC] and [ENC], which only the text encoder's table has."""
    folder = shutil.copytree(tiny / "blip", tmp_path / "blip")
    words = (folder / "vocab.txt").read_text().splitlines()
    assert words[-2:] == ["[DEC]", "[ENC]"]
    (folder / "vocab.txt").write_text("\n".join(words[:-2]) + "\n")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    known = config["added_tokens_decoder"]
    config["added_tokens_decoder"] = {key: value for key, value in known.items() if int(key) < len(words) - 2}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").unlink(missing_ok=True)
    whole, cut = (BlipMetric(one, dtype=torch.float64, device=CPU, first_token="enc")
                  for one in (tiny / "blip", folder))  # fmt: skip
    assert "[ENC]" in whole.tokenizer.get_vocab() and "[ENC]" not in cut.tokenizer.get_vocab()
    assert cut.first == whole.first == 1279
    with torch.no_grad():
        torch.testing.assert_close(*(one(images.double(), one.encode(PROMPTS)) for one in (whole, cut)))
    changed = json.loads((folder / "config.json").read_text())
    changed["text_config"]["bos_token_id"] = 1279
    (folder / "config.json").write_text(json.dumps(changed))
    with pytest.raises(BadInput, match=r"has no token \[ENC\]; use first_token=cls"):
        BlipMetric(folder, dtype=torch.float32, device=CPU, first_token="enc")
    assert BlipMetric(folder, dtype=torch.float32, device=CPU).first is None


def test_itc_begins_with_cls_whatever_is_asked_for(tiny, images):
    one, other = (BlipMetric(tiny / "blip", dtype=torch.float64, device=CPU, head="itc", first_token=first)
                  for first in ("cls", "enc"))  # fmt: skip
    assert torch.equal(*(metric(images.double(), metric.encode(PROMPTS)) for metric in (one, other)))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"head": "itm"}, {"head": "itm"}),
        ({"head": "itm", "first_token": "cls"}, {"head": "itm"}),
        ({"head": "itm", "first_token": "enc"}, {"head": "itm", "first_token": "enc"}),
        ({"head": "itc", "first_token": "enc"}, {"head": "itc"}),
    ],
)
def test_what_was_there_before_the_choice_keeps_its_identity(options, kept):
    assert identity(options) == kept


@HEADS
def test_a_score_does_not_depend_on_the_other_prompts(tiny, images, head):
    """The short prompt is padded beside the long one; its score must not know."""
    metric = kept(tiny / "blip", dtype=torch.float64, device=CPU, head=head)
    together = metric(images.double(), metric.encode(PROMPTS))[1]
    alone = metric(images[1:].double(), metric.encode(PROMPTS[1:]))[0]
    torch.testing.assert_close(together, alone, atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "wide"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)]
)
@HEADS
def test_scores_are_float32_or_wider(tiny, images, dtype, wide, head):
    metric = kept(tiny / "blip", dtype=dtype, device=CPU, head=head)
    scores = metric(images.to(wide), metric.encode(PROMPTS))
    assert metric.model.dtype == dtype and scores.dtype == wide
    exact = kept(tiny / "blip", dtype=torch.float64, device=CPU, head=head)
    expected = exact(images.double(), exact.encode(PROMPTS))
    torch.testing.assert_close(scores.double(), expected, atol=2.0 if dtype == torch.bfloat16 else 1e-3, rtol=0)


@HEADS
def test_the_text_carries_no_graph_and_the_image_does(tiny, images, head):
    metric = kept(tiny / "blip", dtype=torch.float32, device=CPU, head=head)
    encoded = metric.encode(PROMPTS)
    given = images.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(metric(given, encoded).sum(), given)
    assert slope.abs().flatten(1).max(1).values.gt(0).all()
    assert not any(t.requires_grad for t in (encoded.embeddings, encoded.features) if t is not None)


def test_what_sees_the_image_and_what_reads_the_prompt(tiny):
    """With ITM, the text encoder sees the image too."""
    itm, itc = (BlipMetric(tiny / "blip", dtype=torch.float32, device=CPU, head=head) for head in ("itm", "itc"))
    assert itm.looking == (itm.model,) and itm.reading == ()
    assert itc.looking == (itc.model.vision_model, itc.model.vision_proj)
    assert itc.reading == (itc.model.text_encoder, itc.model.text_proj)


def test_a_prompt_that_would_be_cut_is_refused(tiny):
    metric = kept(tiny / "blip", dtype=torch.float32, device=CPU)
    metric.check_prompt("a gold bench")
    with pytest.raises(BadInput, match=r"too long for BLIP's text encoder: it has .* tokens of at most 512"):
        metric.check_prompt("a red car and " * 200)


def test_a_model_of_another_kind_is_refused(tiny):
    with pytest.raises(BadInput, match="holds a clip model and is not a BlipForImageTextRetrieval"):
        BlipMetric(tiny / "clip", dtype=torch.float32, device=CPU)


def test_a_checkpoint_that_lacks_a_weight_is_refused(tiny, tmp_path):
    shutil.copytree(tiny / "blip", tmp_path / "blip")
    weights = load_file(tmp_path / "blip" / "model.safetensors")
    del weights["itm_head.weight"]
    save_file(weights, tmp_path / "blip" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="itm_head"):
        BlipMetric(tmp_path / "blip", dtype=torch.float32, device=CPU)


def test_without_the_weights_the_same_prompts_are_refused(tiny):
    read, long = reader(tiny / "blip", head="itc"), "zebra " * 600
    read.check_prompt("a car")
    with pytest.raises(BadInput) as by_the_metric:
        load(tiny / "blip", dtype=torch.float32, device=CPU).check_prompt(long)
    with pytest.raises(BadInput) as without_weights:
        read.check_prompt(long)
    assert str(without_weights.value) == str(by_the_metric.value)
