"""First weights that make a vision tower's attention a convolution. A small tower then learns shapes from few pictures.

If each head attends to one neighbour, self-attention is a convolution (Cordonnier et al. 2020, arXiv 1911.03584), and a
transformer that starts there does not have to find it (d'Ascoli et al. 2021, arXiv 2103.10697). Here sine waves in the
position embedding do it: a query that is the patch's own position turned by an offset matches the key of the patch at
that offset. All weights are trained afterwards; the checkpoint's format is the usual one.
"""

from __future__ import annotations

import math

import torch

GRID = 8
FREQUENCIES = 8
"""Number of waves along each axis. The lowest has a period of 2 * GRID patches, so no two offsets are alike."""
PLACES = 4 * FREQUENCIES
"""Channels that hold the position at first: sine and cosine by rows, then by columns. Also the width of one head."""
HUES = 16
"""Number of the next channels, which begin with colours. The rest begin grey: shapes are then learned once for all
colours, three times as fast, and are known in colours that training holds out."""
SHARPNESS = 1.0
"""Scale of queries and keys; with it a head begins with most of its attention on one patch."""
OFFSETS = (
    ((0, 1), (0, -1), (1, 0), (-1, 0)),
    ((1, 1), (1, -1), (-1, 1), (-1, -1)),
    ((0, 2), (0, -2), (2, 0), (-2, 0)),
)
"""The offset (rows, columns) of each head, for the first three layers; later layers begin as usual."""


def turns(offset: float) -> torch.Tensor:
    """(2F, 2F): takes the waves (sine, cosine of each frequency) at a place to those at the place + offset."""
    turn = torch.zeros(2 * FREQUENCIES, 2 * FREQUENCIES)
    for i in range(FREQUENCIES):
        angle = math.pi * (i + 1) / GRID * offset
        turn[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = torch.tensor(
            [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
        )
    return turn


def positions() -> torch.Tensor:
    """(GRID * GRID, PLACES): the waves at each patch, by rows."""
    angles = torch.arange(GRID)[:, None] * math.pi * torch.arange(1, FREQUENCIES + 1) / GRID
    waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
    return torch.cat([waves[:, None].expand(GRID, GRID, -1), waves.expand(GRID, GRID, -1)], -1).flatten(0, 1)


@torch.no_grad()
def make_local(
    patches: torch.nn.Conv2d, position: torch.Tensor, attention: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """Sets a tower's first weights in place: its patch embedding, its position embedding (1 + GRID * GRID, width), the
    class token's first, and the (query, key) weights, (width, width) each, of its layers."""
    torch.nn.init.normal_(patches.weight, std=0.02)  # small enough for the position to be felt beside it
    patches.weight[:PLACES] = 0
    patches.weight[PLACES + HUES :] = patches.weight[PLACES + HUES :].mean(1, keepdim=True) * 3**0.5
    if patches.bias is not None:
        patches.bias[:PLACES] = 0
    position[:, :PLACES] = torch.cat([torch.zeros(1, PLACES), positions()])
    for (query, key), offsets in zip(attention, OFFSETS, strict=False):
        for head, (rows, columns) in enumerate(offsets):
            own = slice(head * PLACES, (head + 1) * PLACES)
            query[own], key[own] = 0, 0
            query[own, :PLACES] = SHARPNESS * torch.block_diag(turns(rows), turns(columns))
            key[own, :PLACES] = SHARPNESS * torch.eye(PLACES)
