"""A reward's published file becomes a folder whose metric scores as the published model does."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import pickle

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from reno.config.completion import WORDS
from reno.config.conf import Conf
from reno.convert import main
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint
from reno.weights.architectures import architecture
from reno.weights.checkpoints import locate
from reno.weights.conversion import CONVERSIONS, convert
from reno.weights.parts import Parts
from reno.weights.pickled import PICKLED
from tests.metrics import originals

CPU = torch.device("cpu")
PROMPTS = ["a gold bench and a green clock", "a car"]
BASES = {"hpsv2": "clip_vit_h", "imagereward": "blip", "aesthetic": "clip_vit_l"}
MADE = {name: getattr(originals, f"{name}_weights") for name in BASES}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def converted(tiny, tmp_path):
    """converted(name, stored): the folder made of the published file of a reward, and its weights in float64."""

    def run(name, stored=None):
        weights = MADE[name]()
        torch.save(weights if stored is None else stored(weights), tmp_path / "file.pt")
        made = convert(name, tmp_path / "file.pt", str(tiny / BASES[name]), tmp_path / "out", "tiny")
        return made, {key: value.double() for key, value in weights.items()}

    return run


def metric_of(name, folder):
    return importlib.import_module(f"reno.metrics.{name}").load(folder, dtype=torch.float64, device=CPU)


def test_an_hpsv2_scores_as_openclips_architecture_does(converted, images):
    made, weights = converted("hpsv2", lambda weights: {"epoch": 3, "state_dict": weights})
    metric = metric_of("hpsv2", made.folder)
    ids = metric.tokenizer(PROMPTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        score = metric(images.double(), metric.encode(PROMPTS))
        expected = originals.hpsv2_score(weights, metric.preprocess(images.double()), ids)
    torch.testing.assert_close(score, expected)
    assert score.abs().max() <= 1 and (score[0] - score[1]).abs() > 1e-4


def test_an_imagereward_scores_as_blips_architecture_does(converted, images):
    """With a text that is filled up to 35 tokens, as its authors do, though the metric fills it up to the longest."""
    made, weights = converted("imagereward")
    metric = metric_of("imagereward", made.folder)
    tokens = metric.tokenizer(PROMPTS, padding="max_length", max_length=35, return_tensors="pt")
    assert tokens.input_ids.shape == (2, 35) and tokens.input_ids[0, 0] == 101  # [CLS]
    with torch.no_grad():
        score = metric(images.double(), metric.encode(PROMPTS))
        pixels = metric.preprocess(images.double())
        expected = originals.imagereward_score(weights, pixels, tokens.input_ids, tokens.attention_mask)
    torch.testing.assert_close(score, expected)
    assert (score[0] - score[1]).abs() > 1e-4


def test_an_aesthetic_predictor_scores_as_its_description_says(converted, images, tiny):
    from transformers import CLIPModel

    made, weights = converted("aesthetic")
    metric = metric_of("aesthetic", made.folder)
    clip = CLIPModel.from_pretrained(tiny / "clip_vit_l", dtype=torch.float64).eval()
    with torch.no_grad():
        score = metric(images.double(), metric.encode(PROMPTS))
        features = clip.get_image_features(pixel_values=metric.preprocess(images.double())).pooler_output
    torch.testing.assert_close(score, originals.aesthetic_score(weights, features))
    assert (score[0] - score[1]).abs() > 1e-5
    assert torch.equal(score, metric(images.double(), metric.encode(["something else", ""])))


@pytest.mark.parametrize("name", BASES)
def test_the_folder_notes_its_source_and_holds_no_pickle(converted, name, tmp_path):
    made, _ = converted(name)
    digest = hashlib.sha256((tmp_path / "file.pt").read_bytes()).hexdigest()
    note = json.loads((made.folder / "conversion.json").read_text())
    assert note == {"name": name, "published": PICKLED[name].publisher, "file": "file.pt", "sha256": digest}
    assert made.sha256 == digest
    assert made.parameters == sum(value.numel() for value in load_file(made.folder / "model.safetensors").values())
    assert {path.suffix for path in made.folder.iterdir()} <= {".json", ".txt", ".safetensors"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_weights_keep_their_precision(converted):
    made, _ = converted("hpsv2", lambda weights: {key: value.half() for key, value in weights.items()})
    assert {value.dtype for value in load_file(made.folder / "model.safetensors").values()} == {torch.float16}


def test_safetensors_of_the_same_names_are_read_too(tiny, tmp_path, images):
    save_file(originals.hpsv2_weights(), tmp_path / "file.safetensors")
    made = convert("hpsv2", tmp_path / "file.safetensors", str(tiny / "clip_vit_h"), tmp_path / "out", "tiny")
    metric = metric_of("hpsv2", made.folder)
    assert metric(images.double(), metric.encode(PROMPTS)).shape == (2,)


# --- Ports to safetensors ---------------------------------------------------------------------------------------------


def pooled(weights):
    """ImageReward's port, whose class has the pooler that BERT has by default and the score does not use."""
    return {**weights, "blip.text_encoder.pooler.dense.weight": torch.ones(2, 2)}


