"""Make checkpoints with random weights in the architecture, format and size of the published ones, offline.

    python scripts/make_checkpoints.py --out models --size tiny                            # 5 MB, seconds
    python scripts/make_checkpoints.py --out models --size full --dtype float16 sd_turbo clip # 3 GB, 33 s

What they are for: running the whole program at true size (time, memory, formats, long prompts) where the
published weights are not at hand, and the tests of everything that loads a checkpoint. Their images are noise
and their scores mean nothing. Only safetensors are written, never pickles. What each is made of is in
reno/architectures.py.

Each checkpoint is a folder DIR/NAME; a complete one is left as it is. In float16, the weights of sd_turbo get
the `.fp16` in their file names that the published ones have: load them with variant="fp16".

Measured on two CPU cores: sd_turbo and clip in float16, 33 s and 2.2 GiB of memory at the peak; clip_vit_h in
float32, the largest single file, 26 s and 4.1 GiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # so that it runs from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reno.architectures import NAMES, SD_TURBO_SCHEDULER, Architecture, Part, architecture, build, unknown
from reno.errors import BadInput
from reno.vocabularies import CLIP_END, CLIP_START, bert_vocabulary, clip_vocabulary

DTYPES = ("float32", "float16")

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
BILINEAR, BICUBIC = 2, 3

# Written last into a checkpoint: what it was made from. A folder without it is not ours to touch.
RECIPE = "random_weights.json"
RECIPE_VERSION = 1

OTHERWISE = "give another folder or remove that one"


def make_checkpoint(name: str, size: str, folder: str | Path, dtype: str = "float32", seed: int = 0) -> Path:
    """Make the checkpoint `folder`/`name` unless it is there, and return its path.

    name: one of NAMES ("sd_turbo", "clip", "clip_vit_h", "blip", "blip_large", "blip_vqa",
        "clip_vit_l", "mask2former", "owlv2")
    size: "full", "tiny", or for clip and blip "testbed", the size of the embedded ones
    dtype: "float32" or "float16"; float16 weights are the float32 ones of the same seed, rounded
    seed: decides every weight, each by its own name, so that they do not depend on the order they are made in

    Raises BadInput if a name is unknown, the folder cannot be written, or it holds something else.
    """
    what = architecture(name, size)
    if dtype not in DTYPES:
        raise BadInput(unknown("dtype", dtype, DTYPES))
    recipe = {"name": name, "size": size, "dtype": dtype, "seed": seed, "version": RECIPE_VERSION}
    place = Path(folder) / name
    if is_made(place, recipe):
        return place
    beside = place.with_name(f".{name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        variant = "fp16" if name == "sd_turbo" and dtype == "float16" else None
        for part in what.parts:
            _write_part(part, beside / part.folder, dtype, seed, variant)
        _write_surroundings(what, beside)
        _write_json(beside / RECIPE, recipe)
        beside.rename(place)
    except OSError as error:
        if is_made(place, recipe):  # another process was quicker
            return place
        why = error.strerror or error
        raise BadInput(f"cannot write {place} ({why}); give a folder that can be written") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place


def is_made(place: Path, recipe: dict) -> bool:
    """Whether the checkpoint of this recipe is at `place`. Raises BadInput if something else is."""
    try:
        if not place.exists():
            return False
        found = json.loads((place / RECIPE).read_text())
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {place / RECIPE} ({error}); {OTHERWISE}") from None
    if found == recipe:
        return True
    if found is None:
        raise BadInput(f"{place} is there and was not made by this script; {OTHERWISE}")
    differs = ", ".join(f"{key} {found.get(key)!r}" for key in recipe if found.get(key) != recipe[key])
    raise BadInput(f"{place} holds a checkpoint of {differs}; {OTHERWISE}")


def parameters(what: Architecture) -> int:
    """Number of parameters, without making any of them."""
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for part in what.parts for parameter in build(part).parameters())


# --- Weights ------------------------------------------------------------------------------------------------


def _write_part(part: Part, folder: Path, dtype: str, seed: int, variant: str | None) -> None:
    """One module with random weights, in its library's format. Its weights are in memory once, in `dtype`."""
    import torch

    with torch.device("meta"):
        module = build(part)
    for path, child in module.named_modules():
        for key, parameter in child.named_parameters(recurse=False):
            value = _random(child, key, parameter, f"{seed}/{part.folder}/{path}.{key}")
            setattr(child, key, torch.nn.Parameter(value.to(getattr(torch, dtype)), requires_grad=False))
    if part.library == "diffusers":
        module.save_pretrained(folder, variant=variant)
        return
    module.tie_weights()
    weights = module.state_dict()
    if any(value.is_meta for value in weights.values()):  # buffers that are stored too, such as Mask2Former's weights
        made = build(part).state_dict()
        weights = {key: made[key] if value.is_meta else value for key, value in weights.items()}
    if part.kind == "CLIPTextModel":  # transformers 5 names these weights without the prefix that files have
        weights = {f"text_model.{key}": value for key, value in weights.items()}
    module.save_pretrained(folder, variant=variant, state_dict=weights)


