"""Stage `generator`: the text encoder and the U-Net that turn noise and a prompt into latents in one step.

There is no teacher model. `layout.scene_of` says which scene a noise means; the scene is drawn and encoded, and the
one-step output is regressed on those latents (L1 + squared error / 2). In the first lesson the noise that decides
nothing is faded in; without that the loss stops falling early. In the second lesson it is often larger than its prior,
as an optimiser makes it. A process of its own makes the targets ahead, in chunks, and keeps them in `generator/pool`.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from reno.letters.output import say
from reno.testbed import layout
from reno.testbed.render import render
from reno.testbed.tokenizers import LENGTH, clip_tokenizer
from reno.testbed.training import vae as vae_stage
from reno.testbed.training.loop import claim, fingerprint, load_average, save_sheet, tensor_of, train
from reno.testbed.world import caption, sample_pairs

WIDTH = 128
CHUNK = 2048
LR, SECOND_LR = 1e-3, 7e-4
SMOKE = {"steps": 2, "second": 1, "batch": 8, "chunk": 64}
FADE = (0.2, 0.55)
"""The part of the first lesson, as shares of it, in which the undecisive noise grows from nothing to its full size."""
LARGER = 1.25
"""Largest factor of the undecisive noise in the second lesson."""


class GeneratorNetwork(torch.nn.Module):
    """Noise (B, 8, 8, 8) ~ N(0, I) and token ids (B, LENGTH) to scaled latents (B, 8, 8, 8) for the decoder."""

    def __init__(self, vocabulary: int = 592):
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=2,
                num_attention_heads=4, max_position_embeddings=LENGTH, projection_dim=WIDTH, hidden_act="quick_gelu",
                bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=vocabulary - 1,
            )
        )  # fmt: skip
        self.unet = UNet2DConditionModel(
            sample_size=8, in_channels=8, out_channels=8, block_out_channels=(96, 160), layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=WIDTH, attention_head_dim=4, norm_num_groups=16,
        )  # fmt: skip
        self.scheduler = scheduler()
        self.scheduler.set_timesteps(1)
        self.sigma = float(self.scheduler.sigmas[0])

    def forward(self, noise: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """One Euler step of v-prediction from the largest sigma to zero, as SD-Turbo is called."""
        text = self.text_encoder(tokens)[0]
        scale = self.sigma**2 + 1
        sample = noise * self.sigma  # init_noise_sigma
        velocity = self.unet(sample / scale**0.5, self.scheduler.timesteps[0], text).sample
        return sample / scale - self.sigma / scale**0.5 * velocity.float()


def scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip


def run(
    build_dir: Path, steps: int = 5000, second: int = 3000, batch: int = 64, chunk: int = CHUNK, seed: int = 2
) -> dict:
    """`steps` of the first lesson, `second` of the second."""
    model = GeneratorNetwork()
    coder = load_average(build_dir / "vae", vae_stage.build()).requires_grad_(False)
    scale = latent_scale(coder)
    folder, trained_on = build_dir / "generator", law_fingerprint(build_dir)
    claim(folder, trained_on)
    steering = torch.from_numpy(layout.steering()).float()
    pool = TargetPool(build_dir, coder, scale["factor"], chunk, seed)
    weight = scale["weight"][:, None, None]

    def newest_chunk(step):
        return step * batch // (2 * chunk)  # half of each batch is of the newest chunk

    def lesson(step, rng, size):
        """size: factors (B, 1, 1, 1) of the undecisive noise."""
        tokens, noise, target = pool.draw(rng, newest_chunk(step), batch)
        fresh = size * cosine_transform(torch.randn_like(noise))
        noise = cosine_transform(steering * cosine_transform(noise) + (1 - steering) * fresh, inverse=True)
        with torch.autocast("cpu", torch.bfloat16):
            latents = model(noise, tokens)
        error = (latents - target) * weight
        return error.abs().mean() + 0.5 * error.square().mean(), {"l1": error.detach().abs().mean().item()}

    def first_loss(step, rng):
        low, high = FADE
        fade = min(1.0, max(0.0, (step / steps - low) / (high - low)))
        return lesson(step, rng, torch.full((batch, 1, 1, 1), fade))

    def second_loss(step, rng):
        return lesson(steps + step, rng, 1 + (LARGER - 1) * torch.rand(batch, 1, 1, 1))

    last = newest_chunk(steps + second - 1)
    common = {"decay": 0.01, "trained_on": trained_on}
    with made_ahead(build_dir, chunk, seed, last + 1) if last else contextlib.nullcontext():
        train("generator, first", model, first_loss, folder=folder / "first", steps=steps, lr=LR, seed=seed, **common)
        train(
            "generator, second",
            model,
            second_loss,
            folder=folder,
            steps=second,
            lr=SECOND_LR,
            seed=seed + 100,
            **common,
        )
    return report(build_dir)


@contextlib.contextmanager
def made_ahead(build_dir: Path, chunk: int, seed: int, count: int) -> Iterator[None]:
    """Within it, another process makes the pool's first `count` chunks. Training makes those that are not there yet."""
    script = "import sys; from reno.testbed.training.generator import make_pool; make_pool(*sys.argv[1:])"
    arguments = [str(build_dir), str(chunk), str(seed), str(count)]
    maker = subprocess.Popen([sys.executable, "-c", script, *arguments], start_new_session=True)  # Ctrl-C is ours
    try:
        yield
    finally:
        maker.terminate()
        maker.wait()


