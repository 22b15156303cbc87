"""Runs a Stable Diffusion pipeline in one step without guidance, as SD-Turbo does, with a gradient to the noise.

`StableDiffusionPipeline.__call__` runs under no_grad, so its parts are composed here; from the same latents both make
the same image. Only the parts that are used are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from reno.device.residence import visiting
from reno.generators import Generator
from reno.spec.errors import BadInput, typed_line
from reno.weights.files import read_json
from reno.weights.loading import load_part
from reno.weights.reading import variant_in
from reno.weights.texts import check_length, load_tokenizer, text_limit

FOLDERS = ("text_encoder", "unet", "vae")


class StableDiffusion(Generator):
    """G(noise, prompt) -> image, by U-Net and VAE decoder."""

    def __init__(
        self,
        folder: Path,
        *,
        variant: str | None,
        dtype: torch.dtype,
        device: torch.device,
        timestep: int | None = None,
    ):
        """Loads a folder in the layout of StableDiffusionPipeline.save_pretrained. Raises BadInput if it is not one.

        timestep: of the one step, 0 to 999; None: the scheduler's own, which is the noisiest.
        """
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel

        self.folder, self.dtype, self.device = folder, dtype, device

        def part(kind: type, name: str, unused: tuple[str, ...] = ()) -> torch.nn.Module:
            stored = variant_in(folder / name, variant)  # a part may be stored in another precision than the others
            return load_part(kind, folder, name, variant=stored, dtype=dtype, device=device, unused=unused)

        self.text_encoder = part(CLIPTextModel, "text_encoder")
        self.unet = part(UNet2DConditionModel, "unet")
        self.vae = part(AutoencoderKL, "vae", unused=("encoder.", "quant_conv."))
        self.vae.encoder = self.vae.quant_conv = None  # images are decoded and never encoded
        self.parts, self.reading = (self.unet, self.vae), (self.text_encoder,)
        self.blocks = (self.unet, self.vae.decoder)
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
        if self.prediction not in ("epsilon", "v_prediction"):
            raise BadInput(
                f"the generator in {self.folder} predicts {self.prediction!r}; only epsilon and v_prediction are known"
            )
        if timestep is None and scheduler.config.get("timestep_spacing") != "trailing":
            raise BadInput(
                f"the scheduler in {self.folder} must have timestep_spacing trailing, because one step must start at "
                "pure noise; or give the step with models.generator.timestep=999"
            )
        if timestep is None:
            scheduler.set_timesteps(1)
        else:
            last = scheduler.config.num_train_timesteps - 1
            if isinstance(timestep, bool) or not isinstance(timestep, int) or not 0 <= timestep <= last:
                raise BadInput(f"models.generator.timestep must be a whole number, 0 to {last}, not {timestep!r}")
            scheduler.set_timesteps(timesteps=[timestep])
        self.timestep = scheduler.timesteps[0].to(self.device)
        self.sigma = float(scheduler.sigmas[0])
        self.init_noise_sigma = float(scheduler.init_noise_sigma)

    def check_prompt(self, text: str) -> None:
        check_length(self.tokenizer, text, self.limit, "the generator's text encoder")

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings (B, tokens, width) of B prompts."""
        tokens = self.tokenizer(list(prompts), padding="max_length", max_length=self.limit, return_tensors="pt")
        tokens = tokens.to(self.device)
        masked = getattr(self.text_encoder.config, "use_attention_mask", False)
        with visiting(self.device, self.reading):
            return self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask if masked else None)[0]

    def __call__(self, noise: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        latents = noise * self.init_noise_sigma
        scaled = latents / (self.sigma**2 + 1) ** 0.5  # Karras et al. 2022, c_in with unit data variance
        output = self.unet(scaled.to(self.dtype), self.timestep, conditioning).sample.to(noise.dtype)
        if self.prediction == "epsilon":
            clean = latents - self.sigma * output
        else:
            clean = latents / (self.sigma**2 + 1) - output * self.sigma / (self.sigma**2 + 1) ** 0.5
        return self.decode(clean)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        decoded = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return (decoded.to(latents.dtype) / 2 + 0.5).clamp(0, 1)


load = StableDiffusion
