"""diffusers' pipelines of the generators, loaded in float32 from the same folders, and how each is called."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

from reno.generators import flux_schnell, pixart_dmd, sana_sprint
from reno.running.located import LocatedGenerator
from reno.weights.parts import Parts
from reno.weights.reading import is_file
from reno.weights.texts import load_tokenizer

Called: TypeAlias = tuple[Any, dict[str, Any]]
"""A pipeline, and the arguments of its call besides those that every pipeline gets."""
FILES = {"torch_dtype": torch.float32, "use_safetensors": True, "local_files_only": True}


def _stable_diffusion(located: LocatedGenerator, latents: torch.Tensor) -> Called:
    from diffusers import StableDiffusionPipeline

    checkpoint, unused = located.checkpoint, {"safety_checker": None, "requires_safety_checker": False}
    pipeline = StableDiffusionPipeline.from_pretrained(checkpoint.folder, variant=checkpoint.variant, **FILES, **unused)
    return pipeline, {"latents": latents, "guidance_scale": 0.0}


def _sdxl(located: LocatedGenerator, latents: torch.Tensor) -> Called:
    """With the parts that are from elsewhere put in as their authors' pages say."""
    from diffusers import AutoencoderKL, LCMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from safetensors.torch import load_file

    folder, given = located.checkpoint.folder, {}
    if vae := located.parts.get("vae"):
        given["vae"] = AutoencoderKL.from_pretrained(vae.folder / vae.inside, variant=vae.variant, **FILES)
    if unet := located.parts.get("unet"):
        if is_file(unet.inside):
            config = UNet2DConditionModel.load_config(folder, subfolder="unet", local_files_only=True)
            given["unet"] = UNet2DConditionModel.from_config(config)
            given["unet"].load_state_dict(load_file(unet.folder / unet.inside))
        else:
            place = unet.folder / unet.inside
            given["unet"] = UNet2DConditionModel.from_pretrained(place, variant=unet.variant, **FILES)
    variant = located.checkpoint.variant
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder, variant=variant, add_watermarker=False, **given, **FILES
    )
    if located.spec.options.get("sampler") == "lcm":
        pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    return pipeline, {"latents": latents, "guidance_scale": 0.0}


def _sana_sprint(located: LocatedGenerator, latents: torch.Tensor) -> Called:
    from diffusers import SanaSprintPipeline

    checkpoint, guidance = located.checkpoint, located.spec.options.get("guidance", sana_sprint.GUIDANCE)
    pipeline = SanaSprintPipeline.from_pretrained(checkpoint.folder, variant=checkpoint.variant, **FILES)
    exactly = {"intermediate_timesteps": None, "use_resolution_binning": False}
    return pipeline, {"latents": latents, "guidance_scale": guidance, **exactly}


def _flux_schnell(located: LocatedGenerator, latents: torch.Tensor) -> Called:
    from diffusers import FluxPipeline

    checkpoint = located.checkpoint
    pipeline = FluxPipeline.from_pretrained(checkpoint.folder, variant=checkpoint.variant, **FILES)
    packed = FluxPipeline._pack_latents(latents, *latents.shape)
    return pipeline, {"latents": packed, "guidance_scale": 0.0, "max_sequence_length": flux_schnell.TOKENS}


def _pixart_dmd(located: LocatedGenerator, latents: torch.Tensor) -> Called:
    """With the distilled transformer and its scheduler put in, as ReNO's own code does."""
    from diffusers import DDPMScheduler, PixArtAlphaPipeline

    checkpoint = located.checkpoint
    stored = Parts(checkpoint.folder, checkpoint.variant, located.parts)
    given = {"tokenizer": load_tokenizer(checkpoint.folder / "tokenizer")}  # theirs needs the package sentencepiece
    if part := located.parts.get("transformer"):
        kind = pixart_dmd.transformer_class(stored)
        given["transformer"] = kind.from_pretrained(stored.place("transformer"), variant=part.variant, **FILES)
    pipeline = PixArtAlphaPipeline.from_pretrained(checkpoint.folder, variant=checkpoint.variant, **given, **FILES)
    pipeline.scheduler = DDPMScheduler.from_pretrained(pixart_dmd.schedule_file(stored).parent, local_files_only=True)
    step = located.spec.options.get("timestep", pixart_dmd.TIMESTEP)
    exactly = {"clean_caption": False, "use_resolution_binning": False}
    at_that_step = {"timesteps": [step], "num_inference_steps": None}
    return pipeline, {"latents": latents, "guidance_scale": 1.0, **exactly, **at_that_step}


PIPELINES = {
    "reno.generators.stable_diffusion": _stable_diffusion,
    "reno.generators.sdxl": _sdxl,
    sana_sprint.__name__: _sana_sprint,
    flux_schnell.__name__: _flux_schnell,
    pixart_dmd.__name__: _pixart_dmd,
}
"""By a generator's module, what loads diffusers' pipeline of its folders."""