def whole_aesthetic(weights, tiny):
    """The port of the aesthetic predictor holds its image encoder too, with position numbers, by CLIPModel's names."""
    clip = load_file(tiny / "clip_vit_l" / "model.safetensors")
    seen = {key: value for key, value in clip.items() if key.startswith(("vision_model.", "visual_projection."))}
    return {**weights, **seen, "vision_model.embeddings.position_ids": torch.arange(3)}


PORTS = {
    "hpsv2": lambda weights, tiny: {f"model.{key}": value for key, value in weights.items()},
    "imagereward": lambda weights, tiny: pooled(weights),
    "aesthetic": whole_aesthetic,
}
"""The weights as the classes of the ports name them."""


@pytest.mark.parametrize("name", BASES)
def test_without_a_file_a_port_is_read_and_gives_the_same_weights(converted, name, tiny, tmp_path):
    made, weights = converted(name)
    port = tmp_path / "port"
    port.mkdir()
    weights = {key: value.float().contiguous() for key, value in weights.items()}
    save_file(PORTS[name](weights, tiny), port / "model.safetensors")
    asked = []

    def find(checkpoint, where, folders=("",)):
        asked.append(checkpoint.path)
        if checkpoint.path == PICKLED[name].port:
            assert folders == ("model.safetensors",)
            return dataclasses.replace(
                locate(Checkpoint(str(port)), where, folders), source=checkpoint.path, commit="c0ffee"
            )
        return locate(Checkpoint(str(tiny / BASES[name])), where, folders)

    ported = convert(name, None, None, tmp_path / "ported", "tiny", find)
    assert asked == [PICKLED[name].port, *([PICKLED[name].base] * (name != "aesthetic"))]  # whose port is whole
    assert (ported.folder / "model.safetensors").read_bytes() == (made.folder / "model.safetensors").read_bytes()
    note = json.loads((ported.folder / "conversion.json").read_text())
    digest = hashlib.sha256((port / "model.safetensors").read_bytes()).hexdigest()
    source = {"name": name, "published": PICKLED[name].port, "commit": "c0ffee"}
    assert note == {**source, "file": "model.safetensors", "sha256": digest} and ported.source == PICKLED[name].port


