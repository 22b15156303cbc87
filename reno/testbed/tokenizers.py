"""The tokenizers of the embedded models: the world's words are single tokens, any other text falls back to pieces.

They are real CLIPTokenizer and BertTokenizer files, so that the bench loads them as it loads SD-Turbo's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from transformers import BertTokenizer, CLIPTokenizer

from reno.testbed.world import COLORS, FURTHER_OBJECTS, FURTHER_PALETTE, OBJECTS

LENGTH = 24
"""Tokens a text is padded or cut to; three coloured objects take 13."""

WORDS = ("a", "an", "the", "and", "with", "of", "photo", *COLORS, *OBJECTS)
TAUGHT_WORDS = (*WORDS, *FURTHER_PALETTE, *FURTHER_OBJECTS)
"""Of the metrics."""


def clip_tokenizer(folder: Path, words: Sequence[str] = WORDS) -> CLIPTokenizer:
    """Writes vocab.json and merges.txt of a byte-level CLIPTokenizer into `folder` and loads it."""
    _emptied(folder)
    letters = sorted(_byte_letters())
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = _merge([*word[:-1], word[-1] + "</w>"], merges)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    tokens = letters + [f"{letter}</w>" for letter in letters] + ["".join(pair) for pair in merges]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def bert_tokenizer(folder: Path, words: Sequence[str] = WORDS) -> BertTokenizer:
    """Writes vocab.txt of a BertTokenizer into `folder` and loads it; unknown words are spelled letter by letter."""
    _emptied(folder)
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", *words, *letters]
    tokens += [f"##{letter}" for letter in letters if letter.isalnum()]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(tokens)) + "\n")
    tokenizer = BertTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _emptied(folder: Path) -> None:
    """Makes the folder, without the one file that would be loaded in place of the words written beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").unlink(missing_ok=True)


def _merge(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """What byte-pair encoding makes of `pieces`: always the earliest merge that applies."""
    while True:
        ranks = [merges.index(pair) if pair in merges else len(merges) for pair in itertools.pairwise(pieces)]
        if not ranks or min(ranks) == len(merges):
            return pieces
        first = merges[min(ranks)]
        joined, at = [], 0
        while at < len(pieces):
            if tuple(pieces[at : at + 2]) == first:
                joined.append("".join(first))
                at += 2
            else:
                joined.append(pieces[at])
                at += 1
        pieces = joined


def _byte_letters() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(code) for code in kept] + [chr(256 + i) for i in range(256 - len(kept))]
