"""What keeps the noise like noise: gper's projection of the gradient, and the regularisers of mpgr and dno."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from reno.methods import identity, images, settings_of, shortened
from reno.methods.dno import improbability
from reno.methods.gper import line_of, noise_like, project, spectrum
from reno.methods.mpgr import irregularity, shuffled
from reno.methods.reno import noise_regularizer
from reno.spec.errors import BadInput
from tests.methods.problems import quadratic, run, settings, sgd

VARIANTS = ("gper", "mpgr", "dno")


def seeded(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def larger(batch=2):
    """A problem of 32 elements a trial."""
    noise, fresh = seeded(batch, 2, 4, 4, seed=3), torch.Generator().manual_seed(4)
    return dataclasses.replace(
        quadratic(batch=batch), noise=noise,
        draw=lambda: torch.randn(noise.shape, dtype=torch.float64, generator=fresh),
    )  # fmt: skip


# --- Of all three -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", VARIANTS)
def test_a_variant_makes_the_images_that_reno_makes_and_may_start_warm(method):
    for start in (1, 4):
        chosen = settings(method, iterations=8, start=start, lr=0.02)
        made = run(larger(), chosen)
        tried = run(larger(), settings("best_of_n", iterations=3)) if start > 1 else []
        assert [step.iteration for step in made] == list(range(9)) and images(chosen) == 9
        assert all(torch.equal(step.noise, other.noise) for step, other in zip(made, tried, strict=False))
        assert torch.stack([step.scores.total for step in made]).amax(0).gt(made[0].scores.total).all()
        assert found_start(shortened(settings(method, iterations=50, start=start), 2)) == min(start, 2)


@pytest.mark.parametrize(("method", "options"), [("gper", {"block": 8}), ("dno", {"shuffles": 0})])
def test_from_the_best_of_several_starts_a_variant_climbs_as_from_that_noise_alone(method, options):
    """The noises are twice as long as likely, so that dno pulls."""
    near = larger(batch=1)
    far = dataclasses.replace(near, noise=2 * near.noise, draw=lambda: 2 * near.draw())
    warm = run(far, sgd(method=method, iterations=5, start=3, lr=0.02, **options))
    alone = run(dataclasses.replace(far, noise=warm[3].noise), sgd(method=method, iterations=2, lr=0.02, **options))
    plain = run(dataclasses.replace(far, noise=warm[3].noise), sgd(iterations=2, lr=0.02))
    for step, other in zip(warm[3:], alone, strict=True):
        torch.testing.assert_close(step.noise, other.noise, rtol=0, atol=0)
    assert not torch.allclose(warm[-1].noise, plain[-1].noise)


def found_start(chosen):
    return chosen.options["start"]


@pytest.mark.parametrize("method", VARIANTS)
def test_a_variant_of_one_trial_does_not_depend_on_those_beside_it(method):
    whole = run(larger(3), settings(method, iterations=6, start=2, lr=0.02))
    for trial in range(3):
        problem = larger(3)
        alone = dataclasses.replace(
            problem,
            noise=problem.noise[trial : trial + 1],
            draw=lambda draw=problem.draw, at=trial: draw()[at : at + 1],
        )
        for step, other in zip(whole, run(alone, settings(method, iterations=6, start=2, lr=0.02)), strict=True):
            torch.testing.assert_close(step.noise[trial], other.noise[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", VARIANTS)
def test_a_variant_says_where_the_chain_is_cut(method):
    made = run(dataclasses.replace(larger(), generate=lambda noise: noise.detach()), settings(method, iterations=3))
    assert made[-1].failures[0].startswith("iteration 0: the chain is cut in the generator")
    assert torch.equal(made[-1].noise, larger().noise)


@pytest.mark.parametrize(
    ("method", "options"),
    [("gper", {"block": 8}), ("mpgr", {"weight": 0.5}), ("dno", {"gamma": 2.0, "shuffles": 3, "start": 2})],
)
def test_its_identity_has_its_options_and_a_start_only_if_it_is_warm(method, options):
    chosen = settings(method, iterations=9, **options)
    assert identity(chosen)["options"] == options and identity(chosen)["lr"] == 0.1
    assert settings_of(identity(chosen)) == chosen
    assert identity(dataclasses.replace(chosen, options={"start": 1} | options)) == identity(chosen)


@pytest.mark.parametrize(
    ("method", "given", "why"),
    [
        ("gper", {"block": 1}, "method.block must be a whole number, 2 or more, not 1"),
        ("gper", {"start": 0}, "method.start must be a whole number, 1 or more, not 0"),
        ("mpgr", {"weight": -1}, "method.weight must be a number at least 0, not -1"),
        ("dno", {"gamma": "much"}, "method.gamma must be a number at least 0, not 'much'"),
        ("dno", {"shuffles": -1}, "method.shuffles must be a whole number, 0 or more, not -1"),
    ],
)
def test_options_that_cannot_be_used_are_refused(method, given, why):
    with pytest.raises(BadInput) as refused:
        identity(settings(method, **given))
    assert why in str(refused.value)


# --- gper: the projection ---------------------------------------------------------------------------------------------


def test_two_magnitudes_have_their_hand_worked_projection():
    """a + b = sqrt(pi) and a^2 + b^2 = 2 leave ab = (pi - 2) / 2, whatever they were."""
    root = math.sqrt(math.pi - 2 * (math.pi - 2))
    larger, smaller = (math.sqrt(math.pi) + root) / 2, (math.sqrt(math.pi) - root) / 2
    found = project(torch.tensor([[3.0, 1.0], [0.2, 0.9]], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([[larger, smaller], [smaller, larger]], dtype=torch.float64))


BLOCKS = {
    "even": np.linspace(0.9, 1.1, 16),
    "sparse": np.array([5.0, 3.0, *np.linspace(0.01, 0.1, 14)]),
    "noise": np.abs(np.random.default_rng(0).normal(size=16) + 1j * np.random.default_rng(1).normal(size=16)),
    "two groups": np.array([*np.linspace(2.0, 2.4, 13), 0.0, 0.01, 0.02]),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_projection_is_the_nearest_point_that_an_optimiser_finds(name):
    block = BLOCKS[name]
    count, target = len(block), math.sqrt(math.pi) / 2 * len(block)
    scaled = block * math.sqrt(count) / np.linalg.norm(block)
    found = project(torch.from_numpy(block)[None])[0].numpy()
    assert found.sum() == pytest.approx(target) and np.square(found).sum() == pytest.approx(count)
    assert (found >= 0).all() and (np.diff(found[np.argsort(block, kind="stable")]) >= -1e-12).all()
    norms = [
        {"type": "eq", "fun": lambda a: a.sum() - target},
        {"type": "eq", "fun": lambda a: np.square(a).sum() - count},
    ]
    reached = []
    for start in (found * 0.9 + 0.1, np.abs(np.random.default_rng(2).normal(size=count)), scaled):
        other = minimize(
            lambda a: np.square(a - scaled).sum(), start, bounds=[(0, None)] * count, constraints=norms, method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-12},
        )  # fmt: skip
        reached += [other.fun] * other.success
    assert np.square(found - scaled).sum() == pytest.approx(min(reached), abs=1e-4)


def test_magnitudes_with_the_norms_of_noise_stay_and_their_scale_does_not_matter():
    sizes = project(torch.from_numpy(BLOCKS["noise"])[None])
    torch.testing.assert_close(project(sizes), sizes)
    torch.testing.assert_close(project(sizes * 1e-30), sizes)
    torch.testing.assert_close(project(sizes.float() * 1e-30), sizes.float())


def test_each_block_is_projected_by_itself():
    """Blocks that keep 16 and 14 of their magnitudes, one that has no nearest point, and one 1e200 times smaller."""
    few = torch.tensor([5.0, 4.0, *[3.0] * 12, 0.01, 0.0], dtype=torch.float64)
    blocks = torch.stack([torch.from_numpy(BLOCKS["even"]), few, torch.full((16,), 2.0).double(), few * 1e-200])
    found = project(blocks)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        torch.testing.assert_close(project(blocks[order]), found[order], rtol=0, atol=0)
    for place in range(4):
        torch.testing.assert_close(project(blocks[place : place + 1])[0], found[place], rtol=0, atol=0)
    torch.testing.assert_close(found[3], found[1])
    sums = found[[0, 1, 3]].sum(1)
    torch.testing.assert_close(sums, torch.full_like(sums, 8 * math.sqrt(math.pi)), rtol=1e-12, atol=0)  # in float64


def test_a_frequency_that_the_gradient_lacks_stays_out():
    """Of a constant line of four, as magnitudes in one block, 2 / sqrt(2) and 0: a + b = sqrt(pi), a^2 + b^2 = 2."""
    larger = (math.sqrt(math.pi) + math.sqrt(4 - math.pi)) / 2
    found = noise_like(torch.ones(1, 1, 2, 2, dtype=torch.float64), 2)
    torch.testing.assert_close(found, torch.full_like(found, larger / math.sqrt(2)))


def test_zeros_stay_and_equal_magnitudes_keep_their_ratio():
    found = project(torch.tensor([[0.0] * 16, [3.0] * 16]))
    assert torch.equal(found, torch.tensor([[0.0] * 16, [1.0] * 16]))
    assert not noise_like(torch.zeros(1, 1, 4, 4), 16).any()


def test_a_spectrum_is_numpys_packed_into_half_as_many_numbers():
    lines = seeded(3, 32)
    expected = np.fft.fft(lines.numpy(), norm="ortho")
    found = spectrum(lines).numpy()
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:16])
    np.testing.assert_allclose(found[:, 0], (expected[:, 0].real + 1j * expected[:, 16].real) / math.sqrt(2))
    torch.testing.assert_close(line_of(spectrum(lines)), lines)
    many = spectrum(seeded(4000, 8)).abs().square().mean(0)
    torch.testing.assert_close(many, torch.ones(4, dtype=torch.float64), atol=0.1, rtol=0)
    with pytest.raises(ValueError, match="the noise has 9 elements"):
        spectrum(seeded(1, 9))


def test_the_projected_gradient_has_the_norms_in_each_block_and_the_phases_of_the_gradient():
    gradient = seeded(2, 3, 4, 4) ** 3 * 1e-4
    found = noise_like(gradient, 8)
    before, after = spectrum(gradient.flatten(1)), spectrum(found.flatten(1))
    for block in after.abs().split(8, dim=1):
        torch.testing.assert_close(block.sum(1), torch.full((2,), math.sqrt(math.pi) / 2 * 8, dtype=torch.float64))
        torch.testing.assert_close(block.square().sum(1), torch.full((2,), 8.0, dtype=torch.float64))
    there = after.abs() > 1e-9
    torch.testing.assert_close(after[there] / after[there].abs(), before[there] / before[there].abs())


def test_gper_follows_the_projected_gradient_and_then_the_regulariser():
    first, last = run(larger(), sgd(method="gper", iterations=1, lr=0.1, regularization=0.5, block=8))
    noise = larger().noise
    radius2 = noise.flatten(1).square().sum(1)[:, None, None, None]
    gradient = noise_like(2 * (noise - 0.3), 8) + 0.5 * (1 - 31 / radius2) * noise
    torch.testing.assert_close(last.noise, noise - 0.1 * gradient)
    torch.testing.assert_close(first.grad_norm, gradient.flatten(1).norm(dim=1))


# --- mpgr -------------------------------------------------------------------------------------------------------------


def test_mpgrs_loss_has_its_hand_worked_value():
    """Of four twos: mean 2, mean square 4, and a spectrum of 4 / sqrt(2) and 0, in one short bin of mean sqrt(2)."""
    found = irregularity(torch.full((1, 4), 2.0, dtype=torch.float64))
    assert float(found) == pytest.approx(2 + 3 + 25 * (math.sqrt(2) - 0.875))


def test_mpgrs_loss_agrees_with_numpy():
    lines = seeded(2, 96)
    bins = np.abs(spectrum(lines).numpy()).reshape(2, 3, 16).mean(2)
    x = lines.numpy()
    expected = abs(x.mean(1)) + abs((x**2).mean(1) - 1) + 25 * abs(bins - 0.875).mean(1)
    np.testing.assert_allclose(irregularity(lines), expected)


def test_mpgrs_gradient_is_that_of_the_shuffled_noise_scaled_to_the_metrics():
    weight, lr = 0.5, 0.1
    first, last = run(larger(), sgd(method="mpgr", iterations=1, lr=lr, weight=weight))
    problem = larger()
    order = problem.draw().flatten(1).argsort(1)
    slope = 2 * (problem.noise - 0.3)
    pull = (problem.noise - last.noise) / lr - slope
    torch.testing.assert_close(pull.flatten(1).norm(dim=1), weight * slope.flatten(1).norm(dim=1))
    for trial in range(2):
        differences = _finite_differences(
            lambda line, trial=trial: irregularity(line[None, order[trial]]), problem.noise[trial].flatten()
        )
        factor = weight * slope[trial].norm() / differences.norm()
        torch.testing.assert_close(pull[trial].flatten(), factor * differences, rtol=1e-4, atol=1e-6)
        expected = factor * irregularity(problem.noise[trial].flatten()[None, order[trial]])[0]
        assert float(first.regularizer[trial]) == pytest.approx(float(expected), rel=1e-4)
    assert last.regularizer.isnan().all()


def _finite_differences(function, line, step=1e-6):
    found = torch.zeros_like(line)
    for place in range(len(line)):
        up, down = line.clone(), line.clone()
        up[place] += step
        down[place] -= step
        found[place] = (function(up) - function(down))[0] / (2 * step)
    return found


@pytest.mark.parametrize("image", ["of zeros", "of many elements"])
def test_mpgrs_gradient_has_its_length_however_short_it_was(image):
    """Zeros have no pull, and their loss 0 + 1 + 25 * .875 counts once for each unit of the metric's gradient."""
    noise = torch.zeros(1, 1, 4, 4).double() if image == "of zeros" else seeded(1, 1, 64, 64)
    problem = dataclasses.replace(quadratic(batch=1), noise=noise, draw=lambda: torch.zeros_like(noise))
    first, last = run(problem, sgd(method="mpgr", iterations=1, lr=1.0, weight=0.5))
    slope = 2 * (noise - 0.3)
    pull = noise - last.noise - slope
    if image == "of zeros":
        assert not pull.abs().gt(1e-12).any()
        assert float(first.regularizer) == pytest.approx(0.5 * 2 * 0.3 * 4 * 22.875)
    else:
        assert float(pull.norm()) == pytest.approx(0.5 * float(slope.norm()))


