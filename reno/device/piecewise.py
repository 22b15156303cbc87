"""Norms over channels, a few rows of an image at a time.

The decoder of SANA normalises each pixel over its channels, in float32. diffusers computes all pixels at once, and the
gradient of one such norm then holds eight tensors of the image's size: at 1024 x 1024 pixels with 128 channels, half a
GiB each. A pixel's norm depends on no other pixel, so rows can follow one another. Only the input is kept, and in the
backward pass each piece is computed again. The floats are the same: a CPU adds up the channels of 32 pixels side by
side and those of what is left over one after the other, so pieces are multiples of 32 pixels, as SANA's large images
are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import torch

PIECE = 1 << 23
"""Values of one trial in a piece, 32 MiB in float32: few enough to be little memory, enough to keep a GPU busy."""
TOGETHER = 32
"""Pixels that a CPU's kernel sums side by side. An image with fewer rows in a piece has a width that is a multiple."""
Norm = Callable[[torch.Tensor], torch.Tensor]


def set_piecewise(model: torch.nn.Module, on: bool) -> None:
    """Lets the norms of a frozen model run in pieces, or as a whole again, at any time."""
    for norm in model.modules():
        if type(norm).__name__ == "RMSNorm" and type(norm).__module__.startswith("diffusers."):
            norm.__dict__.pop("forward", None)  # back to the class's own
            if on:
                norm.forward = functools.partial(_in_pieces, norm.forward)


def _in_pieces(forward: Norm, pixels: torch.Tensor) -> torch.Tensor:
    """pixels: (B, H, W, C); anything else is not an image and is small. The number of pieces does not depend on B."""
    if pixels.dim() != 4 or pixels[0].numel() <= PIECE:
        return forward(pixels)
    rows = max(1, PIECE // pixels[0, 0].numel())
    return _Pieces.apply(pixels, forward, rows if rows < TOGETHER else rows // TOGETHER * TOGETHER)


class _Pieces(torch.autograd.Function):
    """A function of each row of (B, H, W, C) by itself. It has no other inputs that need a gradient."""

    @staticmethod
    def forward(ctx, pixels: torch.Tensor, forward: Norm, rows: int) -> torch.Tensor:
        ctx.save_for_backward(pixels)
        ctx.function, ctx.rows = forward, rows
        return _filled(pixels, (forward(piece) for piece in pixels.split(rows, 1)), rows)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (pixels,) = ctx.saved_tensors

        def of(piece: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
            piece = piece.detach().requires_grad_(True)
            with torch.enable_grad():
                made = ctx.function(piece)
            return torch.autograd.grad(made, piece, weights)[0]

        pieces = map(of, pixels.split(ctx.rows, 1), gradient.split(ctx.rows, 1))
        return _filled(pixels, pieces, ctx.rows), None, None


def _filled(like: torch.Tensor, pieces: Iterable[torch.Tensor], rows: int) -> torch.Tensor:
    """The pieces one below the other, in the shape and memory layout of `like` and the dtype of the pieces."""
    whole = None
    for place, piece in enumerate(pieces):
        if whole is None:
            whole = torch.empty_like(like, dtype=piece.dtype)
        whole[:, place * rows : (place + 1) * rows] = piece
    return whole
