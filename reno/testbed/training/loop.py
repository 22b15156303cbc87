"""The training loop of every stage, which can be stopped and resumed, and sheets of sample images.

Step k draws its batch from a random generator seeded by (seed, k), so a resumed stage gets the batches that it would
have had. Checkpoints are safetensors: weights, their running average and the optimiser's moments. A fingerprint of the
training data lies beside them, so a stage never continues on other data.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from reno.letters.output import say
from reno.spec.errors import BadInput
from reno.weights.images import from_uint8, to_uint8

CHECKPOINT = "checkpoint.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's, by its own names."""


def train(
    name: str,
    model: torch.nn.Module,
    loss: Callable[[int, random.Random], tuple[torch.Tensor, dict[str, float]]],
    *,
    folder: Path,
    steps: int,
    lr: float,
    seed: int,
    decay: float = 0.02,  # AdamW's weight decay
    average: float = 0.999,  # of the running average that `model` holds when this returns
    warmup: int = 200,
    save_seconds: float = 120,
    trained_on: str = "",  # fingerprint of the data and of the models that the stage reads
) -> torch.nn.Module:
    """Trains `model` in place by AdamW with warm-up and a cosine to zero. At the end it has the running average of its
    weights.

    `loss(step, rng)` gives the scalar to minimise and numbers to print. Continues from the checkpoint in `folder` if
    there is one. Raises BadInput if that checkpoint was trained on something else.
    """
    claim(folder, trained_on)
    parameters = {key: value for key, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=lr, betas=(0.9, 0.99), weight_decay=decay)
    averages = {key: value.detach().clone() for key, value in parameters.items()}
    step, spent = _restore(folder, parameters, averages, optimizer)
    warmup = min(warmup, max(1, steps // 10))
    started = saved = shown = time.monotonic()
    sums: dict[str, float] = {}
    seen = 0
    model.train()
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        torch.manual_seed(seed * 1_000_003 + step)
        value, numbers = loss(step, random.Random(seed * 1_000_003 + step))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        step += 1
        keep = min(average, step / (step + 10))
        with torch.no_grad():
            torch._foreach_mul_(list(averages.values()), keep)
            torch._foreach_add_(list(averages.values()), list(parameters.values()), alpha=1 - keep)
        seen += 1
        for key, number in {"loss": value.item(), **numbers}.items():
            sums[key] = sums.get(key, 0.0) + number
        now = time.monotonic()
        if now - shown > 30 or step == steps:
            means = "  ".join(f"{key} {total / seen:.4f}" for key, total in sums.items())
            say(f"{name}  step {step}/{steps}  {(now - shown) / seen:.3f} s/step  {means}")
            sums, seen, shown = {}, 0, now
        if now - saved > save_seconds or step == steps:
            _save(folder, parameters, averages, optimizer, step, spent + now - started)
            saved = time.monotonic()
    with torch.no_grad():
        for key, value in parameters.items():
            value.copy_(averages[key])
    return model.eval()


def claim(folder: Path, trained_on: str) -> None:
    """Makes a stage's folder and writes there what its contents are made from. Raises BadInput if the folder has
    contents made from something else."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "trained_on.txt"
    if mark.exists() and mark.read_text() != trained_on:
        raise BadInput(f"{folder} was trained on another world or other models than these; remove it to train anew")
    mark.write_text(trained_on)


def fingerprint(*parts: bytes | Path) -> str:
    """SHA-256 of bytes and of files' contents, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part if isinstance(part, bytes) else part.read_bytes()).digest())
    return digest.hexdigest()


def load_average(folder: Path, model: torch.nn.Module) -> torch.nn.Module:
    """Loads the running average of the checkpoint in `folder` into `model`; parameters that it lacks stay."""
    model.load_state_dict(load_file(folder / "average.safetensors"), strict=False)
    return model.eval()


def minutes(folder: Path) -> float:
    """Minutes that the stage in `folder` has trained."""
    with safe_open(folder / CHECKPOINT, "pt") as file:
        return round(float(file.metadata()["seconds"]) / 60, 1)


def _save(folder: Path, parameters, averages, optimizer, step: int, seconds: float) -> None:
    """Writes all that is needed to continue into one file and the averages into another, each by renaming."""
    tensors = {f"weights|{key}": value.detach() for key, value in parameters.items()}
    tensors |= {f"average|{key}": value for key, value in averages.items()}
    for key, value in parameters.items():
        tensors |= {f"{moment}|{key}": optimizer.state[value][moment] for moment in MOMENTS if optimizer.state[value]}
    state = {"step": str(step), "seconds": f"{seconds:.1f}"}
    for name, values, metadata in ((CHECKPOINT, tensors, state), ("average.safetensors", averages, None)):
        save_file({key: value.contiguous() for key, value in values.items()}, folder / f"{name}.part", metadata)
        os.replace(folder / f"{name}.part", folder / name)


def _restore(folder: Path, parameters, averages, optimizer) -> tuple[int, float]:
    """Loads a checkpoint's tensors if there is one. Answers with its step and the seconds spent."""
    if not (folder / CHECKPOINT).exists():
        return 0, 0.0
    with safe_open(folder / CHECKPOINT, "pt") as file, torch.no_grad():
        state, there = file.metadata(), set(file.keys())
        for key, value in parameters.items():
            value.copy_(file.get_tensor(f"weights|{key}"))
            averages[key].copy_(file.get_tensor(f"average|{key}"))
            if f"{MOMENTS[0]}|{key}" in there:
                moments = {moment: file.get_tensor(f"{moment}|{key}") for moment in MOMENTS}
                optimizer.state[value] = {"step": torch.tensor(float(state["step"])), **moments}
    return int(state["step"]), float(state["seconds"])


def tensor_of(images: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 images (H, W, 3) to one float tensor (B, 3, H, W) in [0, 1]."""
    return from_uint8(np.stack(images))


def save_sheet(path: Path, rows: Sequence[torch.Tensor], scale: int = 2) -> None:
    """Rows of images, each (N, 3, H, W) in [0, 1], as one PNG."""
    sheet = np.concatenate([np.concatenate(list(to_uint8(row)), 1) for row in rows], 0)
    image = Image.fromarray(sheet)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(path)
