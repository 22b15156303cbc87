"""What is random is seeded; what shifts floats is recorded."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from reno.errors import BadInput

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "safetensors", "pillow", "wandb", "hydra-core")


class NoiseSource:
    """Noise e ~ N(0, I) of a batch of trials, each from its own generator.

    Drawn on the CPU in float32 from a torch.Generator seeded with the trial's seed: the same seed gives the same
    noise for every metric, device, dtype and batch.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: tuple[int, int, int],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        self.generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self.shape, self.device, self.dtype = shape, device, dtype

    def draw(self) -> torch.Tensor:
        """The next noise of each trial, (B, C, h, w)."""
        noise = [torch.randn(self.shape, generator=generator, dtype=torch.float32) for generator in self.generators]
        return torch.stack(noise).to(self.device, self.dtype)


def choose_device(name: str) -> torch.device:
    """The device asked for; `auto` is CUDA, else Apple's, else the CPU. Raises BadInput if it is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    count = (
        torch.cuda.device_count()
        if device.type == "cuda"
        else int(device.type == "cpu" or torch.backends.mps.is_available())
    )
    if (device.index or 0) >= count:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise BadInput(
            f"device={name} is not there: this machine has {', '.join(there)}; use one of these or device=auto"
        )
    return device


CHOSEN_DTYPE = {
    "cuda": ("float16", "half the memory of float32; the gradient is scaled into its range"),
    "mps": ("float32", "not every version of this device's system has all operations in half precision"),
    "cpu": ("float32", "not every CPU has kernels for half precision"),
}


def choose_dtype(name: str, device_type: str) -> str:
    """The dtype asked for; `auto` is float16 on CUDA and float32 elsewhere."""
    return CHOSEN_DTYPE[device_type][0] if name == "auto" else name


def why_dtype(name: str, device_type: str) -> str:
    """Why the models have the dtype that choose_dtype says."""
    return f"chosen for {device_type}: {CHOSEN_DTYPE[device_type][1]}" if name == "auto" else "as asked"


def make_deterministic(threads: int | None) -> None:
    """Asks torch for the same floats on every run. Call before the first CUDA kernel; `threads` None keeps torch's
    own choice."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def environment(device: torch.device) -> dict[str, Any]:
    """What can shift floats without being asked for: versions, machine, threads, the code's own state."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        # On a GPU some of what is needed, the gradient of attention for one, has no such kernel, or not one by default.
        "deterministic": torch.are_deterministic_algorithms_enabled() and device.type == "cpu",
        "git": git_state(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    return f"{device.type} ({_processor()})"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def git_state() -> dict[str, Any] | None:
    """The commit of the code and the SHA-256 of what was changed since; None outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD").decode().strip()
        diff = _git("diff", "HEAD", "--", "reno", "conf", "experiments")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "diff": hashlib.sha256(diff).hexdigest() if diff else None}


def git_diff() -> bytes:
    """What was changed in the code since its commit; empty if nothing, or outside a checkout."""
    try:
        return _git("diff", "HEAD", "--", "reno", "conf", "experiments")
    except (OSError, subprocess.SubprocessError):
        return b""


def _git(*words: str) -> bytes:
    checkout = Path(__file__).resolve().parent.parent
    return subprocess.run(["git", *words], cwd=checkout, capture_output=True, check=True, timeout=20).stdout
