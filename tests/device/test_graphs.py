"""What may be captured and what may not, on a tape that keeps a CUDA graph's rules; and reading beside the work."""

from __future__ import annotations

import pytest
import torch

from reno.device.graphs import NotCaptured, alike, record_graph
from reno.device.reading import Reader
from tests.device.tape import record_tape, taped


def counter(start=1.0):
    """An iteration x <- 2 x + 1 with its state, and with a gradient on the way."""
    x = torch.full((3,), start)

    def advance():
        probe = x.detach().clone().requires_grad_(True)
        (slope,) = torch.autograd.grad((probe * probe).sum(), probe)  # 2 x
        seen = x.clone()
        with torch.no_grad():
            x.copy_(slope + 1)
        return {"seen": seen, "slope": slope}

    return advance, [x]


def test_a_replay_goes_on_from_the_state_and_leaves_what_it_gave_before():
    advance, (x,) = counter()
    replay = record_tape(advance, [x])
    assert x.tolist() == [1.0] * 3  # as it was
    first, second = replay(), replay()
    assert first["seen"].tolist() == [1.0] * 3 and second["seen"].tolist() == [3.0] * 3 and x.tolist() == [7.0] * 3
    x.fill_(-1)  # written from outside, in place
    assert replay()["slope"].tolist() == [-2.0] * 3


def test_a_replay_that_gives_other_numbers_is_refused():
    """Python decides something that a graph would not decide again."""
    x, calls = torch.ones(3), []

    def advance():
        calls.append(None)
        return {"x": x * len(calls)}

    with pytest.raises(NotCaptured, match="another x than the plain one"):
        record_tape(advance, [x])


def test_a_state_that_moves_to_other_memory_is_refused():
    held = [torch.ones(3)]

    def advance():
        held[0] = held[0] + 1
        return {"x": held[0].clone()}

    with pytest.raises(NotCaptured, match="another x"):
        record_tape(advance, [])


@pytest.mark.parametrize(
    ("advance", "why"),
    [
        (lambda: {"x": torch.ones(2) * float(torch.ones(1).item())}, "reads a value"),
        (lambda: {"x": torch.ones(2).nonzero()}, "reads a value"),
        (lambda: {"x": torch.tensor([1.0, 2.0])}, "brings a value"),
        (lambda: {"x": torch.randn(2)}, "draws a number"),
    ],
)
def test_what_no_graph_can_hold_is_not_captured(advance, why):
    with pytest.raises(RuntimeError, match=why):
        taped(advance)


def test_numbers_are_alike_within_rounding_and_where_they_are_not_finite():
    values = torch.tensor([1.0, -2.0, float("inf"), float("nan")])
    assert alike(values, values.clone()) and alike(values + 1e-4, values)
    assert not alike(values * 1.1, values) and not alike(values.nan_to_num(), values)
    assert alike(torch.zeros(0), torch.zeros(0)) and not alike(torch.ones(2), torch.zeros(2))


def test_without_a_gpu_it_is_said_that_nothing_can_be_captured():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(NotCaptured, match="cannot be captured as a CUDA graph"):
        record_graph(*counter())


def test_what_was_read_stays_as_it_was_when_the_reading_began():
    values = torch.arange(4.0)
    reading = Reader(torch.device("cpu")).begin({"values": values, "half": values[::2]})
    values.zero_()
    got = reading()
    assert got["values"].tolist() == [0, 1, 2, 3] and got["half"].tolist() == [0, 2]
