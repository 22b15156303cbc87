"""Our code against the libraries' own, on the same weights: the image of diffusers' pipeline, and the pixel values of
transformers' image processors."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from reno.running.checking.pipelines import PIPELINES
from reno.running.located import LocatedGenerator
from reno.running.pool import ModelPool
from reno.weights.images import Preprocessing, from_uint8, to_uint8

PROMPT = "a red car and a blue cup"


def own_and_the_pipelines_image(located: LocatedGenerator, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The image that our generator makes in one step and the one that diffusers' pipeline makes of the same folders and
    the same latents, both (1, 3, H, W) in [0, 1], float32. One is loaded after the other. Raises BadInput if the folder
    is not a generator."""
    options = {name: value for name, value in located.spec.options.items() if name != "steps"}
    located = dataclasses.replace(located, spec=dataclasses.replace(located.spec, options=options))
    generator = ModelPool().generator(located, torch.float32, device)
    latents = torch.randn(1, *generator.latent_shape, generator=torch.Generator().manual_seed(0))
    sides = dict(zip(("height", "width"), generator.image_size, strict=True))
    with torch.no_grad():
        own = generator(latents.to(device), generator.encode([PROMPT])).cpu()
    del generator
    step = options.get("timestep")
    how = {"num_inference_steps": 1} if step is None else {"timesteps": [step], "num_inference_steps": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of `torch_dtype`, the only name that diffusers 0.32 knows
        pipeline, further = PIPELINES[located.module.__name__](located, latents.to(device))
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    how = {"output_type": "pt", **sides, **how, **further}
    return own, pipeline(PROMPT, **how).images.float().cpu()


@dataclass(frozen=True)
class LibraryProcessor:
    """A checkpoint's image processor in transformers. It is called as our Preprocessing is, and has no gradient."""

    processor: Any

    @classmethod
    def from_folder(cls, folder: Path, like: Preprocessing) -> LibraryProcessor:
        """like: whose size it takes, if that is not the checkpoint's own."""
        from transformers import AutoImageProcessor

        given = {}
        if like.size != Preprocessing.from_folder(folder).size:
            if isinstance(like.size, tuple):
                size = {"height": like.size[0], "width": like.size[1]}
            else:
                size = {"shortest_edge": like.size, "longest_edge": 100 * like.size}
            given = {"size": size}
        # Pillow's resize is the one that published values were made with, and needs no torchvision.
        return cls(AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True, **given))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) in [0, 1], whole levels, to pixel values (B, 3, h, w)."""
        pictures = [Image.fromarray(pixels) for pixels in to_uint8(images)]
        pixels = self.processor(pictures, return_tensors="pt").pixel_values
        return pixels.to(images.device, images.dtype)


def levels_between(own: Preprocessing, library: LibraryProcessor, side: int) -> tuple[float, float] | None:
    """The largest and the mean difference of the pixel values of a test card, in levels of 255; None if the two give
    another height or width."""
    card = picture_card(side)
    mine, theirs = own(card), library(card)
    if mine.shape != theirs.shape:
        return None
    levels = (mine - theirs).abs() * torch.tensor(own.std)[:, None, None] * 255
    return float(levels.max()), float(levels.mean())


def picture_card(side: int) -> torch.Tensor:
    """A picture (1, 3, side, side) in [0, 1], whole levels: waves, a hard edge and noise."""
    y, x = np.mgrid[0:side, 0:side]
    waves = 127 + 90 * np.sin(x / 7)[..., None] * np.cos(y / 5)[..., None] * np.array([1.0, -1.0, 0.5])
    waves[side // 3 : side // 2, side // 4 : side // 2] = (255, 0, 128)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    return from_uint8((waves + noise).clip(0, 255).astype(np.uint8)[None])
