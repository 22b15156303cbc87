"""ReNO's algorithm on a problem small enough to work by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from reno.methods.reno import clip_by_trial, make_optimizer, noise_regularizer, noise_regularizer_gradient
from tests.methods.problems import quadratic, run, settings, sgd


def test_it_makes_one_image_more_than_it_takes_steps():
    steps = run(quadratic(), settings(iterations=5))
    assert [step.iteration for step in steps] == [0, 1, 2, 3, 4, 5]
    assert steps[-1].grad_norm.isnan().all()
    assert not any(step.grad_norm.isnan().any() for step in steps[:-1])
    (only,) = run(quadratic(), settings(iterations=0))
    assert only.iteration == 0 and only.grad_norm.isnan().all()


def test_it_starts_from_the_problems_noise_and_leaves_that_as_it_was():
    problem = quadratic()
    before = problem.noise.clone()
    steps = run(problem, settings())
    assert torch.equal(steps[0].noise, before) and torch.equal(problem.noise, before)
    assert not torch.equal(steps[1].noise, before)


def test_a_step_holds_the_image_of_its_noise_and_what_that_scored():
    problem = quadratic()
    for step in run(problem, settings(regularization=0.01)):
        torch.testing.assert_close(step.images, step.noise)
        expected = -(step.noise - 0.3).square().flatten(1).sum(1)
        torch.testing.assert_close(step.scores.total, expected)
        torch.testing.assert_close(step.scores.terms, torch.stack([expected, 2 * expected], 1))
        torch.testing.assert_close(step.losses, 100 - expected)
        torch.testing.assert_close(step.regularizer, 0.01 * noise_regularizer(step.noise))
        torch.testing.assert_close(step.noise_norm, step.noise.square().sum((1, 2, 3)).sqrt())
        tensors = (step.noise, step.images, step.scores.total, step.scores.terms, step.losses, step.regularizer)
        assert not any(tensor.requires_grad for tensor in (*tensors, step.grad_norm))


def test_the_gradients_norm_is_of_metric_and_regulariser_before_clipping():
    (first, *_) = run(quadratic(), settings(regularization=0.5, grad_clip=1e-3))
    noise = first.noise
    radius2 = noise.flatten(1).square().sum(1)[:, None, None, None]
    gradient = 2 * (noise - 0.3) + 0.5 * (1 - 3 / radius2) * noise
    torch.testing.assert_close(first.grad_norm, gradient.flatten(1).square().sum(1).sqrt())


def test_adam_follows_its_published_update():
    """Kingma and Ba 2015, algorithm 1, written out."""
    problem = quadratic()
    noise, first, second = problem.noise.clone(), torch.zeros_like(problem.noise), torch.zeros_like(problem.noise)
    for step in run(problem, settings(iterations=4, lr=0.05)):
        torch.testing.assert_close(step.noise, noise)
        gradient = 2 * (noise - 0.3)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9 ** (step.iteration + 1)), second / (1 - 0.999 ** (step.iteration + 1))
        noise = noise - 0.05 * unbiased[0] / (unbiased[1].sqrt() + 1e-8)


def test_the_papers_setting_follows_nesterov_with_clipping_and_regulariser():
    problem = quadratic()
    noise, velocity = problem.noise.clone(), None
    for step in run(problem, sgd(0.9, True, iterations=4, lr=5.0, regularization=0.01, grad_clip=0.1)):
        torch.testing.assert_close(step.noise, noise)
        radius2 = noise.flatten(1).square().sum(1)[:, None, None, None]
        gradient = 2 * (noise - 0.3) + 0.01 * (1 - 3 / radius2) * noise
        norm = gradient.flatten(1).norm(dim=1)[:, None, None, None]
        gradient = gradient * (0.1 / norm).clamp(max=1)
        velocity = gradient if velocity is None else 0.9 * velocity + gradient
        noise = noise - 5.0 * (gradient + 0.9 * velocity)


def test_the_optimiser_has_the_settings_it_is_given():
    noise = torch.zeros(1, 1, 2, 2)
    adam = make_optimizer(noise, settings(lr=0.2, optimizer_settings={"betas": [0.5, 0.6], "eps": 1e-3}))
    assert isinstance(adam, torch.optim.Adam)
    assert {key: adam.defaults[key] for key in ("lr", "betas", "eps")} == {"lr": 0.2, "betas": (0.5, 0.6), "eps": 1e-3}
    plain = make_optimizer(noise, sgd(0.3, False, lr=0.4))
    assert isinstance(plain, torch.optim.SGD)
    assert [plain.defaults[key] for key in ("lr", "momentum", "nesterov")] == [0.4, 0.3, False]
    assert make_optimizer(noise, sgd(0.3, True)).defaults["nesterov"] is True


# --- The regulariser and clipping -------------------------------------------------------------------------------------


def test_the_regulariser_has_its_hand_worked_value():
    noise = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]]], dtype=torch.float64)  # |e| = 5, d = 4
    torch.testing.assert_close(noise_regularizer(noise), torch.tensor([12.5 - 3 * math.log(5)], dtype=torch.float64))


def test_the_regulariser_is_the_chi_distributions_negative_log_density_up_to_a_constant():
    from scipy.stats import chi

    noise = torch.randn(6, 4, 8, 8, dtype=torch.float64) * torch.linspace(0.8, 1.2, 6)[:, None, None, None]
    expected = -chi(256).logpdf(noise.flatten(1).norm(dim=1).numpy())
    difference = noise_regularizer(noise).numpy() - expected
    assert difference == pytest.approx(difference[0])


def test_the_regularisers_gradient_agrees_with_autograd():
    noise = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(noise_regularizer(noise).sum(), noise)
    torch.testing.assert_close(noise_regularizer_gradient(noise.detach()), expected)


def test_clipping_is_by_trial():
    gradient = torch.tensor([[3.0, 4.0], [0.03, 0.04]])[:, None, None, :]
    clipped = clip_by_trial(gradient, gradient.flatten(1).norm(dim=1), 0.1)
    torch.testing.assert_close(clipped.flatten(1), torch.tensor([[0.06, 0.08], [0.03, 0.04]]))
    assert clip_by_trial(gradient, gradient.flatten(1).norm(dim=1), None) is gradient


def test_clipping_leaves_a_gradient_of_zero_at_zero():
    zero = torch.zeros(1, 1, 1, 2)
    assert torch.equal(clip_by_trial(zero, torch.zeros(1), 0.1), zero)


# --- Chains that carry no gradient ------------------------------------------------------------------------------------


CHAINS = [
    (
        {"generate": lambda noise: noise.detach()},
        "the chain is cut in the generator: its image carries no graph back to the noise",
    ),
    (
        {"generate": lambda noise: noise * 0.0},
        "the chain is cut in the generator: no usable gradient passes back to the noise",
    ),
    (  # a graph, but to something else
        {"generate": lambda noise: noise.detach() * torch.ones(1, dtype=torch.float64, requires_grad=True)},
        "the chain is cut in the generator: no usable gradient passes back to the noise",
    ),
    (
        {"score": lambda images: images.detach().flatten(1).sum(1)},
        "the chain is cut in the metric: the gradient of its loss at the image is zero",
    ),
    (
        {"score": lambda images: images.flatten(1).sum(1) * 0.0},
        "the chain is cut in the metric: the gradient of its loss at the image is zero",
    ),
    (
        {"generate": lambda noise: noise / 0.0},
        "the generator made an image with values that are not finite; try dtype=float32",
    ),
    (
        {"score": lambda images: images.flatten(1).sum(1) * float("nan")},
        "the metric's score is not finite; try dtype=float32",
    ),
    (
        {"score": lambda images: (images.flatten(1).sum(1) * 0).sqrt()},  # 0, with a slope of 0 * inf
        "the metric's gradient with respect to the image is not finite; try dtype=float32",
    ),
]


@pytest.mark.parametrize(("chain", "why"), CHAINS)
@pytest.mark.parametrize("regularization", [0.0, 0.01])
def test_a_chain_that_carries_no_gradient_is_named(chain, why, regularization):
    """The regulariser alone has a gradient; it must not hide that the metric has none."""
    problem = quadratic(**chain)
    steps = run(problem, settings(regularization=regularization))
    for step in steps:
        assert step.failures == {0: f"iteration 0: {why}", 1: f"iteration 0: {why}"}
        assert torch.equal(step.noise, problem.noise)


def test_a_gradient_that_is_zero_later_does_not_stop_a_trial():
    """The score cannot rise any more."""
    problem = quadratic(score=lambda images: -images.clamp_min(-5).flatten(1).sum(1))
    steps = run(problem, sgd(iterations=3, lr=10.0))
    assert steps[1].grad_norm.tolist() == [0.0, 0.0] and steps[-1].failures == {}
    torch.testing.assert_close(steps[-1].noise, problem.noise - 10)


def test_a_gradient_that_is_not_finite_later_stops_its_trial_there():
    """The second trial's score is the root of a number that is negative after the first step."""

    def score(images):
        sums = images.flatten(1).sum(1)
        return torch.stack([sums[0], 1e3 * (sums[1] - start + 1e-3).sqrt() * -1])

    start = float(quadratic().noise[1].sum())
    steps = run(quadratic(score=score), sgd(iterations=3, lr=0.1))
    assert steps[0].failures == {} and set(steps[1].failures) == {1}
    assert steps[1].failures[1] == "iteration 1: the metric's score is not finite; try dtype=float32 or a smaller lr"
    assert torch.equal(steps[1].noise[1], steps[-1].noise[1])
    assert steps[-1].failures == steps[1].failures and not torch.equal(steps[1].noise[0], steps[-1].noise[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wider_dtype_is_not_advised_where_there_is_none(dtype):
    steps = run(quadratic(generate=lambda noise: noise / 0.0, dtype=dtype), settings(iterations=1))
    why = "iteration 0: the generator made an image with values that are not finite"
    assert steps[0].failures == {0: why, 1: why}


@pytest.mark.parametrize("optimizer", [settings, sgd])
def test_a_last_image_that_is_not_finite_fails_its_trial_alone(optimizer):
    """The update before it was too large for the second trial."""

    def generate(noise):
        return torch.stack([noise[0], noise[1] / (noise[1] == start[1])])

    start = quadratic().noise
    first, last = run(quadratic(generate=generate, dtype="float32"), optimizer(iterations=1))
    why = "iteration 1: the generator made an image with values that are not finite; try a smaller lr"
    assert (first.failures, last.failures) == ({}, {1: why})


def test_a_last_score_that_is_not_finite_fails_its_trial():
    """The score is finite where the image is as it was made."""
    start = quadratic().noise

    def score(images):
        return images.flatten(1).sum(1) / (images == start).flatten(1).all(1)

    _, last = run(quadratic(score=score, dtype="float32"), settings(iterations=1))
    assert last.failures == dict.fromkeys([0, 1], "iteration 1: the metric's score is not finite; try a smaller lr")


def test_a_noise_of_zero_has_no_regulariser_unless_it_is_asked_for():
    """Its K is infinite. The second trial's noise is no zero, and goes on."""
    problem = quadratic(dtype="float32")
    problem.noise[0] = 0.0
    free = run(problem, sgd(iterations=2))
    assert free[-1].failures == {} and free[-1].noise.isfinite().all() and free[-1].regularizer.tolist() == [0, 0]
    assert not torch.equal(free[-1].noise[0], problem.noise[0])
    bound = run(problem, sgd(iterations=2, regularization=0.01))
    assert bound[-1].failures == {
        0: "iteration 0: the gradient of the noise-norm regulariser is not finite: the noise's norm is 0; "
        "try regularization=0"
    }
    assert torch.equal(bound[-1].noise[0], problem.noise[0]) and bound[-1].noise.isfinite().all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_trial_that_stops_leaves_the_others_as_they_were(momentum):
    def score(images):
        scores = -(images - 0.3).square().flatten(1).sum(1)
        return torch.stack([scores[0] * 0.0, *scores[1:]])

    for chosen in (settings(iterations=4), sgd(momentum, iterations=4)):
        whole = run(quadratic(batch=3), chosen)
        with_one_stopped = run(quadratic(batch=3, score=score), chosen)
        for good, bad in zip(whole, with_one_stopped, strict=True):
            assert torch.equal(good.noise[1:], bad.noise[1:])
            assert torch.equal(bad.noise[0], whole[0].noise[0])
        assert set(with_one_stopped[-1].failures) == {0}


# --- Gradients through float16 ----------------------------------------------------------------------------------------


def through_half(slopes, loss_scale=1.0):
    """A chain that computes in float16: the score's slope at every pixel is the trial's own."""
    weights = torch.tensor(slopes, dtype=torch.float64)

    def score(images):
        return (images.half().double().flatten(1) * weights[:, None]).sum(1)

    return quadratic(batch=len(slopes), score=score, loss_scale=loss_scale)


def first_gradients(problem):
    """Of one step of SGD from rest, which moves against the gradient by its length; and the failures."""
    *_, last = run(problem, sgd(iterations=1, lr=1.0))
    return problem.noise - last.noise, last.failures


def test_a_gradient_too_small_or_too_large_for_float16_passes_where_the_loss_is_scaled():
    """Each trial at its own scale: the large one is halved into range, and the small one does not see it."""
    slopes = [3e-8, 1000.0]
    unscaled, failures = first_gradients(through_half(slopes))
    assert unscaled[0].abs().max() == pytest.approx(6e-8, rel=0.01)  # the smallest float16, and twice the slope
    scaled, failures = first_gradients(through_half(slopes, 4096.0))
    assert failures == {}
    for trial, slope in enumerate(slopes):
        torch.testing.assert_close(scaled[trial], torch.full_like(scaled[trial], -slope), rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize(("slope", "fits"), [(40000.0, True), (100000.0, False)])
def test_a_scale_is_halved_down_to_one_and_no_further(slope, fits):
    """float16 ends at 65504."""
    scaled, failures = first_gradients(through_half([slope], 2.0))
    assert (failures == {}) is fits
    torch.testing.assert_close(scaled, torch.full_like(scaled, -slope if fits else 0.0))


def test_a_scale_that_was_halved_stays_so():
    """The chain runs again only at the first step: as many times as the scale is halved."""
    calls = []
    problem = through_half([1000.0], 4096.0)  # 1000 * 4096 needs to be halved 6 times to be below 65504
    score = problem.score
    object.__setattr__(problem, "score", lambda images: calls.append(1) or score(images))
    run(problem, sgd(iterations=2, lr=1e-9))
    assert len(calls) == 7 + 1 + 1


@pytest.mark.parametrize(
    ("slope", "why"),
    [
        (1e6, "iteration 0: the metric's gradient with respect to the image is not finite; try dtype=float32"),
        (
            1e-12,
            "iteration 0: the chain is cut in the metric: the gradient of its loss at the image is zero, or is too "
            "small or too large for float16; try dtype=float32",
        ),
    ],
)
def test_a_gradient_that_no_scale_brings_into_range_fails_its_trial_alone(slope, why):
    scaled, failures = first_gradients(through_half([1.0, slope], 4096.0))
    assert failures == {1: why}
    torch.testing.assert_close(scaled, torch.tensor([-1.0, 0.0])[:, None, None, None].expand(scaled.shape).double())


def test_a_generator_that_rounds_the_gradient_away_is_named():
    problem = quadratic(generate=lambda noise: (noise.half() * 1e-9).double(), loss_scale=2.0)
    _, failures = first_gradients(problem)
    assert failures[0] == (
        "iteration 0: the chain is cut in the generator: no usable gradient passes back to the noise, or is too small "
        "or too large for float16; try dtype=float32"
    )


def test_a_scale_changes_no_digit_where_everything_fits():
    for one, two in zip(run(quadratic(), settings()), run(quadratic(loss_scale=4096.0), settings()), strict=True):
        assert torch.equal(one.noise, two.noise)
        torch.testing.assert_close(one.grad_norm, two.grad_norm, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(one.losses, two.losses) and torch.equal(one.scores.total, two.scores.total)


def test_the_gradient_keeps_the_noises_dtype():
    """float32 noise and a scale made in float32: nothing is widened on the way, whatever torch's default is."""
    try:
        torch.set_default_dtype(torch.float64)
        problem = quadratic(loss_scale=4096.0)
        problem = dataclasses.replace(problem, noise=problem.noise.float())
        steps = run(problem, sgd(iterations=1, lr=0.1))
    finally:
        torch.set_default_dtype(torch.float32)
    assert {step.noise.dtype for step in steps} == {steps[0].grad_norm.dtype} == {torch.float32}
