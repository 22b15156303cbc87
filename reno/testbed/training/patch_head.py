"""The patch head of the metrics' training: it says for each patch of a picture which object and which colour cover it.

It is needed because captions alone teach these small vision towers slowly. Object and colour are two separate answers.
A combination that training holds out never counts as a wrong answer: else the head would teach that it cannot exist.
The head is not exported.

A stage begins with this head alone, because contrasting captions first would teach colours early and shapes late.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from reno.testbed.world import HELD_OUT, TAUGHT_COLORS, TAUGHT_OBJECTS

NOTHING = len(TAUGHT_OBJECTS)
"""The object class of a patch that no thing covers."""
UNGRADED = -1
"""The class of a patch that does not count in the loss."""
OUT = torch.tensor([[(color, name) in HELD_OUT for name in (*TAUGHT_OBJECTS, None)] for color in TAUGHT_COLORS])
"""bool (colours, objects and NOTHING): whether training holds the combination out."""


class PatchHead(torch.nn.Module):
    """Reads hidden states (B, 64, width) of the patches, row by row. The answers are `Pictures.patches`."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.object = torch.nn.Linear(width, len(TAUGHT_OBJECTS) + 1)
        self.color = torch.nn.Linear(width, len(TAUGHT_COLORS))

    def loss(self, hidden: torch.Tensor, patches: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The sum of the two cross-entropies, and how often object and colour are both right where a thing is."""
        hidden = self.norm(hidden)
        objects, colors = self.object(hidden).flatten(0, 1).float(), self.color(hidden).flatten(0, 1).float()
        true_objects, true_colors = (patches[:, i].flatten().long() for i in (0, 1))
        objects = objects.masked_fill((true_colors >= 0)[:, None] & OUT[true_colors.clamp(min=0)], -torch.inf)
        colors = colors.masked_fill(OUT.T[true_objects.clamp(min=0)], -torch.inf)
        value = cross_entropy(objects, true_objects, ignore_index=UNGRADED) + cross_entropy(
            colors, true_colors, ignore_index=UNGRADED
        )
        something = true_colors != UNGRADED
        right = (objects.argmax(1) == true_objects) & (colors.argmax(1) == true_colors)
        return value, right[something].float().mean().item()
