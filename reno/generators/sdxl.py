"""Runs a Stable Diffusion XL pipeline in one step, or a few, without guidance: SDXL-Turbo, Hyper-SDXL, DMD2.

They differ in their weights, sampler and timestep, which conf/models gives. `StableDiffusionXLPipeline.__call__` runs
under no_grad, so its parts are composed here; from the same latents both make the same image.

Two text encoders read the prompt: CLIP ViT-L/14 and OpenCLIP ViT-bigG/14 (817 million parameters, 1.6 GB in float16).
They are let go before the rest is loaded (reno/weights/embeddings.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from reno.generators import Generator
from reno.generators._pipeline import Family, check_family, check_steps, deciding, image_sides, vae_dtype
from reno.generators._schedules import Sampler, SamplerStep, check_schedule, schedule_in
from reno.weights.checkpoints import Located
from reno.weights.embeddings import Embeddings, Encoded, Encoder
from reno.weights.parts import Parts
from reno.weights.texts import TextReader, load_tokenizer, read_config, text_limit

FOLDERS = ("text_encoder", "text_encoder_2", "unet", "vae")
TEXT_FOLDERS = ("text_encoder", "text_encoder_2")
PARTS = ("unet", "vae")
FAMILY = Family(r"StableDiffusionXL\w*", ("UNet2DConditionModel",), "StableDiffusionXLPipeline")


class SDXL(Generator):
    """G(noise, prompt) -> image, by U-Net and VAE decoder."""

    static = True

    def __init__(
        self,
        folder: Path,
        *,
        variant: str | None,
        dtype: torch.dtype,
        device: torch.device,
        embeddings: Embeddings,
        parts: Mapping[str, Located] | None = None,
        sampler: Sampler | None = None,
        timestep: int | None = None,
        steps: int = 1,
        most_steps: int = 1,
        height: int | None = None,
        width: int | None = None,
    ):
        """Loads a folder in the layout of StableDiffusionXLPipeline.save_pretrained. Raises BadInput if it is not one,
        or an option does not fit it.

        embeddings: of prompts. parts: a U-Net or VAE of its own. sampler: in place of the folder's own. timestep: of
        the one step, with `lcm`. steps: 1 to most_steps, which the weights were trained for. height, width: of the
        images, pixels; None: the U-Net's own size.
        """
        from diffusers import AutoencoderKL, UNet2DConditionModel

        self.folder, self.dtype, self.device, self.embeddings = folder, dtype, device, embeddings
        found = Parts(folder, variant, parts or {})
        self.reader = reader(folder, parts=parts, sampler=sampler, timestep=timestep, steps=steps,
                             most_steps=most_steps, height=height, width=width)  # fmt: skip
        self.unet = found.load(UNet2DConditionModel, "unet", dtype=dtype, device=device)
        as_decoder = vae_dtype(dtype, found.config("vae"))
        unused = ("encoder.", "quant_conv.")
        self.vae = found.load(AutoencoderKL, "vae", dtype=as_decoder, device=device, unused=unused)
        self.vae.encoder = self.vae.quant_conv = None  # images are decoded and never encoded
        self.parts, self.blocks = (self.unet, self.vae), (self.unet, self.vae.decoder)
        self.bring()
        self.schedule = schedule_in(folder, sampler, steps, timestep, device)
        self.noises = steps - 1
        self.image_size = height, width = sizes(found, height, width)
        scale = _scale(self.vae.config)
        self.latent_shape = (self.unet.config.in_channels, height // scale, width // scale)
        # The size that training pictures had, where they were cut, and the size asked for; as the pipeline has it.
        self.time_ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=dtype, device=device)

    def check_prompt(self, text: str) -> None:
        self.reader.check_prompt(text)

    def encode(self, prompts: Sequence[str]) -> Encoded:
        """Text embeddings (B, tokens, width) of B prompts, and pooled ones (B, width)."""
        return self.embeddings(prompts)

    def with_noises(self, conditioning: Encoded, noises: torch.Tensor) -> Encoded:
        return (*conditioning, noises)

    def __call__(self, noise: torch.Tensor, conditioning: Encoded) -> torch.Tensor:
        *before, last = self.schedule.steps
        latents = noise * self.schedule.first
        for place, step in enumerate(before):
            clean = self._clean(latents, step, conditioning)
            latents = step.keep * latents + step.clean * clean + step.noise * conditioning[2][:, place]
        return self.decode(self._clean(latents, last, conditioning))

    def _clean(self, latents: torch.Tensor, step: SamplerStep, conditioning: Encoded) -> torch.Tensor:
        """The clean latents (B, *latent_shape) that the U-Net predicts from noisier ones, in their dtype."""
        added = {"text_embeds": conditioning[1], "time_ids": self.time_ids.expand(len(latents), -1)}
        scaled = (latents * step.scale).to(self.dtype)
        output = self.unet(scaled, step.timestep, conditioning[0], added_cond_kwargs=added).sample
        return step.of_latents * latents + step.of_output * output.to(latents.dtype)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        decoded = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.vae.dtype)).sample
        return (decoded.to(latents.dtype) / 2 + 0.5).clamp(0, 1)


load = SDXL


def identity(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide an image."""
    return {key: value for key, value in deciding(options).items() if key != "most_steps"}


