"""The one-step generator against diffusers' own pipeline, and its gradient against finite differences."""

from __future__ import annotations

import shutil

import pytest
import torch

from reno.errors import BadInput
from reno.generators.one_step import OneStepGenerator
from reno.metrics.clip import ClipMetric
from reno.spec import Checkpoint

PROMPTS = ["a gold bench and a green clock", "🐶 <script> ../a\nb"]
CPU = torch.device("cpu")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_first_image_is_the_pipelines(tiny, tmp_path, prediction):
    from diffusers import StableDiffusionPipeline

    folder = tmp_path / "model"
    shutil.copytree(tiny / "sd_turbo", folder)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace('"epsilon"', f'"{prediction}"'))
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    generator = OneStepGenerator(folder, variant=None, dtype=torch.float32, device=CPU)
    noise = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(1))
    expected = pipeline(PROMPTS, latents=noise, num_inference_steps=1, guidance_scale=0.0, output_type="pt").images
    with torch.no_grad():
        images = generator(noise, generator.encode(PROMPTS))
    assert images.std() > 0.05
    torch.testing.assert_close(images, expected, atol=2e-5, rtol=0)


def test_the_gradient_of_the_loss_agrees_with_finite_differences(tiny, generator):
    """Through U-Net, VAE decoder, resize and CLIP, in float64, along random directions."""
    metric = ClipMetric(tiny / "clip", dtype=torch.float64, device=CPU)
    embeddings, text = generator.encode(PROMPTS[:1]), metric.encode(PROMPTS[:1])

    def loss(noise):
        return 100 - metric(generator(noise, embeddings), text).sum()

    noise = torch.randn(1, *generator.latent_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(noise), noise)
    assert gradient.norm() > 1e-3
    for seed in range(3):
        direction = torch.randn(noise.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 10))
        direction /= direction.norm()
        step = 1e-5
        with torch.no_grad():
            slope = (loss(noise + step * direction) - loss(noise - step * direction)) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-7)


def test_decode_ignores_the_unet(generator):
    latents = torch.randn(1, *generator.latent_shape, dtype=torch.float64)
    with torch.no_grad():
        expected = generator.vae.decode(latents / generator.vae.config.scaling_factor).sample / 2 + 0.5
        torch.testing.assert_close(generator.decode(latents), expected.clamp(0, 1))


def test_a_prompt_that_would_be_cut_is_refused_with_what_would_be_cut(generator):
    generator.check_prompt("a gold bench")
    with pytest.raises(BadInput, match="would be cut") as caught:
        generator.check_prompt("a red car and " * 40 + "a zebra")
    assert "77" in str(caught.value)


def test_what_is_kept_of_a_long_prompt_is_what_the_tokenizer_keeps(generator):
    """The quoted rest begins where the text encoder would stop reading."""
    text = " ".join(["car"] * 75) + " zebra"
    assert len(generator.tokenizer("car " * 75).input_ids) == 77
    with pytest.raises(BadInput, match="'zebra' would be cut"):
        generator.check_prompt(text)


def test_a_folder_that_is_no_generator_is_refused(tiny):
    with pytest.raises(BadInput, match="text_encoder"):
        OneStepGenerator(tiny / "clip", variant=None, dtype=torch.float32, device=CPU)


def test_a_scheduler_that_does_not_start_at_pure_noise_is_refused(tiny, tmp_path):
    shutil.copytree(tiny / "sd_turbo", tmp_path / "model")
    scheduler = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace('"trailing"', '"leading"'))
    with pytest.raises(BadInput, match="trailing"):
        OneStepGenerator(tmp_path / "model", variant=None, dtype=torch.float32, device=CPU)


def test_a_half_precision_variant_is_loaded_where_it_is_stored(tmp_path):
    from reno.checkpoints import locate
    from reno.plan import GENERATOR_PARTS
    from scripts.make_checkpoints import make_checkpoint

    folder = make_checkpoint("sd_turbo", "tiny", tmp_path, dtype="float16")
    located = locate(Checkpoint(str(folder), None, "fp16"), "models.generator", GENERATOR_PARTS)
    assert located.variant == "fp16"
    generator = OneStepGenerator(located.folder, variant=located.variant, dtype=torch.float32, device=CPU)
    with torch.no_grad():
        images = generator(torch.randn(1, *generator.latent_shape), generator.encode(PROMPTS[:1]))
    assert images.isfinite().all()