def _random(module, key: str, parameter, name: str):
    """Values for `parameter`, called `key` in `module`, drawn from its own generator. Float32, on the CPU.

    Every layer keeps the variance of what it reads, so that float16 holds it at any depth between
    normalisations. (transformers' own initialisation will not do: it gives BLIP vision weights of 1e-10, and
    no image counts.)
    """
    import torch
    from torch import nn

    if parameter.dim() == 0:  # CLIP's logit scale, where its training ended: ln 100
        return torch.tensor(math.log(100.0))
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return torch.full(parameter.shape, 1.0 if key == "weight" else 0.0)
    is_map = key == "weight" and isinstance(module, nn.Linear | nn.Conv2d)
    std = math.sqrt(parameter.shape[0] / parameter.numel()) if is_map else 0.02
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(parameter.shape).normal_(0.0, std, generator=generator)


# --- Tokenizers, image processing, the pipeline's index -----------------------------------------------------


def _write_surroundings(what: Architecture, folder: Path) -> None:
    """Everything in a checkpoint that is not a module."""
    if what.name == "sd_turbo":
        _write_clip_tokenizer(folder / "tokenizer", what.vocabulary, pad_token="!")
        _write_pipeline(what, folder)
    elif what.name == "mask2former":
        size = {"size": {"height": what.image_size, "width": what.image_size}, "size_divisor": 32, "ignore_index": 255}
        names = {"image_processor_type": "Mask2FormerImageProcessor", "do_reduce_labels": False}
        _write_json(folder / "preprocessor_config.json", {**names, **size, **_PIXELS, **_IMAGENET})
    elif what.name == "owlv2":
        _write_clip_tokenizer(folder, what.vocabulary, pad_token="!", length=16)
        size = {"size": {"height": what.image_size, "width": what.image_size}, "do_pad": True, "resample": BILINEAR}
        names = {"image_processor_type": "Owlv2ImageProcessor", "processor_class": "Owlv2Processor"}
        _write_json(folder / "preprocessor_config.json", {**names, **_PIXELS, **size})
    elif what.tokenizer == "clip":
        _write_clip_tokenizer(folder, what.vocabulary, pad_token=CLIP_END)
        # Plain numbers, as the published ones have: `size` is the shortest edge, `crop_size` the square cut.
        size = {"size": what.image_size, "crop_size": what.image_size, "do_center_crop": True}
        names = {"feature_extractor_type": "CLIPFeatureExtractor"}
        _write_json(folder / "preprocessor_config.json", {**names, **size, **_PIXELS})
    else:
        _write_bert_tokenizer(folder, what.vocabulary)
        size = {"size": {"height": what.image_size, "width": what.image_size}}
        names = {"image_processor_type": "BlipImageProcessor", "processor_class": "BlipProcessor"}
        _write_json(folder / "preprocessor_config.json", {**names, **size, **_PIXELS})


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
    _write_json(folder / "vocab.json", tokens)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": CLIP_START, "eos_token": CLIP_END, "unk_token": CLIP_END, "pad_token": pad_token}
    _write_json(folder / "special_tokens_map.json", special)
    rules = {"model_max_length": length, "do_lower_case": True, "errors": "replace"}
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", **rules, **special})


def _write_bert_tokenizer(folder: Path, vocabulary: int) -> None:
    tokens = bert_vocabulary(vocabulary)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "unk", "pad", "mask")}
    _write_json(folder / "special_tokens_map.json", special)
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
    _write_json(folder / "tokenizer_config.json", {**rules, **special, "added_tokens_decoder": added})


def _write_pipeline(what: Architecture, folder: Path) -> None:
    """The scheduler and the index by which StableDiffusionPipeline finds its parts."""
    import diffusers

    diffusers.EulerDiscreteScheduler(**SD_TURBO_SCHEDULER).save_pretrained(folder / "scheduler")
    parts = {part.folder: [part.library, part.kind] for part in what.parts}
    _write_json(
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


def _write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# --- The command --------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Make what the arguments ask for and print a line for each. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Make checkpoints with random weights in the published format and size, offline."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="each becomes DIR/NAME")
    parser.add_argument("--size", required=True, help="full (as published, GB each), or tiny (1 MB each)")
    parser.add_argument("--dtype", default="float32", help="of the weights: float32 (default) or float16")
    parser.add_argument("--seed", type=int, default=0, help="decides the weights (default 0)")
    asked = parser.parse_args(arguments)
    _quieten()
    try:
        wanted = [architecture(name, asked.size) for name in asked.names or NAMES]
        for what in wanted:
            started = time.perf_counter()
            was_there = (asked.out / what.name).exists()
            place = make_checkpoint(what.name, asked.size, asked.out, asked.dtype, asked.seed)
            seconds = time.perf_counter() - started
            size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            state = "complete already" if was_there else f"made in {seconds:.1f} s"
            count = parameters(what)
            print(f"{what.name:<11} {place}  {count:,} parameters  {size:,} bytes  {state}", flush=True)
    except BadInput as error:
        print(f"make_checkpoints: {error}", file=sys.stderr)
        return 2
    return 0


def _quieten() -> None:
    """No progress bars and notices of the libraries between our lines."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    sys.exit(main())
