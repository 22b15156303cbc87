"""The floor of an iteration: forward and backward through generator and metric, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from reno.running.noise import NoiseSource
from reno.running.plan import Plan
from reno.running.pool import Models
from reno.spec.trial import LOSS_SCALE


def bare_iteration(plan: Plan, models: Models, side_by_side: int) -> Callable[[], torch.Tensor]:
    """A forward and backward pass of the plan's first trials; if they are too few, the last one is repeated."""
    generator, metric = models.generator, models.metric
    trials = [*plan.trials[:side_by_side], *[plan.trials[-1]] * (side_by_side - len(plan.trials))]
    texts = [trial.prompt.text for trial in trials]
    noise = NoiseSource([trial.seed for trial in trials], generator.latent_shape, generator.device).draw()
    noise.requires_grad_(True)
    embeddings, encoded = generator.encode(texts), metric.encode(texts)
    scale = LOSS_SCALE.get(plan.dtype, 1.0)

    def iteration() -> torch.Tensor:
        losses = metric.loss(metric.total(metric(generator(noise, embeddings), encoded)))
        (gradient,) = torch.autograd.grad(losses.sum() * scale, noise)
        return gradient

    return iteration


def captured(iteration: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """The same as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        iteration()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        iteration()
    return graph.replay


def seconds_each(run: Callable[[], object], times: int, device: torch.device) -> float:
    """Wall seconds of a call, the mean of `times`."""
    _finish(device)
    started = time.perf_counter()
    for _ in range(times):
        run()
    _finish(device)
    return (time.perf_counter() - started) / times


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
