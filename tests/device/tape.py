"""A CUDA graph's rules without a GPU: operations are written down once and repeated on the same tensors."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reno.device.graphs import checked

aten = torch.ops.aten
READS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.is_nonzero.default, aten.equal.default}
FROM_THE_HOST = {aten.lift_fresh.default, aten.lift_fresh_copy.default}
DRAWS = {aten.randn.default, aten.rand.default, aten.normal_.default, aten.uniform_.default, aten.bernoulli.default}


class Tape(TorchDispatchMode):
    """Writes down every operation below autograd, forward and backward. Raises RuntimeError where a capture would fail:
    a value that the host reads, a tensor made from a value of the host, a number that is drawn."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for refused, why in ((READS, "reads a value"), (FROM_THE_HOST, "brings a value"), (DRAWS, "draws a number")):
            if func in refused:
                raise RuntimeError(f"{func} {why} while the iteration is captured")
        result = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, result))
        return result

    def replay(self) -> None:
        """Repeats the operations: what they made before is written over, and no line of Python decides anything."""
        for func, args, kwargs, result in self.operations:
            inputs = {tensor.untyped_storage().data_ptr() for tensor in tensors(args, kwargs)}
            made = tensors(result)
            fresh = [tensor.untyped_storage().data_ptr() not in inputs for tensor in made]
            if made and not any(fresh) and not func._schema.is_mutable:
                continue  # a view of what is there
            again = tensors(func(*args, **kwargs))
            for old, new, own in zip(made, again, fresh, strict=True):
                if own:
                    old.copy_(new)


def tensors(*values):
    return [leaf for leaf in tree_leaves(values) if torch.is_tensor(leaf)]


def taped(advance):
    """An iteration that is captured on a tape, as reno/device/graphs.py captures it in a CUDA graph."""
    tape = Tape()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tolist", "numpy"):  # they read without an operation
            patch.setattr(torch.Tensor, name, lambda tensor: pytest.fail("the host reads a value while it is captured"))
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)  # transformers reads no mask then
        with tape:
            outputs = advance()

    def replay():
        with torch.no_grad():
            tape.replay()
            return {name: tensor.clone() for name, tensor in outputs.items()}

    return replay


def record_tape(advance, state):
    """In place of reno.device.graphs.record_graph."""
    return checked(advance, state, taped)
