"""Make checkpoints with random weights in the architecture, format and size of the published ones, offline.

    python scripts/make_checkpoints.py --out models --size tiny                               # 5 MB, seconds
    python scripts/make_checkpoints.py --out models --size full --dtype float16 sd_turbo clip # 3 GB, 33 s

They serve to run the whole program at true size (time, memory, formats, long prompts) where the published weights are
not at hand, and to test everything that loads a checkpoint. Their images are noise and their scores mean nothing. Only
safetensors are written, never pickles. reno/weights/published/ holds what each is made of.

Each checkpoint is a folder DIR/NAME; a complete one is left as it is. In float16 the weights of a pipeline (sd_turbo)
have `.fp16` in their file names, as the published ones do: load them with variant="fp16".

Measured on two CPU cores: sd_turbo and clip in float16 take 33 s and 2.2 GiB of memory at the peak; clip_vit_h in
float32, the largest single file, takes 26 s and 4.1 GiB.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import hashlib
import json
import math
import os
import shutil
import sys
import time
from pathlib import Path

import torch
from torch import nn

from reno.config.script import Options, a_path, run_script
from reno.letters.output import say
from reno.spec.errors import BadInput
from reno.weights.architectures import NAMES, Architecture, ModelPart, architecture, build, unknown
from reno.weights.folders import write_json, write_other_files

DTYPES = {"float32": torch.float32, "float16": torch.float16}

RMS_NORMS = ("RMSNorm", "T5LayerNorm")
"""Classes of norms whose weight is a factor. (Gemma's is added to 1, and is drawn as other weights are.)"""

RECIPE = "random_weights.json"
"""The file that says what a checkpoint was made from. It is written last; a folder without it is never changed."""
RECIPE_VERSION = 1

OTHERWISE = "give another folder or remove that one"


def make_checkpoint(name: str, size: str, folder: str | Path, dtype: str = "float32", seed: int = 0) -> Path:
    """Make the checkpoint `folder`/`name` unless it is there, and return its path.

    name: one of reno.weights.architectures.NAMES, such as "sd_turbo" or "clip"
    size: "full", "tiny", or for clip and blip "testbed", the size of the embedded ones
    dtype: "float32" or "float16"; float16 weights are the float32 ones of the same seed, rounded
    seed: decides all weights; each is drawn by its own name, so their order does not matter

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
        write_other_files(what, beside)
        is_pipeline = (beside / "model_index.json").exists()
        for part in what.parts:
            variant = "fp16" if is_pipeline and dtype == "float16" else None
            _write_part(part, beside / part.folder, DTYPES[dtype], seed, variant)
        write_json(beside / RECIPE, recipe)
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
    """Number of parameters, counted without allocating any."""
    with torch.device("meta"):
        return sum(parameter.numel() for part in what.parts for parameter in build(part).parameters())


# --- Weights ------------------------------------------------------------------------------------------------


def _write_part(part: ModelPart, folder: Path, dtype: torch.dtype, seed: int, variant: str | None) -> None:
    """Write one module with random weights in its library's format. Its weights are in memory once, in `dtype`."""
    with torch.device("meta"):
        module = build(part)
    for path, child in module.named_modules():
        for key, parameter in child.named_parameters(recurse=False):
            value = _random(child, key, parameter, f"{seed}/{part.folder}/{path}.{key}")
            setattr(child, key, nn.Parameter(value.to(dtype), requires_grad=False))
    if part.library == "diffusers":
        module.save_pretrained(folder, variant=variant)
        return
    module.tie_weights()
    weights = module.state_dict()
    if any(value.is_meta for value in weights.values()):  # stored buffers too, such as Mask2Former's class weights
        made = build(part).state_dict()
        weights = {key: made[key] if value.is_meta else value for key, value in weights.items()}
    if part.kind == "CLIPTextModel":  # published files have this prefix; transformers 5 names the weights without it
        weights = {f"text_model.{key}": value for key, value in weights.items()}
    module.save_pretrained(folder, variant=variant, state_dict=weights)


def _random(module: nn.Module, key: str, parameter: torch.Tensor, name: str) -> torch.Tensor:
    """Values for `parameter`, called `key` in `module`, drawn from a generator seeded with `name`. Float32, on the CPU.

    Every layer keeps the variance of its input, so float16 can hold the activations at any depth. (transformers' own
    initialisation gives BLIP vision weights of 1e-10: its scores would not depend on the image.)
    """
    if key == "logit_scale":  # CLIP's at the end of its training: ln 100
        return torch.full(parameter.shape, math.log(100.0))
    if isinstance(module, nn.LayerNorm | nn.GroupNorm) or type(module).__name__ in RMS_NORMS:
        return torch.full(parameter.shape, 1.0 if key == "weight" else 0.0)
    is_map = key == "weight" and isinstance(module, nn.Linear | nn.Conv2d)
    std = math.sqrt(parameter.shape[0] / parameter.numel()) if is_map else 0.02
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(parameter.shape).normal_(0.0, std, generator=generator)


# --- The command --------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Make what the arguments ask for and print a line for each. Returns the exit status."""
    return run_script(lambda: _make(arguments))


def _make(arguments: list[str] | None) -> int:
    parser = Options(description="Make checkpoints with random weights in the published format and size, offline.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--out", required=True, type=a_path, metavar="DIR", help="each becomes DIR/NAME")
    parser.add_argument("--size", required=True, help="full (as published, GB each), or tiny (1 MB each)")
    parser.add_argument("--dtype", default="float32", help="of the weights: float32 (default) or float16")
    parser.add_argument("--seed", type=int, default=0, help="decides the weights (default 0)")
    asked = parser.parse_args(arguments)
    _silence_libraries()
    for what in [architecture(name, asked.size) for name in asked.names or NAMES]:
        started = time.perf_counter()
        was_there = (asked.out / what.name).exists()
        place = make_checkpoint(what.name, asked.size, asked.out, asked.dtype, asked.seed)
        seconds = time.perf_counter() - started
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        state = "complete already" if was_there else f"made in {seconds:.1f} s"
        count = parameters(what)
        say(f"{what.name:<11} {place}  {count:,} parameters  {size:,} bytes  {state}")
    return 0


def _silence_libraries() -> None:
    """Keep the libraries' progress bars and notices out of the output. They read these variables when imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    sys.exit(main())
