"""Reading a device's tensors without making the host wait for the work that was queued after them.

On a CUDA GPU the copies to pinned host memory run on a stream of their own, beside the kernels that follow. Elsewhere a
tensor is copied at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch

Tensors: TypeAlias = dict[str, torch.Tensor]
Reading: TypeAlias = Callable[[], Tensors]
"""Waits for a copy that was begun, and answers with its tensors in host memory. Nothing else refers to their memory."""


class Reader:
    """Begins copies of a device's tensors to host memory."""

    def __init__(self, device: torch.device):
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def begin(self, tensors: Mapping[str, torch.Tensor]) -> Reading:
        """Begins to copy tensors as they are once the work that is queued by now is done."""
        if self.stream is None:
            copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
            return lambda: copies
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        pinned, done = {}, torch.cuda.Event()
        with torch.cuda.stream(self.stream):
            for name, tensor in tensors.items():
                pinned[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                pinned[name].copy_(tensor.detach(), non_blocking=True)
                tensor.record_stream(self.stream)  # its memory is not given away before it is copied
            done.record(self.stream)

        def wait() -> Tensors:
            done.synchronize()
            return {name: copy.clone() for name, copy in pinned.items()}  # pinned memory is scarce and used again

        return wait
