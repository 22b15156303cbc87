"""Tokenizers, and the check that no text encoder cuts a prompt silently."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from reno.spec.errors import BadInput, first_line
from reno.weights.files import check_text, read_json
from reno.weights.sentencepiece import SPIECE, t5_tokenizer

VOCABULARIES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",), (SPIECE,))
"""The files of a whole vocabulary, in one of these forms. Without any of them transformers 5 makes a tokenizer that
knows no word."""
OPTIONAL_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Files that transformers reads where they are there."""
LEAST_SHARE = 0.9
"""Of the text encoder's rows that the tokenizer's words must fill. BLIP has 2 of 30,524 rows that its tokenizer lacks,
and word embeddings are often filled up to a round number."""

SPECIAL_TOKENS = 4
"""More than any tokenizer here adds to a text."""
POSITIONS = "max_position_embeddings"
"""The key of config.json that says how many tokens a text encoder has positions for."""
RELATIVE = ("t5",)
"""Text encoders with relative positions, which have no such key."""


def load_tokenizer(folder: Path):
    """The tokenizer of a folder in transformers' format. Raises BadInput if a file of it is absent or damaged."""
    from transformers import AutoTokenizer

    _check_files(folder)
    if (folder / SPIECE).exists() and not (folder / "tokenizer.json").exists():
        return t5_tokenizer(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises plain Exceptions
        raise BadInput(
            f"cannot load the tokenizer in {folder} ({first_line(error)}); copy its files again from the checkpoint"
        ) from None


def _check_files(folder: Path) -> None:
    """Raises BadInput if the folder holds no whole vocabulary, or a file that is not what its name says."""
    forms = [form for form in VOCABULARIES if all((folder / name).exists() for name in form)]
    if not forms:
        allowed = ", or ".join(" with ".join(form) for form in VOCABULARIES)
        raise BadInput(f"{folder} holds no vocabulary of a tokenizer: give it {allowed}, from the same checkpoint")
    for name in [*itertools.chain(*forms), *(name for name in OPTIONAL_FILES if (folder / name).exists())]:
        if name.endswith(".json"):
            read_json(folder / name)
        else:
            check_text(folder / name)


def text_limit(tokenizer, text_config) -> int:
    """How many tokens, special ones included, the text encoder has positions for. A T5 has relative positions, and
    reads as many as its tokenizer says.

    Raises BadInput if the tokenizer's vocabulary is not that of the text encoder: its tokens would be other words, or
    none."""
    known, rows = len(tokenizer), text_config.vocab_size
    if not LEAST_SHARE * rows <= known <= rows:
        raise BadInput(
            f"the tokenizer in {tokenizer.name_or_path} knows {known:,} tokens and the text encoder {rows:,}; take the "
            "tokenizer's files from the same checkpoint"
        )
    return min(tokenizer.model_max_length, getattr(text_config, POSITIONS, tokenizer.model_max_length))


TEXT_CONFIGS = ("qformer_config", "text_config")
"""Parts of a configuration that a text encoder has, the first that is there. (BLIP-2's text_config is of a language
model, which its image-text matching does not use.)"""


class TooLong(BadInput):
    """A text has more tokens than a text encoder reads."""

    by_generator = False
    """Whether the text encoder is the generator's; who asked it says so."""

    def __init__(self, text: str, reader: str, tokens: int, limit: int, rest: str):
        """reader: the text encoder, in words. rest: the end of the text, which it would not read."""
        self.reader, self.tokens, self.limit, self.rest = reader, tokens, limit, rest
        super().__init__(
            f"the prompt {shortened(text)!r} is too long for {reader}: it has {tokens} tokens of at most {limit}, and "
            f"{shortened(rest)!r} would be cut; shorten it"
        )


def check_length(tokenizer, text: str, limit: int, reader: str, before: str = "") -> None:
    """Raises TooLong if `text` has more than `limit` tokens. reader: whose limit it is. before: what stands before
    every text, whose tokens have room of their own."""
    tokens = tokenizer(before + text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    own = len(tokenizer.tokenize(before)) if before else 0
    count = len(tokens["input_ids"])
    if count <= own + limit:
        return
    first = tokens["special_tokens_mask"].index(0)
    last = first + own + limit - tokenizer.num_special_tokens_to_add() - 1  # the place of the last token read
    rest = (before + text)[tokens["offset_mapping"][last][1] :]
    raise TooLong(text, reader, count - own, limit, rest.strip())


def shortened(text: str, length: int = 60) -> str:
    """The text, or its beginning and `…`, in at most `length` letters."""
    return text if len(text) <= length else text[: length - 1] + "…"


class TextReader:
    """A text encoder's tokenizer and limit, without the encoder: what a dry run needs to refuse a prompt.

    Both are loaded only for a text that may be too long, since transformers takes a second to import.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        encoder: Path | None = None,
        most: int | None = None,
        before: Callable[[], str] = str,
    ) -> None:
        """name: whose limit it is, for the error. folder: of the tokenizer. encoder: of the text encoder's config.json,
        if it is another folder. most: tokens of a text, if the two files allow more. before: what stands before every
        text, whose tokens have room of their own."""
        self.name, self.folder, self.encoder, self.most, self.before = name, folder, encoder or folder, most, before

    def check_prompt(self, text: str) -> None:
        """Raises TooLong if the text encoder would cut the text, and BadInput if there is no tokenizer."""
        if text.isascii() and len(text) + SPECIAL_TOKENS <= self._at_most(self._stated):
            return  # every token stands for one letter at least
        limit = self._at_most(text_limit(self._tokenizer, self._config))
        check_length(self._tokenizer, text, limit, self.name, self.before())

    def _at_most(self, limit: int) -> int:
        return limit if self.most is None else min(limit, self.most)

    @cached_property
    def _tokenizer(self):
        return load_tokenizer(self.folder)

    @cached_property
    def _config(self):
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.encoder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"cannot read {self.encoder / 'config.json'}: {first_line(error)}") from None
        reads = [key for key in TEXT_CONFIGS if hasattr(config, key)]
        return getattr(config, reads[0]) if reads else config

    @cached_property
    def _stated(self) -> int:
        """The limit as the two files state it; 0 if they leave it to transformers."""
        config = read_config(self.encoder)
        texts = next((config[key] for key in TEXT_CONFIGS if config.get(key)), config)
        stated = [read_config(self.folder, "tokenizer_config.json").get("model_max_length")]
        if texts.get("model_type") not in RELATIVE:
            stated.append(texts.get(POSITIONS))
        return min(stated) if all(isinstance(number, int) for number in stated) else 0


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A configuration in a folder as JSON values; empty if there is none. Raises BadInput if it is damaged."""
    path = folder / name
    return read_json(path) if path.is_file() else {}
