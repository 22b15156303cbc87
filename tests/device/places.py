"""A stand-in for a model that is sent from one memory to another."""

from __future__ import annotations

import torch


class Places(torch.nn.Module):
    """A module that remembers where it was sent. (What is on the meta device cannot come back.)"""

    def __init__(self):
        super().__init__()
        self.sent: list[str] = []

    def to(self, place):
        self.sent.append(str(place))
        return self
