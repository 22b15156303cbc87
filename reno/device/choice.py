"""The choice of device and dtype, and the settings that make torch deterministic."""

from __future__ import annotations

import os

import torch

from reno.spec.errors import BadInput

DTYPE_OF_DEVICE = {
    "cuda": ("float16", "half the memory of float32; the loss is scaled so that gradients stay in its range"),
    "mps": ("float32", "not every version of macOS has all operations in half precision"),
    "cpu": ("float32", "not every CPU has kernels for half precision"),
}
"""The dtype that `dtype=auto` chooses on each kind of device, and why."""


def choose_device(name: str) -> torch.device:
    """The device asked for; `auto` is CUDA, else Apple's, else the CPU. Raises BadInput if the machine lacks it."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if (device.index or 0) >= _count(device.type):
        there = ["cpu", *(f"cuda:{index}" for index in range(_count("cuda"))), *["mps"] * (_count("mps") > 0)]
        raise BadInput(
            f"device={name} is not there: this machine has {', '.join(there)}; use one of these or device=auto"
        )
    return device


def _count(device_type: str) -> int:
    if device_type == "cuda":
        return torch.cuda.device_count()
    return int(device_type == "cpu" or torch.backends.mps.is_available())


def choose_dtype(asked: str, device_type: str, allowed: tuple[str, ...] = ()) -> str:
    """The dtype asked for; `auto` is float16 on CUDA and float32 elsewhere.

    allowed: the dtypes that a generator may run in, its first choice first; empty: any. Raises BadInput if the dtype
    asked for is not among them.
    """
    if asked == "auto":
        usual = DTYPE_OF_DEVICE[device_type][0]
        return usual if not allowed or usual in allowed else allowed[0]
    if allowed and asked not in allowed:
        raise BadInput(f"dtype={asked} does not work with this generator; use {', '.join(allowed)} or auto")
    return asked


def why_dtype(asked: str, dtype: str, device_type: str) -> str:
    """Why the models run in `dtype`, in words."""
    if asked != "auto":
        return "as asked"
    usual, why = DTYPE_OF_DEVICE[device_type]
    return f"chosen for {device_type}: {why}" if dtype == usual else "the first that the generator may run in"


def make_deterministic(threads: int | None) -> None:
    """Makes torch compute the same floats on every run, as far as it can. Call before the first CUDA kernel. threads:
    None keeps torch's own number."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it before it is written
    torch.backends.cudnn.benchmark = False
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
