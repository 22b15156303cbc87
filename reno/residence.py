"""The device's memory: which modules are in it and when, and whether it ran out.

A GPU holds what the optimisation loop runs. Text encoders and metrics that are only recorded are needed before and
after it, and wait in host memory meanwhile. On the CPU and on Apple's GPUs, which have no memory of their own, nothing
moves.
"""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Iterator
from pathlib import Path

import torch

SAID_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
"""In the messages of torch's allocators that raise a plain RuntimeError: the CPU's, by platform, and Apple's."""


HAVE_THEIR_OWN = {"cuda"}
"""Kinds of device whose memory is not the host's."""


def bring(device: torch.device, *modules: torch.nn.Module) -> None:
    for module in modules:
        module.to(device)


def send_away(device: torch.device, *modules: torch.nn.Module) -> None:
    """Modules that are not needed on the device for now go to host memory, if that is another."""
    if device.type in HAVE_THEIR_OWN:
        for module in modules:
            module.to("cpu")


@contextlib.contextmanager
def visiting(device: torch.device, *modules: torch.nn.Module) -> Iterator[None]:
    """The modules are on the device meanwhile, and not after."""
    bring(device, *modules)
    try:
        yield
    finally:
        send_away(device, *modules)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in SAID_OF_MEMORY)


def release(device: torch.device) -> None:
    """Gives back what nothing refers to any more. Call once the error that ended the work is gone: its traceback
    holds every tensor of the call that failed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Bytes that this process can still have on a device: of the host's memory where the device has none of its own."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    import psutil

    return int(max(0, min(psutil.virtual_memory().available, _left_of_the_limit())))


def _left_of_the_limit(root: Path = Path("/")) -> float:
    """Bytes that the control groups of a container or a cluster's job still allow; infinite where none sets a limit.
    Every group that this process is in counts, up to the top: a cluster limits the job, above the process's own."""
    try:
        group = (root / "proc/self/cgroup").read_text().rpartition("::")[2].strip()
    except OSError:
        return math.inf
    top = root / "sys/fs/cgroup"
    own = top / group.lstrip("/")
    return min(_left_in(folder) for folder in (own, *own.parents) if folder.is_relative_to(top))


def _left_in(group: Path) -> float:
    """Bytes that one control group still allows, infinite where it sets no limit. Cached files do not count: they make
    room."""
    try:
        limit = int((group / "memory.max").read_text())
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - int(used["anon"])
    except (OSError, ValueError, KeyError):
        return math.inf
