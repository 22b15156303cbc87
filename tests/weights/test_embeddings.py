"""Embeddings of prompts: the same to the last bit whether they were kept, were not, or were damaged."""

from __future__ import annotations

import os

import pytest
import torch

from reno.weights.embeddings import Embeddings, key_of

CPU, META = torch.device("cpu"), torch.device("meta")


class Encoder:
    """Encodes a prompt by its letters, and tells what it has read and when it is let go."""

    def __init__(self, told):
        self.told = told
        told.append("loaded")

    def __call__(self, prompt):
        self.told.append(prompt)
        values = torch.tensor([[ord(letter) / 3 for letter in prompt[:4].ljust(4)]])
        return values, values.to(torch.bfloat16), (values > 20)

    def __del__(self):
        self.told.append("gone")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RENO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("reno.weights.embeddings.release", lambda device: None)  # it looks at all of Python's objects
    return tmp_path / "cache"


def files(cache):
    return sorted(cache.glob("embeddings/*/*"))


def made(told, **key):
    return Embeddings(lambda: Encoder(told), key, CPU)


def same(one, other):
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def test_each_prompt_is_read_once_in_one_loading_and_the_encoder_is_let_go(cache):
    told = []
    embeddings = made(told)
    embeddings.read(["abcd", "b", "abcd"])
    assert told == ["loaded", "abcd", "b", "gone"]
    first, second, third = embeddings(["b", "abcd", "b"])
    assert told[-1] == "gone" and first.shape == second.shape == third.shape == (3, 4)
    assert (second.dtype, third.dtype) == (torch.bfloat16, torch.bool)
    assert torch.equal(first[0], first[2]) and first[1, 0] == ord("a") / 3
    assert len(files(cache)) == 2


def test_another_job_loads_no_encoder_and_has_the_same_bits():
    before = made([])(["abcd", "🐶/../x"])
    told = []
    assert same(made(told)(["abcd", "🐶/../x"]), before) and told == []


def test_only_what_is_missing_is_read():
    made([]).read(["abcd"])
    told = []
    assert made(told).missing(["abcd", "b", "b"]) == ["b"]
    made(told).read(["abcd", "b"])
    assert told == ["loaded", "b", "gone"]


@pytest.mark.parametrize("damage", ["cut", "empty", "a bit", "another's"])
def test_a_damaged_file_is_made_again(cache, damage):
    before = made([])(["abcd"])
    (file,) = files(cache)
    whole = file.read_bytes()
    made([])(["zzzz"])
    (other,) = (one.read_bytes() for one in files(cache) if one != file)
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    file.write_bytes({"cut": whole[:-3], "empty": b"", "a bit": changed, "another's": other}[damage])
    told = []
    assert same(made(told)(["abcd"]), before) and told == ["loaded", "abcd", "gone"]
    assert file.read_bytes() == whole


def test_what_decides_an_embedding_is_part_of_its_files_name(cache):
    made([], weights="a")(["x"])
    for key in ({"weights": "b"}, {"weights": "a", "dtype": "float16"}):
        told = []
        made(told, **key)(["x"])
        assert told == ["loaded", "x", "gone"]
    assert len(files(cache)) == 3


def test_a_cache_that_cannot_be_written_costs_only_time(cache):
    cache.write_text("a file where the folder would be")
    told = []
    embeddings = made(told)
    assert same(embeddings(["abcd"]), Encoder([])("abcd"))
    embeddings(["abcd"])
    assert told == ["loaded", "abcd", "gone"]  # it is kept in memory


def test_nothing_is_kept_or_read_of_tensors_without_values(cache):
    made([])(["x"])
    found = Embeddings(lambda: lambda prompt: (torch.zeros(1, 3, device=META),), {}, META)(["x", "y"])
    assert found[0].shape == (2, 3) and found[0].is_meta and len(files(cache)) == 1


def test_the_key_is_of_the_text_encoders_and_tokenizers_alone(tiny, tmp_path):
    import shutil

    folder = shutil.copytree(tiny / "sdxl_turbo", tmp_path / "model")
    folders = ("text_encoder", "text_encoder_2")

    def key(dtype=torch.float32, **options):
        return key_of(folder, folders, None, dtype, CPU, **options)

    before = key()
    for unread in ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json", "model_index.json"):
        (folder / unread).write_text("{}")
    assert key() == before == key_of(tiny / "sdxl_turbo", folders, None, torch.float32, CPU)
    assert before != key(torch.float16) and before != key(most=9)
    for read in ("tokenizer_2/vocab.json", "text_encoder_2/config.json", "tokenizer/merges.txt"):
        now = key()
        with (folder / read).open("a") as file:
            file.write(" ")
        assert key() != now


def test_the_cache_folder_is_the_one_that_is_given(monkeypatch, tmp_path):
    from reno import cache_folder

    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("RENO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "reno-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "reno-bench"
