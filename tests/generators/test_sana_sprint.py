"""SANA-Sprint against diffusers' own pipeline, and its gradient against finite differences."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from reno.generators import sana_sprint
from reno.spec.errors import BadInput
from reno.spec.job import Execution
from reno.weights.texts import TooLong

PROMPTS = ["A gold bench and a green clock ", "🐶 <script> ../a\nb"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(large):
    return large("sana_sprint")


@pytest.fixture(scope="module")
def pipeline(folder):
    from diffusers import SanaSprintPipeline

    made = SanaSprintPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize(
    ("steps", "size", "how"),
    [
        (1, (64, 64), {"intermediate_timesteps": None}),
        (2, (64, 96), {}),  # 1.3 is the pipeline's own
        (4, (64, 64), {"intermediate_timesteps": None, "guidance_scale": 2.0}),
    ],
)
def test_the_image_is_the_pipelines(loaded, folder, pipeline, steps, size, how):
    options = {"guidance": how["guidance_scale"]} if "guidance_scale" in how else {}
    generator = loaded(sana_sprint, folder, steps=steps, height=size[0], width=size[1], **options)
    assert (generator.image_size, generator.noises) == (size, steps - 1)

    def seeded():
        return [torch.Generator().manual_seed(seed) for seed in (5, 6)]

    shape = generator.latent_shape
    drawn = torch.stack([torch.randn(4, *shape, generator=one) for one in seeded()])
    noise = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    how = {"num_inference_steps": steps, "height": size[0], "width": size[1], **how}
    expected = pipeline(
        PROMPTS, latents=noise, generator=seeded(), use_resolution_binning=False, output_type="pt", **how
    ).images
    with torch.no_grad():
        read = generator.encode(PROMPTS)
        images = generator(noise, generator.with_noises(read, drawn[:, : steps - 1]) if generator.noises else read)
    assert images.std() > 0.1 and (images[0] - images[1]).abs().max() > 0.1
    torch.testing.assert_close(images, expected, atol=2e-5, rtol=0)


@pytest.mark.slow
def test_the_larger_one_differs_in_its_sizes_only(loaded, large):
    """Its image too is its pipeline's."""
    from diffusers import SanaSprintPipeline

    folder = large("sana_sprint_1600m")
    pipeline, generator = SanaSprintPipeline.from_pretrained(folder), loaded(sana_sprint, folder)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, *generator.latent_shape, generator=torch.Generator().manual_seed(1))
    how = {"num_inference_steps": 1, "intermediate_timesteps": None, "height": 64, "width": 64, "output_type": "pt"}
    expected = pipeline(PROMPTS[0], latents=noise, use_resolution_binning=False, **how).images
    with torch.no_grad():
        torch.testing.assert_close(generator(noise, generator.encode(PROMPTS[:1])), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_gradient_agrees_with_finite_differences(loaded, folder, check_gradient, steps):
    """In float64, but for linear attention, which diffusers computes in float32."""
    generator = loaded(sana_sprint, folder, dtype=torch.float64, steps=steps)
    read = generator.encode(PROMPTS[:1])
    if steps > 1:
        noises = torch.randn(1, 1, *generator.latent_shape, generator=torch.Generator().manual_seed(9))
        read = generator.with_noises(read, noises.double())
    check_gradient(generator, read, step=1e-3, rtol=2e-3)


def test_checkpointed_blocks_give_the_same_gradient_to_the_last_bit(loaded, folder, monkeypatch):
    """With norms in pieces of a few rows."""
    monkeypatch.setattr("reno.device.piecewise.PIECE", 512)
    generator = loaded(sana_sprint, folder)
    read = generator.encode(PROMPTS[:1])
    noise = torch.randn(1, *generator.latent_shape, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
    found = {}
    for on in (True, False):
        generator.run_as(Execution(on))
        wrapped = [module for part in generator.blocks for module in part.modules() if "forward" in vars(module)]
        kinds = {type(module).__name__ for module in wrapped}
        assert kinds == (
            {"SanaTransformerBlock", "ResBlock", "EfficientViTBlock", "DCUpBlock2d", "RMSNorm"} if on else set()
        )
        found[on] = torch.autograd.grad(generator(noise, read).square().sum(), noise)[0]
    assert torch.equal(found[True], found[False]) and found[True].abs().max() > 0


def test_decode_leaves_the_transformer_out(loaded, folder, pipeline):
    generator = loaded(sana_sprint, folder)
    latents = 3 * torch.randn(1, *generator.latent_shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]
        expected = pipeline.image_processor.postprocess(decoded, output_type="pt")
        torch.testing.assert_close(generator.decode(latents), expected)


def test_a_prompt_is_read_to_the_298th_token_after_the_instruction(loaded, folder):
    """The space that ends the instruction is one token with the first word, so 299 words fit. A text with one more is
    refused, with the word that would be cut; such a word changes no embedding."""
    generator = loaded(sana_sprint, folder)
    generator.check_prompt("car " * 298 + "clock")
    with pytest.raises(TooLong) as refused:
        generator.check_prompt("car " * 299 + "clock")
    assert (refused.value.rest, refused.value.tokens, refused.value.limit) == ("clock", 300, 299)
    last, beyond = (
        [generator.encode(["car " * count + word])[0] for word in ("clock", "bowl")] for count in (298, 299)
    )
    assert not torch.equal(*last) and torch.equal(*beyond)


def test_the_instruction_is_the_one_that_the_model_was_trained_with(monkeypatch):
    assert sana_sprint.instruction().endswith("User Prompt: ")
    monkeypatch.setattr(sana_sprint, "INSTRUCTION", "0")
    with pytest.raises(BadInput, match=r"other instructions than 0\.42 does; install"):
        sana_sprint.instruction()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 5}, "models.generator.steps must be a whole number, 1 to 4, not 5"),
        ({"guidance": True}, "models.generator.guidance must be a number, 0 to 100, not True; usual is 4.5"),
        (
            {"height": 100},
            "models.generator.height must be a multiple of 32, 32 to 4096 pixels, not 100; for example 96",
        ),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_with_and_without_weights(loaded, folder, options, said):
    for ask in (loaded, lambda module, folder, **options: module.reader(folder, **options)):
        with pytest.raises(BadInput) as refused:
            ask(sana_sprint, folder, **options)
        assert str(refused.value) == said


def test_another_scheduler_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    place = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    place.write_text(json.dumps({"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction"}))
    with pytest.raises(BadInput, match="is a DPMSolverMultistepScheduler that predicts 'flow_prediction'"):
        sana_sprint.reader(tmp_path / "model")


def test_what_decides_an_image():
    usual = {"guidance": 4.5, "steps": 1, "height": None, "width": None}
    assert sana_sprint.identity(usual) == {}
    assert sana_sprint.identity({**usual, "guidance": 2.0, "steps": 2}) == {"guidance": 2.0, "steps": 2}
    assert sana_sprint.angles(1) == pytest.approx([1.5708, 0.0]) and sana_sprint.angles(2)[1] == pytest.approx(1.3)
