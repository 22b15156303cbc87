"""Runs FLUX.1-schnell (Black Forest Labs, 2024) in one to four steps, with a gradient to the noise.

A transformer predicts the velocity v of straight flow, x_s = (1 - s) x_0 + s z. A step from s to s' is x_s +
(s' - s) v, and the last ends at 0; one step gives x_0 = z - v. There is no guidance, and nothing is drawn between
steps. `FluxPipeline.__call__` runs under no_grad, so its parts are composed here; from the same latents both make the
same image.

The noise is (16, H / 8, W / 8). The pipeline's `latents` are the same numbers packed: (H / 16 * W / 16, 64), a token
for each square of 2 x 2. ReNO's own code optimises them packed; the norm of the gradient and the regulariser do not
depend on the order.

The text encoders are CLIP-L, of which the pooled embedding is read, and T5-XXL (9.5 GB). They are let go once they have
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reno.generators import Generator
from reno.generators._pipeline import Family, check_family, check_steps, deciding, image_sides
from reno.generators._texts import Readers
from reno.spec.errors import BadInput, typed_line
from reno.weights.files import read_json
from reno.weights.parts import Parts
from reno.weights.texts import TextReader, load_tokenizer, read_config, text_limit

TEXT_FOLDERS = ("text_encoder", "text_encoder_2")
FOLDERS = (*TEXT_FOLDERS, "transformer", "vae")
DTYPES = ("bfloat16", "float32")  # activations of the transformer and of T5 overflow in float16
FAMILY = Family(r"Flux(?!2)\w*", ("FluxTransformer2DModel",), "FluxPipeline")
MOST_STEPS = 4
USUAL = 512
"""Side of the images in the paper's code, pixels. The model was trained for up to 2 million pixels."""
TOKENS = 256
"""Tokens of T5 that the model was trained with."""
PACKED = 2
"""Side of the square of latents that is one token."""


