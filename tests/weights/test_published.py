"""Checkpoints as older versions of transformers wrote them, from which the published ones come.

published_keys/NAME.txt lists the weights of a published checkpoint as transformers 4.26.1 names them (January 2023;
4.35.2 for OWLv2, which came later), with the position numbers and tables that it stored; `{0-11}` stands for every
number from 0 to 11. The outputs are what transformers 4.57.1 computed from the tiny checkpoints.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reno.weights.architectures import architecture, class_of
from reno.weights.loading import load_model, load_part

KEYS = Path(__file__).parent / "published_keys"
EMBEDDING = "text_decoder.bert.embeddings.word_embeddings.weight"
TIED = {
    "text_decoder.cls.predictions.decoder.weight": EMBEDDING,
    "text_decoder.cls.predictions.decoder.bias": "text_decoder.cls.predictions.bias",
}
"""Weights that are another one a second time."""
STALE = ("position_ids", "relative_position_index")
"""Ends of the names of stored numbers that later versions compute."""
NEVER_RUN = {f"model.pixel_level_module.encoder.swin.layernorm.{key}" for key in ("bias", "weight")}
"""Weights of a layer that version 5 added and does not use."""
OUTPUTS = {  # how many values, the first three, and the mean of their magnitudes
    "blip": (3, [-0.31592, -0.41711, 0.15706], 0.29670),
    "blip_large": (3, [0.22023, -2.26890, -0.12225], 0.87046),
    "blip_vqa": (1280, [0.05048, -0.01936, 0.30809], 0.08946),
    "clip": (1, [17.40397], 17.40397),
    "clip_vit_h": (1, [5.51934], 5.51934),
    "clip_vit_l": (1, [-6.61542], 6.61542),
    "mask2former": (3370, [1.05342, -1.71617, -1.54312], 1.44986),
    "owlv2": (80, [0.21610, 0.49405, 0.41750], 0.44591),
    "sd_turbo": (160, [0.11335, 0.10525, 1.07297], 0.83334),
}


def published_keys(name: str) -> list[str]:
    keys = []
    for line in (KEYS / f"{name}.txt").read_text().splitlines()[1:]:
        spans = [re.fullmatch(r"\{(\d+)-(\d+)\}", part) or part for part in line.split(".")]
        parts = [[s] if isinstance(s, str) else map(str, range(int(s[1]), int(s[2]) + 1)) for s in spans]
        keys += [".".join(key) for key in itertools.product(*parts)]
    return keys


def pattern(key: str) -> str:
    return re.sub(r"\.\d+(?=\.|$)", ".N", key)


def part_of(name: str):
    (part,) = [part for part in architecture(name, "tiny").parts if part.library == "transformers"]
    return part


def load(name: str, folder: Path):
    """The part of the checkpoint in `folder` that is transformers', as the program loads it."""
    part, how = part_of(name), {"dtype": torch.float32, "device": torch.device("cpu")}
    if part.folder:
        return load_part(class_of(part), folder, part.folder, variant=None, **how)
    return load_model(class_of(part), folder, **how)


def as_published(name: str, made: Path, folder: Path) -> None:
    """Writes the tiny checkpoint in `made` to `folder` with exactly the weights of a published one of its depth."""
    part = part_of(name)
    weights = load_file(made / part.folder / "model.safetensors")
    patterns = {pattern(key) for key in weights}
    published = {}
    for key in published_keys(name):
        if key in weights:
            published[key] = weights[key]
        elif key in TIED:
            published[key] = weights[TIED[key]].clone()
        elif key.endswith(STALE):
            published[key] = torch.arange(4)[None]
        else:  # a layer deeper than tiny's
            assert pattern(key) in patterns, key
    assert {pattern(key) for key in published if not key.endswith(STALE) and key not in TIED} == {
        pattern(key) for key in weights if key not in NEVER_RUN
    }
    (folder / part.folder).mkdir(parents=True)
    (folder / part.folder / "config.json").write_bytes((made / part.folder / "config.json").read_bytes())
    save_file(published, folder / part.folder / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def outputs(name: str, model) -> torch.Tensor:
    """The outputs on one image and one text, flat."""
    side, last = architecture(name, "tiny").image_size, 1279
    pixels = torch.sin(torch.arange(3 * side * side).reshape(1, 3, side, side) / 7)
    ids = torch.tensor([[101, 142, 1113, 1138, 102] if "blip" in name else [last - 1, 320, 600, 700, last]])
    both = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}
    if name == "sd_turbo":
        several = [model(ids)[0]]
    elif name.startswith("clip"):
        several = [model(**both).logits_per_image]
    elif name == "blip_vqa":
        seen = model.vision_model(pixel_values=pixels)[0]
        states = model.text_encoder(input_ids=ids, encoder_hidden_states=seen)[0]
        start = torch.full((1, 1), model.decoder_start_token_id)
        several = [model.text_decoder(input_ids=start, encoder_hidden_states=states).logits]
    elif name.startswith("blip"):
        several = [model(**both, use_itm_head=head)[0] for head in (True, False)]
    elif name == "mask2former":
        seen = model(pixel_values=pixels)
        several = [seen.class_queries_logits, seen.masks_queries_logits]
    else:
        seen = model(**both)
        several = [seen.logits, seen.pred_boxes]
    return torch.cat([each.flatten() for each in several])


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_checkpoint_that_an_older_version_wrote_gives_what_that_version_computed(tiny, tmp_path, name):
    as_published(name, tiny / name, tmp_path / name)
    model, expected = load(name, tmp_path / name), load(name, tiny / name).state_dict()
    loaded = model.state_dict()
    assert loaded.keys() == expected.keys()
    assert {key for key, value in loaded.items() if not torch.equal(value, expected[key])} <= NEVER_RUN
    values = outputs(name, model)
    count, first, magnitude = OUTPUTS[name]
    assert len(values) == count
    assert values[:3].tolist() == pytest.approx(first, abs=3e-5, rel=3e-5)
    assert values.abs().mean().item() == pytest.approx(magnitude, abs=3e-5)


@pytest.mark.parametrize("left_out", [(EMBEDDING,), tuple(TIED), ()])
def test_what_is_stored_twice_may_be_stored_under_either_name(tiny, tmp_path, left_out):
    as_published("blip_vqa", tiny / "blip_vqa", tmp_path / "blip_vqa")
    file = tmp_path / "blip_vqa" / "model.safetensors"
    kept = {key: value for key, value in load_file(file).items() if key not in left_out}
    save_file(kept, file)  # and without metadata, as some tools write it
    predictions = load("blip_vqa", tmp_path / "blip_vqa").text_decoder.cls.predictions
    expected = load_file(tiny / "blip_vqa" / "model.safetensors")
    assert torch.equal(predictions.decoder.weight, expected[EMBEDDING])
    assert torch.equal(predictions.decoder.bias, expected["text_decoder.cls.predictions.bias"])


def test_a_vae_of_2022_names_its_attention_otherwise(tiny, tmp_path):
    from diffusers import AutoencoderKL

    how = {"variant": None, "dtype": torch.float32, "device": torch.device("cpu")}
    expected = load_part(AutoencoderKL, tiny / "sd_turbo", "vae", **how).state_dict()
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {re.sub("to_[qkv]|to_out.0", lambda found: names[found[0]], key): value for key, value in expected.items()}
    assert old.keys() != expected.keys()
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_bytes((tiny / "sd_turbo" / "vae" / "config.json").read_bytes())
    save_file(old, tmp_path / "vae" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    loaded = load_part(AutoencoderKL, tmp_path, "vae", **how).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.items()) and len(loaded) == len(expected)
