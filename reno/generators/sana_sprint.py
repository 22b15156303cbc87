"""Runs SANA-Sprint (Chen et al. 2025, arXiv 2503.09641) in one to four steps, with a gradient to the noise.

A linear diffusion transformer predicts a velocity v of trigonometric flow: x_t = cos(t) x_0 + sin(t) z, with the angle
t from pi / 2 (noise) to 0. One step from t gives x_0 = cos(t) x_t - sin(t) v. The guidance is an input of the network,
so an image takes one pass. `SanaSprintPipeline.__call__` runs under no_grad, so its parts are composed here; from the
same latents both make the same image. (The pipeline multiplies all latents by the scheduler's sigma_data and divides
them by it again before the decoder; here they have variance 1 throughout.)

Between two steps the pipeline draws noise. Here it is drawn once from the trial's seed (`Generator.noises`), so that an
image is a function of the noise that is optimised. The gradient goes through all steps.

The text encoder is Gemma 2 (5.2 GB), which reads an instruction and then the prompt. It is let go once it has read.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from reno.generators import Generator
from reno.generators._pipeline import Family, check_family, check_steps, deciding, known_sides
from reno.generators._texts import Readers, lowered
from reno.spec.errors import BadInput
from reno.weights.files import read_json
from reno.weights.parts import Parts
from reno.weights.texts import TextReader, load_tokenizer, read_config, text_limit

TEXT_FOLDERS = ("text_encoder",)
FOLDERS = (*TEXT_FOLDERS, "transformer", "vae")
DTYPES = ("bfloat16", "float32")  # Gemma 2 overflows in float16
FAMILY = Family(r"SanaSprint\w*", ("SanaTransformer2DModel",), "SanaSprintPipeline")
MOST_STEPS = 4
GUIDANCE = 4.5
START, MIDDLE = 1.57080, 1.3
"""Angles of the first step, and of the second of two, as the pipeline has them."""
TOKENS = 300
"""Embeddings of a prompt: the first of the text, the last of the instruction and 298 of the prompt."""
READ = TOKENS - 2
"""Tokens of a prompt that are read."""
INSTRUCTION = "48290080"
"""The beginning of the SHA-256 of the instruction that the model was trained with."""


def instruction() -> str:
    """What Gemma reads before a prompt: the pipeline's own words, in its signature. Raises BadInput if the installed
    diffusers has others, because an image would then be another."""
    from diffusers import SanaSprintPipeline

    lines = inspect.signature(SanaSprintPipeline.__call__).parameters["complex_human_instruction"].default
    text = "\n".join(lines)
    if not hashlib.sha256(text.encode()).hexdigest().startswith(INSTRUCTION):
        raise BadInput(
            "the installed diffusers gives SANA-Sprint other instructions than 0.42 does; install diffusers 0.42"
        )
    return text


class SanaSprint(Generator):
    """G(noise, prompt) -> image, by transformer and deep compression autoencoder."""

    static = True

    def __init__(
        self,
        folder: Path,
        *,
        variant: str | None,
        dtype: torch.dtype,
        device: torch.device,
        embeddings: Callable[[Sequence[str]], tuple[torch.Tensor, ...]],
        guidance: float = GUIDANCE,
        steps: int = 1,
        height: int | None = None,
        width: int | None = None,
    ):
        """Loads a folder in the layout of SanaSprintPipeline.save_pretrained. Raises BadInput if it is not one, or for
        an option that cannot be used.

        embeddings: B prompts to their embeddings (B, 300, width) and masks (B, 300); see `text_encoders`. guidance: the
        strength of the guidance that the network imitates. steps: 1 to 4. height, width: of the images, pixels,
        multiples of 32; None: those that the model was trained with.
        """
        from diffusers import AutoencoderDC, SanaTransformer2DModel

        self.folder, self.dtype, self.device, self.encode = folder, dtype, device, embeddings
        self.reader = reader(folder, guidance=guidance, steps=steps, height=height, width=width)

        stored = Parts(folder, variant)
        self.transformer = stored.load(SanaTransformer2DModel, "transformer", dtype=dtype, device=device)
        self.vae = stored.load(AutoencoderDC, "vae", dtype=dtype, device=device, unused=("encoder.",))
        self.vae.encoder = None  # images are decoded and never encoded
        self.parts = (self.transformer, self.vae)
        self.blocks = (self.transformer, self.vae.decoder)
        self.bring()
        check_schedule(folder, read_json(folder / "scheduler" / "scheduler_config.json"))
        self.angles = angles(steps)
        self.noises = steps - 1
        self.guidance = guidance * self.transformer.config.guidance_embeds_scale
        self.image_size = self.reader.image_size
        shrunk = self.vae.spatial_compression_ratio
        self.latent_shape = (self.transformer.config.in_channels, *(side // shrunk for side in self.image_size))

    def check_prompt(self, text: str) -> None:
        self.reader.check_prompt(text)

    def with_noises(self, conditioning: tuple[torch.Tensor, ...], noises: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (*conditioning, noises)

    def __call__(self, noise: torch.Tensor, conditioning: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """conditioning: embeddings (B, 300, width), masks (B, 300) and, for several steps, the noises between them,
        (B, steps - 1, *latent_shape)."""
        embeddings, mask, *further = conditioning
        between = further[0].unbind(1) if further else ()
        clean = self._step(noise, self.angles[0], embeddings, mask)
        for angle, drawn in zip(self.angles[1:-1], between, strict=True):
            latents = math.cos(angle) * clean + math.sin(angle) * drawn
            clean = self._step(latents, angle, embeddings, mask)
        return self.decode(clean)

    def _step(self, latents: torch.Tensor, angle: float, embeddings: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The clean latents that the transformer predicts from latents at an angle.

        The transformer was made from one of straight flow, x_s = (1 - s) x_0 + s z. The latents at the angle t are
        those at s = sin(t) / (sin(t) + cos(t)) but for a factor, and its output is turned into the velocity at t (the
        paper's transformation of flow matching to TrigFlow)."""
        s = math.sin(angle) / (math.sin(angle) + math.cos(angle))
        size = math.hypot(s, 1 - s)
        scaled = latents * size
        count = len(latents)
        output = self.transformer(
            scaled.to(self.dtype),
            encoder_hidden_states=embeddings,
            encoder_attention_mask=mask,
            guidance=torch.full((count,), self.guidance, device=latents.device, dtype=self.dtype),
            timestep=torch.full((count,), s, device=latents.device, dtype=torch.float32),
        ).sample.to(latents.dtype)
        velocity = ((1 - 2 * s) * scaled + (1 - 2 * s + 2 * s**2) * output) / size
        return math.cos(angle) * latents - math.sin(angle) * velocity

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        decoded = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return (decoded.to(latents.dtype) / 2 + 0.5).clamp(0, 1)


