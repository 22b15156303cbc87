"""A Stable Diffusion pipeline folder run in one step without guidance, as SD-Turbo is, with a gradient to the noise.

`StableDiffusionPipeline.__call__` runs under no_grad, so its parts are composed here; from the same latents both make
the same image. Only the parts that are used are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from reno.checkpointing import set_checkpointing
from reno.errors import BadInput, first_line
from reno.residence import bring, send_away, visiting
from reno.skeleton import model_without_weights
from reno.spec import Execution
from reno.tokens import check_length

PARTS = ("text_encoder", "unet", "vae")
"""The subfolders with weights."""


class OneStepGenerator:
    """G(noise, prompt) -> image. Frozen; `encode` once, then call as often as wanted."""

    def __init__(self, folder: Path, *, variant: str | None, dtype: torch.dtype, device: torch.device):
        """Loads a folder in the layout of StableDiffusionPipeline.save_pretrained. On the meta device no weights are
        read: the modules have their shapes and no values. Raises BadInput if it is not such a folder."""
        from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
        from transformers import AutoTokenizer, CLIPTextModel

        def part(model_class, name):
            try:
                if device.type == "meta":
                    return model_without_weights(model_class, folder / name, dtype)
                model = model_class.from_pretrained(
                    folder / name, variant=variant, torch_dtype=dtype, use_safetensors=True, local_files_only=True
                )
            except (OSError, ValueError, RuntimeError) as error:
                raise BadInput(f"cannot load {name} of the generator in {folder}: {first_line(error)}") from None
            return model.eval().requires_grad_(False)

        self.folder, self.dtype, self.device = folder, dtype, device
        self.text_encoder = part(CLIPTextModel, "text_encoder")
        self.unet = part(UNet2DConditionModel, "unet")
        self.vae = part(AutoencoderKL, "vae")
        self.vae.encoder = self.vae.quant_conv = None  # images are only ever decoded
        self.bring()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
            scheduler = EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
        except (OSError, ValueError) as error:
            raise BadInput(f"cannot load the generator in {folder}: {first_line(error)}") from None
        self._take_step(scheduler)

    def _take_step(self, scheduler) -> None:
        """Reads off the one step's constants: from sigma to 0, an Euler step lands on the predicted clean latents."""
        scheduler.set_timesteps(1)
        self.prediction = scheduler.config.prediction_type
        if self.prediction not in ("epsilon", "v_prediction"):
            raise BadInput(
                f"the generator in {self.folder} predicts {self.prediction!r}; only epsilon and v_prediction are known"
            )
        if scheduler.config.get("timestep_spacing") != "trailing":
            raise BadInput(
                f"the scheduler in {self.folder} must have timestep_spacing trailing: one step has to start at "
                f"pure noise"
            )
        self.timestep = scheduler.timesteps[0].to(self.device)
        self.sigma = float(scheduler.sigmas[0])
        self.init_noise_sigma = float(scheduler.init_noise_sigma)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of the noise."""
        side = self.unet.config.sample_size
        return self.unet.config.in_channels, *((side, side) if isinstance(side, int) else side)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the images."""
        scale = 2 ** (len(self.vae.config.block_out_channels) - 1)
        _, height, width = self.latent_shape
        return height * scale, width * scale

    def bring(self) -> None:
        """Everything but the text encoder, which comes by itself when there is something to read, to the device."""
        bring(self.device, self.unet, self.vae)

    def leave(self) -> None:
        """Everything to host memory, until the next `bring`; a generator that no job uses need not hold a GPU's."""
        send_away(self.device, self.unet, self.vae)

    def run_as(self, execution: Execution) -> None:
        """Whether the blocks of U-Net and VAE decoder are checkpointed, compiled, and in channels-last memory, from
        here on."""
        form = torch.channels_last if execution.channels_last else torch.contiguous_format
        for module in (self.unet, self.vae.decoder):
            set_checkpointing(module, bool(execution.checkpointing), compiled=execution.compile)
            module.to(memory_format=form)

    def check_prompt(self, text: str) -> None:
        """Raises BadInput if the text encoder would cut the text, saying what."""
        check_length(self.tokenizer, text, self.tokenizer.model_max_length, "the generator's text encoder")

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings (B, tokens, width) of B prompts."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", max_length=self.tokenizer.model_max_length, return_tensors="pt"
        ).to(self.device)
        masked = getattr(self.text_encoder.config, "use_attention_mask", False)
        with visiting(self.device, self.text_encoder):
            return self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask if masked else None)[0]

    def __call__(self, noise: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """Noise (B, C, h, w) ~ N(0, I), float32, and the embeddings of B prompts to images (B, 3, H, W) in [0, 1]."""
        latents = noise * self.init_noise_sigma
        scaled = latents / (self.sigma**2 + 1) ** 0.5  # Karras et al. 2022, c_in with unit data variance
        output = self.unet(scaled.to(self.dtype), self.timestep, encoded).sample.to(noise.dtype)
        if self.prediction == "epsilon":
            clean = latents - self.sigma * output
        else:
            clean = latents / (self.sigma**2 + 1) - output * self.sigma / (self.sigma**2 + 1) ** 0.5
        return self.decode(clean)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, h, w) to images (B, 3, H, W) in [0, 1], by the VAE alone."""
        decoded = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return (decoded.to(latents.dtype) / 2 + 0.5).clamp(0, 1)
