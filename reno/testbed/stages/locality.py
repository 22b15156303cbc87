"""Vision towers whose attention begins as convolution, so that a small one learns shapes from few pictures.

Heads that look at one neighbour each make self-attention a convolution (Cordonnier et al. 2020, arXiv 1911.03584), and
starting there spares a transformer the search for it (d'Ascoli et al. 2021, arXiv 2103.10697). Here sine waves in the
position embedding make it so: a query that is its own position turned by an offset matches the key of the patch there.
Every weight goes on to be trained; the checkpoint's format is as ever.
"""

from __future__ import annotations

import math

import torch

GRID = 8
FREQUENCIES = 8
"""Of waves by each axis; the lowest has a period of 2 * GRID patches, so that no two offsets look alike."""
PLACES = 4 * FREQUENCIES
"""Channels that hold the position at first: sine and cosine by rows, then by columns. The width of one head."""
HUES = 16
"""Channels after these that begin with colours. The rest begin grey: shapes are then learned once for all colours,
three times as quickly, and known in colours that training holds out."""
SHARPNESS = 1.0
"""Of queries and keys; with it a head begins with most of its attention on the patch it looks at."""
OFFSETS = (
    ((0, 1), (0, -1), (1, 0), (-1, 0)),
    ((1, 1), (1, -1), (-1, 1), (-1, -1)),
    ((0, 2), (0, -2), (2, 0), (-2, 0)),
)
"""(rows, columns) that each head of a layer looks away; the layers after these begin as transformers do."""


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
