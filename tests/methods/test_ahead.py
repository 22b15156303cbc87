"""A device that runs ahead of the host makes the same steps, also on a tape in place of a CUDA graph."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from reno.device.reading import Reader
from reno.methods import gper, reno
from reno.methods._ahead import Ahead
from reno.methods.reno import Ascent, climb, make_optimizer
from reno.weights.images import to_uint8
from tests.device.tape import record_tape
from tests.methods.problems import quadratic, run, settings, sgd

READ = Reader(torch.device("cpu")).begin
EAGER, TAPED, LAUNCHED = Ahead(READ), Ahead(READ, record_tape, fused=True), Ahead(READ, fused=True)

PAPER = sgd(momentum=0.9, nesterov=True, lr=0.3, regularization=0.01, grad_clip=0.1, iterations=6)
CASES = {
    "adam": settings(iterations=6),
    "adam, clipped, regularised": settings(iterations=6, regularization=0.01, grad_clip=0.5),
    "the paper's": PAPER,
    "plain sgd": sgd(iterations=4),
    "one update": settings(iterations=1),
    "two updates": settings(iterations=2),
    "none": settings(iterations=0),
    "warm": settings(iterations=7, start=3),
    "gper": settings("gper", iterations=5),
    "decoder_only": settings("decoder_only", iterations=4),
}


def steps_of(problem, chosen, how):
    return run(dataclasses.replace(problem, ahead=how), chosen)


def same(ours, theirs, exactly=True):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.iteration == other.iteration and one.failures == other.failures
        pairs = [(getattr(one, name), getattr(other, name)) for name in ("noise", "images", "losses", "regularizer")]
        pairs += [(one.grad_norm, other.grad_norm), (one.scores.total, other.scores.total)]
        pairs += [(one.scores.terms, other.scores.terms), (one.noise_norm, other.noise_norm)]
        for found, expected in pairs:
            close = {"rtol": 0, "atol": 0} if exactly else {}
            torch.testing.assert_close(found, expected, equal_nan=True, **close)


@pytest.mark.parametrize("case", CASES)
def test_reading_behind_changes_no_bit(case):
    same(steps_of(quadratic(), CASES[case], EAGER), steps_of(quadratic(), CASES[case], None))


@pytest.mark.parametrize("case", CASES)
def test_a_replayed_iteration_makes_the_launched_ones_steps(case):
    """To the last bit those of the same kernels, launched one by one; within rounding those of the plain loop."""
    replayed = steps_of(quadratic(), CASES[case], TAPED)
    same(replayed, steps_of(quadratic(), CASES[case], LAUNCHED))
    same(replayed, steps_of(quadratic(), CASES[case], None), exactly=False)


def failing_at(number):
    """The second trial's gradient is not finite at one iteration's noise, and at no other."""
    calls = []

    def generate(noise):
        calls.append(None)
        return noise * 1.0

    def score(images):
        # where the image has moved far enough, the square root's gradient at zero is infinite
        far = (images.detach() - quadratic().noise).abs().amax((1, 2, 3)) >= number
        bad = (far & torch.tensor([False, True]))[:, None]
        zero = torch.where(bad, images.flatten(1) * 0, images.flatten(1).abs() + 1)
        return -(images - 0.3).square().flatten(1).sum(1) + zero.sqrt().sum(1)

    return quadratic(generate=generate, score=score)


@pytest.mark.parametrize("chosen", [settings(iterations=7), PAPER], ids=["adam", "sgd"])
def test_a_number_that_is_not_finite_is_told_of_the_iteration_where_it_is(chosen):
    plain = steps_of(failing_at(0.15), chosen, None)
    (at,) = {step.iteration for step in plain if step.failures} & {
        step.iteration for step, before in zip(plain[1:], plain, strict=False) if step.failures and not before.failures
    }
    assert 1 < at < 6 and list(plain[-1].failures) == [1]
    same(steps_of(failing_at(0.15), chosen, EAGER), plain)


def test_a_loss_that_overflows_float16_is_scaled_down_where_the_plain_loop_does():
    def score(images):  # a gradient through float16, which ends at 65504
        return -(images.half() * 30).double().square().flatten(1).sum(1) * torch.tensor([0.01, 1.0])

    problem = quadratic(score=score, loss_scale=4096.0, dtype="float16")
    chosen = settings(iterations=6)
    same(steps_of(problem, chosen, EAGER), steps_of(problem, chosen, None))


def test_the_device_waits_for_no_number_of_the_step_it_runs():
    """Iteration k + 1 is queued before anything of iteration k is read."""
    told = []

    def read(tensors):
        number = sum(kind == "queued" for kind, _ in told)
        told.append(("queued", number))

        def wait():
            told.append(("read", number))
            return READ(tensors)()

        return wait

    steps_of(quadratic(), settings(iterations=5), Ahead(read))
    assert told == [
        ("queued", 0), ("queued", 1), ("read", 0), ("queued", 2), ("read", 1), ("queued", 3), ("read", 2), ("read", 3)
    ]  # fmt: skip


@pytest.mark.parametrize(("iterations", "recorded"), [(1, 0), (2, 0), (3, 1), (6, 1)])
def test_an_iteration_is_recorded_once_and_only_if_more_than_one_is_left(iterations, recorded):
    made = []

    def record(advance, state):
        made.append(state)
        return record_tape(advance, state)

    steps_of(quadratic(), settings(iterations=iterations), Ahead(READ, record, fused=True))
    assert len(made) == recorded


def test_after_an_iteration_that_is_taken_plainly_the_same_record_is_replayed():
    made = []

    def record(advance, state):
        made.append(state)
        return advance

    def score(images):  # float16's end, as above: one iteration is taken plainly
        return -(images.half() * 30).double().square().flatten(1).sum(1) * torch.tensor([0.01, 1.0])

    problem = quadratic(score=score, loss_scale=4096.0, dtype="float16")
    steps_of(problem, settings(iterations=6), Ahead(READ, record))
    assert len(made) == 1


@pytest.mark.parametrize("chosen", [settings(), PAPER], ids=["adam", "sgd"])
def test_an_optimiser_is_one_kernel_only_where_that_is_asked_for(chosen):
    noise = torch.zeros(1, 4, requires_grad=True)
    assert not make_optimizer(noise, chosen).defaults["fused"]
    assert make_optimizer(noise, chosen, fused=True).defaults["fused"]


def test_a_step_that_was_read_has_its_pixels_and_keeps_them():
    steps = list(reno.steps(dataclasses.replace(quadratic(), ahead=EAGER), settings(iterations=4)))
    assert [step.pixels is None for step in steps] == [True, False, False, False, True]
    for step in steps[1:4]:
        assert (step.pixels == to_uint8(step.images)).all()


def test_an_irregular_iteration_moves_nothing_and_neither_does_what_was_queued_after_it():
    problem = failing_at(0.0)
    ascent = Ascent(problem, problem.noise, settings())
    ascent.optimizer.state[ascent.noise] = {  # as after a first move
        "step": torch.tensor(1.0), "exp_avg": torch.ones_like(ascent.noise), "exp_avg_sq": torch.ones_like(ascent.noise)
    }  # fmt: skip
    before = [tensor.detach().clone() for tensor in ascent.state()][:-1]
    assert [bool(ascent.advance()["regular"]) for _ in range(2)] == [False, False]
    for now, then in zip(ascent.state(), before, strict=False):
        assert torch.equal(now, then)


def test_a_regulariser_that_draws_keeps_the_host_in_step():
    drawn = quadratic()
    ascent = Ascent(
        dataclasses.replace(drawn, ahead=Ahead(lambda _: pytest.fail("ran ahead"))),
        drawn.noise,
        settings(),
        regularizer=lambda noise, slope: (noise.new_zeros(len(noise)), 0 * drawn.draw()),
    )
    assert len(list(climb(ascent, 3))) == 4
    assert reno.STATIC and gper.STATIC
