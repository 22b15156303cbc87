"""Stage `vae`: the AutoencoderKL whose decoder is the last step of the generator.

It codes 64 x 64 images as 8 x 8 latents of 8 channels. The loss is L1, squared error and the L1 of the image's
gradients, which keeps edges sharp. A small KL weight keeps latents from growing. There is no discriminator. Things
count three times as much as background.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from reno.letters.output import say
from reno.testbed.render import render
from reno.testbed.training.loop import fingerprint, load_average, save_sheet, tensor_of, train
from reno.testbed.world import COLORS, Scene, Thing, allowed, sample_scene

CHANNELS = 8
KL = 2e-6
SMOKE = {"steps": 2, "batch": 4}


def build() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 128), layers_per_block=1, latent_channels=CHANNELS, norm_num_groups=8,
        mid_block_add_attention=False, sample_size=64,
    )  # fmt: skip


def scene(rng: random.Random) -> Scene:
    """A scene of one to three things. In three of ten, their colours are mixtures, as in the generator's faults."""
    drawn = sample_scene(rng, rng.choice((1, 2, 2, 2, 3, 3)))
    if rng.random() < 0.7:
        return drawn
    return Scene(tuple(_mixed(rng, thing) for thing in drawn.things), drawn.background)


def _mixed(rng: random.Random, thing: Thing) -> Thing:
    other = rng.choice([color for color in COLORS if allowed([(color, thing.object)])])
    return Thing(**{**thing.__dict__, "leak": (other, rng.random())})


def run(build_dir: Path, steps: int = 2400, batch: int = 24, seed: int = 1) -> dict:
    model = build()

    def loss(step, rng):
        images = tensor_of([render(scene(rng)) for _ in range(batch)])
        with torch.autocast("cpu", torch.bfloat16):
            posterior = model.encode(images * 2 - 1).latent_dist
            decoded = model.decode(posterior.sample()).sample
        return reconstruction_loss(decoded.float(), images * 2 - 1) + KL * posterior.kl().float().mean(), {}

    trained_on = fingerprint(tensor_of([render(scene(random.Random(i))) for i in range(24)]).numpy().tobytes())
    train("vae", model, loss, folder=build_dir / "vae", steps=steps, lr=1.5e-3, seed=seed, trained_on=trained_on)
    return report(build_dir, model)


def reconstruction_loss(decoded: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The loss, a scalar, of decoded images and images (B, 3, H, W) in [-1, 1]."""
    background = images.flatten(2).median(2).values[..., None, None]
    weight = 1 + 2 * ((images - background).abs().amax(1, keepdim=True) > 0.25).float()
    error = decoded - images
    edges = sum((weight * error.diff(dim=dim, append=error.narrow(dim, -1, 1)).abs()).mean() for dim in (2, 3))
    return (weight * (error.abs() + 0.5 * error.square())).mean() + 0.5 * edges


@torch.no_grad()
def report(build_dir: Path, model: AutoencoderKL | None = None) -> dict:
    model = model or load_average(build_dir / "vae", build())
    rng = random.Random(99)
    images = tensor_of([render(sample_scene(rng, 2 + i % 2)) for i in range(256)])
    latents = model.encode(images * 2 - 1).latent_dist.mean
    decoded = (model.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    psnr = -10 * (decoded - images).square().flatten(1).mean(1).log10()
    save_sheet(build_dir / "vae" / "samples.png", [images[:14], decoded[:14], images[14:28], decoded[14:28]])
    numbers = {
        "psnr": psnr.mean().item(), "psnr_worst_5%": psnr.quantile(0.05).item(), "latent_std": latents.std().item(),
        "latent_std_by_channel": [round(v, 3) for v in latents.std((0, 2, 3)).tolist()],
    }  # fmt: skip
    say(f"vae: {numbers}")
    return numbers
