"""Which files of a checkpoint a loader reads, by their names."""

from __future__ import annotations

import pytest

from reno.generators.stable_diffusion import FOLDERS
from reno.weights.parts import folders_read
from reno.weights.reading import read_files, variant_in, whole

ONE = ("",)
CLIP_VIT_H = [
    "config.json", "merges.txt", "model.safetensors", "preprocessor_config.json", "special_tokens_map.json",
    "tokenizer.json", "tokenizer_config.json", "vocab.json",
    "README.md", "LICENSE.txt", "open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin",
    "pytorch_model.bin", "onnx/config.json", "onnx/model.safetensors", ".gitattributes",
]  # fmt: skip


def test_of_one_model_its_weights_config_and_tokenizer_are_read_and_nothing_else():
    read = read_files(CLIP_VIT_H, ONE, None)
    assert sorted(read.all) == sorted(CLIP_VIT_H[:8]) and read.weights == ("model.safetensors",)
    assert whole(read, ONE) and not read.lacking


def test_of_a_pipeline_the_parts_and_what_stands_beside_them_are_read():
    parts = [f"{part}/{file}" for part in FOLDERS for file in ("config.json", "model.safetensors")]
    beside = ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer_2/merges.txt"]
    others = ["sd_turbo.safetensors", "safety_checker/config.json", "safety_checker/model.safetensors", "README.md"]
    assert set(read_files([*parts, *beside, *others], FOLDERS, None).all) == {*parts, *beside}


@pytest.mark.parametrize(
    ("names", "variant", "weights", "found"),
    [
        ("model.safetensors model.fp16.safetensors", "fp16", "model.fp16.safetensors", "fp16"),
        ("model.safetensors model.fp16.safetensors", None, "model.safetensors", None),
        ("model.safetensors model.non_ema.safetensors", None, "model.safetensors", None),
        ("model.safetensors", "fp16", "model.safetensors", None),
        ("model.fp16.safetensors", None, "", None),
        (
            "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json", None,
            "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json", None,
        ),
        (
            "model.fp16-00001-of-00001.safetensors model.safetensors.index.fp16.json model.safetensors", "fp16",
            "model.fp16-00001-of-00001.safetensors model.safetensors.index.fp16.json", "fp16",
        ),
        (
            "diffusion_pytorch_model-00001-of-00001.fp16.safetensors model.bin", "fp16",
            "diffusion_pytorch_model-00001-of-00001.fp16.safetensors", "fp16",
        ),
        ("judge.safetensors extra.safetensors", None, "extra.safetensors judge.safetensors", None),
        ("judge.safetensors judge.fp16.safetensors", "fp16", "judge.fp16.safetensors", "fp16"),
        ("judge.safetensors judge.fp16.safetensors", None, "judge.safetensors", None),
    ],
)  # fmt: skip
def test_of_a_parts_weights_the_wanted_precision_is_read(names, variant, weights, found, tmp_path):
    read = read_files(names.split(), ONE, variant)
    assert (sorted(read.weights), read.variant) == (sorted(weights.split()), found)
    assert read.lacking == (() if weights else ("",))
    for name in names.split():
        (tmp_path / name).touch()
    assert variant_in(tmp_path, variant) == found


def test_each_part_of_a_pipeline_is_read_in_the_precision_that_it_has():
    files = ["a/model.fp16.safetensors", "b/model.safetensors", "c/model.safetensors", "c/model.fp16.safetensors"]
    read = read_files(files, ("a", "b", "c"), "fp16")
    assert read.weights == ("a/model.fp16.safetensors", "b/model.safetensors", "c/model.fp16.safetensors")
    assert read.variant == "fp16" and not read.lacking
    plain = read_files(files, ("a", "b", "c"), None)
    assert (plain.lacking, plain.instead) == (("a",), "fp16")


def test_a_snapshot_without_a_config_or_a_shard_is_not_whole():
    shards = [f"model-0000{place}-of-00002.safetensors" for place in (1, 2)]
    assert whole(read_files(["config.json", *shards], ONE, None), ONE)
    assert not whole(read_files(["config.json", shards[1]], ONE, None), ONE)
    assert not whole(read_files(shards, ONE, None), ONE)


def test_of_a_part_that_is_one_file_nothing_else_is_read():
    files = ["one.safetensors", "two.safetensors", "config.json", "scheduler/scheduler_config.json", "unet/config.json"]
    read = read_files(files, ("one.safetensors",), "fp16")
    assert (read.all, read.variant, read.lacking) == (("one.safetensors",), None, ())
    assert whole(read, ("one.safetensors",))
    assert read_files(files, ("three.safetensors",), None).lacking == ("three.safetensors",)


def test_a_configuration_may_be_all_that_is_read_of_a_part():
    files = ["vae/model.safetensors", "vae/config.json", "unet/model.safetensors", "unet/config.json", "config.json"]
    parts = ("vae", "unet/config.json")
    read = read_files(files, parts, None)
    assert read.weights == ("vae/model.safetensors",) and whole(read, parts)
    assert set(read.configs) == {"vae/config.json", "unet/config.json", "config.json"}
    assert read_files(files[:3], parts, None).lacking == ("unet/config.json",)


def test_what_is_read_of_a_pipeline_whose_parts_are_from_elsewhere():
    folders = ("text_encoder", "unet", "vae")
    assert folders_read(folders, {}) == folders
    assert folders_read(folders, {"vae": ""}) == ("text_encoder", "unet")
    assert folders_read(folders, {"vae": "inner/vae", "unet": "one.safetensors"}) == (
        "text_encoder",
        "unet/config.json",
    )
