"""The tokenizers of the embedded models. The world's words are single tokens; any other word is split into pieces.

They are files of transformers' CLIPTokenizer and BertTokenizer, so the bench loads them as it loads SD-Turbo's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import BertTokenizer, CLIPTokenizer

from reno.testbed.world import COLORS, FURTHER_OBJECTS, FURTHER_PALETTE, OBJECTS
from reno.weights.vocabularies import byte_letters, merges_for

LENGTH = 24
"""Tokens to which a text is padded or cut; three coloured objects take 13."""

WORDS = ("a", "an", "the", "and", "with", "of", "photo", *COLORS, *OBJECTS)
TAUGHT_WORDS = (*WORDS, *FURTHER_PALETTE, *FURTHER_OBJECTS)
"""The words that the metrics learn."""


def clip_tokenizer(folder: Path, words: Sequence[str] = WORDS) -> CLIPTokenizer:
    """Writes vocab.json and merges.txt of a byte-level CLIPTokenizer into `folder` and loads it."""
    _prepared(folder)
    letters, merges = byte_letters(), merges_for(words)
    tokens = letters + [f"{letter}</w>" for letter in letters] + ["".join(pair) for pair in merges]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def bert_tokenizer(folder: Path, words: Sequence[str] = WORDS) -> BertTokenizer:
    """Writes vocab.txt of a BertTokenizer into `folder` and loads it; unknown words are spelled letter by letter."""
    _prepared(folder)
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", *words, *letters]
    tokens += [f"##{letter}" for letter in letters if letter.isalnum()]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(tokens)) + "\n")
    tokenizer = BertTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _prepared(folder: Path) -> None:
    """Makes the folder and removes tokenizer.json, which would be loaded in place of the words written beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").unlink(missing_ok=True)
