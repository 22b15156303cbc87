"""A checkpoint's folder without its weights: configurations, tokenizer, image processing, the pipeline's index.

scripts/make_checkpoints.py adds random weights to it; reno/memory needs no more of a checkpoint that is not at hand.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from reno.architectures import SD_TURBO_SCHEDULER, Architecture, build
from reno.vocabularies import CLIP_END, CLIP_START, bert_vocabulary, clip_vocabulary

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
BILINEAR, BICUBIC = 2, 3


def write_without_weights(what: Architecture, folder: Path) -> None:
    """Everything that loading a checkpoint reads but its weights."""
    import torch

    for part in what.parts:
        kind = getattr(importlib.import_module(part.library), part.kind)
        if part.library == "diffusers":
            with torch.device("meta"):
                build(part).save_config(folder / part.folder)
        else:
            kind.config_class(**part.config).save_pretrained(folder / part.folder)
    write_surroundings(what, folder)


def write_surroundings(what: Architecture, folder: Path) -> None:
    """Everything in a checkpoint that is not a module."""
    if what.name == "sd_turbo":
        _write_clip_tokenizer(folder / "tokenizer", what.vocabulary, pad_token="!")
        _write_pipeline(what, folder)
    elif what.name == "mask2former":
        size = {"size": {"height": what.image_size, "width": what.image_size}, "size_divisor": 32, "ignore_index": 255}
        names = {"image_processor_type": "Mask2FormerImageProcessor", "do_reduce_labels": False}
        write_json(folder / "preprocessor_config.json", {**names, **size, **_PIXELS, **_IMAGENET})
    elif what.name == "owlv2":
        _write_clip_tokenizer(folder, what.vocabulary, pad_token="!", length=16)
        size = {"size": {"height": what.image_size, "width": what.image_size}, "do_pad": True, "resample": BILINEAR}
        names = {"image_processor_type": "Owlv2ImageProcessor", "processor_class": "Owlv2Processor"}
        write_json(folder / "preprocessor_config.json", {**names, **_PIXELS, **size})
    elif what.tokenizer == "clip":
        _write_clip_tokenizer(folder, what.vocabulary, pad_token=CLIP_END)
        # Plain numbers, as the published ones have: `size` is the shortest edge, `crop_size` the square cut.
        size = {"size": what.image_size, "crop_size": what.image_size, "do_center_crop": True}
        names = {"feature_extractor_type": "CLIPFeatureExtractor"}
        write_json(folder / "preprocessor_config.json", {**names, **size, **_PIXELS})
    else:
        _write_bert_tokenizer(folder, what.vocabulary)
        size = {"size": {"height": what.image_size, "width": what.image_size}}
        names = {"image_processor_type": "BlipImageProcessor", "processor_class": "BlipProcessor"}
        write_json(folder / "preprocessor_config.json", {**names, **size, **_PIXELS})


_PIXELS = {
    "do_resize": True,
    "resample": BICUBIC,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "do_convert_rgb": True,
}

_IMAGENET = {"resample": BILINEAR, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}


def _write_clip_tokenizer(folder: Path, vocabulary: int, pad_token: str, length: int = 77) -> None:
    tokens, merges = clip_vocabulary(vocabulary)
    write_json(folder / "vocab.json", tokens)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": CLIP_START, "eos_token": CLIP_END, "unk_token": CLIP_END, "pad_token": pad_token}
    write_json(folder / "special_tokens_map.json", special)
    rules = {"model_max_length": length, "do_lower_case": True, "errors": "replace"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", **rules, **special})


def _write_bert_tokenizer(folder: Path, vocabulary: int) -> None:
    tokens = bert_vocabulary(vocabulary)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "unk", "pad", "mask")}
    write_json(folder / "special_tokens_map.json", special)
    rules = {
        "tokenizer_class": "BertTokenizer",
        "processor_class": "BlipProcessor",
        "do_lower_case": True,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": 512,
    }
    # Marked as special, or the tokenizer would lower them and cut them at their brackets.
    whole = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    marked = [*special.values(), "[DEC]", "[ENC]"]
    added = {str(tokens.index(token)): {"content": token, **whole} for token in marked}
    write_json(folder / "tokenizer_config.json", {**rules, **special, "added_tokens_decoder": added})


def _write_pipeline(what: Architecture, folder: Path) -> None:
    """The scheduler and the index by which StableDiffusionPipeline finds its parts."""
    import diffusers

    diffusers.EulerDiscreteScheduler(**SD_TURBO_SCHEDULER).save_pretrained(folder / "scheduler")
    parts = {part.folder: [part.library, part.kind] for part in what.parts}
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": diffusers.__version__,
            "feature_extractor": [None, None],
            "image_encoder": [None, None],
            "requires_safety_checker": False,
            "safety_checker": [None, None],
            "scheduler": ["diffusers", "EulerDiscreteScheduler"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            **parts,
        },
    )


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
