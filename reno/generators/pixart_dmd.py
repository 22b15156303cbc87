"""Runs a PixArt-alpha that distribution matching distillation made a one-step model, with a gradient to the noise.

(Chen et al. 2023, arXiv 2310.00426; Yin et al. 2023, arXiv 2311.18828.) The transformer takes noise for latents of the
timestep 400 and predicts the noise in them; the clean latents follow: x_0 = (x - sqrt(1 - a) e) / sqrt(a), with a the
product of 1 - beta up to that timestep. `PixArtAlphaPipeline.__call__` runs under no_grad, so its parts are composed
here; from the same latents both make the same image.

The transformer and its scheduler are one published checkpoint, the text encoder and the VAE another
(models.generator.parts). The text encoder is T5-XXL. It is let go once it has read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from reno.generators import Generator
from reno.generators._pipeline import Family, check_family, deciding, known_sides
from reno.generators._texts import Readers, lowered
from reno.spec.errors import BadInput, typed_line
from reno.weights.checkpoints import Located
from reno.weights.files import read_json
from reno.weights.parts import Parts
from reno.weights.texts import TextReader, load_tokenizer, text_limit

TEXT_FOLDERS = ("text_encoder",)
FOLDERS = (*TEXT_FOLDERS, "transformer", "vae")
PARTS = ("transformer",)
FAMILY = Family(r"PixArtAlpha\w*", ("PixArtTransformer2DModel", "Transformer2DModel"), "PixArtAlphaPipeline")
TIMESTEP = 400
TOKENS = 120
"""Tokens of T5 that the model was trained with."""
SIZED = 128
"""The `sample_size` of transformers that are told the size of the image, as the pipeline has it."""
SCHEDULE = "scheduler_config.json"


class PixArtDmd(Generator):
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
        parts: Mapping[str, Located] | None = None,
        timestep: int = TIMESTEP,
        height: int | None = None,
        width: int | None = None,
    ):
        """Loads a folder in the layout of PixArtAlphaPipeline.save_pretrained. Raises BadInput if it is not one, or for
        an option that cannot be used.

        embeddings: B prompts to their embeddings (B, 120, width) and masks (B, 120); see `text_encoders`. parts: the
        transformer, if it is from another checkpoint. timestep: of the one step. height, width: of the images, pixels;
        None: those that the model was trained with.
        """
        from diffusers import AutoencoderKL

        self.dtype, self.device, self.encode = dtype, device, embeddings
        self.reader = reader(folder, parts=parts, timestep=timestep, height=height, width=width)
        stored, how = Parts(folder, variant, parts or {}), {"dtype": dtype, "device": device}
        self.transformer = stored.load(transformer_class(stored), "transformer", **how)
        self.vae = stored.load(AutoencoderKL, "vae", **how, unused=("encoder.", "quant_conv."))
        self.vae.encoder = self.vae.quant_conv = None  # images are decoded and never encoded
        self.parts = (self.transformer, self.vae)
        self.blocks = (self.transformer, self.vae.decoder)
        self.bring()
        self.timestep = timestep
        self.kept, self.bound = _schedule(stored, timestep)
        shrunk = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.image_size = self.reader.image_size
        self.latent_shape = (self.transformer.config.in_channels, *(side // shrunk for side in self.image_size))

    def check_prompt(self, text: str) -> None:
        self.reader.check_prompt(text)

    def __call__(self, noise: torch.Tensor, conditioning: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        embeddings, mask = conditioning
        output = self.transformer(
            noise.to(self.dtype),
            encoder_hidden_states=embeddings,
            encoder_attention_mask=mask,
            timestep=torch.full((len(noise),), self.timestep, device=noise.device),
            added_cond_kwargs=self._size(len(noise), noise.device),
        ).sample.to(noise.dtype)
        predicted = output[:, : noise.shape[1]]  # the other channels are a variance
        clean = (noise - math.sqrt(1 - self.kept) * predicted) / math.sqrt(self.kept)
        return self.decode(clean if self.bound is None else clean.clamp(-self.bound, self.bound))

    def _size(self, batch: int, device: torch.device) -> dict[str, torch.Tensor | None]:
        """What a transformer for 1024 pixels is told of the image: its sides (B, 2) and their ratio (B, 1)."""
        if self.transformer.config.sample_size != SIZED:
            return {"resolution": None, "aspect_ratio": None}
        height, width = self.image_size
        sides = torch.full((batch, 2), height, device=device, dtype=self.dtype)
        sides[:, 1].fill_(width)
        return {"resolution": sides, "aspect_ratio": torch.full_like(sides[:, :1], height / width)}

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        decoded = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return (decoded.to(latents.dtype) / 2 + 0.5).clamp(0, 1)


def transformer_class(stored: Parts) -> type:
    """The class that the transformer's configuration names. Those of PixArt-alpha were published before diffusers had a
    class of its own for them."""
    from diffusers import PixArtTransformer2DModel, Transformer2DModel

    older = stored.config("transformer").get("_class_name") == Transformer2DModel.__name__
    return Transformer2DModel if older else PixArtTransformer2DModel


def schedule_file(stored: Parts) -> Path:
    """The scheduler's configuration: that beside the transformer, else the pipeline's."""
    beside = stored.place("transformer").parent / "scheduler" / SCHEDULE
    return beside if beside.is_file() else stored.folder / "scheduler" / SCHEDULE


def _schedule(stored: Parts, timestep: int) -> tuple[float, float | None]:
    """How much of the clean latents' variance is left at a timestep, and the largest magnitude of clean latents (None:
    any)."""
    from diffusers import DDPMScheduler

    path = schedule_file(stored)
    config = read_json(path)
    check_schedule(path, config, timestep)
    try:
        scheduler = DDPMScheduler.from_config(config)
        kept = float(scheduler.alphas_cumprod[timestep])
    except Exception as error:  # a value in the file can raise anything
        raise BadInput(f"cannot make the generator's scheduler of {path} ({typed_line(error)}); correct it") from None
    clipped = config.get("_class_name") == DDPMScheduler.__name__ and scheduler.config.clip_sample
    return kept, scheduler.config.clip_sample_range if clipped else None


def check_schedule(path: Path, config: Mapping[str, Any], timestep: int) -> None:
    """Raises BadInput if one step cannot be made with a scheduler of this configuration, or not at this timestep."""
    prediction = config.get("prediction_type", "epsilon")
    if prediction != "epsilon" or config.get("thresholding"):
        kind = "thresholds its latents" if prediction == "epsilon" else f"is of a model that predicts {prediction!r}"
        raise BadInput(
            f"the scheduler of {path} {kind}; only one with prediction_type epsilon and no thresholding is known"
        )
    last = config.get("num_train_timesteps", 1000) - 1
    if isinstance(timestep, bool) or not isinstance(timestep, int) or not 0 <= timestep <= last:
        raise BadInput(f"models.generator.timestep must be a whole number, 0 to {last}, not {timestep!r}")


load = PixArtDmd


def text_encoders(
    folder: Path, *, variant: str | None, dtype: torch.dtype, device: torch.device
) -> Callable[[str], tuple[torch.Tensor, torch.Tensor]]:
    """Loads T5: a prompt to its embeddings (1, 120, width) and their mask (1, 120), which is 1 where a token is."""
    from transformers import T5EncoderModel

    encoder = Parts(folder, variant).load(T5EncoderModel, "text_encoder", dtype=dtype, device=device).to(device)
    tokenizer = load_tokenizer(folder / "tokenizer")
    limit = min(TOKENS, text_limit(tokenizer, encoder.config))

    def encode(prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = tokenizer(
            [lowered(prompt)], padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
        ).to(device)
        return encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0].to(dtype), tokens.attention_mask

    return encode


def reader(
    folder: Path,
    *,
    parts: Mapping[str, Located] | None = None,
    timestep: int = TIMESTEP,
    height: int | None = None,
    width: int | None = None,
) -> Readers:
    """What checks prompts, without the weights. Raises BadInput for an option that cannot be used."""
    stored = Parts(folder, None, parts or {})
    check_family(FAMILY, folder, stored.config("transformer"))
    if (path := schedule_file(stored)).is_file():
        check_schedule(path, read_json(path), timestep)
    transformer, levels = stored.config("transformer"), stored.config("vae").get("block_out_channels")
    size = known_sides(height, width, transformer.get("sample_size"), levels, transformer.get("patch_size", 2))
    t5 = TextReader("the generator's T5", folder / "tokenizer", folder / "text_encoder", most=TOKENS)
    return Readers([t5], size, lowered)


def identity(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide an image: those that differ from the usual ones."""
    return {key: value for key, value in deciding(options).items() if (key, value) != ("timestep", TIMESTEP)}
