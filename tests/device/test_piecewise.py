"""A norm in pieces against the norm as a whole: the values, the gradient, and the memory of both."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.normalization import RMSNorm

from reno.device import piecewise
from reno.device.piecewise import set_piecewise
from reno.running.fit.live_bytes import LiveBytes


@pytest.fixture
def norm(monkeypatch):
    """Of 64 channels, with weights that are not 1."""
    monkeypatch.setattr(piecewise, "PIECE", 40 * 24 * 64)  # up to 40 rows of 24 pixels: 32
    made = RMSNorm(64, 1e-5, elementwise_affine=True, bias=True).requires_grad_(False)
    for seed, weights in enumerate((made.weight, made.bias)):
        weights.copy_(torch.randn(64, generator=torch.Generator().manual_seed(seed)))
    return torch.nn.Sequential(made)


def of(norm, images, weights):
    """The norm of images (B, C, H, W) over their channels, as the decoder takes it, and the gradient."""
    images = images.clone().requires_grad_(True)
    made = norm(images.movedim(1, -1)).movedim(-1, 1)
    return made.detach(), *torch.autograd.grad(made, images, weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradient_are_the_same_to_the_last_bit(norm, dtype):
    norm.to(dtype)
    images, weights = (torch.randn(2, 64, 80, 24, generator=torch.Generator().manual_seed(n)).to(dtype) for n in (2, 3))
    whole = of(norm, images, weights)
    set_piecewise(norm, True)
    pieces = of(norm, images, weights)
    set_piecewise(norm, False)
    for one, other in zip(whole, pieces, strict=True):
        assert torch.equal(one, other) and one.abs().max() > 0
        assert (one.dtype, one.stride()) == (other.dtype, other.stride())
    assert "forward" not in vars(norm[0])


def test_less_is_alive_at_once(norm):
    norm.to(torch.bfloat16).to("meta")
    peaks = []
    for on in (False, True):
        set_piecewise(norm, on)
        images = torch.empty(1, 64, 512, 24, dtype=torch.bfloat16, device="meta")
        with LiveBytes("meta") as live:
            of(norm, images, torch.empty_like(images))
        peaks.append(max(live.timeline) / images.untyped_storage().nbytes())
    assert peaks[0] > 12 and peaks[1] < 6  # images of that size, at the peak


def test_what_is_small_or_no_image_runs_as_a_whole(norm, monkeypatch):
    set_piecewise(norm, True)
    monkeypatch.setattr(piecewise, "_Pieces", None)
    for shape in ((5, 40, 24, 64), (1, 80 * 24, 64)):
        assert norm(torch.ones(shape)).shape == shape
    with pytest.raises(AttributeError):
        norm(torch.ones(1, 41, 24, 64))


def test_the_number_of_pieces_does_not_depend_on_the_batch(norm):
    """The prediction of memory counts on it."""
    set_piecewise(norm, True)
    inner, calls = norm[0].forward.args[0], []
    norm[0].forward.keywords.clear()
    norm[0].forward = lambda pixels: piecewise._in_pieces(
        lambda piece: calls.append(len(piece)) or inner(piece), pixels
    )
    for batch in (1, 3):
        norm(torch.ones(batch, 80, 24, 64))
    assert calls == [1] * 3 + [3] * 3