def angles(steps: int) -> list[float]:
    """The angles of the steps, and 0 after the last, as SCMScheduler has them in float32: equally far apart, but for
    two steps, which the model was trained to make at 1.3."""
    if steps == 2:
        return torch.tensor([START, MIDDLE, 0.0]).tolist()
    return torch.linspace(START, 0, steps + 1).tolist()


def check_schedule(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises BadInput for a scheduler of another kind."""
    kind, prediction = config.get("_class_name", "SCMScheduler"), config.get("prediction_type", "trigflow")
    if (kind, prediction) != ("SCMScheduler", "trigflow"):
        raise BadInput(
            f"the scheduler in {folder} is a {kind} that predicts {prediction!r}; SANA-Sprint has an SCMScheduler that "
            "predicts 'trigflow'"
        )


load = SanaSprint


def text_encoders(
    folder: Path, *, variant: str | None, dtype: torch.dtype, device: torch.device
) -> Callable[[str], tuple[torch.Tensor, torch.Tensor]]:
    """Loads Gemma: a prompt to its embeddings (1, 300, width) and their mask (1, 300), which is 1 where a token is."""
    from transformers import Gemma2Model

    encoder = Parts(folder, variant).load(Gemma2Model, "text_encoder", dtype=dtype, device=device).to(device)
    tokenizer = load_tokenizer(folder / "tokenizer")
    tokenizer.padding_side = "right"
    text_limit(tokenizer, encoder.config)
    before = instruction()
    length = len(tokenizer.encode(before)) + READ
    kept = [0, *range(length - TOKENS + 1, length)]

    def encode(prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = tokenizer(
            before + lowered(prompt), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        ).to(device)
        hidden = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        return hidden[:, kept], tokens.attention_mask[:, kept]

    return encode


def reader(
    folder: Path,
    *,
    guidance: float = GUIDANCE,
    steps: int = 1,
    height: int | None = None,
    width: int | None = None,
) -> Readers:
    """What checks prompts, without the weights. Raises BadInput for an option that cannot be used."""
    check_family(FAMILY, folder, read_config(folder / "transformer"))
    check_steps(steps, MOST_STEPS)
    if isinstance(guidance, bool) or not isinstance(guidance, int | float) or not 0 <= guidance <= 100:
        raise BadInput(f"models.generator.guidance must be a number, 0 to 100, not {guidance!r}; usual is {GUIDANCE}")
    if schedule := read_config(folder / "scheduler", "scheduler_config.json"):
        check_schedule(folder, schedule)
    side = read_config(folder / "transformer").get("sample_size")
    size = known_sides(height, width, side, read_config(folder / "vae").get("decoder_block_out_channels"))
    gemma = TextReader(
        "the generator's text encoder", folder / "tokenizer", folder / "text_encoder", most=READ + 1, before=instruction
    )
    return Readers([gemma], size, lowered)


def identity(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide an image: those that differ from the usual ones."""
    return {key: value for key, value in deciding(options).items() if (key, value) != ("guidance", GUIDANCE)}
