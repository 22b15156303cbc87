"""Tokenizers that are not whole. transformers 5 makes one that knows no word if the vocabulary is missing."""

from __future__ import annotations

import shutil

import pytest

from reno.spec.errors import BadInput
from reno.weights.texts import load_tokenizer, text_limit
from tests.weights.test_loading import POINTER


class Rows:
    """A text encoder's configuration."""

    def __init__(self, rows: int, positions: int = 77):
        self.vocab_size, self.max_position_embeddings = rows, positions


@pytest.mark.parametrize(
    ("name", "file", "content", "said"),
    [
        ("clip", "vocab.json", None, "holds no vocabulary of a tokenizer: give it tokenizer.json, or vocab.json with"),
        ("clip", "vocab.json", b"[]", "vocab.json holds a list"),
        ("clip", "merges.txt", b"", "merges.txt is empty"),
        ("clip", "merges.txt", b"[]", "cannot load the tokenizer in .*Merges text file invalid at line 1"),
        ("clip", "tokenizer_config.json", b"[]", "tokenizer_config.json holds a list"),
        ("clip", "special_tokens_map.json", b"[]", "special_tokens_map.json holds a list"),
        ("clip", "tokenizer.json", b"{}", "cannot load the tokenizer in "),
        ("blip", "vocab.txt", None, "holds no vocabulary of a tokenizer"),
        ("blip", "vocab.txt", POINTER, "vocab.txt is a git-lfs pointer"),
        ("blip", "vocab.txt", b"\xff\xfe", "cannot load the tokenizer in .*valid UTF-8"),
    ],
)
def test_a_damaged_tokenizer_is_refused(tiny, tmp_path, name, file, content, said):
    folder = tmp_path / name
    shutil.copytree(tiny / name, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(BadInput, match=said) as refused:
        load_tokenizer(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


def test_a_vocabulary_that_is_not_the_text_encoders_is_refused(tiny, tmp_path):
    folder = tmp_path / "blip"
    shutil.copytree(tiny / "blip", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tokenizer = load_tokenizer(folder)
    assert text_limit(tokenizer, Rows(1280)) == text_limit(tokenizer, Rows(1282)) == 77
    for rows in (1279, 1500):
        with pytest.raises(BadInput, match=f"in {folder} knows 1,280 tokens and the text encoder {rows:,}; take"):
            text_limit(tokenizer, Rows(rows))
    lines = (folder / "vocab.txt").read_text().splitlines()
    (folder / "vocab.txt").write_text("\n".join(lines[:600]))  # a copy that was cut off
    with pytest.raises(BadInput, match=r"knows 60\d tokens and the text encoder 1,280"):
        text_limit(load_tokenizer(folder), Rows(1280))


def test_a_tokenizer_without_a_limit_has_the_text_encoders(tiny, tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(tiny / "clip", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "tokenizer_config.json").unlink()
    assert text_limit(load_tokenizer(folder), Rows(1280, positions=32)) == 32
