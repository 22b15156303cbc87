"""The ablation without the U-Net: the noise is taken for latents and decoded by the VAE alone, with a live graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from reno.methods import Problem, Step, reno
from reno.spec import MethodSettings


def steps(problem: Problem, settings: MethodSettings) -> Iterator[Step]:
    return reno.steps(dataclasses.replace(problem, generate=problem.decode), settings)
