"""The algorithms on problems small enough to work by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from reno.methods import Problem, load_method
from reno.methods.reno import clip_by_trial, noise_regularizer, noise_regularizer_gradient
from reno.spec import MethodSettings

ADAM = {"betas": [0.9, 0.999], "eps": 1e-8}


def settings(method="reno", iterations=3, lr=0.1, regularization=0.0, grad_clip=None, optimizer="adam", options=None):
    options = ADAM if options is None else options
    return MethodSettings(method, iterations, lr, regularization, grad_clip, optimizer, options)


def quadratic(batch=2, generate=None, score=None, target=0.3):
    """noise (B, 1, 2, 2) is its own image; the score is highest where the image is `target`."""
    noise = torch.randn(batch, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fresh = torch.Generator().manual_seed(1)
    return Problem(
        noise=noise,
        draw=lambda: torch.randn(noise.shape, dtype=torch.float64, generator=fresh),
        generate=generate or (lambda noise: noise * 1.0),
        decode=lambda noise: noise * 2.0,
        score=score or (lambda images: -(images - target).square().flatten(1).sum(1)),
        loss=lambda scores: 100 - scores,
    )


def run(problem, chosen):
    return [
        (step.iteration, step.noise.clone(), step.scores.clone(), step.grad_norm.clone(), dict(step.failures), step)
        for step in load_method(chosen.method)(problem, chosen)
    ]


def test_reno_makes_one_image_more_than_it_takes_steps():
    steps = run(quadratic(), settings(iterations=5))
    assert [step[0] for step in steps] == [0, 1, 2, 3, 4, 5]
    assert steps[-1][3].isnan().all()
    assert len(run(quadratic(), settings(iterations=0))) == 1


def test_adam_follows_its_published_update():
    """Kingma and Ba 2015, algorithm 1, written out."""
    problem = quadratic()
    noise, first, second = problem.noise.clone(), torch.zeros_like(problem.noise), torch.zeros_like(problem.noise)
    for iteration, moved, *_ in run(problem, settings(iterations=4, lr=0.05)):
        torch.testing.assert_close(moved, noise)
        gradient = 2 * (noise - 0.3)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9 ** (iteration + 1)), second / (1 - 0.999 ** (iteration + 1))
        noise = noise - 0.05 * unbiased[0] / (unbiased[1].sqrt() + 1e-8)


def test_the_papers_setting_follows_nesterov_with_clipping_and_regulariser():
    problem = quadratic()
    chosen = settings(
        iterations=4,
        lr=5.0,
        regularization=0.01,
        grad_clip=0.1,
        optimizer="sgd",
        options={"momentum": 0.9, "nesterov": True},
    )
    noise, velocity = problem.noise.clone(), None
    for _, moved, *_ in run(problem, chosen):
        torch.testing.assert_close(moved, noise)
        radius2 = noise.flatten(1).square().sum(1)[:, None, None, None]
        gradient = 2 * (noise - 0.3) + 0.01 * (1 - 3 / radius2) * noise
        norm = gradient.flatten(1).norm(dim=1)[:, None, None, None]
        gradient = gradient * (0.1 / norm).clamp(max=1)
        velocity = gradient if velocity is None else 0.9 * velocity + gradient
        noise = noise - 5.0 * (gradient + 0.9 * velocity)


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


def test_best_of_n_makes_as_many_images_and_starts_where_reno_does():
    problem = quadratic()
    steps = run(problem, settings("best_of_n", iterations=7))
    assert len(steps) == 8
    torch.testing.assert_close(steps[0][1], problem.noise)
    assert len({tuple(step[1].flatten().tolist()) for step in steps}) == 8


def test_none_makes_one_image():
    assert len(run(quadratic(), settings("none"))) == 1


def test_decoder_only_leaves_the_unet_out():
    def broken(noise):
        raise AssertionError("the U-Net was called")

    steps = run(quadratic(generate=broken), settings("decoder_only"))
    assert steps[-1][2].sum() > steps[0][2].sum()
    torch.testing.assert_close(steps[0][5].images, quadratic().noise * 2)


@pytest.mark.parametrize(
    ("problem", "where"),
    [
        (quadratic(generate=lambda noise: noise.detach()), "cut in the generator: its image carries no graph"),
        (quadratic(generate=lambda noise: noise * 0.0), "cut in the generator: no usable gradient"),
        (quadratic(score=lambda images: images.detach().flatten(1).sum(1)), "cut in the metric"),
        (quadratic(score=lambda images: images.flatten(1).sum(1) * 0.0), "cut in the metric"),
        (quadratic(generate=lambda noise: noise / 0.0), "generator made an image with values that are not finite"),
        (quadratic(score=lambda images: images.flatten(1).sum(1) * float("nan")), "metric's score is not finite"),
    ],
)
@pytest.mark.parametrize("regularization", [0.0, 0.01])
def test_a_chain_that_carries_no_gradient_is_named(problem, where, regularization):
    """The regulariser alone has a gradient; it must not hide that the metric has none."""
    _, _, _, _, failures, _ = run(problem, settings(regularization=regularization))[-1]
    assert set(failures) == {0, 1}
    assert where in failures[0]


def through_half(slopes):
    """A chain that computes in float16: the score's slope at every pixel is the trial's own."""
    weights = torch.tensor(slopes, dtype=torch.float64)

    def score(images):
        return (images.half().double().flatten(1) * weights[:, None]).sum(1)

    return quadratic(batch=len(slopes), score=score)


def first_gradients(problem):
    """Of one step of SGD from rest, which moves against the gradient by its length; and the failures."""
    sgd = settings(iterations=1, lr=1.0, optimizer="sgd", options={"momentum": 0.0, "nesterov": False})
    *_, (_, moved, _, _, failures, _) = run(problem, sgd)
    return problem.noise - moved, failures


def test_a_gradient_too_small_or_too_large_for_float16_passes_where_the_loss_is_scaled():
    """Each trial at its own scale: the large one is halved into range, and the small one does not see it."""
    slopes = [3e-8, 1000.0]
    unscaled, failures = first_gradients(through_half(slopes))
    assert unscaled[0].abs().max() == pytest.approx(6e-8, rel=0.01)  # the smallest float16, and twice the slope
    scaled, failures = first_gradients(dataclasses.replace(through_half(slopes), loss_scale=4096.0))
    assert failures == {}
    for trial, slope in enumerate(slopes):
        torch.testing.assert_close(scaled[trial], torch.full_like(scaled[trial], -slope), rtol=1e-3, atol=1e-12)


def test_a_gradient_that_no_scale_brings_into_range_fails_its_trial_alone():
    scaled, failures = first_gradients(dataclasses.replace(through_half([1.0, 1e6]), loss_scale=4096.0))
    assert set(failures) == {1} and failures[1].endswith("try dtype=float32")
    torch.testing.assert_close(scaled, torch.tensor([-1.0, 0.0])[:, None, None, None].expand(scaled.shape).double())


def test_a_scale_changes_no_digit_where_everything_fits():
    for one, two in zip(
        run(quadratic(), settings()), run(dataclasses.replace(quadratic(), loss_scale=4096.0), settings()), strict=True
    ):
        assert torch.equal(one[1], two[1])


def test_a_trial_that_stops_leaves_the_others_as_they_were():
    def score(images):
        scores = -(images - 0.3).square().flatten(1).sum(1)
        return torch.stack([scores[0] * 0.0, *scores[1:]])

    whole = run(quadratic(batch=3), settings(iterations=4))
    with_one_stopped = run(quadratic(batch=3, score=score), settings(iterations=4))
    for good, bad in zip(whole, with_one_stopped, strict=True):
        torch.testing.assert_close(good[1][1:], bad[1][1:], atol=0, rtol=0)
        torch.testing.assert_close(bad[1][0], whole[0][1][0], atol=0, rtol=0)
    assert set(with_one_stopped[-1][4]) == {0}