def make_pool(build_dir: str, *numbers: str) -> None:
    torch.set_num_threads(1)
    folder, (chunk, seed, count) = Path(build_dir), map(int, numbers)
    coder = load_average(folder / "vae", vae_stage.build()).requires_grad_(False)
    pool = TargetPool(folder, coder, latent_scale(coder)["factor"], chunk, seed)
    for index in range(count):
        pool.make(index)


def law_fingerprint(build_dir: Path) -> str:
    """A fingerprint of the targets: of scenes that the law and the renderer make from some noise, and of the VAE."""
    rng, draw = random.Random(5), np.random.default_rng(5)
    drawn = [render(layout.scene_of(draw.standard_normal((8, 8, 8)), sample_pairs(rng, 2 + i % 2))) for i in range(24)]
    return fingerprint(np.stack(drawn).tobytes(), build_dir / "vae" / "average.safetensors")


def cosine_transform(values: torch.Tensor, inverse: bool = False) -> torch.Tensor:
    """(B, C, 8, 8) to its orthonormal cosine coefficients, or back."""
    basis = torch.from_numpy(layout.cosines()).to(values.dtype)
    basis = basis.T if inverse else basis
    return basis @ values @ basis.T


@torch.no_grad()
def latent_scale(coder: AutoencoderKL) -> dict:
    """`factor` scales latents to unit variance; `weight` (C,) makes the channels count equally, 1 on average."""
    rng = random.Random(7)
    images = tensor_of([render(vae_stage.scene(rng)) for _ in range(256)])
    latents = coder.encode(images * 2 - 1).latent_dist.mean
    spread = latents.std((0, 2, 3)).clamp(min=0.05 * latents.std())
    return {"factor": round(1 / latents.std().item(), 4), "weight": latents.std() / spread}