class FluxSchnell(Generator):
    """G(noise, prompt) -> image, by transformer and VAE decoder."""

    static = True

    def __init__(
        self,
        folder: Path,
        *,
        variant: str | None,
        dtype: torch.dtype,
        device: torch.device,
        embeddings: Callable[[Sequence[str]], tuple[torch.Tensor, ...]],
        steps: int = 1,
        height: int = USUAL,
        width: int = USUAL,
    ):
        """Loads a folder in the layout of FluxPipeline.save_pretrained. Raises BadInput if it is not one, or for an
        option that cannot be used.

        embeddings: B prompts to T5's embeddings (B, 256, width) and CLIP's pooled ones (B, width); see `text_encoders`.
        steps: 1 to 4. height, width: of the images, pixels, multiples of 16.
        """
        from diffusers import AutoencoderKL, FluxTransformer2DModel

        self.folder, self.dtype, self.device, self.encode = folder, dtype, device, embeddings
        self.reader = reader(folder, steps=steps, height=height, width=width)
        stored, how = Parts(folder, variant), {"dtype": dtype, "device": device}
        self.transformer = stored.load(FluxTransformer2DModel, "transformer", **how)
        self.vae = stored.load(AutoencoderKL, "vae", **how, unused=("encoder.", "quant_conv."))
        self.vae.encoder = self.vae.quant_conv = None  # images are decoded and never encoded
        self.parts = (self.transformer, self.vae)
        self.blocks = (self.transformer, self.vae.decoder)
        self.bring()
        shrunk = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.image_size = image_sides(height, width, (USUAL, USUAL), shrunk * PACKED)
        rows, columns = (side // shrunk for side in self.image_size)
        self.latent_shape = (self.transformer.config.in_channels // PACKED**2, rows, columns)
        self.sigmas, self.times = self._schedule(steps)
        places = torch.cartesian_prod(torch.arange(rows // PACKED), torch.arange(columns // PACKED))
        self.places = torch.nn.functional.pad(places, (1, 0)).to(device, dtype)
        self.text_places = torch.zeros(TOKENS, 3, dtype=dtype, device=device)

    def _schedule(self, steps: int) -> tuple[list[float], list[float]]:
        """The steps' s, with 0 after the last, and their times in thousandths, as FluxPipeline asks its scheduler."""
        from diffusers import FlowMatchEulerDiscreteScheduler
        from diffusers.pipelines.flux.pipeline_flux import calculate_shift

        path = self.folder / "scheduler" / FlowMatchEulerDiscreteScheduler.config_name
        config = read_json(path)
        check_schedule(self.folder, config)
        try:
            scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
            of = scheduler.config
            tokens = self.latent_shape[1] * self.latent_shape[2] // PACKED**2
            bounds = of.base_image_seq_len, of.max_image_seq_len, of.base_shift, of.max_shift
            scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=calculate_shift(tokens, *bounds))
        except Exception as error:  # a value in the file can raise anything
            raise BadInput(
                f"cannot make the generator's scheduler of {path} ({typed_line(error)}); correct it"
            ) from None
        return scheduler.sigmas.tolist(), scheduler.timesteps.tolist()

    def check_prompt(self, text: str) -> None:
        self.reader.check_prompt(text)

    def __call__(self, noise: torch.Tensor, conditioning: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        embeddings, pooled = conditioning
        latents = packed(noise)
        for time, (start, end) in zip(self.times, pairwise(self.sigmas), strict=True):
            velocity = self.transformer(
                hidden_states=latents.to(self.dtype),
                timestep=torch.full((len(noise),), time, device=noise.device, dtype=self.dtype) / 1000,
                pooled_projections=pooled,
                encoder_hidden_states=embeddings,
                txt_ids=self.text_places,
                img_ids=self.places,
            ).sample.to(noise.dtype)
            latents = latents + (end - start) * velocity
        return self.decode(unpacked(latents, self.latent_shape))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        given = latents / self.vae.config.scaling_factor + self.vae.config.shift_factor
        decoded = self.vae.decode(given.to(self.dtype)).sample
        return (decoded.to(latents.dtype) / 2 + 0.5).clamp(0, 1)


def packed(latents: torch.Tensor) -> torch.Tensor:
    """Latents (B, C, h, w) as tokens (B, h / 2 * w / 2, 4 C): row after row, and in a token channel after channel."""
    batch, channels, rows, columns = latents.shape
    squares = latents.view(batch, channels, rows // PACKED, PACKED, columns // PACKED, PACKED)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * PACKED**2)


def unpacked(tokens: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Tokens (B, h / 2 * w / 2, 4 C) as latents (B, C, h, w). shape: (C, h, w)."""
    channels, rows, columns = shape
    squares = tokens.view(-1, rows // PACKED, columns // PACKED, channels, PACKED, PACKED)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(-1, *shape)


def check_schedule(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises BadInput for a scheduler of another kind."""
    kind = config.get("_class_name", "FlowMatchEulerDiscreteScheduler")
    if kind != "FlowMatchEulerDiscreteScheduler" or config.get("stochastic_sampling"):
        raise BadInput(
            f"the scheduler in {folder} is a {kind}; FLUX.1-schnell has a FlowMatchEulerDiscreteScheduler without "
            "stochastic_sampling"
        )


load = FluxSchnell


def text_encoders(
    folder: Path, *, variant: str | None, dtype: torch.dtype, device: torch.device
) -> Callable[[str], tuple[torch.Tensor, torch.Tensor]]:
    """Loads T5 and CLIP: a prompt to T5's embeddings (1, 256, width) and CLIP's pooled one (1, width)."""
    from transformers import CLIPTextModel, T5EncoderModel

    stored, how = Parts(folder, variant), {"dtype": dtype, "device": device}
    clip = stored.load(CLIPTextModel, "text_encoder", **how).to(device)
    t5 = stored.load(T5EncoderModel, "text_encoder_2", **how).to(device)
    tokenizers = load_tokenizer(folder / "tokenizer"), load_tokenizer(folder / "tokenizer_2")
    limits = text_limit(tokenizers[0], clip.config), min(TOKENS, text_limit(tokenizers[1], t5.config))

    def encode(prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        ids = [
            tokenizer([prompt], padding="max_length", truncation=True, max_length=limit, return_tensors="pt").input_ids
            for tokenizer, limit in zip(tokenizers, limits, strict=True)
        ]
        return t5(ids[1].to(device))[0], clip(ids[0].to(device)).pooler_output  # no mask: padding is read too

    return encode


def reader(folder: Path, *, steps: int = 1, height: int = USUAL, width: int = USUAL) -> Readers:
    """What checks prompts, without the weights. Raises BadInput for an option that cannot be used."""
    transformer = read_config(folder / "transformer")
    check_family(FAMILY, folder, transformer)
    check_steps(steps, MOST_STEPS)
    if transformer.get("guidance_embeds"):
        raise BadInput(
            f"the FLUX in {folder} takes a guidance, as FLUX.1-dev does, and was not made for few steps; use "
            "FLUX.1-schnell"
        )
    if schedule := read_config(folder / "scheduler", "scheduler_config.json"):
        check_schedule(folder, schedule)
    levels = read_config(folder / "vae").get("block_out_channels")
    size = image_sides(height, width, (USUAL, USUAL), 2 ** len(levels)) if isinstance(levels, list) else None
    return Readers(
        [
            TextReader("the generator's CLIP", folder / "tokenizer", folder / "text_encoder"),
            TextReader("the generator's T5", folder / "tokenizer_2", folder / "text_encoder_2", most=TOKENS),
        ],
        size,
    )


def identity(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide an image: those that differ from the usual ones."""
    usual = {"height": USUAL, "width": USUAL}
    return {key: value for key, value in deciding(options).items() if usual.get(key) != value}