def test_a_shuffled_line_has_the_same_elements_in_an_order_of_its_own():
    lines = torch.arange(12.0).reshape(2, 6)
    found = shuffled(lines, torch.tensor([[3.0, 1, 2, 6, 5, 4], [1.0, 2, 3, 4, 5, 6]]).reshape(2, 1, 2, 3))
    assert found.tolist() == [[1.0, 2.0, 0.0, 5.0, 4.0, 3.0], [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]]


# --- dno --------------------------------------------------------------------------------------------------------------


def test_dnos_bounds_have_their_hand_worked_values():
    """Two pieces of four. Zeros: both bounds are log(1/2). Twos: |mean|^2 = 16, and the covariance has one eigenvalue
    of 16, so M = 15."""
    found = improbability(torch.tensor([[0.0] * 8, [2.0] * 8], dtype=torch.float64))
    of_covariance = (math.sqrt(16) - 1 - math.sqrt(2)) ** 2
    assert found.tolist() == pytest.approx([2 * math.log(2), 2 * 16 / 8 + of_covariance])
    assert float(improbability(torch.tensor([[2.0] * 8 + [100.0] * 3]).double())) == pytest.approx(float(found[1]))


def test_dnos_bounds_agree_with_numpy():
    lines = seeded(3, 64) * torch.tensor([1.5, 2.0, 3.0]).double()[:, None]
    for line, found in zip(lines.numpy(), improbability(lines), strict=True):
        pieces = line.reshape(16, 4)
        of_mean = 16 * np.linalg.norm(pieces.mean(0)) ** 2 / 8
        deviation = np.linalg.norm(pieces.T @ pieces / 16 - np.eye(4), 2)
        excess = max(math.sqrt(1 + deviation) - 1 - math.sqrt(4 / 16), 0)
        expected = max(of_mean, math.log(2)) + max(16 * excess**2 / 2, math.log(2))
        assert float(found) == pytest.approx(expected)


