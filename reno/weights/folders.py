"""A checkpoint's folder without its weights: configurations, tokenizers, image processing, the pipeline's index.

scripts/make_checkpoints.py adds random weights to it. Predicting memory (reno.memory) needs no weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from reno.weights.architectures import Architecture, TokenizerKind, build, class_of
from reno.weights.sentencepiece import SPIECE, write_pieces
from reno.weights.vocabularies import (
    CLIP_END,
    CLIP_START,
    GEMMA_SPECIAL,
    T5_FILLED,
    T5_SENTINELS,
    T5_SPECIAL,
    bert_vocabulary,
    clip_vocabulary,
    gemma_vocabulary,
    t5_vocabulary,
)

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
"""Mean and standard deviation of pixels, by channel, with which CLIP's and BLIP's image processors normalise."""


def write_without_weights(what: Architecture, folder: Path) -> None:
    """Write everything that loading a checkpoint reads except its weights."""
    for part in what.parts:
        if part.library == "diffusers":
            with torch.device("meta"):
                build(part).save_config(folder / part.folder)
        else:
            class_of(part).config_class(**part.config).save_pretrained(folder / part.folder)
    write_other_files(what, folder)


def write_other_files(what: Architecture, folder: Path) -> None:
    """Write a checkpoint's files besides its modules: the tokenizers, and the published files (image processing,
    scheduler, the pipeline's index)."""
    for file in what.folder.rglob("*.json"):
        if file.name != "config.json":
            place = folder / file.relative_to(what.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    for tokenizer in what.tokenizers:
        place = folder / tokenizer.folder
        place.mkdir(parents=True, exist_ok=True)
        _WRITERS[tokenizer.kind](tokenizer, what.rows(tokenizer), place)


def _write_clip_tokenizer(tokenizer: TokenizerKind, vocabulary: int, folder: Path) -> None:
    tokens, merges = clip_vocabulary(vocabulary)
    write_json(folder / "vocab.json", tokens)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {
        "bos_token": CLIP_START,
        "eos_token": CLIP_END,
        "unk_token": CLIP_END,
        "pad_token": tokenizer.pad_token,
    }
    write_json(folder / "special_tokens_map.json", special)
    rules = {"model_max_length": tokenizer.length, "do_lower_case": True, "errors": "replace"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", **rules, **special})


def _write_bert_tokenizer(tokenizer: TokenizerKind, vocabulary: int, folder: Path) -> None:
    tokens = bert_vocabulary(vocabulary)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "unk", "pad", "mask")}
    special["pad_token"] = tokenizer.pad_token
    write_json(folder / "special_tokens_map.json", special)
    rules = {
        "tokenizer_class": "BertTokenizer",
        "processor_class": "BlipProcessor",
        "do_lower_case": True,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": tokenizer.length,
    }
    # Marked as special: else the tokenizer would change them to lower case and split them at their brackets.
    whole = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    marked = [*special.values(), "[DEC]", "[ENC]"]
    added = {str(tokens.index(token)): {"content": token, **whole} for token in marked}
    write_json(folder / "tokenizer_config.json", {**rules, **special, "added_tokens_decoder": added})


def _write_gemma_tokenizer(tokenizer: TokenizerKind, vocabulary: int, folder: Path) -> None:
    """SigLIP 2's, which lowers its texts and ends them with <eos>; or Gemma 2's, which begins them with <bos>."""
    tokens, merges = gemma_vocabulary(vocabulary)
    of_siglip = tokenizer.kind == "gemma"
    mark, form = ("<eos>", "$A <eos>") if of_siglip else ("<bos>", "<bos> $A")
    made = Tokenizer(models.BPE(tokens, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spaces = normalizers.Replace(" ", "▁")
    made.normalizer = normalizers.Sequence([normalizers.Lowercase(), spaces]) if of_siglip else spaces
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.post_processor = processors.TemplateProcessing(form, special_tokens=[(mark, tokens[mark])])
    made.add_special_tokens(list(GEMMA_SPECIAL))
    made.save(str(folder / "tokenizer.json"))
    special = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "unk", "pad", "mask")}
    special["pad_token"] = tokenizer.pad_token
    rules = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": not of_siglip, "add_eos_token": of_siglip}
    rules |= {"padding_side": "right" if of_siglip else "left", "model_max_length": tokenizer.length}
    write_json(folder / "tokenizer_config.json", {**rules, **special})


def _write_t5_tokenizer(tokenizer: TokenizerKind, vocabulary: int, folder: Path) -> None:
    """As tokenizer.json, or as the older spiece.model, which holds no sentinels."""
    pieces = t5_vocabulary(vocabulary - T5_FILLED - T5_SENTINELS)
    sentinels = [f"<extra_id_{i}>" for i in range(T5_SENTINELS)]
    if tokenizer.kind == "t5_spiece":
        write_pieces(folder / SPIECE, pieces)
    else:
        made = Tokenizer(models.Unigram([*pieces, *((token, 0.0) for token in reversed(sentinels))], unk_id=2))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
        made.add_special_tokens([*T5_SPECIAL, *sentinels])
        made.save(str(folder / "tokenizer.json"))
    special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": tokenizer.pad_token}
    rules = {"tokenizer_class": "T5Tokenizer", "extra_ids": T5_SENTINELS, "model_max_length": tokenizer.length}
    write_json(folder / "tokenizer_config.json", {**rules, **special, "additional_special_tokens": sentinels})


_WRITERS = {
    "clip": _write_clip_tokenizer,
    "bert": _write_bert_tokenizer,
    "gemma": _write_gemma_tokenizer,
    "gemma_2": _write_gemma_tokenizer,
    "t5": _write_t5_tokenizer,
    "t5_spiece": _write_t5_tokenizer,
}


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
