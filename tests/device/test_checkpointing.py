"""Gradient checkpointing, by what it does: what is kept between forward and backward, and the gradient."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from reno.device.checkpointing import blocks, worth_checkpointing
from reno.generators.stable_diffusion import StableDiffusion
from reno.metrics.blip import BlipMetric
from reno.metrics.clip import ClipMetric
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.spec.job import Execution

CPU = torch.device("cpu")
PROMPTS = ["a gold bench and a green clock", "a car"]


@pytest.fixture(scope="module")
def sd_turbo(tiny):
    return StableDiffusion(tiny / "sd_turbo", variant=None, dtype=torch.float32, device=CPU)


def forwards(sd_turbo, tiny):
    """Each part of the chain: its name, its switch, an input, the forward pass, and the largest share of
    what is kept without checkpointing that may be kept with it. (A tiny transformer has two layers.)"""
    noise = torch.randn(2, *sd_turbo.latent_shape, generator=torch.Generator().manual_seed(0))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    embeddings = sd_turbo.encode(PROMPTS)

    def switch(on):
        sd_turbo.run_as(Execution(on))

    yield "generator", switch, noise, lambda noise: sd_turbo(noise, embeddings), 0.4
    yield "decoder", switch, noise, sd_turbo.decode, 0.4
    metrics = (
        ("clip", ClipMetric, {}, 0.6),
        ("blip", BlipMetric, {"head": "itm"}, 0.7),
        ("blip", BlipMetric, {"head": "itc"}, 0.85),
    )
    for name, kind, options, share in metrics:
        metric = kind(tiny / name, dtype=torch.float32, device=CPU, **options)
        text = metric.encode(PROMPTS)
        yield (
            f"{name} {options}",
            metric.set_checkpointing,
            images,
            lambda images, metric=metric, text=text: metric(images, text),
            share,
        )


def kept(forward, given) -> tuple[int, int, torch.Tensor]:
    """Bytes that autograd saves; bytes that a forward pass leaves allocated, saved or held otherwise; the gradient."""
    saved = {}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def unpack(tensor):
        return tensor

    with torch.no_grad():
        forward(given)  # what the first call makes and keeps, such as resize matrices, is not the graph's
    given = given.clone().requires_grad_(True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler, saved_tensors_hooks(pack, unpack):
        output = forward(given)
    left = sum(event.self_cpu_memory_usage for event in profiler.events())
    (gradient,) = torch.autograd.grad(output.square().sum(), given)
    return sum(saved.values()), left, gradient


def test_less_is_kept_and_the_gradient_is_the_same_to_the_last_bit(sd_turbo, tiny):
    for name, switch, given, forward, share in forwards(sd_turbo, tiny):
        saved, held, gradient = {}, {}, {}
        for on in (True, False):
            switch(on)
            saved[on], held[on], gradient[on] = kept(forward, given)
        assert saved[True] < saved[False], name
        assert held[True] < share * held[False], name
        assert gradient[False].abs().max() > 0, name
        assert torch.equal(gradient[True], gradient[False]), name


def test_every_block_is_wrapped_once_and_unwrapped(sd_turbo):
    found = [type(block).__name__ for part in (sd_turbo.unet, sd_turbo.vae.decoder) for block in blocks(part)]
    assert {name: found.count(name) for name in found} == {
        "ResnetBlock2D": 24,
        "Transformer2DModel": 10,
        "Attention": 1,
    }
    for on in (True, True, False):
        sd_turbo.run_as(Execution(on))
        wrapped = [module for module in sd_turbo.unet.modules() if "forward" in vars(module)]
        assert len(wrapped) == (24 if on else 0)
        assert not any(hasattr(module.forward.args[0], "args") for module in wrapped)


@pytest.mark.parametrize(("asked", "on"), [("auto", False), ("true", True), ("false", False)])
def test_the_knob_reaches_every_model_that_is_optimised_and_no_identity(compose, asked, on):
    job = compose("metric=clip+blip", f"checkpointing={asked}", "prompt=a red car")
    plan = make_plan(job)
    models = ModelPool().load(plan, CPU)
    assert models.execution.checkpointing is on
    clip, blip = models.metric.terms
    optimised = [models.generator.unet, models.generator.vae.decoder, clip.model.vision_model, blip.model]
    for model in optimised:
        assert {"forward" in vars(block) for block in blocks(model)} == {on}
    assert plan.trials[0].id == make_plan(compose("metric=clip+blip", "prompt=a red car")).trials[0].id


def test_auto_is_by_the_size_of_the_images():
    assert [worth_checkpointing(size) for size in ((64, 64), (512, 512), (64, 256))] == [False, True, True]


def test_a_model_has_its_shapes_without_its_weights(tiny, tmp_path, sd_turbo):
    """What is to be known of memory before the weights are there: the same parameters, none of them read."""
    import shutil

    for name in ("sd_turbo", "clip"):
        shutil.copytree(tiny / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors"))
    skeleton = {"dtype": torch.float16, "device": torch.device("meta")}
    generator = StableDiffusion(tmp_path / "sd_turbo", variant=None, **skeleton)
    for part in ("text_encoder", "unet", "vae"):
        shapes = {key: value.shape for key, value in getattr(generator, part).named_parameters()}
        assert shapes == {key: value.shape for key, value in getattr(sd_turbo, part).named_parameters()}
    assert {p.dtype for p in generator.unet.parameters()} == {torch.float16}
    metric = ClipMetric(tmp_path / "clip", **skeleton)
    assert all(parameter.is_meta for parameter in [*generator.unet.parameters(), *metric.model.parameters()])
    read = torch.empty(2, 77, generator.unet.config.cross_attention_dim, dtype=torch.float16, device="meta")
    images = generator(torch.empty(2, *generator.latent_shape, device="meta"), read)
    assert metric(images, torch.empty(2, metric.model.config.projection_dim, device="meta")).shape == (2,)