class TargetPool:
    """Training targets by chunk: `pool/00012.safetensors` holds tokens, noise and latents. A chunk is made when it is
    first needed."""

    def __init__(self, build_dir: Path, coder: AutoencoderKL, factor: float, size: int, seed: int):
        self.folder = build_dir / "generator" / "pool"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.coder, self.factor, self.size, self.seed = coder, factor, size, seed
        self.tokenizer = clip_tokenizer(build_dir / "tokenizer")
        self.chunks: dict[int, dict[str, torch.Tensor]] = {}

    def draw(self, rng: random.Random, newest: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`count` samples, half of them of chunk `newest`: tokens, noise, latents."""
        parts = []
        for chunk in [newest, *(rng.randint(0, newest) for _ in range(4))]:
            rows = torch.tensor(rng.sample(range(self.size), count // 2 if not parts else count // 8))
            parts.append({key: value[rows] for key, value in self.chunk(chunk).items()})
        tokens, noise, latents = (torch.cat([part[key] for part in parts]) for key in ("tokens", "noise", "latents"))
        return tokens.long(), noise.float(), latents.float()

    def chunk(self, index: int) -> dict[str, torch.Tensor]:
        if index not in self.chunks:
            self.chunks[index] = load_file(self.make(index))
        return self.chunks[index]

    def make(self, index: int) -> Path:
        """The file of a chunk; it is made if it is not there."""
        path = self.folder / f"{index:05d}.safetensors"
        if not path.exists():
            beside = path.with_suffix(f".{os.getpid()}")
            save_file(self._made(index), beside)
            beside.replace(path)
        return path

    @torch.no_grad()
    def _made(self, index: int) -> dict[str, torch.Tensor]:
        rng, draw = random.Random(self.seed * 7919 + index), np.random.default_rng([self.seed, index])
        noise = draw.standard_normal((self.size, 8, 8, 8)).astype(np.float16)
        pairs = [sample_pairs(rng, rng.choices((1, 2, 3), (0.06, 0.60, 0.34))[0]) for _ in range(self.size)]
        latents = []
        for start in range(0, self.size, 64):
            rows = slice(start, start + 64)
            drawn = [layout.scene_of(z.astype(np.float64), p) for z, p in zip(noise[rows], pairs[rows], strict=True)]
            with torch.autocast("cpu", torch.bfloat16):
                coded = self.coder.encode(tensor_of([render(scene) for scene in drawn]) * 2 - 1).latent_dist.mean
            latents.append((coded.float() * self.factor).half())
        return {
            "tokens": tokenized(self.tokenizer, [caption(p) for p in pairs]).short(),
            "noise": torch.from_numpy(noise), "latents": torch.cat(latents).contiguous(),
        }  # fmt: skip


def tokenized(tokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids (B, LENGTH), padded."""
    return tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids


class Painter:
    """The trained generator as the other stages use it: noise (B, 8, 8, 8) and B texts to images (B, 3, 64, 64) in
    [0, 1]."""

    def __init__(self, build_dir: Path):
        self.tokenizer = clip_tokenizer(build_dir / "tokenizer")
        self.generator = load_average(build_dir / "generator", GeneratorNetwork()).requires_grad_(False)
        self.coder = load_average(build_dir / "vae", vae_stage.build()).requires_grad_(False)
        self.factor = latent_scale(self.coder)["factor"]

    def __call__(self, noise: torch.Tensor, texts: list[str]) -> torch.Tensor:
        latents = self.generator(noise, tokenized(self.tokenizer, texts))
        return self.decode(latents)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (self.coder.decode(latents / self.factor).sample / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def report(build_dir: Path) -> dict:
    """How near its images are to the law's scenes on unseen noise. Draws a sheet of the scenes above the images."""
    paint = Painter(build_dir)
    rng, draw = random.Random(31), torch.Generator().manual_seed(31)
    noise = torch.randn(128, 8, 8, 8, generator=draw)
    pairs = [sample_pairs(rng, 2 + i % 2) for i in range(128)]
    drawn = tensor_of([render(layout.scene_of(z.double().numpy(), p)) for z, p in zip(noise, pairs, strict=True)])
    images = paint(noise, [caption(p) for p in pairs])
    numbers = {"l1_to_law": (images - drawn).abs().mean().item(), "factor": paint.factor}
    rows = [row for at in range(0, 64, 16) for row in (drawn[at : at + 16], images[at : at + 16])]
    save_sheet(build_dir / "generator" / "samples.png", rows)
    say(f"generator: {numbers}")
    return numbers


def export(build_dir: Path, folder: Path) -> None:
    """Writes the StableDiffusionPipeline, fp16."""
    paint = Painter(build_dir)
    coder = paint.coder
    coder.register_to_config(scaling_factor=paint.factor)
    pipeline = StableDiffusionPipeline(
        vae=coder, text_encoder=paint.generator.text_encoder, tokenizer=paint.tokenizer, unet=paint.generator.unet,
        scheduler=scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
