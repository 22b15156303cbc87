"""Initial noise: the same seed gives the same noise for every metric, device, dtype and batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reno.spec.trial import own_seed


class NoiseSource:
    """Noise e ~ N(0, I) of a batch of trials, each from its own random generator.

    It is drawn on the CPU in float32, from a torch.Generator seeded with the trial's seed.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        """shape: of one trial's noise."""
        self.generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self.shape, self.device, self.dtype = shape, device, dtype

    def draw(self) -> torch.Tensor:
        """The next noise of each trial, (B, *shape)."""
        noise = [torch.randn(self.shape, generator=generator, dtype=torch.float32) for generator in self.generators]
        return torch.stack(noise).to(self.device, self.dtype)


def further_noises(seeds: Sequence[int], count: int, like: NoiseSource) -> torch.Tensor:
    """Noises (B, count, *shape) of the trials' seeds, for an image that takes more than the one that is optimised.

    They come from random generators of their own, so that the noises that a method draws stay as they are."""
    source = NoiseSource([own_seed("further noises", seed) for seed in seeds], like.shape, like.device, like.dtype)
    return torch.stack([source.draw() for _ in range(count)], dim=1)
