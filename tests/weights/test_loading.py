"""Folders that hold no whole module: each is refused in one sentence that names the part, the file and the fault."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reno.spec.errors import BadInput
from reno.weights.architectures import NAMES, ModelPart, architecture, class_of
from reno.weights.files import read_json, shapes_in, weight_files, weights_entry
from reno.weights.loading import load_model, load_part, model_without_weights
from scripts.make_checkpoints import make_checkpoint

CPU = torch.device("cpu")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 605157884\n"
PARTS = [(name, part) for name in NAMES for part in architecture(name, "tiny").parts]
FIRST = {part.kind: (name, part) for name, part in reversed(PARTS)}
"""Of each class the first part: those after it are read by the same code, and wait for the slow tests."""
EACH = pytest.mark.parametrize(
    ("name", "part"),
    [
        pytest.param(
            name,
            part,
            id=f"{name}-{part.folder or 'all'}",
            marks=() if FIRST[part.kind] == (name, part) else pytest.mark.slow,
        )
        for name, part in PARTS
    ],
)
TEXT_ENCODER, UNET, VAE = sorted((part for name, part in PARTS if name == "sd_turbo"), key=lambda part: part.folder)


def load(part: ModelPart, folder: Path, device=CPU, **how):
    if part.folder or part.library == "diffusers":
        return load_part(class_of(part), folder, part.folder, variant=None, dtype=torch.float32, device=device, **how)
    return load_model(class_of(part), folder, torch.float32, device)


@pytest.fixture
def copied(tiny, tmp_path):
    """copied(name, part): a copy of the part alone, and its weight file."""

    def make(name: str, part: ModelPart) -> tuple[Path, Path]:
        made = make_checkpoint(name, "tiny", tiny)  # the fixture makes those that many tests use
        shutil.copytree(made / part.folder, tmp_path / "model" / part.folder)
        (file,) = (tmp_path / "model" / part.folder).glob("*.safetensors")
        return tmp_path / "model", file

    return make


def changed(file: Path, change) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def refusal(*given, **how) -> str:
    with pytest.raises(BadInput) as refused:
        load(*given, **how)
    said = str(refused.value)
    assert "\n" not in said
    return said


# --- Weights that are missing, of another shape, or no numbers --------------------------------------------------------


@EACH
def test_every_part_that_lacks_a_weight_is_refused_with_its_name_and_file(copied, name, part):
    folder, file = copied(name, part)
    gone = next(
        key
        for key in sorted(load_file(file))
        if key.endswith(("fc1.weight", "wo.weight", "down_proj.weight"))
        or key in ("conv_out.weight", "decoder.layers.0.weight", "proj_out.weight")
        or "conv_in" in key
    )
    changed(file, lambda weights: weights.pop(gone))
    said = refusal(part, folder)
    assert said.startswith(f"{file} lacks 1 of the ")
    place = part.folder or ("decoder" if part.library == "diffusers" else "")
    assert f"weights of {f'the generator{chr(39)}s {place} (' if place else ''}{part.kind}" in said
    assert f"the first is {gone.removeprefix('text_model.') if part.kind == 'CLIPTextModel' else gone};" in said


@pytest.mark.parametrize(
    ("name", "part", "key", "shape"),
    [
        ("clip", dict(PARTS)["clip"], "visual_projection.weight", [16, 32]),
        ("sd_turbo", TEXT_ENCODER, "text_model.embeddings.token_embedding.weight", [1280, 32]),
        ("sd_turbo", UNET, "conv_in.weight", [8, 4, 3, 3]),
    ],
)
def test_a_weight_of_another_shape_is_refused_with_both_shapes(copied, name, part, key, shape):
    folder, file = copied(name, part)
    changed(file, lambda weights: weights.update({key: torch.zeros(3, 5)}))
    said = refusal(part, folder)
    assert said.startswith(f"{file} and its config.json do not fit together") and "(1 such weights)" in said
    assert f"{key.removeprefix('text_model.')} has the shape [3, 5] in the file and {shape} by config.json" in said


def test_a_part_that_the_caller_takes_out_may_be_missing(copied):
    folder, file = copied("sd_turbo", VAE)
    changed(
        file, lambda weights: [weights.pop(key) for key in list(weights) if key.startswith(("encoder.", "quant_conv."))]
    )
    assert load(VAE, folder, unused=("encoder.", "quant_conv.")).decoder.conv_in.weight.isfinite().all()
    assert "the first is encoder.conv_in.bias;" in refusal(VAE, folder)


def test_weights_that_are_no_numbers_are_refused(copied):
    folder, file = copied("sd_turbo", UNET)
    changed(file, lambda weights: weights["conv_in.bias"].fill_(float("nan")))
    assert refusal(UNET, folder) == f"{file} holds NaN (not a number) in conv_in.bias; use another checkpoint"
    changed(file, lambda weights: weights["conv_in.bias"].fill_(1e6))
    with pytest.raises(BadInput, match=r"values in conv_in\.bias that are infinite in float16; use dtype=float32"):
        load_part(class_of(UNET), folder, "unet", variant=None, dtype=torch.float16, device=CPU)


# --- Files that are not what their names say --------------------------------------------------------------------------

DAMAGES = {
    "a git-lfs pointer to a file of 605,157,884 bytes": lambda whole: POINTER,
    "is empty": lambda whole: b"",
    "is a web page": lambda whole: b"<!DOCTYPE html><html>Not found</html>",
    "is a zip archive or a pickle": lambda whole: b"PK\x03\x04" + whole,
    "is no safetensors file": lambda whole: b"\x93garbage" * 99,
    "is no safetensors file, ": lambda whole: struct.pack("<Q", 40) + b'{"a": {"dtype": "F32", "shape": [2]}}   ',
    "is cut off: it has": lambda whole: whole[:-100],
    "and its own header says": lambda whole: whole + b"\0" * 8,
}


@pytest.mark.parametrize("said", DAMAGES)
def test_a_damaged_weight_file_is_told_by_what_it_is(tiny, tmp_path, said):
    file = tmp_path / "model.safetensors"
    file.write_bytes(DAMAGES[said]((tiny / "clip" / "model.safetensors").read_bytes()))
    with pytest.raises(BadInput, match=f"^{file} .*{said.rstrip()}"):
        shapes_in(file)


@EACH
def test_every_part_looks_at_its_weight_file_first(copied, name, part):
    folder, file = copied(name, part)
    file.write_bytes(POINTER)
    assert refusal(part, folder) == (
        f"{file} is a git-lfs pointer to a file of 605,157,884 bytes and not that file; fetch it with `git lfs pull` "
        "in its folder"
    )
    file.unlink()
    assert refusal(part, folder).startswith(f"{file.parent} has no {file.name}, which holds the weights;")


@pytest.mark.parametrize("part", [TEXT_ENCODER, UNET], ids=["transformers", "diffusers"])
def test_weights_in_several_files_are_read_and_each_file_is_looked_at(copied, part):
    folder, file = copied("sd_turbo", part)
    weights, shards = load_file(file), [f"{file.stem}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    places = {key: shards[number % 2] for number, key in enumerate(weights)}
    for shard in shards:
        save_file({key: weights[key] for key in weights if places[key] == shard}, file.parent / shard, {"format": "pt"})
    index = file.with_name(f"{file.name}.index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    expected = load(part, folder).state_dict()
    file.unlink()
    assert all(torch.equal(value, expected[key]) for key, value in load(part, folder).state_dict().items())
    (file.parent / shards[1]).write_bytes(POINTER)
    assert refusal(part, folder).startswith(f"{file.parent / shards[1]} is a git-lfs pointer")
    (file.parent / shards[1]).unlink()
    assert refusal(part, folder).startswith(f"{index} names {shards[1]}, which is not in its folder;")
    index.write_text("[]")
    assert refusal(part, folder).startswith(f"{index} holds a list where a JSON object {{...}} is due;")
    index.write_text('{"weight_map": {"a": 3}}')
    assert refusal(part, folder).startswith(f"{index} is no index of weight files: it has no weight_map;")


def test_the_variants_own_files_are_read(tmp_path):
    for name in ("model.safetensors", "model.fp16.safetensors", "model.safetensors.index.json"):
        (tmp_path / name).write_text("{}")
    whole = {"index_first": False}
    assert weights_entry(tmp_path, "model", None, **whole).name == "model.safetensors"
    assert weights_entry(tmp_path, "model", None, index_first=True).name == "model.safetensors.index.json"
    assert weights_entry(tmp_path, "model", "fp16", **whole).name == "model.fp16.safetensors"
    with pytest.raises(BadInput, match=r"has no model\.bf16\.safetensors"):
        weights_entry(tmp_path, "model", "bf16", **whole)
    (tmp_path / "model.safetensors.index.bf16.json").write_text('{"weight_map": {"a": "model.fp16.safetensors"}}')
    assert weight_files(weights_entry(tmp_path, "model", "bf16", **whole)) == [tmp_path / "model.fp16.safetensors"]


def test_a_link_of_the_hubs_cache_to_a_file_that_is_gone_is_told(tmp_path):
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(BadInput, match=r"model\.safetensors cannot be read \(No such file or directory\)"):
        shapes_in(weights_entry(tmp_path, "model", None, index_first=False))


# --- Configurations ---------------------------------------------------------------------------------------------------

CONFIGS = {
    "holds a list where a JSON object": b"[]",
    "is no valid JSON": b'{"a"',
    "is no valid JSON (": '{"a": "é"}'.encode("latin-1"),
    "is empty": b"\n",
    "is a git-lfs pointer": POINTER,
}


@pytest.mark.parametrize("said", CONFIGS)
def test_a_damaged_configuration_is_told_by_what_it_is(tmp_path, said):
    (tmp_path / "config.json").write_bytes(CONFIGS[said])
    with pytest.raises(BadInput) as refused:
        read_json(tmp_path / "config.json")
    assert str(refused.value).startswith(f"{tmp_path / 'config.json'} {said}")


@EACH
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_every_part_reads_its_configuration_first(tmp_path, name, part, device):
    """Without asking the hub for a model called `[]`, as diffusers would."""
    file = tmp_path / part.folder / "config.json"
    assert refusal(part, tmp_path, torch.device(device)).startswith(f"{file} is not there;")
    file.parent.mkdir(exist_ok=True)
    file.write_text("[]")
    assert refusal(part, tmp_path, torch.device(device)).startswith(f"{file} holds a list")
    file.write_text('{"model_type": "bert", "_class_name": "VQModel"}')
    assert f"model and is not a {part.kind}; check the path" in refusal(part, tmp_path, torch.device(device))


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [(TEXT_ENCODER, "num_hidden_layers", "x"), (TEXT_ENCODER, "hidden_act", "nope"), (VAE, "block_out_channels", "x")],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_value_that_no_module_can_have_is_told_in_the_librarys_words(copied, part, key, value, device):
    folder, file = copied("sd_turbo", part)
    config = file.with_name("config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {key: value}))
    said = refusal(part, folder, torch.device(device))
    assert said.startswith(f"cannot load the generator's {part.folder} ({part.kind}) from {file.parent} (")
    assert said.endswith("correct its config.json, or copy or download it again")


def test_a_shortage_of_memory_is_not_taken_for_a_bad_checkpoint(copied, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    folder, _ = copied("sd_turbo", UNET)
    monkeypatch.setattr(class_of(UNET), "from_pretrained", fails)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load(UNET, folder)


def test_a_whole_clip_may_stand_for_its_text_encoder(tiny, tmp_path):
    shutil.copytree(tiny / "clip", tmp_path / "text_encoder")
    expected = load_file(tiny / "clip" / "model.safetensors")["text_model.final_layer_norm.weight"]
    assert torch.equal(load(TEXT_ENCODER, tmp_path).final_layer_norm.weight, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_without_weights_a_t5_has_the_dtypes_that_it_has_with_them(tiny, dtype):
    """In float16 transformers keeps the second matrix of each block in float32, or it would overflow."""
    from transformers import T5EncoderModel

    folder = make_checkpoint("pixart_alpha", "tiny", tiny) / "text_encoder"
    loaded, skeleton = (
        load_model(T5EncoderModel, folder, dtype, CPU),
        model_without_weights(T5EncoderModel, folder, dtype),
    )
    dtypes = {name: weight.dtype for name, weight in loaded.named_parameters()}
    assert dtypes == {name: weight.dtype for name, weight in skeleton.named_parameters()}
    assert len(set(dtypes.values())) == (2 if dtype == torch.float16 else 1)
