"""Frozen text-to-image models that make an image in one to four steps: noise and a prompt in, an image out,
differentiable in the noise.

A generator is one module here and one file in conf/models. The module has

    load(folder, *, variant, dtype, device, **options) -> Generator     # folder: None for a generator without weights
    FOLDERS = ("text_encoder", "unet", "vae")    # optional: the subfolders with weights; default: the folder itself.
                                                 # Fetched are these, and those of tokenizers, schedulers, processors
    DTYPES = ("bfloat16", "float32")             # optional: the dtypes it may run in, the first choice first
    load(..., decoder: Path | None = None, ...)  # optional: a small decoder's folder, of models.generator.decoder
    load(..., parts: Mapping[str, Located], ...)   # with PARTS: those that are from checkpoints of their own
    load(..., embeddings: Embeddings, ...)       # with text_encoders: what encodes prompts
    PARTS = ("unet", "vae")      # optional: those of FOLDERS that may be from a checkpoint of their own, by
                                 # models.generator.parts.NAME
    identity(options) -> dict    # optional: the options that decide an image; default: all
    text_encoders(folder, *, variant, dtype, device, **options) -> Callable    # optional: text encoders that are let go
                                 # before the rest is loaded: one prompt to its embeddings, a tuple of tensors of B = 1.
                                 # TEXT_FOLDERS are theirs; FOLDERS has them too. Of the options it is given those
                                 # that it takes
    reader(folder, **options)    # optional: what has its check_prompt and image_size (None: not known), without its
                                 # weights; a dry run asks it. Raises BadInput for options that `load` would refuse.
                                 # It too is given `decoder` and `parts`, if there are any

`kind:` in the file may be the dotted path of a module elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

from reno.device.checkpointing import set_checkpointing
from reno.device.residence import bring, send_away
from reno.spec.errors import BadInput
from reno.spec.job import Execution

Conditioning: TypeAlias = Any
"""A generator's encoding of B prompts, such as text embeddings."""


class Generator:
    """The base class of generators. A subclass sets the attributes and defines `__call__`; also `encode` if it encodes
    prompts, and `decode` if it has an image decoder."""

    latent_shape: tuple[int, ...]
    """Shape of one trial's noise: (C, h, w), or (tokens, channels) if latents are packed."""
    image_size: tuple[int, int]
    """(H, W) of the images, pixels."""
    dtype: torch.dtype = torch.float32
    device: torch.device = torch.device("cpu")
    parts: tuple[torch.nn.Module, ...] = ()
    """The modules between noise and image: on the device while noise is optimised."""
    reading: tuple[torch.nn.Module, ...] = ()
    """The text encoders: on the device only within `encode`."""
    static: bool = False
    """Whether `__call__` and `decode` run the same kernels on every call, draw no number, and leave no value for the
    host to read or bring: then a CUDA graph can replay them."""
    drafts: bool = False
    """Whether `draft` makes other images than `__call__`."""
    noises: int = 0
    """How many further noises of `latent_shape` one image takes, as between the steps of a sampler. They are drawn from
    the trial's seed once, are not optimised, and are given by `with_noises`."""
    blocks: tuple[torch.nn.Module, ...] = ()
    """The modules whose blocks may be checkpointed, compiled and kept in channels-last memory."""

    def check_prompt(self, text: str) -> None:
        """Raises BadInput if a text encoder would cut the text."""

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Encodes B prompts once; independent of the noise."""
        return list(prompts)

    def with_noises(self, conditioning: Conditioning, noises: torch.Tensor) -> Conditioning:
        """B encoded prompts with the further noises (B, `noises`, *latent_shape) of each trial."""
        raise TypeError(f"{type(self).__name__} has no with_noises(conditioning, noises)")

    def __call__(self, noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Noise (B, *latent_shape) ~ N(0, I), float32 or wider, and B encoded prompts to images (B, 3, H, W) in
        [0, 1]."""
        raise TypeError(f"{type(self).__name__} has no __call__(noise, conditioning)")

    def draft(self, noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """The images that a method sees while it optimises: those of `__call__`, or of a small decoder in place of the
        generator's own. The same shapes and ranges."""
        return self(noise, conditioning)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (B, *latent_shape) to images (B, 3, H, W) in [0, 1] by the image decoder alone. Raises BadInput if
        the generator has none."""
        raise BadInput("this generator has no image decoder of its own; use another method than decoder_only")

    def bring(self) -> None:
        """Moves everything but the text encoders to the device."""
        bring(self.device, self.parts)

    def leave(self) -> None:
        """Moves everything to host memory, until the next `bring`."""
        send_away(self.device, (*self.parts, *self.reading))

    def run_as(self, execution: Execution) -> None:
        """Switches checkpointing, compilation and channels-last memory of the blocks on or off."""
        form = torch.channels_last if execution.channels_last else torch.contiguous_format
        for module in self.blocks:
            set_checkpointing(module, bool(execution.checkpointing), compiled=bool(execution.compile))
            module.to(memory_format=form)