def test_noise_that_is_likely_anyway_has_no_gradient():
    lines = seeded(20, 4096).requires_grad_(True)
    found = improbability(lines)
    assert (found == 2 * math.log(2)).float().mean() > 0.5
    (slope,) = torch.autograd.grad(found.sum(), lines)
    assert not slope[found == 2 * math.log(2)].any()


@pytest.mark.parametrize("shuffles", [0, 3])
def test_dnos_gradient_is_that_of_its_own_order_and_of_the_mean_over_shuffled_ones(shuffles):
    gamma, lr = 2.0, 0.1
    problem = dataclasses.replace(larger(), noise=larger().noise * 2)
    first, last = run(problem, sgd(method="dno", iterations=1, lr=lr, gamma=gamma, shuffles=shuffles))
    noise, fresh = problem.noise, larger()
    orders = [fresh.draw().flatten(1).argsort(1) for _ in range(shuffles)]
    pull = (noise - last.noise) / lr - 2 * (noise - 0.3)
    for trial in range(2):

        def loss(line, trial=trial):
            others = [improbability(line[None, order[trial]]) for order in orders]
            return gamma * (improbability(line[None]) + (sum(others) / shuffles if shuffles else 0))

        line = noise[trial].flatten()
        torch.testing.assert_close(pull[trial].flatten(), _finite_differences(loss, line), rtol=1e-4, atol=1e-5)
        assert float(first.regularizer[trial]) == pytest.approx(float(loss(line)))
    assert float(first.regularizer[0]) > gamma * 2 * math.log(2)  # the noise is twice as long as likely


def test_an_own_regulariser_is_added_to_that_of_the_norm():
    problem = dataclasses.replace(larger(), noise=larger().noise * 2)
    own, *_ = run(problem, sgd(method="dno", iterations=1, shuffles=0))
    both, *_ = run(problem, sgd(method="dno", iterations=1, shuffles=0, regularization=0.5))
    torch.testing.assert_close(both.regularizer - own.regularizer, 0.5 * noise_regularizer(problem.noise))
