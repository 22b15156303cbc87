"""What can change a trial's floats besides its spec: versions, machine, threads, the state of the code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from reno.store.records import GitState

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "safetensors", "pillow", "wandb", "hydra-core")
CODE = ("reno", "conf", "experiments")
"""The folders of the checkout whose changes can change a result."""


@dataclass(frozen=True)
class Environment:
    """Where a job runs. The fields are those of store/records.py's Provenance."""

    versions: dict[str, str | None]
    platform: str
    device: str
    threads: int
    cpu_capability: str
    deterministic: bool
    git: GitState | None


def environment(device: torch.device) -> Environment:
    """The environment of this process."""
    return Environment(
        versions={"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        platform=platform.platform(),
        device=_device_name(device),
        threads=torch.get_num_threads(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        # On a GPU some operations, such as the gradient of attention, do not use a deterministic kernel by default.
        deterministic=torch.are_deterministic_algorithms_enabled() and device.type == "cpu",
        git=git_state(),
    )


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


def git_state() -> GitState | None:
    """The commit of the code and the SHA-256 of its uncommitted changes; None outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD").decode().strip()
        diff = _git("diff", "HEAD", "--", *CODE)
    except (OSError, subprocess.SubprocessError):
        return None
    return GitState(commit=commit, diff=hashlib.sha256(diff).hexdigest() if diff else None)


def git_diff() -> bytes:
    """The code's uncommitted changes as a patch; empty if there are none, or outside a checkout."""
    try:
        return _git("diff", "HEAD", "--", *CODE)
    except (OSError, subprocess.SubprocessError):
        return b""


def _git(*words: str) -> bytes:
    checkout = Path(__file__).resolve().parent.parent.parent
    return subprocess.run(["git", *words], cwd=checkout, capture_output=True, check=True, timeout=20).stdout


def peak_host_bytes() -> int:
    """The largest resident size of this process so far, in bytes. On Linux it is read from /proc, because getrusage
    starts from the parent process's size."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
