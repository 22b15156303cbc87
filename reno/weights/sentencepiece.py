"""Vocabularies in SentencePiece's own format (`spiece.model`), which older T5 checkpoints have in place of
tokenizer.json.

transformers 5 reads them too, if the package sentencepiece is installed. Only its message format is needed, which is in
transformers, so this project does without the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reno.spec.errors import BadInput, first_line
from reno.weights.files import AGAIN, check_text, read_json

SPIECE = "spiece.model"
UNIGRAM, UNKNOWN, CONTROL = 1, 2, 3
"""A model's kind, and the kinds of two pieces, as the format numbers them."""
LENGTH, SENTINELS = 512, 100
"""Tokens of a T5 text, and sentinels after the pieces, where tokenizer_config.json does not say."""


@dataclass(frozen=True)
class Pieces:
    """A unigram vocabulary."""

    scores: list[tuple[str, float]]
    """The pieces in the order of their ids, each with its log-probability."""
    characters: bytes = b""
    """The table by which characters are replaced before a text is cut into pieces; empty: none are."""


def read_pieces(path: Path) -> Pieces:
    """The vocabulary in a file. Raises BadInput if it is damaged, or no unigram vocabulary with T5's special pieces."""
    from transformers.utils.sentencepiece_model_pb2_new import ModelProto

    check_text(path)
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's own class of errors
        raise BadInput(f"{path} is no vocabulary of SentencePiece ({first_line(error)}); {AGAIN}") from None
    scores = [(piece.piece, piece.score) for piece in model.pieces]
    if model.trainer_spec.model_type != UNIGRAM or [piece for piece, _ in scores[:3]] != ["<pad>", "</s>", "<unk>"]:
        raise BadInput(f"{path} is no vocabulary of a T5, which begins with <pad>, </s>, <unk>; {AGAIN}")
    return Pieces(scores, model.normalizer_spec.precompiled_charsmap)


def write_pieces(path: Path, scores: Sequence[tuple[str, float]]) -> None:
    """Writes a vocabulary that begins with <pad>, </s> and <unk>."""
    from transformers.utils.sentencepiece_model_pb2_new import ModelProto

    model = ModelProto()
    for place, (piece, score) in enumerate(scores):
        kind = {0: CONTROL, 1: CONTROL, 2: UNKNOWN}.get(place)
        model.pieces.add(piece=piece, score=score, **({"type": kind} if kind else {}))
    model.trainer_spec.model_type = UNIGRAM
    model.trainer_spec.pad_id, model.trainer_spec.eos_id, model.trainer_spec.unk_id = 0, 1, 2
    model.trainer_spec.bos_id = -1
    path.write_bytes(model.SerializeToString(deterministic=True))


def t5_tokenizer(folder: Path):
    """The tokenizer of a folder whose vocabulary is a `spiece.model`. Raises BadInput if it cannot be read."""
    from transformers import T5Tokenizer

    pieces = read_pieces(folder / SPIECE)
    rules = read_json(folder / "tokenizer_config.json")
    count = rules.get("extra_ids", SENTINELS)
    sentinels = [(f"<extra_id_{i}>", 0.0) for i in reversed(range(count))]
    return T5Tokenizer(
        vocab=[*pieces.scores, *sentinels],
        extra_ids=count,
        _spm_precompiled_charsmap=pieces.characters or None,
        model_max_length=rules.get("model_max_length", LENGTH),
        name_or_path=str(folder),
    )
