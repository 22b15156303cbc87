"""The one-step generator against diffusers' own pipeline, and its gradient against finite differences."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from reno.generators.stable_diffusion import FOLDERS, StableDiffusion, check_decoder, load, reader
from reno.metrics.clip import ClipMetric
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint

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
    generator = StableDiffusion(folder, variant=None, dtype=torch.float32, device=CPU)
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


def test_decode_leaves_the_unet_out(tiny, generator):
    """Against diffusers' own decoding of latents, loaded anew."""
    from diffusers import AutoencoderKL
    from diffusers.image_processor import VaeImageProcessor

    vae = AutoencoderKL.from_pretrained(tiny / "sd_turbo" / "vae", torch_dtype=torch.float64)
    latents = torch.randn(1, *generator.latent_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        decoded = vae.decode(3 * latents / vae.config.scaling_factor, return_dict=False)[0]
        expected = VaeImageProcessor().postprocess(decoded, output_type="pt")
        images = generator.decode(3 * latents)
    assert images.dtype == torch.float64 and images.min() == 0 and images.max() == 1  # some of it is clipped
    torch.testing.assert_close(images, expected)


@pytest.fixture(scope="module")
def drafting(tiny):
    """The tiny SD-Turbo with the tiny TAESD, in float64."""
    return load(tiny / "sd_turbo", variant=None, dtype=torch.float64, device=CPU, decoder=tiny / "taesd")


def test_a_draft_is_what_diffusers_decodes_with_the_small_decoder(tiny, generator, drafting):
    """And the full image is that of a generator without one, to the last bit."""
    from diffusers import AutoencoderTiny
    from diffusers.image_processor import VaeImageProcessor

    noise = torch.randn(2, *generator.latent_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    small = AutoencoderTiny.from_pretrained(tiny / "taesd", torch_dtype=torch.float64)
    latents = []
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        conditioning = drafting.encode(PROMPTS)
        full, draft = drafting(noise, conditioning), drafting.draft(noise, conditioning)
        assert torch.equal(full, generator(noise, conditioning))
        assert torch.equal(full, generator.draft(noise, conditioning))
        patch.setattr(generator, "decode", latents.append)
        generator(noise, conditioning)
        decoded = small.decode(latents[0] / small.config.scaling_factor, return_dict=False)[0]
    assert (drafting.drafts, generator.drafts) == (True, False)
    assert draft.dtype == torch.float64 and draft.shape == full.shape and (draft - full).abs().max() > 0.1
    torch.testing.assert_close(draft, VaeImageProcessor().postprocess(decoded, output_type="pt"))


def test_a_draft_is_of_the_noises_dtype_whatever_the_decoders(drafting):
    noise = torch.randn(1, *drafting.latent_shape, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert drafting.draft(noise, drafting.encode(PROMPTS[:1])).dtype == torch.float32


def test_a_small_decoder_of_other_latents_or_other_sizes_is_refused():
    """Four levels make an image 2 ** 3 times as wide as the latents."""
    vae = {"latent_channels": 4, "block_out_channels": [128, 256, 512, 512]}
    small = {"latent_channels": 4, "upsampling_scaling_factor": 2, "num_decoder_blocks": [3, 3, 3, 1]}
    check_decoder(Path("taesd"), small, vae)
    check_decoder(Path("taesd"), {}, vae)  # what is missing is told when it is loaded
    for change, channels, wider in (({"latent_channels": 16}, 16, 8), ({"num_decoder_blocks": [3, 3, 1]}, 4, 4)):
        with pytest.raises(BadInput) as refused:
            check_decoder(Path("taesd"), small | change, vae)
        assert str(refused.value) == (
            f"the small decoder in taesd takes latents of {channels} channels to images {wider} times as wide, and the "
            "generator's latents have 4 channels and its images are 8 times as wide; use models.generator.decoder=null"
        )


def test_without_the_weights_a_decoder_that_cannot_be_is_refused_too(tiny, tmp_path):
    reader(tiny / "sd_turbo", decoder=tiny / "taesd")
    config = json.loads((tiny / "taesd" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"latent_channels": 5}))
    with pytest.raises(BadInput, match=f"the small decoder in {re.escape(str(tmp_path))} takes latents of 5 channels"):
        reader(tiny / "sd_turbo", decoder=tmp_path)


def test_the_gradient_of_a_drafts_loss_agrees_with_finite_differences(tiny, drafting):
    metric = ClipMetric(tiny / "clip", dtype=torch.float64, device=CPU)
    embeddings, text = drafting.encode(PROMPTS[:1]), metric.encode(PROMPTS[:1])

    def loss(noise):
        return 100 - metric(drafting.draft(noise, embeddings), text).sum()

    noise = torch.randn(1, *drafting.latent_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(noise), noise)
    assert gradient.norm() > 1e-3
    for seed in range(3):
        direction = torch.randn(noise.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 10))
        direction /= direction.norm()
        step = 1e-6  # shorter than for the VAE: a rectifier has a kink
        with torch.no_grad():
            slope = (loss(noise + step * direction) - loss(noise - step * direction)) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-7)


