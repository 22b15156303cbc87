"""The device's memory: moving modules in and out, how much is free, and whether an error says that it ran out.

Only what the optimisation loop runs stays in a GPU's memory. Text encoders and recorded metrics are on the GPU only
while they are used, before and after the loop, and wait in host memory otherwise. On the CPU and on Apple's GPUs, which
have no memory of their own, nothing moves.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

SAID_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|cannot allocate memory|bad_alloc"
    r"|could not create a primitive\b(?! descriptor| attr)|could not create a memory object"
    r"|could not execute a primitive",
    re.IGNORECASE,
)
"""What allocators say that raise a plain RuntimeError: the CPU's on each platform, Apple's, and oneDNN, which computes
convolutions on the CPU. oneDNN never says why; of a descriptor it says that it has no such operation."""

_with_own_memory = {"cuda"}
"""Kinds of device whose memory is not the host's."""


@contextlib.contextmanager
def meta_acts_as(device_type: str) -> Iterator[None]:
    """A context in which modules move to and from torch's meta device as they would on a device of that kind."""
    acts = device_type in _with_own_memory
    if acts:
        _with_own_memory.add("meta")
    try:
        yield
    finally:
        if acts:
            _with_own_memory.discard("meta")


def bring(device: torch.device, modules: Iterable[torch.nn.Module]) -> None:
    """Moves the modules to the device."""
    for module in modules:
        module.to(device)


def send_away(device: torch.device, modules: Iterable[torch.nn.Module]) -> None:
    """Moves the modules to host memory, if the device has a memory of its own."""
    if device.type in _with_own_memory:
        for module in modules:
            module.to("cpu")


@contextlib.contextmanager
def visiting(device: torch.device, modules: Iterable[torch.nn.Module]) -> Iterator[None]:
    """A context in which the modules are on the device; afterwards they are in host memory."""
    bring(device, modules)
    try:
        yield
    finally:
        send_away(device, modules)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and SAID_OF_MEMORY.search(str(error)) is not None


def release(device: torch.device) -> None:
    """Gives memory that nothing refers to back to the device. Call it when the error that ended the work is no longer
    referred to: its traceback refers to every tensor of the failed call."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        _trim_heap()


def _trim_heap() -> None:
    """Gives what the C library keeps of freed memory back to the system. Without it, oneDNN gets no pages for its code
    under a limit such as `ulimit -v`, whatever is free within the process. Only glibc has the call."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def free_bytes(device: torch.device) -> int:
    """Bytes that this process can still allocate on a device; of host memory if the device has none of its own."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    import psutil

    return int(max(0, min(psutil.virtual_memory().available, left_of_limit())))


def left_of_limit(root: Path = Path("/")) -> float:
    """Bytes that the control groups of a container or a cluster's job still allow; infinite if none sets a limit. All
    groups from this process's own up to the top are read, because a cluster limits the whole job."""
    try:
        group = (root / "proc/self/cgroup").read_text().rpartition("::")[2].strip()
    except OSError:
        return math.inf
    top = root / "sys/fs/cgroup"
    own = top / group.lstrip("/")
    return min(_left_in(folder) for folder in (own, *own.parents) if folder.is_relative_to(top))


def _left_in(group: Path) -> float:
    """Bytes that one control group still allows; infinite if it sets no limit. Cached files are not counted: they are
    dropped when memory is needed."""
    try:
        limit = int((group / "memory.max").read_text())
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - int(used["anon"])
    except (OSError, ValueError, KeyError):
        return math.inf
