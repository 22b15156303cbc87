"""The device's memory: which modules are in it and when, and whether it ran out.

A GPU holds what the optimisation loop runs. Text encoders and metrics that are only recorded are needed before and
after it, and wait in host memory meanwhile. On the CPU and on Apple's GPUs, which have no memory of their own, nothing
moves.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

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
