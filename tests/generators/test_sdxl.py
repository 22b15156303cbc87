"""Stable Diffusion XL in one step and in a few: against diffusers' own pipeline, and its gradient."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from reno.generators.sdxl import TEXT_FOLDERS, identity, load, reader, text_encoders
from reno.spec.errors import BadInput
from reno.weights.checkpoints import Located
from reno.weights.embeddings import Embeddings, key_of

PROMPTS = ["a gold bench and a green clock", "🐶 <script> ../a\nb"]
CPU, META = torch.device("cpu"), torch.device("meta")

pytestmark = pytest.mark.usefixtures("one_thread")


def part(folder, inside="") -> Located:
    return Located(str(folder), folder, f"sha256:{folder.name}", None, inside=inside)


def made(folder, *, dtype=torch.float32, device=CPU, parts=None, **options):
    """The generator of a folder, and what encodes prompts for it."""

    def encoder():
        return text_encoders(folder, variant=None, dtype=dtype, device=device)

    embeddings = Embeddings(encoder, key_of(folder, TEXT_FOLDERS, None, dtype, device), device)
    how = {"variant": None, "dtype": dtype, "device": device, "embeddings": embeddings}
    return load(folder, **how, **({"parts": parts} if parts else {}), **options)


@pytest.fixture(scope="module")
def parts(tiny):
    """Of each of conf/models: the folder, the parts that are from elsewhere, the options."""
    vae = part(tiny / "sdxl_vae")
    weights = tiny / "hyper_sdxl" / "diffusion_pytorch_model.safetensors"
    one_file, folder = part(tiny / "hyper_sdxl", weights.name), part(tiny / "dmd2_sdxl")
    return {
        "sdxl_turbo": (tiny / "sdxl_turbo", {"vae": vae}, {"most_steps": 4}),
        "hyper_sdxl": (tiny / "sdxl_base", {"vae": vae, "unet": one_file}, {"sampler": "lcm", "timestep": 800}),
        "dmd2_sdxl": (tiny / "sdxl_base", {"vae": vae, "unet": folder}, {"sampler": "lcm", "timestep": 399}),
    }


@pytest.fixture(scope="module")
def turbo(parts):
    """The tiny SDXL-Turbo in float64, where finite differences mean something."""
    folder, others, options = parts["sdxl_turbo"]
    return made(folder, dtype=torch.float64, parts=others, **options)


def pipelines(folder, others, noises, prompts=PROMPTS, monkeypatch=None, sampler=None, **how):
    """The images that diffusers' pipeline makes from the latents noises[:, 0]; the noise that it adds later is the
    rest."""
    from diffusers import AutoencoderKL, LCMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from diffusers.schedulers import scheduling_euler_ancestral_discrete

    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    if "vae" in others:
        pipeline.vae = AutoencoderKL.from_pretrained(others["vae"].folder)
    if "unet" in others:  # as the authors' pages have it
        pipeline.unet = UNet2DConditionModel.from_config(folder / "unet")
        (weights,) = others["unet"].folder.glob("*.safetensors")
        pipeline.unet.load_state_dict(load_file(weights))
    if sampler == "lcm":
        pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    if monkeypatch is not None:
        left = iter([*noises[:, 1:].unbind(1), torch.zeros_like(noises[:, 0])])
        monkeypatch.setattr(scheduling_euler_ancestral_discrete, "randn_tensor", lambda *_, **__: next(left))
    pipeline.set_progress_bar_config(disable=True)
    how = {"num_inference_steps": 1} | how
    return pipeline(prompts, latents=noises[:, 0], guidance_scale=0.0, output_type="pt", **how).images


def noises_of(generator, count=1, trials=2):
    return torch.randn(trials, count, *generator.latent_shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["sdxl_turbo", "hyper_sdxl", "dmd2_sdxl"])
def test_the_image_is_the_pipelines(parts, name):
    folder, others, options = parts[name]
    generator = made(folder, parts=others, **options)
    noises = noises_of(generator)
    how = {"timesteps": [options["timestep"]], "num_inference_steps": None} if "timestep" in options else {}
    expected = pipelines(folder, others, noises, sampler=options.get("sampler"), **how)
    with torch.no_grad():
        images = generator(noises[:, 0], generator.encode(PROMPTS))
    assert images.shape == expected.shape == (2, 3, *generator.image_size) and images.std() > 0.05
    torch.testing.assert_close(images, expected, atol=2e-5, rtol=0)


def test_a_few_steps_are_the_pipelines_with_the_same_noise_between_them(parts, monkeypatch, steps=4):
    folder, others, options = parts["sdxl_turbo"]
    generator = made(folder, parts=others, steps=steps, **options)
    assert generator.noises == steps - 1
    noises = noises_of(generator, steps)
    expected = pipelines(folder, others, noises, monkeypatch=monkeypatch, num_inference_steps=steps)
    conditioning = generator.with_noises(generator.encode(PROMPTS), noises[:, 1:])
    with torch.no_grad():
        images = generator(noises[:, 0], conditioning)
    torch.testing.assert_close(images, expected, atol=2e-5, rtol=0)
    other = generator.with_noises(conditioning[:2], noises[:, 1:].flip(0))
    assert not torch.allclose(generator(noises[:, 0], other), images, atol=1e-3)


def test_other_sides_are_the_pipelines(parts):
    folder, others, options = parts["sdxl_turbo"]
    generator = made(folder, parts=others, height=96, width=32, **options)
    assert (generator.image_size, generator.latent_shape) == ((96, 32), (4, 12, 4))
    noises = noises_of(generator)
    expected = pipelines(folder, others, noises, height=96, width=32)
    with torch.no_grad():
        torch.testing.assert_close(generator(noises[:, 0], generator.encode(PROMPTS)), expected, atol=2e-5, rtol=0)


def test_v_prediction_is_the_pipelines(parts, tmp_path):
    source, others, options = parts["sdxl_turbo"]
    folder = shutil.copytree(source, tmp_path / "model")
    place = folder / "scheduler" / "scheduler_config.json"
    place.write_text(place.read_text().replace('"epsilon"', '"v_prediction"'))
    generator = made(folder, parts=others, **options)
    noises = noises_of(generator)
    with torch.no_grad():
        images = generator(noises[:, 0], generator.encode(PROMPTS))
    torch.testing.assert_close(images, pipelines(folder, others, noises), atol=2e-5, rtol=0)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_gradient_agrees_with_finite_differences(parts, steps):
    """Through every step and the decoder, in float64, along random directions."""
    folder, others, options = parts["sdxl_turbo"]
    generator = made(folder, dtype=torch.float64, parts=others, steps=steps, **options)
    noises = noises_of(generator, steps, trials=1).double()
    conditioning = generator.encode(PROMPTS[:1])
    conditioning = generator.with_noises(conditioning, noises[:, 1:]) if steps > 1 else conditioning
    weights = torch.randn(1, 3, *generator.image_size, generator=torch.Generator().manual_seed(5)).double()

    def loss(noise):
        return (weights * generator(noise, conditioning)).mean()

    noise = noises[:, 0].requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(noise), noise)
    assert gradient.abs().min() > 0
    for seed in range(2):
        direction = torch.randn(noise.shape, generator=torch.Generator().manual_seed(seed + 10)).double()
        direction /= direction.norm()
        with torch.no_grad():
            slope = (loss(noise + 1e-5 * direction) - loss(noise - 1e-5 * direction)) / 2e-5
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-9)


def test_checkpointed_blocks_give_the_same_gradient_in_every_step(parts):
    from reno.spec.job import Execution

    folder, others, options = parts["sdxl_turbo"]
    generator = made(folder, parts=others, steps=2, **options)
    noises, found = noises_of(generator, 2, trials=1), []
    conditioning = generator.with_noises(generator.encode(PROMPTS[:1]), noises[:, 1:])
    for on in (False, True):
        generator.run_as(Execution(checkpointing=on))
        noise = noises[:, 0].clone().requires_grad_(True)
        found.append(torch.autograd.grad(generator(noise, conditioning).sum(), noise)[0])
    assert torch.equal(*found)


# --- Dtypes, devices, sizes -------------------------------------------------------------------------------------------


def test_a_vae_that_overflows_in_float16_runs_in_float32_and_any_other_as_asked(parts):
    folder, others, options = parts["sdxl_turbo"]
    own = made(folder, dtype=torch.float16, device=META, **options)
    fixed = made(folder, dtype=torch.float16, device=META, parts=others, **options)
    wide = made(folder, dtype=torch.bfloat16, device=META, **options)
    assert [one.vae.dtype for one in (own, fixed, wide)] == [torch.float32, torch.float16, torch.bfloat16]
    assert {one.unet.dtype for one in (own, fixed)} == {torch.float16} and wide.unet.dtype == torch.bfloat16


@pytest.mark.slow
def test_images_are_in_the_noises_dtype(parts, turbo):
    folder, others, options = parts["sdxl_turbo"]
    half = made(folder, dtype=torch.bfloat16, parts=others, **options)
    noise, prompt = noises_of(half, trials=1)[:, 0], PROMPTS[:1]
    with torch.no_grad():
        images, exact = half(noise, half.encode(prompt)), turbo(noise.double(), turbo.encode(prompt))
    assert (images.dtype, exact.dtype) == (torch.float32, torch.float64)
    assert (images.double() - exact).abs().mean() < 0.02


def test_decode_is_the_vaes(tiny, turbo):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(tiny / "sdxl_vae", torch_dtype=torch.float64)
    latents = noises_of(turbo)[:, 0].double()
    with torch.no_grad():
        expected = (vae.decode(latents / 0.13025).sample / 2 + 0.5).clamp(0, 1)
        torch.testing.assert_close(turbo.decode(latents), expected)
    assert turbo.vae.encoder is None and turbo.vae.quant_conv is None


@pytest.mark.slow
def test_a_published_pipeline_without_its_weights_has_its_sizes(tmp_path):
    from reno.weights.architectures import architecture
    from reno.weights.folders import write_without_weights

    write_without_weights(architecture("sdxl_turbo", "full"), tmp_path)
    meta = made(tmp_path, dtype=torch.float16, device=META)
    assert (meta.image_size, meta.latent_shape) == ((512, 512), (4, 64, 64))
    assert sum(weight.numel() for weight in meta.unet.parameters()) == 2_567_463_684
    assert meta.parts == (meta.unet, meta.vae) and meta.reading == () and meta.static  # the text encoders are gone
    embedded, pooled = meta.encode(PROMPTS)
    assert (embedded.shape, pooled.shape) == ((2, 77, 2048), (2, 1280)) and embedded.dtype == torch.float16


ONE = "these weights were trained for one step, and their authors publish others for several"

# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 5, "most_steps": 4}, "models.generator.steps must be a whole number, 1 to 4, not 5"),
        ({"steps": 2}, f"models.generator.steps must be 1, not 2: {ONE}"),
        ({"steps": True}, f"models.generator.steps must be 1, not True: {ONE}"),
        ({"height": 40}, "models.generator.height must be a multiple of 32, 32 to 4096 pixels, not 40; for example 32"),
        ({"width": "x"}, "models.generator.width must be a multiple of 32, 32 to 4096 pixels, not 'x'; for example 64"),
        ({"sampler": "lcm"}, "models.generator.timestep must be a whole number, 0 to 999, with sampler=lcm, not None"),
        (
            {"sampler": "lcm", "timestep": 9, "steps": 2, "most_steps": 4},
            "models.generator.steps=2 needs sampler=euler_ancestral; lcm makes one step here",
        ),
        (
            {"timestep": 9},
            "models.generator.timestep is of sampler=lcm; the other has its own, the noisiest: leave it out",
        ),
    ],
)  # fmt: skip
def test_options_that_cannot_be_used_are_refused_with_and_without_weights(tiny, options, sentence):
    for asked in (lambda: reader(tiny / "sdxl_turbo", **options), lambda: made(tiny / "sdxl_turbo", **options)):
        with pytest.raises(BadInput) as refused:
            asked()
        assert str(refused.value) == sentence


def test_a_sampler_that_is_not_known_is_refused(tiny):
    with pytest.raises(
        BadInput, match=r"is a EulerDiscreteScheduler.*models\.generator\.sampler=euler_ancestral or lcm"
    ):
        reader(tiny / "sdxl_base")
    with pytest.raises(BadInput, match="must have timestep_spacing trailing"):
        reader(tiny / "sdxl_base", sampler="euler_ancestral")


def test_a_part_that_does_not_fit_is_refused_in_one_sentence(tiny, tmp_path):
    other = tmp_path / "other.safetensors"
    weights = load_file(tiny / "hyper_sdxl" / "diffusion_pytorch_model.safetensors")
    how = {"sampler": "lcm", "timestep": 800}
    first = min(weights)
    save_file({key: value for key, value in weights.items() if key != first}, other)
    with pytest.raises(
        BadInput, match=rf"other\.safetensors lacks 1 of the \d+ weights of the generator's unet.*{first}"
    ):
        made(tiny / "sdxl_base", parts={"unet": part(tmp_path, other.name)}, **how)
    save_file({**weights, first: torch.zeros(3)}, other)
    with pytest.raises(BadInput, match=rf"other\.safetensors and its config\.json do not fit together.*{first}"):
        made(tiny / "sdxl_base", parts={"unet": part(tmp_path, other.name)}, **how)
    with pytest.raises(BadInput, match="holds a UNet2DConditionModel model and is not a AutoencoderKL"):
        made(tiny / "sdxl_base", parts={"vae": part(tiny / "hyper_sdxl")}, **how)
    shutil.copytree(tiny / "sdxl_turbo", tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "unet")
    with pytest.raises(BadInput, match=r"unet/config\.json is not there"):
        made(tmp_path / "model")


def test_prompts_that_either_text_encoder_would_cut_are_refused(turbo, tiny, tmp_path):
    turbo.check_prompt("a gold bench")
    with pytest.raises(BadInput, match="too long for the generator's first text encoder"):
        turbo.check_prompt("car " * 100)
    folder = shutil.copytree(tiny / "sdxl_turbo", tmp_path / "model")
    rules = folder / "tokenizer_2" / "tokenizer_config.json"
    rules.write_text(json.dumps({**json.loads(rules.read_text()), "model_max_length": 8}))
    with pytest.raises(
        BadInput, match="too long for the generator's second text encoder: it has 9 tokens of at most 8"
    ):
        reader(folder).check_prompt("car " * 7)


def test_options_that_are_left_to_the_model_are_no_identity():
    assert identity({"steps": 1, "most_steps": 4, "height": None, "sampler": "lcm", "timestep": 800}) == {
        "sampler": "lcm",
        "timestep": 800,
    }
    assert identity({"steps": 2, "most_steps": 4, "height": 768}) == {"steps": 2, "height": 768}
