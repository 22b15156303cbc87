"""Tokenizers, and the check that no text encoder cuts a prompt silently."""

from __future__ import annotations

from pathlib import Path

from reno.spec.errors import BadInput, first_line


def load_tokenizer(folder: Path):
    """The tokenizer of a folder in transformers' format. Raises BadInput."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"cannot load the tokenizer in {folder}: {first_line(error)}") from None


def text_limit(tokenizer, text_config) -> int:
    """How many tokens, special ones included, the text encoder has positions for."""
    return min(tokenizer.model_max_length, text_config.max_position_embeddings)


def check_length(tokenizer, text: str, limit: int, reader: str) -> None:
    """Raises BadInput if `text` has more than `limit` tokens, quoting what would be cut. reader: whose limit it is."""
    tokens = tokenizer(text, return_offsets_mapping=True, verbose=False)
    if len(tokens["input_ids"]) <= limit:
        return
    specials = tokenizer.num_special_tokens_to_add()
    kept_until = tokens["offset_mapping"][limit - specials][1]
    cut = text[kept_until:].strip()
    raise BadInput(
        f"the prompt {_shortened(text)!r} is too long for {reader}: it has {len(tokens['input_ids'])} tokens of "
        f"at most {limit}, and {_shortened(cut)!r} would be cut; shorten it"
    )


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