def test_a_prompt_that_would_be_cut_is_refused_with_what_would_be_cut(generator):
    generator.check_prompt("a gold bench")
    with pytest.raises(BadInput, match="would be cut") as caught:
        generator.check_prompt("a red car and " * 40 + "a zebra")
    assert "too long for the generator's text encoder" in str(caught.value) and "at most 77" in str(caught.value)


def test_what_is_kept_of_a_long_prompt_is_what_the_tokenizer_keeps(generator):
    """The quoted rest begins where the text encoder would stop reading."""
    text = " ".join(["car"] * 75) + " zebra"
    assert len(generator.tokenizer("car " * 75).input_ids) == 77
    with pytest.raises(BadInput, match="'zebra' would be cut"):
        generator.check_prompt(text)


def test_a_folder_that_is_no_generator_is_refused(tiny):
    with pytest.raises(BadInput, match="text_encoder"):
        StableDiffusion(tiny / "clip", variant=None, dtype=torch.float32, device=CPU)


def test_a_half_precision_variant_is_loaded_where_it_is_stored(tmp_path):
    from reno.weights.checkpoints import locate
    from scripts.make_checkpoints import make_checkpoint

    folder = make_checkpoint("sd_turbo", "tiny", tmp_path, dtype="float16")
    located = locate(Checkpoint(str(folder), None, "fp16"), "models.generator", FOLDERS)
    assert located.variant == "fp16"
    generator = StableDiffusion(located.folder, variant=located.variant, dtype=torch.float32, device=CPU)
    with torch.no_grad():
        images = generator(torch.randn(1, *generator.latent_shape), generator.encode(PROMPTS[:1]))
    assert images.isfinite().all()


