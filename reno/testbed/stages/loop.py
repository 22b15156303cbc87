"""What every training stage shares: a resumable loop over numbered steps, and sheets of sample images.

Step k draws its batch from a generator seeded by (seed, k), so a stage that was stopped goes on with the batches it
would have had. Checkpoints are safetensors: weights, their running average and the optimiser's moments.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file


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
    first_step: int = 0,  # the schedule's first step, for a stage that goes on from another's weights
) -> torch.nn.Module:
    """Trains `model` in place by AdamW with warm-up and a cosine to zero, and leaves it at its running average.

    `loss(step, rng)` gives the scalar to minimise and numbers to print. Goes on from `folder` if it holds a checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = {key: value for key, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=lr, betas=(0.9, 0.99), weight_decay=decay)
    averages = {key: value.detach().clone() for key, value in parameters.items()}
    step, spent = _restore(folder, parameters, averages, optimizer)
    step = max(step, first_step)
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
            print(f"{name}  step {step}/{steps}  {(now - shown) / seen:.3f} s/step  {means}", flush=True)
            sums, seen, shown = {}, 0, now
        if now - saved > save_seconds or step == steps:
            _save(folder, parameters, averages, optimizer, step, spent + now - started)
            saved = time.monotonic()
    with torch.no_grad():
        for key, value in parameters.items():
            value.copy_(averages[key])
    return model.eval()


def load_average(folder: Path, model: torch.nn.Module) -> torch.nn.Module:
    """Puts the running average of the checkpoint in `folder` into `model`; a name it does not hold is left alone."""
    model.load_state_dict(load_file(folder / "average.safetensors"), strict=False)
    return model.eval()


def progress(folder: Path) -> dict:
    """`step` and `minutes` spent of the checkpoint in `folder`."""
    path = folder / "progress.json"
    return json.loads(path.read_text()) if path.exists() else {"step": 0, "minutes": 0.0}


def _save(folder, parameters, averages, optimizer, step, seconds):
    moments = {}
    for key, value in parameters.items():
        state = optimizer.state.get(value)
        if state:
            moments[f"{key}|exp_avg"], moments[f"{key}|exp_avg_sq"] = state["exp_avg"], state["exp_avg_sq"]
    files = {"weights": {k: v.detach() for k, v in parameters.items()}, "average": averages, "moments": moments}
    for file, tensors in files.items():
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / f"{file}.tmp")
        os.replace(folder / f"{file}.tmp", folder / f"{file}.safetensors")
    (folder / "progress.json").write_text(json.dumps({"step": step, "minutes": round(seconds / 60, 2)}))


def _restore(folder, parameters, averages, optimizer) -> tuple[int, float]:
    """The step and the seconds already spent; puts a checkpoint's tensors back if there is one."""
    if not (folder / "progress.json").exists():
        return 0, 0.0
    state = progress(folder)
    weights, average, moments = (load_file(folder / f"{f}.safetensors") for f in ("weights", "average", "moments"))
    with torch.no_grad():
        for key, value in parameters.items():
            value.copy_(weights[key])
            averages[key].copy_(average[key])
            if f"{key}|exp_avg" in moments:
                optimizer.state[value] = {
                    "step": torch.tensor(float(state["step"])),
                    "exp_avg": moments[f"{key}|exp_avg"],
                    "exp_avg_sq": moments[f"{key}|exp_avg_sq"],
                }
    return state["step"], state["minutes"] * 60


def tensor_of(images: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 images (H, W, 3) to one float tensor (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def save_sheet(path: Path, rows: Sequence[torch.Tensor], scale: int = 2) -> None:
    """Rows of images, each (N, 3, H, W) in [0, 1], as one PNG."""
    strips = [row.detach().float().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy() for row in rows]
    sheet = np.concatenate([np.concatenate(list(strip), 1) for strip in strips], 0)
    image = Image.fromarray(sheet)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(path)
