"""A method that is given the answers of the past goes on as if nothing had been, without asking the models again."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from reno import methods
from reno.methods import steps
from reno.methods._tape import Tape
from tests.methods.problems import quadratic, settings, sgd

METHODS = {
    "reno": settings("reno", regularization=0.02),
    "sgd": sgd(momentum=0.9, nesterov=True, iterations=7, grad_clip=0.1),
    "start": settings("reno", start=3),
    "mpgr": settings("mpgr"),
    "gper": settings("gper", block=2),
    "dno": settings("dno", shuffles=2),
    "decoder_only": settings("decoder_only"),
    "best_of_n": settings("best_of_n"),
    "none": settings("none"),
    "halving": settings("halving", starts=3, climbers=2),
    "evolution": settings("evolution", population=3, parents=2),
    "ses": settings("ses", population=3, elites=2, band=1),
    "zero_order": settings("zero_order", neighbours=2),
}


def problem_of(tape, counted, **options):
    problem = quadratic(**options)

    def generate(noise):
        counted.append(1)
        return problem.generate(noise)

    return dataclasses.replace(problem, generate=generate, decode=generate, tape=tape)


def numbers(step):
    """What a step says, to the last bit."""
    values = (step.noise, step.scores.total, step.scores.terms, step.losses, step.regularizer, step.grad_norm)
    return [step.iteration, dict(step.failures), *(value.numpy().tobytes() for value in values)]


def walked(problem, chosen):
    """Each step's numbers, and how many answers there were by then."""
    found = []
    for step in steps(problem, chosen):
        found.append((numbers(step), len(problem.tape.new)))
    return found


@pytest.mark.parametrize("name", METHODS)
def test_a_method_goes_on_from_any_step(name):
    chosen = dataclasses.replace(METHODS[name], iterations=7)
    asked, tape = [], Tape()
    whole = walked(problem_of(tape, asked), chosen)
    assert len(whole) == methods.images(chosen) and len(tape.new) == len(asked)
    for step, (_, answers) in enumerate(whole):
        again = []
        resumed = walked(problem_of(Tape(tape.new[:answers]), again), chosen)
        assert [numbers for numbers, _ in resumed] == [numbers for numbers, _ in whole], step
        assert len(again) == len(asked) - answers
    assert walked(problem_of(Tape(), []), chosen) == whole


def test_a_trial_that_has_failed_stays_failed_and_is_said_so_in_the_same_words():
    """The score is lost once the second trial's noise is shorter than it was at iteration 2."""
    chosen = settings(iterations=5)

    def length(images):
        return images.flatten(1).norm(dim=1)

    plain = steps(quadratic(score=lambda images: -length(images)), chosen)
    least = [float(step.noise[1].norm()) for step in plain][2]

    def score(images):
        lost = (torch.arange(len(images)) == 1) & (length(images.detach()) < least)
        return -length(images) * torch.where(lost, float("nan"), 1.0)

    tape = Tape()
    whole = walked(problem_of(tape, [], score=score), chosen)
    assert [sorted(step[1]) for step, _ in whole] == [[], [], [], [1], [1], [1]]
    for _, answers in whole:
        resumed = walked(problem_of(Tape(tape.new[:answers]), [], score=score), chosen)
        assert [step for step, _ in resumed] == [step for step, _ in whole]


def test_a_loss_scale_that_was_halved_stays_so():
    class Narrow(torch.autograd.Function):
        """A gradient overflows above 100."""

        @staticmethod
        def forward(ctx, noise):
            return noise.clone()

        @staticmethod
        def backward(ctx, slope):
            return torch.where(slope.abs() > 100, float("inf"), slope)

    def go(tape):
        problem = quadratic(loss_scale=4096.0)
        asked.clear()
        return walked(dataclasses.replace(problem, generate=lambda noise: asked.append(1) or Narrow.apply(noise),
                                          tape=tape), settings(iterations=4))  # fmt: skip

    asked, tape = [], Tape()
    whole = go(tape)
    assert tape.new[0].scale.max() < 4096 and len(asked) > len(tape.new)
    again = Tape(tape.new[:1])
    assert [step for step, _ in go(again)] == [step for step, _ in whole]
    assert len(asked) == 4  # the four images that are left, none of them twice
    assert torch.equal(again.new[0].scale, tape.new[1].scale)


def test_an_image_that_was_not_finite_still_is_not():
    tape = Tape()
    images = torch.ones(2, 3, 4, 4)
    images[1, 0, 0, 0] = float("inf")
    tape.add(images, torch.zeros(2), torch.zeros(2, 1))
    (answer,) = tape.new
    assert answer.blank().isnan().flatten(1).any(1).tolist() == [False, True]
    assert answer.slope is None and answer.scale is None
