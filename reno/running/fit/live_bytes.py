"""Counts the bytes of the tensors that are alive, operation by operation."""

from __future__ import annotations

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """A context that counts every storage that an operation makes on a device, until autograd and Python have freed it.
    A storage made earlier is counted from the first operation that returns it.

    Memory that a kernel allocates and frees inside one operation is not counted.
    """

    def __init__(self, device_type: str):
        super().__init__()
        self.device_type = device_type
        """The kind of device whose tensors are counted; `meta` for tensors without values."""
        self.now = 0
        """Bytes of the live storages."""
        self.timeline: list[int] = []
        """`now` after each allocation since the last `restart`."""
        self._alive: dict[int, weakref.ref] = {}

    def restart(self) -> None:
        """Empties the timeline; live storages stay counted."""
        self.timeline = [self.now]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == self.device_type:
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._alive or not size:
            return

        def freed(_) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.now += size
        self.timeline.append(self.now)
