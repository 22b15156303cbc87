"""Runs a Stable Diffusion pipeline in one step without guidance, as SD-Turbo does, with a gradient to the noise.

`StableDiffusionPipeline.__call__` runs under no_grad, so its parts are composed here; from the same latents both make
the same image. Only the parts that are used are loaded.

A small decoder (diffusers' AutoencoderTiny, such as madebyollin/taesd) can make the drafts: at 512 x 512 it takes 0.14
TFLOP for an image where the VAE's decoder takes 2.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from reno.device.residence import visiting
from reno.generators import Generator
from reno.generators._pipeline import Family, check_family
from reno.spec.errors import BadInput, typed_line
from reno.weights.files import read_json
from reno.weights.loading import load_part
from reno.weights.reading import variant_in
from reno.weights.texts import TextReader, check_length, load_tokenizer, read_config, text_limit

FOLDERS = ("text_encoder", "unet", "vae")
FAMILY = Family(r"StableDiffusion(?!XL|3)\w*", ("UNet2DConditionModel",), "StableDiffusionPipeline")
READER = "the generator's text encoder"


class StableDiffusion(Generator):
    """G(noise, prompt) -> image, by U-Net and VAE decoder."""

    static = True

    def __init__(
        self,
        folder: Path,
        *,
        variant: str | None,
        dtype: torch.dtype,
        device: torch.device,
        timestep: int | None = None,
        decoder: Path | None = None,
    ):
        """Loads a folder in the layout of StableDiffusionPipeline.save_pretrained. Raises BadInput if it is not one, or
        if the small decoder does not fit it.

        timestep: of the one step, 0 to 999; None: the scheduler's own, which is the noisiest. decoder: the folder of an
        AutoencoderTiny that makes the drafts; None: the VAE makes them.
        """
        from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
        from transformers import CLIPTextModel

        self.folder, self.dtype, self.device = folder, dtype, device
        reader(folder, timestep=timestep, decoder=decoder)  # what it refuses needs no weights

        def part(kind: type, name: str, unused: tuple[str, ...] = ()) -> torch.nn.Module:
            stored = variant_in(folder / name, variant)  # a part may be stored in another precision than the others
            return load_part(kind, folder, name, variant=stored, dtype=dtype, device=device, unused=unused)

        self.text_encoder = part(CLIPTextModel, "text_encoder")
        self.unet = part(UNet2DConditionModel, "unet")
        self.vae = part(AutoencoderKL, "vae", unused=("encoder.", "quant_conv."))
        self.vae.encoder = self.vae.quant_conv = None  # images are decoded and never encoded
        self.reading = (self.text_encoder,)
        self.drafts = decoder is not None
        if self.drafts:
            small = load_part(
                AutoencoderTiny, decoder, "", variant=None, dtype=dtype, device=device, unused=("encoder.",)
            )
            check_decoder(decoder, small.config, self.vae.config)
            small.encoder = None
            self.small_decoder = small
        decoders = (self.vae, self.small_decoder) if self.drafts else (self.vae,)
        self.parts = (self.unet, *decoders)
        self.blocks = (self.unet, *(one.decoder for one in decoders))
        self.bring()
        self.tokenizer = load_tokenizer(folder / "tokenizer")
        self.limit = text_limit(self.tokenizer, self.text_encoder.config)
        self._read_schedule(timestep)
        side = self.unet.config.sample_size
        self.latent_shape = (self.unet.config.in_channels, *((side, side) if isinstance(side, int) else side))
        scale = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.image_size = (self.latent_shape[1] * scale, self.latent_shape[2] * scale)

    def _read_schedule(self, timestep: int | None) -> None:
        """Reads the constants of the one step: an Euler step from sigma to 0 gives the predicted clean latents."""
        from diffusers import EulerDiscreteScheduler

        path = self.folder / "scheduler" / EulerDiscreteScheduler.config_name
        config = read_json(path)
        try:
            scheduler = EulerDiscreteScheduler.from_config(config)
        except Exception as error:  # a value in the file can raise anything
            raise BadInput(
                f"cannot make the generator's scheduler of {path} ({typed_line(error)}); correct it"
            ) from None
        self.prediction = scheduler.config.prediction_type
        check_schedule(self.folder, scheduler.config, timestep)
        if timestep is None:
            scheduler.set_timesteps(1)
        else:
            scheduler.set_timesteps(timesteps=[timestep])
        self.timestep = scheduler.timesteps[0].to(self.device)
        self.sigma = float(scheduler.sigmas[0])
        self.init_noise_sigma = float(scheduler.init_noise_sigma)

    def check_prompt(self, text: str) -> None:
        check_length(self.tokenizer, text, self.limit, READER)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings (B, tokens, width) of B prompts."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=self.limit, return_tensors="pt"
        )
        tokens = tokens.to(self.device)
        masked = getattr(self.text_encoder.config, "use_attention_mask", False)
        with visiting(self.device, self.reading):
            return self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask if masked else None)[0]

    def __call__(self, noise: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        return self.decode(self._clean(noise, conditioning))

    def draft(self, noise: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        clean = self._clean(noise, conditioning)
        return _decoded(self.small_decoder if self.drafts else self.vae, clean, self.dtype)

    def _clean(self, noise: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        """The latents (B, *latent_shape) that the U-Net predicts from noise, in the noise's dtype."""
        latents = noise * self.init_noise_sigma
        scaled = latents / (self.sigma**2 + 1) ** 0.5  # Karras et al. 2022, c_in with unit data variance
        output = self.unet(scaled.to(self.dtype), self.timestep, conditioning).sample.to(noise.dtype)
        if self.prediction == "epsilon":
            return latents - self.sigma * output
        return latents / (self.sigma**2 + 1) - output * self.sigma / (self.sigma**2 + 1) ** 0.5

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return _decoded(self.vae, latents, self.dtype)


