"""PixArt-alpha DMD against diffusers' own pipeline, and its gradient against finite differences."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from reno.generators import pixart_dmd
from reno.spec.errors import BadInput
from reno.spec.job import Execution
from reno.weights.checkpoints import Located
from reno.weights.texts import TooLong, load_tokenizer

PROMPTS = ["A gold bench and a green clock ", "🐶 <script> ../a\nb"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(large):
    return large("pixart_alpha")


@pytest.fixture(scope="module")
def parts(large):
    return {"transformer": Located("dmd", large("pixart_dmd"), "sha256:dmd", None, inside="transformer")}


def pipelines(folder, distilled, noise, size, timestep=400, **changes):
    """The images of diffusers' pipeline, composed as the paper's code composes it. distilled: the folder with the
    scheduler, and with the transformer that replaces the pipeline's own, if it has one."""
    from diffusers import DDPMScheduler, PixArtAlphaPipeline, Transformer2DModel

    how = {"tokenizer": load_tokenizer(folder / "tokenizer")}  # diffusers' loader needs the package sentencepiece
    if (distilled / "transformer").exists():
        how["transformer"] = Transformer2DModel.from_pretrained(distilled, subfolder="transformer")
    pipeline = PixArtAlphaPipeline.from_pretrained(folder, **how)
    pipeline.scheduler = DDPMScheduler.from_pretrained(distilled, subfolder="scheduler", **changes)
    pipeline.set_progress_bar_config(disable=True)
    how = {"timesteps": [timestep], "num_inference_steps": 1, "guidance_scale": 1.0, "clean_caption": False}
    height, width = size
    how |= {"height": height, "width": width, "use_resolution_binning": False, "output_type": "pt"}
    return pipeline(PROMPTS, latents=noise, **how).images


def test_the_image_is_the_pipelines(loaded, folder, parts):
    generator = loaded(pixart_dmd, folder, parts=parts)
    assert (generator.latent_shape, generator.image_size, generator.timestep) == ((4, 8, 8), (64, 64), 400)
    noise = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(1))
    expected = pipelines(folder, parts["transformer"].folder, noise, (64, 64))
    with torch.no_grad():
        images = generator(noise, generator.encode(PROMPTS))
    assert images.std() > 0.1 and (images[0] - images[1]).abs().max() > 0.1
    torch.testing.assert_close(images, expected, atol=2e-5, rtol=0)


def test_a_transformer_for_1024_pixels_is_told_the_size_of_the_image(loaded, folder, tmp_path):
    """The base's own transformer and its scheduler, which has the same betas and another name."""
    assert json.loads((folder / "scheduler/scheduler_config.json").read_text())["_class_name"] != "DDPMScheduler"
    generator = loaded(pixart_dmd, folder, timestep=700, height=64, width=48)
    noise = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(1))
    shutil.copytree(folder / "scheduler", tmp_path / "scheduler")
    expected = pipelines(folder, tmp_path, noise, (64, 48), timestep=700, clip_sample=False)
    with torch.no_grad():
        images = generator(noise, generator.encode(PROMPTS))
        torch.testing.assert_close(images, expected, atol=2e-5, rtol=0)
        generator.image_size = (48, 64)
        assert (generator(noise, generator.encode(PROMPTS)) - images).abs().max() > 0.01


def test_latents_are_clipped_where_the_scheduler_says_so(loaded, folder, large, tmp_path):
    distilled = tmp_path / "dmd"
    shutil.copytree(large("pixart_dmd"), distilled)
    place = distilled / "scheduler" / "scheduler_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"clip_sample": True, "clip_sample_range": 0.5}))
    part = Located("dmd", distilled, "sha256:dmd", None, inside="transformer")
    generator = loaded(pixart_dmd, folder, parts={"transformer": part})
    noise = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        images = generator(noise, generator.encode(PROMPTS))
    torch.testing.assert_close(images, pipelines(folder, distilled, noise, (64, 64)), atol=2e-5, rtol=0)


def test_the_gradient_agrees_with_finite_differences(loaded, folder, parts, check_gradient):
    generator = loaded(pixart_dmd, folder, dtype=torch.float64, parts=parts)
    check_gradient(generator, generator.encode(PROMPTS[:1]), step=1e-5, rtol=1e-4)


def test_checkpointed_blocks_give_the_same_gradient_to_the_last_bit(loaded, folder, parts):
    generator = loaded(pixart_dmd, folder, parts=parts)
    read = generator.encode(PROMPTS[:1])
    noise = torch.randn(1, *generator.latent_shape, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
    found = {}
    for on in (True, False):
        generator.run_as(Execution(on))
        kinds = {type(module).__name__ for module in generator.transformer.modules() if "forward" in vars(module)}
        assert kinds == ({"BasicTransformerBlock"} if on else set())
        found[on] = torch.autograd.grad(generator(noise, read).square().sum(), noise)[0]
    assert torch.equal(found[True], found[False]) and found[True].abs().max() > 0


def test_a_prompt_of_more_than_120_tokens_is_refused(folder):
    reader = pixart_dmd.reader(folder)
    reader.check_prompt("car " * 119)
    with pytest.raises(TooLong) as refused:
        reader.check_prompt("car " * 119 + "clock")
    assert (refused.value.tokens, refused.value.limit, refused.value.rest) == (121, 120, "clock")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timestep": 1000}, "models.generator.timestep must be a whole number, 0 to 999, not 1000"),
        ({"timestep": True}, "models.generator.timestep must be a whole number, 0 to 999, not True"),
        ({"width": 40}, "models.generator.width must be a multiple of 16, 16 to 4096 pixels, not 40; for example 32"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_with_and_without_weights(loaded, folder, parts, options, said):
    for ask in (loaded, lambda module, folder, **options: module.reader(folder, **options)):
        with pytest.raises(BadInput) as refused:
            ask(pixart_dmd, folder, parts=parts, **options)
        assert str(refused.value) == said


def test_a_scheduler_of_another_prediction_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    place = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    for values, said in (({"prediction_type": "sample"}, "predicts 'sample'"), ({"thresholding": True}, "thresholds")):
        place.write_text(json.dumps(values))
        with pytest.raises(BadInput, match=said):
            pixart_dmd.reader(tmp_path / "model")


def test_what_decides_an_image():
    assert pixart_dmd.identity({"timestep": 400, "height": None}) == {}
    assert pixart_dmd.identity({"timestep": 399, "height": 256}) == {"timestep": 399, "height": 256}