def test_a_port_that_is_another_model_or_cannot_be_had_is_refused_with_the_original(tiny, tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")

    def another(checkpoint, where, folders=("",)):
        here = tmp_path if checkpoint.path == PICKLED["hpsv2"].port else tiny / "clip_vit_h"
        return dataclasses.replace(
            locate(Checkpoint(str(here)), where, folders), source=checkpoint.path, commit="c0ffee"
        )

    with pytest.raises(BadInput, match=r"model.safetensors lacks .*; it is not HPS_v2.1_compressed.pt of xswu/HPSv2"):
        convert("hpsv2", None, None, tmp_path / "out", "tiny", another)
    with pytest.raises(BadInput) as refused:
        convert("hpsv2", None, None, tmp_path / "out", "tiny")
    assert "RE-N-Y/hpsv21 is not in the cache, and HF_HUB_OFFLINE forbids asking the hub; try again" in str(
        refused.value
    )
    assert str(refused.value).endswith(
        "fetch HPS_v2.1_compressed.pt of xswu/HPSv2 and give it: python -m reno.convert hpsv2 FILE"
    )
    with pytest.raises(
        BadInput, match="file is empty, and no port of dmd2_sdxl to safetensors is known; fetch dmd2_sdxl"
    ):
        convert("dmd2_sdxl", None, None, tmp_path / "out", "tiny")
    with pytest.raises(BadInput, match=r"base=x is not used: model.safetensors holds all of aesthetic"):
        save_file(whole_aesthetic(originals.aesthetic_weights(), tiny), tmp_path / "model.safetensors")
        convert("aesthetic", tmp_path / "model.safetensors", "x", tmp_path / "out", "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def without(key):
    return lambda weights: {name: value for name, value in weights.items() if name != key}


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (without("visual.proj"), "lacks visual.proj; it is not HPS_v2.1_compressed.pt of xswu/HPSv2"),
        (lambda weights: weights | {"extra": torch.ones(1)}, "has 1 weights that are not those of HPS_v2.1_compressed"),
        (
            lambda weights: weights | {"visual.proj": torch.ones(3, 4)},
            "has visual.proj of the shape [3, 4], from which",
        ),
        (lambda weights: weights | {"text_projection": torch.ones(3)}, "has text_projection of the shape [3], from"),
        (lambda weights: weights | {"transformer.resblocks.0.attn.in_proj_bias": torch.ones(97)}, "of the shape [97]"),
        (lambda weights: {"state_dict": [1, 2]}, "holds something else than weights by name"),
    ],
)
def test_a_file_with_other_weights_is_refused_and_nothing_is_written(converted, tmp_path, stored, says):
    with pytest.raises(BadInput) as refused:
        converted("hpsv2", stored)
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file.pt"]


class Runs:
    """A pickle of one runs a function."""

    def __reduce__(self):
        return open, ("ran", "w")


def test_a_pickle_that_would_run_code_is_refused_and_does_not(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.pt").write_bytes(pickle.dumps(Runs(), protocol=2))
    torch.save({"a": Runs()}, tmp_path / "other.pt")
    for name in ("file.pt", "other.pt"):
        with pytest.raises(
            BadInput, match="is not loaded: it is no pickle, or one that holds more than weights and so could run code"
        ):
            convert("hpsv2", tmp_path / name, str(tiny / "clip_vit_h"), tmp_path / "out", "tiny")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


def test_a_damaged_or_missing_file_another_base_and_a_folder_that_is_there_are_refused(tiny, tmp_path):
    file, out = tmp_path / "file.pt", tmp_path / "out"
    with pytest.raises(BadInput, match="is not a file"):
        convert("aesthetic", file, str(tiny / "clip_vit_l"), out, "tiny")
    torch.save(originals.aesthetic_weights(), file)
    with pytest.raises(BadInput, match="is another CLIP than the one that aesthetic was trained on"):
        convert("aesthetic", file, str(tiny / "clip_vit_h"), out, "tiny")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"cannot be read|is no pickle"):
        convert("aesthetic", file, str(tiny / "clip_vit_l"), out, "tiny")
    out.mkdir()
    with pytest.raises(BadInput, match="is there already; give another folder"):
        convert("aesthetic", file, str(tiny / "clip_vit_l"), out, "tiny")


@pytest.mark.parametrize("name", BASES)
def test_the_published_pickle_is_refused_with_what_to_do(name):
    path = Conf().named("metric", "metric", name).values["checkpoints"][name]["path"]
    with pytest.raises(BadInput) as refused:
        locate(Checkpoint(path), "here")
    said, port = (
        str(refused.value),
        f"of {PICKLED[name].port}, a port to safetensors, with `python -m reno.convert {name}`",
    )
    assert "publishes a pickle" in said and said.endswith("give it: here.path=FOLDER")
    assert (
        0 < said.index(port) < said.index(f"`python -m reno.convert {name} {PICKLED[name].file}`")
    )  # the port is first
    assert architecture(name).published == path


