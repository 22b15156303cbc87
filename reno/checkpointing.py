"""Gradient checkpointing that happens: a block keeps its input and no more, and is run again in the backward pass.

The libraries' own switches are not used. transformers checkpoints only in training mode, where dropout is live;
diffusers checkpoints the VAE decoder by whole levels, of which the last, run again at full resolution, is the peak.
Here each block of the models is wrapped, in eval mode, wherever a gradient is asked for. Nothing in eval mode is
random, so the second run makes the floats of the first and the gradient is the same to the last bit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch.utils.checkpoint import checkpoint

DIFFUSERS_BLOCKS = {"ResnetBlock2D", "Transformer2DModel", "Attention"}
"""Classes of U-Net and VAE: the outermost of them are checkpointed, so a VAE's attention and a U-Net's transformer."""

LEAST_SIDE = 256
"""Pixels a side from which checkpointing pays by itself: below, all activations of a batch are a few MB."""


def worth_checkpointing(image_size: tuple[int, int]) -> bool:
    """What `checkpointing=auto` means for a generator of images of this (height, width)."""
    return max(image_size) >= LEAST_SIDE


def set_checkpointing(model: torch.nn.Module, on: bool, *, compiled: bool = False) -> None:
    """Has the blocks of a frozen model in eval mode checkpointed, or not; can be changed at any time.

    compiled: also has each block compiled, by itself and for its own shapes. Of a whole VAE decoder the CPU's compiler
    (torch 2.13) makes one whose gradient is zero.
    """
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
