"""A prompt is never cut silently."""

from __future__ import annotations

from reno.errors import BadInput


def check_length(tokenizer, text: str, limit: int, reader: str) -> None:
    """Raises BadInput if `text` has more tokens than `limit`, quoting the part that would be cut."""
    tokens = tokenizer(text, return_offsets_mapping=True, verbose=False)
    if len(tokens["input_ids"]) <= limit:
        return
    specials = tokenizer.num_special_tokens_to_add()
    kept_until = tokens["offset_mapping"][limit - specials][1]
    cut = text[kept_until:].strip()
    raise BadInput(
        f"the prompt {_shortened(text)!r} is too long for {reader}: it has {len(tokens['input_ids'])} tokens of "
        f"at most {limit}, "
        f"and {_shortened(cut)!r} would be cut; shorten it"
    )


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
