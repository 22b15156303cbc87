"""FLUX.1-schnell against diffusers' own pipeline, and its gradient against finite differences."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from reno.device.choice import choose_dtype
from reno.generators import flux_schnell
from reno.spec.errors import BadInput
from reno.spec.job import Execution
from reno.weights.texts import TooLong

PROMPTS = ["A gold bench and a green clock", "🐶 <script> ../a\nb"]
SMALL = {"height": 64, "width": 64}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(large):
    return large("flux_schnell")


@pytest.mark.parametrize(
    ("steps", "size", "dtype", "close"),
    [
        (1, (64, 64), torch.float32, 2e-5),
        (2, (32, 96), torch.float32, 2e-5),
        # the pipeline rounds latents between steps; here they stay in float32
        pytest.param(4, (64, 64), torch.bfloat16, 0.04, marks=pytest.mark.slow),
    ],
)
def test_the_image_is_the_pipelines(loaded, folder, steps, size, dtype, close):
    from diffusers import FluxPipeline

    pipeline = FluxPipeline.from_pretrained(folder, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    height, width = size
    generator = loaded(flux_schnell, folder, dtype=dtype, steps=steps, height=height, width=width)
    assert generator.latent_shape == (4, height // 8, width // 8) and generator.image_size == size
    noise = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(1))
    how = {"num_inference_steps": steps, "guidance_scale": 0.0, "max_sequence_length": 256}
    packed = FluxPipeline._pack_latents(noise, 2, *generator.latent_shape)
    expected = pipeline(PROMPTS, latents=packed, height=height, width=width, output_type="pt", **how).images
    with torch.no_grad():
        images = generator(noise, generator.encode(PROMPTS))
    assert images.dtype == torch.float32 and images.std() > 0.1 and (images[0] - images[1]).abs().max() > 0.1
    torch.testing.assert_close(images, expected.float(), atol=close, rtol=0)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_gradient_agrees_with_finite_differences(loaded, folder, check_gradient, steps):
    """In float64, but for the positions, which diffusers adds in float32."""
    generator = loaded(flux_schnell, folder, dtype=torch.float64, steps=steps, **SMALL)
    check_gradient(generator, generator.encode(PROMPTS[:1]), step=1e-3, rtol=2e-3)


def test_checkpointed_blocks_give_the_same_gradient_to_the_last_bit(loaded, folder):
    generator = loaded(flux_schnell, folder, steps=2, **SMALL)
    read = generator.encode(PROMPTS[:1])
    noise = torch.randn(1, *generator.latent_shape, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
    found = {}
    for on in (True, False):
        generator.run_as(Execution(on))
        kinds = {type(module).__name__ for module in generator.transformer.modules() if "forward" in vars(module)}
        assert kinds == ({"FluxTransformerBlock", "FluxSingleTransformerBlock"} if on else set())
        found[on] = torch.autograd.grad(generator(noise, read).square().sum(), noise)[0]
    assert torch.equal(found[True], found[False]) and found[True].abs().max() > 0


def test_a_token_is_a_square_of_latents_and_packing_can_be_undone():
    """By hand: one channel, 2 x 4 latents are two tokens."""
    latents = torch.arange(8.0).view(1, 1, 2, 4)
    tokens = flux_schnell.packed(latents)
    assert tokens.tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]]]
    assert torch.equal(flux_schnell.unpacked(tokens, (1, 2, 4)), latents)


def test_each_text_encoder_has_a_limit(folder):
    """CLIP's 77 tokens are refused first; T5's 256 are more."""
    reader = flux_schnell.reader(folder)
    reader.check_prompt("car " * 75)
    with pytest.raises(TooLong) as refused:
        reader.check_prompt("car " * 75 + "clock")
    assert refused.value.reader == "the generator's CLIP" and refused.value.rest == "clock"
    t5 = reader.readers[1]
    t5.check_prompt("car " * 255)
    with pytest.raises(TooLong) as refused:
        t5.check_prompt("car " * 255 + "clock")
    assert (refused.value.tokens, refused.value.limit, refused.value.rest) == (257, 256, "clock")


def test_float16_is_refused_in_a_sentence():
    assert choose_dtype("auto", "cuda", flux_schnell.DTYPES) == "bfloat16"
    assert choose_dtype("auto", "cpu", flux_schnell.DTYPES) == "float32"
    with pytest.raises(BadInput) as refused:
        choose_dtype("float16", "cuda", flux_schnell.DTYPES)
    assert str(refused.value) == "dtype=float16 does not work with this generator; use bfloat16, float32 or auto"


def changed(folder, tmp_path, part, file="config.json", **values):
    """A copy of the checkpoint with other values in a part's configuration."""
    shutil.copytree(folder, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    place = tmp_path / "model" / part / file
    place.write_text(json.dumps(json.loads(place.read_text()) | values))
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("part", "values", "said"),
    [
        ("transformer", {"guidance_embeds": True}, r"takes a guidance, as FLUX\.1-dev does"),
        ("scheduler", {"_class_name": "DDIMScheduler"}, "is a DDIMScheduler"),
        ("scheduler", {"stochastic_sampling": True}, "without stochastic_sampling"),
    ],
)
def test_another_model_is_refused(folder, tmp_path, part, values, said):
    file = "scheduler_config.json" if part == "scheduler" else "config.json"
    with pytest.raises(BadInput, match=said):
        flux_schnell.reader(changed(folder, tmp_path, part, file, **values))


def test_what_decides_an_image():
    assert flux_schnell.identity({"steps": 1, "height": 512, "width": 512}) == {}
    assert flux_schnell.identity({"steps": 4, "height": 512, "width": 768}) == {"steps": 4, "width": 768}
