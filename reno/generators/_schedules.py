"""The steps of a sampler as constants. Each step is linear in the latents, the denoiser's output and the noise.

diffusers' schedulers keep a count, compute in float32 and draw noise themselves; a loop that is run again and again for
its gradient needs none of it. The constants are theirs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from reno.spec.errors import BadInput, typed_line
from reno.weights.files import read_json

Sampler = Literal["euler_ancestral", "lcm"]
CLASSES = {"euler_ancestral": "EulerAncestralDiscreteScheduler", "lcm": "LCMScheduler"}
"""By the sampler's name, its class in diffusers."""


@dataclass(frozen=True)
class SamplerStep:
    """One step from noisier latents x, the denoiser's output o and fresh noise e."""

    timestep: torch.Tensor
    """What the denoiser is told, a scalar on its device."""
    scale: float
    """The denoiser reads scale * x."""
    of_latents: float
    of_output: float
    """The predicted clean latents: c = of_latents * x + of_output * o."""
    keep: float = 0.0
    clean: float = 1.0
    noise: float = 0.0
    """The next latents: keep * x + clean * c + noise * e. In the last step they are c."""


@dataclass(frozen=True)
class Schedule:
    """A sampler's steps."""

    first: float
    """The first latents are first * noise."""
    steps: tuple[SamplerStep, ...]


def schedule_in(
    folder: Path, sampler: Sampler | None, steps: int, timestep: int | None, device: torch.device
) -> Schedule:
    """The steps by a pipeline's scheduler/scheduler_config.json.

    sampler: in place of the one that the file names. timestep: of the one step, with `lcm`. Raises BadInput if the file
    or a value does not fit.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    config = read_json(path)
    sampler = check_schedule(folder, config, sampler, steps, timestep)
    try:
        if sampler == "lcm":
            return _lcm(config, timestep, device)
        return _euler_ancestral(config, steps, device)
    except Exception as error:  # a value in the file can raise anything
        raise BadInput(f"cannot make the generator's scheduler of {path} ({typed_line(error)}); correct it") from None


def check_schedule(
    folder: Path, config: dict[str, Any], sampler: Sampler | None, steps: int, timestep: int | None
) -> Sampler:
    """The sampler's name. Raises BadInput if the steps cannot be made with a scheduler of this configuration."""
    named = next((name for name, kind in CLASSES.items() if kind == config.get("_class_name")), None)
    chosen = sampler or named
    if chosen not in get_args(Sampler):
        raise BadInput(
            f"the scheduler in {folder} is a {config.get('_class_name')}, whose steps are not known here; choose one: "
            f"models.generator.sampler={' or '.join(CLASSES)}"
        )
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise BadInput(f"the generator in {folder} predicts {prediction!r}; only epsilon and v_prediction are known")
    if chosen == "lcm":
        last = config.get("num_train_timesteps", 1000) - 1
        if isinstance(timestep, bool) or not isinstance(timestep, int) or not 0 <= timestep <= last:
            raise BadInput(
                f"models.generator.timestep must be a whole number, 0 to {last}, with sampler=lcm, not {timestep!r}"
            )
        if steps != 1:
            raise BadInput(f"models.generator.steps={steps} needs sampler=euler_ancestral; lcm makes one step here")
    elif timestep is not None:
        raise BadInput("models.generator.timestep is of sampler=lcm; the other has its own, the noisiest: leave it out")
    elif config.get("timestep_spacing") != "trailing":
        raise BadInput(
            f"the scheduler in {folder} must have timestep_spacing trailing, because the first step must start at pure "
            "noise"
        )
    return chosen


def _euler_ancestral(config: dict[str, Any], count: int, device: torch.device) -> Schedule:
    """Euler steps down to less than the next noise level, then fresh noise up to it (Karras et al. 2022, algorithm 2,
    as diffusers' EulerAncestralDiscreteScheduler has it). At the last level, 0, nothing is added."""
    from diffusers import EulerAncestralDiscreteScheduler

    scheduler = EulerAncestralDiscreteScheduler.from_config(config)
    scheduler.set_timesteps(count)
    sigmas = scheduler.sigmas.double().tolist()
    steps = []
    for place, (sigma, after) in enumerate(itertools.pairwise(sigmas)):
        unit = sigma**2 + 1
        up = (after**2 * (sigma**2 - after**2) / sigma**2) ** 0.5
        down = (after**2 - up**2) ** 0.5
        predicted = (1.0, -sigma) if scheduler.config.prediction_type == "epsilon" else (1 / unit, -sigma / unit**0.5)
        moved = (down / sigma, 1 - down / sigma, up)
        steps.append(SamplerStep(scheduler.timesteps[place].to(device), unit**-0.5, *predicted, *moved))
    return Schedule(float(scheduler.init_noise_sigma), tuple(steps))


def _lcm(config: dict[str, Any], timestep: int, device: torch.device) -> Schedule:
    """The one step of a consistency model (Luo et al. 2023, arXiv 2310.04378, equation 9), as diffusers' LCMScheduler
    has it."""
    from diffusers import LCMScheduler

    scheduler = LCMScheduler.from_config(config)
    signal = float(scheduler.alphas_cumprod[timestep])
    skip, out = (float(value) for value in scheduler.get_scalings_for_boundary_condition_discrete(timestep))
    a, b = signal**0.5, (1 - signal) ** 0.5
    predicted = (1 / a, -b / a) if scheduler.config.prediction_type == "epsilon" else (a, -b)
    step = SamplerStep(torch.tensor(timestep, device=device), 1.0, out * predicted[0] + skip, out * predicted[1])
    return Schedule(float(scheduler.init_noise_sigma), (step,))