def text_encoders(folder: Path, *, variant: str | None, dtype: torch.dtype, device: torch.device) -> Encoder:
    """Loads both text encoders onto the device. One prompt to embeddings (1, tokens, width) and pooled ones
    (1, width), as StableDiffusionXLPipeline.encode_prompt makes them. Raises BadInput."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    found, readers = Parts(folder, variant), []
    for kind, name in ((CLIPTextModel, "text_encoder"), (CLIPTextModelWithProjection, "text_encoder_2")):
        encoder = found.load(kind, name, dtype=dtype, device=device).to(device)
        tokenizer = load_tokenizer(folder / name.replace("text_encoder", "tokenizer"))
        readers.append((tokenizer, encoder, text_limit(tokenizer, encoder.config)))

    @torch.no_grad()
    def encode(prompt: str) -> Encoded:
        hidden, pooled = [], None
        for tokenizer, encoder, limit in readers:
            tokens = tokenizer([prompt], padding="max_length", truncation=True, max_length=limit, return_tensors="pt")
            read = encoder(tokens.input_ids.to(device), output_hidden_states=True)
            hidden.append(read.hidden_states[-2])  # the last layer's is trained for CLIP's own loss
            pooled = read[0]  # of the second encoder: projected, at the end of the text
        return torch.cat(hidden, dim=-1), pooled

    return encode


class Reader:
    """The two tokenizers and the size of the images, without weights."""

    def __init__(self, folder: Path, image_size: tuple[int, int] | None) -> None:
        self.image_size = image_size
        self._texts = [
            TextReader(
                f"the generator's {which}text encoder", folder / f"tokenizer{end}", folder / f"text_encoder{end}"
            )
            for which, end in (("first ", ""), ("second ", "_2"))
        ]

    def check_prompt(self, text: str) -> None:
        for texts in self._texts:
            texts.check_prompt(text)


def reader(
    folder: Path,
    *,
    parts: Mapping[str, Located] | None = None,
    sampler: Sampler | None = None,
    timestep: int | None = None,
    steps: int = 1,
    most_steps: int = 1,
    height: int | None = None,
    width: int | None = None,
) -> Reader:
    """What checks prompts, without the weights. Raises BadInput for options that cannot be used."""
    found = Parts(folder, None, parts or {})
    check_family(FAMILY, folder, found.config("unet"))
    check_steps(steps, most_steps)
    if config := read_config(folder / "scheduler", "scheduler_config.json"):
        check_schedule(folder, config, sampler, steps, timestep)
    return Reader(folder, sizes(found, height, width))


def sizes(parts: Parts, height: int | None, width: int | None) -> tuple[int, int] | None:
    """(height, width) of the images, pixels; None if the configurations do not say. Raises BadInput for a side that
    the U-Net does not halve evenly."""
    unet, vae = parts.config("unet"), parts.config("vae")
    side, blocks = unet.get("sample_size"), unet.get("block_out_channels")
    if side is None or blocks is None or "block_out_channels" not in vae:
        return None
    scale = _scale(vae)
    usual = (side * scale, side * scale) if isinstance(side, int) else (side[0] * scale, side[1] * scale)
    return image_sides(height, width, usual, scale * 2 ** (len(blocks) - 1))


def _scale(vae: Mapping[str, Any]) -> int:
    """Pixels to a side of a latent."""
    return 2 ** (len(vae["block_out_channels"]) - 1)