def test_each_part_is_loaded_in_the_precision_that_it_is_stored_in(tiny, generator, tmp_path):
    """As diffusers' pipeline does: fp16 is wanted, and the VAE is stored plain."""
    from reno.weights.checkpoints import locate

    folder = tmp_path / "mixed"
    shutil.copytree(tiny / "sd_turbo", folder)
    for weights in (*folder.glob("text_encoder/*.safetensors"), *folder.glob("unet/*.safetensors")):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    located = locate(Checkpoint(str(folder), None, "fp16"), "models.generator", FOLDERS)
    mixed = StableDiffusion(folder, variant=located.variant, dtype=torch.float64, device=CPU)
    noise = torch.randn(1, *generator.latent_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = generator(noise, generator.encode(PROMPTS[:1]))
        assert torch.equal(mixed(noise, mixed.encode(PROMPTS[:1])), expected)


def test_a_published_pipeline_without_its_weights_has_its_sizes(tmp_path):
    """On the meta device nothing but the configuration is read."""
    from reno.weights.architectures import architecture
    from reno.weights.folders import write_without_weights

    write_without_weights(architecture("sd_turbo", "full"), tmp_path)
    meta = load(tmp_path, variant=None, dtype=torch.float16, device=torch.device("meta"))
    assert (meta.latent_shape, meta.image_size) == ((4, 64, 64), (512, 512))
    assert meta.dtype == torch.float16 and {p.dtype for p in meta.unet.parameters()} == {torch.float16}
    assert (meta.parts, meta.reading) == ((meta.unet, meta.vae), (meta.text_encoder,))
    assert meta.blocks == (meta.unet, meta.vae.decoder)
    assert meta.vae.encoder is None and meta.vae.quant_conv is None  # images are only ever decoded


# --- Which step -------------------------------------------------------------------------------------------------------


def test_a_step_of_ones_own_is_the_pipelines(tiny, generator):
    """Against diffusers' scheduler: the clean latents that it predicts from the noise at that step."""
    from diffusers import EulerDiscreteScheduler

    own = load(tiny / "sd_turbo", variant=None, dtype=torch.float64, device=CPU, timestep=499)
    scheduler = EulerDiscreteScheduler.from_pretrained(tiny / "sd_turbo" / "scheduler")
    scheduler.set_timesteps(timesteps=[499])
    noise = torch.randn(1, *own.latent_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    embeddings = own.encode(PROMPTS[:1])
    with torch.no_grad():
        latents = noise * scheduler.init_noise_sigma
        given = scheduler.scale_model_input(latents, scheduler.timesteps[0])
        output = own.unet(given, scheduler.timesteps[0], embeddings).sample
        clean = scheduler.step(output, scheduler.timesteps[0], latents).pred_original_sample
        torch.testing.assert_close(own(noise, embeddings), own.decode(clean), atol=1e-5, rtol=0)
        assert not torch.allclose(own(noise, embeddings), generator(noise, embeddings))


def test_the_usual_step_is_the_noisiest(tiny, generator):
    last = load(tiny / "sd_turbo", variant=None, dtype=torch.float64, device=CPU, timestep=999)
    assert int(generator.timestep) == int(last.timestep) == 999
    assert (generator.sigma, generator.init_noise_sigma) == (last.sigma, last.init_noise_sigma)
    first = load(tiny / "sd_turbo", variant=None, dtype=torch.float64, device=CPU, timestep=0)
    assert int(first.timestep) == 0 and first.sigma < last.sigma


@pytest.mark.parametrize("timestep", [-1, 1000, True, 1.5, "last"])
def test_a_step_that_the_model_was_not_trained_on_is_refused(tiny, timestep):
    with pytest.raises(BadInput) as refused:
        load(tiny / "sd_turbo", variant=None, dtype=torch.float32, device=CPU, timestep=timestep)
    assert str(refused.value) == f"models.generator.timestep must be a whole number, 0 to 999, not {timestep!r}"


def changed(tiny, tmp_path, old, new):
    """The tiny pipeline with other words in its scheduler's configuration."""
    shutil.copytree(tiny / "sd_turbo", tmp_path / "model")
    scheduler = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    assert old in scheduler.read_text()
    scheduler.write_text(scheduler.read_text().replace(old, new))
    return tmp_path / "model"


def test_with_a_step_of_ones_own_the_scheduler_may_start_anywhere(tiny, tmp_path):
    folder = changed(tiny, tmp_path, '"trailing"', '"leading"')
    with pytest.raises(BadInput, match=r"or give the step with models\.generator\.timestep=999"):
        load(folder, variant=None, dtype=torch.float32, device=CPU)
    assert int(load(folder, variant=None, dtype=torch.float32, device=CPU, timestep=999).timestep) == 999


def test_a_prediction_that_is_not_known_is_refused(tiny, tmp_path):
    folder = changed(tiny, tmp_path, '"epsilon"', '"sample"')
    with pytest.raises(BadInput, match="predicts 'sample'; only epsilon and v_prediction are known"):
        load(folder, variant=None, dtype=torch.float32, device=CPU)


def test_a_pipeline_without_a_scheduler_is_refused(tiny, tmp_path):
    shutil.copytree(tiny / "sd_turbo", tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "scheduler")
    with pytest.raises(BadInput, match=r"scheduler/scheduler_config\.json is not there"):
        load(tmp_path / "model", variant=None, dtype=torch.float32, device=CPU)


# --- What it reads ----------------------------------------------------------------------------------------------------


def test_embeddings_carry_no_graph_and_know_nothing_of_the_other_prompts(generator):
    together = generator.encode(PROMPTS)
    assert together.shape[:2] == (2, 77) and not together.requires_grad
    for place, prompt in enumerate(PROMPTS):
        torch.testing.assert_close(generator.encode([prompt])[0], together[place])


def test_the_padding_is_masked_only_where_the_text_encoder_was_trained_so(tiny):
    """`use_attention_mask` in its configuration, as in StableDiffusionPipeline.encode_prompt."""
    own = load(tiny / "sd_turbo", variant=None, dtype=torch.float64, device=CPU)
    plain = own.encode(["a car"])
    tokens = own.tokenizer(["a car"], padding="max_length", max_length=77, return_tensors="pt")
    torch.testing.assert_close(plain, own.text_encoder(tokens.input_ids)[0])
    own.text_encoder.config.use_attention_mask = True
    expected = own.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    assert not torch.allclose(expected, plain)
    torch.testing.assert_close(own.encode(["a car"]), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.slow)])
