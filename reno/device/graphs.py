"""Capturing an iteration as a CUDA graph, which the device then replays without a launch for each kernel.

A graph repeats the same kernels on the same addresses. So the function that is captured reads and writes tensors that
stay where they are, and no value of a tensor decides what it does. Its numbers are compared with those of the plain
function once, before the graph is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch

from reno.device.reading import Tensors
from reno.device.residence import out_of_memory
from reno.spec.errors import typed_line

Advance: TypeAlias = Callable[[], Tensors]
"""One iteration: it changes its state in place and answers with tensors."""
Record: TypeAlias = Callable[[Advance, Sequence[torch.Tensor]], Advance]
"""From an iteration and its state to one that does the same faster. The state is afterwards as it was."""

CLOSE = 0.02
"""How far a number of a replay may be from the plain one, as a share of the largest of its tensor. Kernels may round
differently, in float16 by a thousandth; what is captured wrongly is off by far more."""


class NotCaptured(RuntimeError):
    """An iteration could not be captured, or its replay gives other numbers."""


def record_graph(advance: Advance, state: Sequence[torch.Tensor]) -> Advance:
    """An iteration as a CUDA graph. Raises NotCaptured; running out of memory is raised as it is."""
    device = state[0].device
    try:
        with _current(device):
            replay = checked(advance, state, _captured)
    except NotCaptured:
        raise
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        if out_of_memory(error):
            raise
        raise NotCaptured(f"the iteration cannot be captured as a CUDA graph: {typed_line(error)}") from error

    def on_its_device() -> Tensors:
        with _current(device):
            return replay()

    return on_its_device


def _current(device: torch.device) -> contextlib.AbstractContextManager:
    """A context in which streams and graphs are of this device: a job on cuda:1 leaves cuda:0 the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def checked(advance: Advance, state: Sequence[torch.Tensor], capture: Callable[[Advance], Advance]) -> Advance:
    """The captured iteration, after one comparison with the plain one from the same state. Raises NotCaptured if their
    numbers differ by more than rounding."""
    begun = [tensor.detach().clone() for tensor in state]
    # It also prepares kernels, which a capture must not meet for the first time.
    expected = _owned(_on_a_side_stream(advance, state), state)
    _restore(state, begun)
    replay = capture(advance)
    _restore(state, begun)
    found = _owned(replay(), state)
    _restore(state, begun)
    for name, value in expected.items():
        if not alike(found[name], value):
            raise NotCaptured(f"the replayed iteration gives another {name} than the plain one")
    return replay


def alike(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two tensors have the same numbers within rounding. Numbers that are not finite are alike."""
    if not expected.dtype.is_floating_point:
        return found.shape == expected.shape
    found, expected = found.float(), expected.float()
    finite = expected.isfinite()
    if not torch.equal(found.isfinite(), finite):
        return False
    largest = expected.where(finite, 0).abs().amax() if expected.numel() else 0.0
    return bool(((found - expected).where(finite, 0).abs() <= CLOSE * largest).all())


def _owned(outputs: Mapping[str, torch.Tensor], state: Sequence[torch.Tensor]) -> Tensors:
    """Copies of what an iteration answered, and of the state that it left."""
    left = {f"state {place}": tensor for place, tensor in enumerate(state)}
    return {name: tensor.detach().clone() for name, tensor in {**outputs, **left}.items()}


@torch.no_grad()
def _restore(state: Sequence[torch.Tensor], begun: Sequence[torch.Tensor]) -> None:
    for tensor, before in zip(state, begun, strict=True):
        tensor.copy_(before)


def _on_a_side_stream(advance: Advance, state: Sequence[torch.Tensor]) -> Tensors:
    """One iteration as a capture will run it: not on the default stream, which a capture must not wait for."""
    if not any(tensor.is_cuda for tensor in state):
        return advance()
    side, current = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        outputs = advance()
    current.wait_stream(side)
    return outputs


def _captured(advance: Advance) -> Advance:
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # Other threads write files meanwhile; what they ask of CUDA is no part of the graph.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = advance()

    def replay() -> Tensors:
        graph.replay()
        return {name: tensor.clone() for name, tensor in outputs.items()}  # the next replay writes over its outputs

    return replay
