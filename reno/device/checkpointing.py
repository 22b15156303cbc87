"""Gradient checkpointing: a block keeps only its input, and runs again in the backward pass.

The libraries' own switches are not used. transformers checkpoints only in training mode, where dropout is active;
diffusers checkpoints the VAE decoder by whole levels, and the last of them, run again at full resolution, is then the
peak of memory. Here each block is wrapped, in eval mode, and checkpointed wherever a gradient is needed. Nothing in
eval mode is random: the second run repeats the floats of the first, and the gradient is the same to the last bit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch.utils.checkpoint import checkpoint

from reno.device.piecewise import set_piecewise

DIFFUSERS_BLOCKS = {
    "ResnetBlock2D", "Transformer2DModel", "Attention", "AutoencoderTinyBlock",
    "BasicTransformerBlock", "FluxTransformerBlock", "FluxSingleTransformerBlock", "SanaTransformerBlock",
    "ResBlock", "EfficientViTBlock", "DCUpBlock2d",
}  # fmt: skip
"""Classes of a U-Net, a VAE and a tiny autoencoder, of diffusion transformers, and of a deep compression autoencoder;
the outermost of them are checkpointed."""

LEAST_SIDE = 256
"""Pixels. Below, all activations of a batch take a few MB, and `checkpointing=auto` is off whatever memory is free."""


def worth_checkpointing(image_size: tuple[int, int]) -> bool:
    """Whether images of this (height, width) are large enough for checkpointing to save memory that matters."""
    return max(image_size) >= LEAST_SIDE


def set_checkpointing(model: torch.nn.Module, on: bool, *, compiled: bool = False) -> None:
    """Turns checkpointing of a frozen model's blocks on or off, at any time. Large norms then run in pieces.

    compiled: also compiles each block, by itself and for its own shapes. (A whole VAE decoder that torch 2.13 compiles
    for the CPU has a gradient of zero.)
    """
    set_piecewise(model, on and not compiled)
    wanted = list(blocks(model))
    if compiled:
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, len(wanted) + 8)
    for block in wanted:
        block.__dict__.pop("forward", None)  # back to the class's own
        if compiled:
            block.forward = torch.compile(block.forward, dynamic=False)
        if on:
            block.forward = functools.partial(_run, block.forward)


def blocks(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The outermost modules that are checkpointed: residual blocks, and the layers of transformers."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    for child in model.children():
        if isinstance(child, GradientCheckpointingLayer) or type(child).__name__ in DIFFUSERS_BLOCKS:
            yield child
        else:
            yield from blocks(child)


def _run(forward, *inputs, **named):
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False, **named)
