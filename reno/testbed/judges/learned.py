"""The judge that was trained: a small convolutional network that marks the centres of things and names them.

`reno.testbed.training.judge` trained it on drawings of every colour and object, good and bad, some degraded or coded by
the VAE. It is an instrument, not a model under test, so it has seen the combinations that are held out from the models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from reno.spec.errors import BadInput
from reno.testbed.judges import JUNK, MIXED, SeenThing
from reno.testbed.world import SIDE
from reno.weights.files import shapes_in

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "judge"
FILE = "judge.safetensors"
GRID = 16
"""Cells along the image's side."""
CENTRE = 0.4
"""Least probability of a thing's centre. A centre is also the highest cell of its neighbourhood."""
APART = 2
"""Cells on every side without a second centre."""


class Block(nn.Module):
    """Two convolutions with a shortcut, (B, C, h, w) to the same shape."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + self.layers(values)


class Network(nn.Module):
    """Images (B, 3, 64, 64) in [0, 1] to logits per cell: centre (B, 1, 16, 16), object (B, 13, ...), colour (B, 9,
    ...)."""

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 80)):
        super().__init__()
        fine, middle, coarse = widths
        self.fine = nn.Sequential(nn.Conv2d(3, fine, 6, stride=2, padding=2), nn.SiLU())
        self.middle = nn.Sequential(nn.Conv2d(fine, middle, 4, stride=2, padding=1), Block(middle))
        self.coarse = nn.Sequential(
            nn.Conv2d(middle, coarse, 3, stride=2, padding=1), Block(coarse), Block(coarse), Block(coarse)
        )
        self.up = nn.Conv2d(coarse, middle, 1)
        self.joined = nn.Sequential(Block(middle), nn.GroupNorm(4, middle), nn.SiLU())
        self.head = nn.Conv2d(middle, 1 + (JUNK + 1) + (MIXED + 1), 1)
        nn.init.constant_(self.head.bias[:1], -3.0)  # few cells are a centre

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        middle = self.middle(self.fine(images * 2 - 1))
        up = functional.interpolate(self.up(self.coarse(middle)), scale_factor=2, mode="nearest")
        return self.head(self.joined(middle + up)).split((1, JUNK + 1, MIXED + 1), 1)


class LearnedJudge:
    def __init__(self, network: Network, device: torch.device | str = "cpu"):
        self.network, self.device = network.to(device).eval(), device

    @torch.no_grad()
    def look(self, images: np.ndarray) -> list[list[SeenThing]]:
        """The things in each image, uint8 (B, SIDE, SIDE, 3)."""
        pixels = torch.tensor(images, device=self.device).permute(0, 3, 1, 2).float() / 255
        logits = self.network(pixels)
        centre = logits[0].sigmoid()
        highest = functional.max_pool2d(centre, 2 * APART + 1, stride=1, padding=APART)
        peaks = ((centre == highest) & (centre > CENTRE))[:, 0].cpu()
        objects, colors = (part.softmax(1).double().cpu().numpy() for part in logits[1:])
        found: list[list[SeenThing]] = [[] for _ in images]
        for index, row, column in peaks.nonzero().tolist():
            found[index].append(
                SeenThing(
                    (column + 0.5) / GRID, (row + 0.5) / GRID,
                    objects[index, :, row, column], colors[index, :, row, column],
                )
            )  # fmt: skip
        return found


def load(folder: Path | str | None = None, device: torch.device | str = "cpu") -> LearnedJudge:
    """The judge whose weights are in `folder`; by default those shipped. Raises BadInput if there are none or they are
    damaged."""
    path = Path(folder or WEIGHTS) / FILE
    if not path.is_file():
        raise BadInput(
            f"the testbed's learned judge has no weights at {path}; check out or install the bench again; in a "
            "checkout, `make testbed` trains it"
        )
    shapes_in(path)  # tells a damaged file
    network = Network()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except RuntimeError as error:
        raise BadInput(f"{path} does not hold the learned judge's weights ({' '.join(str(error).split())})") from None
    return LearnedJudge(network, device)


assert SIDE == 4 * GRID
