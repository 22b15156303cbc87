"""Two images and two prompts."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def images():
    """Two images that are whole levels, so that a processor sees the same."""
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(3)), 96)
    return (smooth * 255).round() / 255