def test_completion_offers_every_conversion():
    assert set(WORDS["checkpoint"]) == set(CONVERSIONS) == set(PICKLED)


# --- A generator's U-Net ----------------------------------------------------------------------------------------------


def test_a_published_unet_becomes_the_part_that_dmd2_takes(tiny, tmp_path):
    """In the precision of the file; its sampler and timestep are in conf/models/dmd2_sdxl.yaml."""
    weights = load_file(tiny / "dmd2_sdxl" / "diffusion_pytorch_model.safetensors")
    torch.save({key: value.half() for key, value in weights.items()}, tmp_path / "unet.bin")
    made = convert("dmd2_sdxl", tmp_path / "unet.bin", None, tmp_path / "out", "tiny")
    located = locate(Checkpoint(str(made.folder)), "here")
    unet = Parts(tiny / "sdxl_base", None, {"unet": located}).load(
        UNet2DConditionModel, "unet", dtype=torch.float32, device=CPU
    )
    assert unet.config.cross_attention_dim == 48 and made.parameters == sum(one.numel() for one in weights.values())
    assert all(torch.equal(value, weights[key].half().float()) for key, value in unet.state_dict().items())
    assert {path.name for path in made.folder.iterdir()} == {
        "config.json",
        "conversion.json",
        "diffusion_pytorch_model.safetensors",
    }
    first = min(weights)
    torch.save({key: value for key, value in weights.items() if key != first}, tmp_path / "unet.bin")
    for base, says in (
        (None, f"lacks {first}; it is not dmd2_sdxl_1step_unet_fp16.bin of"),
        ("x", "base=x is not used"),
    ):
        with pytest.raises(BadInput, match=says):
            convert("dmd2_sdxl", tmp_path / "unet.bin", base, tmp_path / "other", "tiny")
    assert not (tmp_path / "other").exists()


def test_the_published_unet_is_refused_with_what_to_do():
    part = Conf().named("models", "models", "dmd2_sdxl").values["generator"]["parts"]["unet"]
    with pytest.raises(BadInput, match=r"`python -m reno.convert dmd2_sdxl dmd2.*give it: models.+unet\.path=FOLDER"):
        locate(Checkpoint(part["path"]), "models.generator.parts.unet")
    assert PICKLED["dmd2_sdxl"].words == "models=dmd2_sdxl models.generator.parts.unet.path="


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_command_says_how_a_metric_takes_the_folder(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reno.weights.conversion.architecture", lambda name, size: architecture(name, "tiny"))
    torch.save(originals.aesthetic_weights(), "a+b.pth")
    assert main(["aesthetic", "a+b.pth", f"base={tiny / 'clip_vit_l'}"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("checkpoints/aesthetic: 198,521 parameters, from a+b.pth, SHA-256 ")
    assert second == "use it with metric=aesthetic models.checkpoints.aesthetic.path=checkpoints/aesthetic"
    assert main(["aesthetic", "a+b.pth", f"base={tiny / 'clip_vit_l'}"]) == 2
    assert "out=checkpoints/aesthetic is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "checkpoint is empty; give it: python -m reno.convert CHECKPOINT [FILE]"),
        (["hpsv2"], "file: RE-N-Y/hpsv21 is not in the cache"),
        (["dmd2_sdxl"], "file is empty, and no port of dmd2_sdxl to safetensors is known"),
        (
            ["hpsv3", "x.pt"],
            "checkpoint=hpsv3 is not known; use one of hpsv2, imagereward, aesthetic, dmd2_sdxl; did you mean 'hpsv2'?",
        ),
        (["hpsv2", "nowhere.pt"], "nowhere.pt is not a file; give the published one"),
        (["hpsv2", "x.pt", "lr=1"], "lr is not a knob"),
    ],
)
def test_the_command_refuses_in_one_sentence(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and says in said and said.count("\n") == 1 and not list(tmp_path.iterdir())