def test_images_are_in_the_noises_dtype(tiny, generator, dtype):
    own = load(tiny / "sd_turbo", variant=None, dtype=dtype, device=CPU)
    noise = torch.randn(2, *own.latent_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        images = own(noise, own.encode(PROMPTS))
        exact = generator(noise.double(), generator.encode(PROMPTS))
    assert own.unet.dtype == own.vae.dtype == own.text_encoder.dtype == dtype and images.dtype == torch.float32
    difference = (images.double() - exact).abs()
    assert difference.mean() < (0.02 if dtype == torch.bfloat16 else 1e-5)


def test_a_dry_run_knows_the_size_of_the_images_without_the_weights(tiny, generator):
    read = reader(tiny / "sd_turbo")
    assert read.image_size == generator.image_size
    with pytest.raises(BadInput, match="0 to 999, not -1"):
        reader(tiny / "sd_turbo", timestep=-1)


def test_a_dry_run_refuses_the_prompts_that_the_generator_refuses(tiny, generator):
    read, long = reader(tiny / "sd_turbo"), "zebra " * 100
    read.check_prompt("a car")
    with pytest.raises(BadInput) as by_the_generator:
        generator.check_prompt(long)
    with pytest.raises(BadInput) as without_weights:
        read.check_prompt(long)
    assert str(without_weights.value) == str(by_the_generator.value)


def test_a_dry_run_reads_the_scheduler_and_sides_that_differ(tiny, tmp_path):
    for name in ("unet", "vae", "scheduler", "tokenizer", "text_encoder"):
        (tmp_path / name).mkdir()
    for name in ("unet", "vae"):
        shutil.copy(tiny / "sd_turbo" / name / "config.json", tmp_path / name)
    config = json.loads((tmp_path / "unet" / "config.json").read_text())
    (tmp_path / "unet" / "config.json").write_text(json.dumps({**config, "sample_size": [4, 6]}))
    scale = reader(tiny / "sd_turbo").image_size[0] // config["sample_size"]
    assert reader(tmp_path).image_size == (4 * scale, 6 * scale)
    (tmp_path / "scheduler" / "scheduler_config.json").write_text('{"timestep_spacing": "leading"}')
    with pytest.raises(BadInput, match=f"the scheduler in {tmp_path} must have timestep_spacing trailing"):
        reader(tmp_path)
    for name in ("vae", "unet"):  # a size is said only if both files say theirs
        (tmp_path / name / "config.json").unlink()
        assert reader(tmp_path, timestep=999).image_size is None
