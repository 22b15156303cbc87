"""An ablation without the U-Net: the VAE alone decodes the noise as if it were latents, with a live graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from reno.methods import Problem, Step, reno
from reno.spec.job import MethodSettings

STATIC = DECODES = RESUMES = True


def steps(problem: Problem, settings: MethodSettings) -> Iterator[Step]:
    """ReNO's steps with the decoder in place of the whole generator."""
    return reno.steps(dataclasses.replace(problem, generate=problem.decode), settings)