def _decoded(autoencoder: torch.nn.Module, latents: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The images (B, 3, H, W) in [0, 1] of latents, by an autoencoder that runs in `dtype`. Each knows by what factor
    the U-Net's latents are its own."""
    decoded = autoencoder.decode((latents / autoencoder.config.scaling_factor).to(dtype)).sample
    return (decoded.to(latents.dtype) / 2 + 0.5).clamp(0, 1)


def check_decoder(folder: Path, small: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Raises BadInput if a small decoder makes no images of a VAE's latents, or images of another size.

    folder: the decoder's. small, vae: the two configurations, which need not be whole."""
    try:
        wider = small["upsampling_scaling_factor"] ** (len(small["num_decoder_blocks"]) - 1)
        found = small["latent_channels"], wider
        asked = vae["latent_channels"], 2 ** (len(vae["block_out_channels"]) - 1)
    except (KeyError, TypeError):  # then loading it says what is wrong
        return
    if found != asked:
        raise BadInput(
            f"the small decoder in {folder} takes latents of {found[0]} channels to images {found[1]} times as wide, "
            f"and the generator's latents have {asked[0]} channels and its images are {asked[1]} times as wide; use "
            "models.generator.decoder=null"
        )


def check_schedule(folder: Path, config: Mapping[str, Any], timestep: int | None) -> None:
    """Raises BadInput if one step cannot be made with a scheduler of this configuration, or not at this timestep."""
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise BadInput(f"the generator in {folder} predicts {prediction!r}; only epsilon and v_prediction are known")
    if timestep is None and config.get("timestep_spacing") != "trailing":
        raise BadInput(
            f"the scheduler in {folder} must have timestep_spacing trailing, because one step must start at "
            "pure noise; or give the step with models.generator.timestep=999"
        )
    last = config.get("num_train_timesteps", 1000) - 1
    if timestep is not None and (
        isinstance(timestep, bool) or not isinstance(timestep, int) or not 0 <= timestep <= last
    ):
        raise BadInput(f"models.generator.timestep must be a whole number, 0 to {last}, not {timestep!r}")


load = StableDiffusion


class PipelineReader(TextReader):
    """A pipeline's tokenizer and the size of its images, without its weights."""

    def __init__(self, folder: Path, decoder: Path | None = None) -> None:
        super().__init__(READER, folder / "tokenizer", folder / "text_encoder")
        side = read_config(folder / "unet").get("sample_size")
        vae = read_config(folder / "vae")
        blocks = vae.get("block_out_channels")
        if decoder is not None:
            check_decoder(decoder, read_config(decoder), vae)
        sides = (side, side) if isinstance(side, int) else side
        self.image_size = tuple(2 ** (len(blocks) - 1) * one for one in sides) if sides and blocks else None


def reader(folder: Path, *, timestep: int | None = None, decoder: Path | None = None) -> PipelineReader:
    """What checks prompts, without the weights. Raises BadInput for a scheduler, timestep or decoder that cannot be
    used."""
    check_family(FAMILY, folder, read_config(folder / "unet"))
    if schedule := read_config(folder / "scheduler", "scheduler_config.json"):
        check_schedule(folder, schedule, timestep)
    return PipelineReader(folder, decoder)
