"""Searches without a gradient: zero_order, ses and evolution."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from reno.methods import identity, images, settings_of
from reno.methods.evolution import child_of, uniform
from reno.methods.ses import fitted, low_band, square_side, with_low_band
from reno.methods.zero_order import near
from reno.spec.errors import BadInput
from tests.methods.problems import quadratic, run, settings

SEARCHES = ("zero_order", "ses", "evolution")


def of_draws(*values, batch=1, **chain):
    """A problem of one element a trial whose draws are these values, in this order; the score is the noise itself."""
    drawn = iter(values)
    shape = (batch, 1, 1, 1)
    problem = quadratic(batch=batch, score=lambda images: images.flatten(1).sum(1), **chain)
    noise = torch.zeros(shape, dtype=torch.float64)
    return dataclasses.replace(
        problem, noise=noise, draw=lambda: torch.tensor(next(drawn), dtype=torch.float64).expand(shape)
    )


def noises(steps):
    return [round(float(step.noise[0]), 6) for step in steps]


# --- Of all searches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SEARCHES)
def test_a_search_makes_as_many_images_as_reno_from_the_same_initial_noise(method):
    problem = quadratic()
    made = run(problem, settings(method, iterations=24))
    assert [step.iteration for step in made] == list(range(25)) and images(settings(method, iterations=24)) == 25
    torch.testing.assert_close(made[0].noise, problem.noise)
    assert all(step.grad_norm.isnan().all() and step.failures == {} for step in made)


@pytest.mark.parametrize("method", SEARCHES)
def test_a_search_of_one_trial_does_not_depend_on_those_beside_it(method):
    """A batch of three is three batches of one, to the last bit."""
    whole = run(quadratic(batch=3), settings(method, iterations=24))
    for trial in range(3):
        problem = quadratic(batch=3)
        draw = problem.draw
        alone = dataclasses.replace(
            problem, noise=problem.noise[trial : trial + 1], draw=lambda draw=draw, at=trial: draw()[at : at + 1]
        )
        for step, other in zip(whole, run(alone, settings(method, iterations=24)), strict=True):
            assert torch.equal(step.noise[trial], other.noise[0])


@pytest.mark.parametrize("method", SEARCHES)
def test_a_search_beats_best_of_n_where_the_score_is_smooth(method):
    """The mean over trials of the best score, 16 elements, 60 images. Seeded, so it is the same every time."""

    def best(chosen):
        noise = torch.randn(40, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        fresh = torch.Generator().manual_seed(6)
        problem = dataclasses.replace(
            quadratic(batch=40), noise=noise,
            draw=lambda: torch.randn(noise.shape, dtype=torch.float64, generator=fresh),
        )  # fmt: skip
        return torch.stack([step.scores.total for step in run(problem, chosen)]).amax(0).mean()

    assert best(settings(method, iterations=59)) > best(settings("best_of_n", iterations=59)) + 0.5


@pytest.mark.parametrize("method", SEARCHES)
def test_a_score_that_is_not_finite_stays_where_it_is(method):
    """Every third image of the first trial has no score. The second trial is as it was."""

    def holes():
        made = iter(range(100))

        def score(images):
            scores = -(images - 0.3).square().flatten(1).sum(1)
            scores[0] = torch.nan if next(made) % 3 == 0 else scores[0]
            return scores

        return score

    made = run(quadratic(score=holes()), settings(method, iterations=24))
    plain = run(quadratic(), settings(method, iterations=24))
    assert all(step.noise.isfinite().all() for step in made)
    assert all(torch.equal(step.noise[1], other.noise[1]) for step, other in zip(made, plain, strict=True))


@pytest.mark.parametrize(
    ("method", "options"),
    [("zero_order", {"neighbours": 4}), ("ses", {"population": 8, "elites": 2}), ("evolution", {"sigma": 0.2})],
)
def test_the_identity_of_a_search_has_its_options_and_nothing_of_a_gradient(method, options):
    slow, fast = (settings(method, iterations=20, lr=lr, **options) for lr in (0.1, 0.2))
    assert identity(slow) == identity(fast) == {"name": method, "iterations": 20, "options": options}
    assert identity(settings_of(identity(slow))) == identity(slow)
    preset = dataclasses.replace(slow, method="mine", kind=method)
    assert identity(preset) == {"name": "mine", "kind": method, "iterations": 20, "options": options}
    assert settings_of(identity(preset)).kind == method


@pytest.mark.parametrize(
    ("method", "given", "why"),
    [
        ("zero_order", {"neighbours": 0}, "method.neighbours must be a whole number, 1 or more, not 0"),
        ("zero_order", {"similarity": 1.0}, "method.similarity must be a number at least 0 and below 1, not 1.0"),
        ("ses", {"population": 1}, "method.population must be a whole number, 2 or more, not 1"),
        ("ses", {"elites": 1}, "method.elites must be a whole number, 2 or more, not 1"),
        ("ses", {"elites": 11}, "method.elites=11 is more than method.population=10; use 10 or fewer"),
        ("ses", {"band": 0}, "method.band must be a whole number, 1 or more, not 0"),
        ("evolution", {"population": 1}, "method.population must be a whole number, 2 or more, not 1"),
        ("evolution", {"parents": 1}, "method.parents must be a whole number, 2 or more, not 1"),
        ("evolution", {"parents": 11}, "method.parents=11 is more than method.population=10; use 10 or fewer"),
        ("evolution", {"sigma": -1}, "method.sigma must be a number at least 0, not -1"),
    ],
)
def test_options_that_cannot_be_used_are_refused(method, given, why):
    with pytest.raises(BadInput) as refused:
        identity(settings(method, **given))
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("ses", {"population": 5}),
        ("ses", {"population": 2, "elites": 2}),
        ("evolution", {"population": 5}),
        ("evolution", {"population": 2, "parents": 2}),
    ],
)
def test_all_of_a_population_may_be_chosen(method, given):
    """As many as five are chosen unless another number is given."""
    assert identity(settings(method, **given))["options"] == given


# --- Zero order -------------------------------------------------------------------------------------------------------


def test_a_pivot_moves_to_its_best_neighbour_and_a_pivot_without_a_better_one_is_replaced():
    """Similarity .6: a neighbour is .6 pivot + .8 draw. The score is the noise itself."""
    problem = of_draws(1.0, 2.0, -1.0, -2.0, 5.0, -1.0, 1.0)
    made = run(problem, settings("zero_order", iterations=7, neighbours=2, similarity=0.6))
    assert noises(made) == [
        0.0,  # the pivot
        0.8, 1.6,  # its neighbours: the pivot moves to 1.6
        0.16, -0.64,  # .96 - .8 and .96 - 1.6: none is better
        5.0,  # so this fresh noise is the pivot, whatever it scores
        2.2, 3.8,  # 3 - .8 and 3 + .8
    ]  # fmt: skip


def test_a_fresh_pivot_is_taken_even_if_it_is_worse_than_the_one_before():
    problem = of_draws(-1.0, -3.0, 2.0, 0.0)
    made = run(problem, settings("zero_order", iterations=4, neighbours=1, similarity=0.6))
    assert noises(made) == [0.0, -0.8, -3.0, -0.2, -0.12]  # -1.8 + 1.6 is better than -3, and .6 of it follows


def test_neighbours_are_noise_of_unit_variance_at_the_similarity():
    draws = torch.randn(2, 1, 100_000, generator=torch.Generator().manual_seed(0))
    found = near(*draws, 0.8)
    assert float(found.var()) == pytest.approx(1, abs=0.02)
    assert float(torch.cosine_similarity(found[0], draws[0][0], dim=0)) == pytest.approx(0.8, abs=0.01)


# --- Spectral evolution search ----------------------------------------------------------------------------------------


def haar(size, level):
    """The orthonormal Haar transform of a line as a matrix, built by its definition: pairs' sums, then differences."""
    matrix = np.eye(size)
    for _ in range(level):
        step = np.eye(size)
        for k in range(size // 2):
            step[k] = step[size // 2 + k] = 0
            step[k, 2 * k : 2 * k + 2] = math.sqrt(0.5)
            step[size // 2 + k, 2 * k : 2 * k + 2] = math.sqrt(0.5), -math.sqrt(0.5)
        whole = np.eye(len(matrix))
        whole[:size, :size] = step[:size, :size]
        matrix = whole @ matrix
        size //= 2
    return matrix


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_low_band_is_that_of_a_haar_transform(level):
    """Against the transform by its definition. Other low coefficients leave all others as they were."""
    noise = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    side, low = 2**level, 8 // 2**level
    whole = _two_dimensional(noise, level)
    torch.testing.assert_close(low_band(noise, side), whole[..., :low, :low])
    other = torch.randn(2, 3, low, low, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    changed = _two_dimensional(with_low_band(noise, other, side), level)
    whole[..., :low, :low] = other
    torch.testing.assert_close(changed, whole)


def _two_dimensional(noise, level):
    """The square transform: at each level along both axes of the low band."""
    found = noise.clone()
    for done in range(level):
        size = noise.shape[-1] // 2**done
        one = torch.from_numpy(haar(size, 1))
        found[..., :size, :size] = one @ found[..., :size, :size] @ one.T
    return found


@pytest.mark.parametrize(
    ("size", "band", "side"),
    [
        ((64, 64), 4, 16),
        ((8, 8), 4, 2),
        ((8, 8), 1, 8),
        ((8, 16), 4, 2),
        ((4, 4), 4, 1),
        ((6, 6), 1, 2),
        ((5, 5), 1, 1),
    ],
)
def test_the_level_is_the_largest_with_a_low_band_of_that_side(size, band, side):
    """Of latents of 64 x 64 it is 4, the paper's."""
    assert square_side(size, band) == side


def test_the_next_population_is_drawn_around_the_elites():
    """One coefficient, level 0. The first population is 0, 3, 1, 2: elites 3 and 2, mean 2.5, std .5."""
    problem = of_draws(3.0, 1.0, 2.0, 2.0, -2.0, 0.0, 1.0, 4.0)
    made = run(problem, settings("ses", iterations=8, population=4, elites=2, band=4))
    assert noises(made)[:8] == [0.0, 3.0, 1.0, 2.0, 3.5, 1.5, 2.5, 3.0]
    assert noises(made)[8] == 4.25  # elites 3.5 and 3: mean 3.25, std .25


def test_elites_without_a_finite_score_change_nothing():
    lows = torch.tensor([[1.0, 1.0], [3.0, 3.0], [5.0, 5.0]])[..., None, None, None]
    scores = torch.tensor([[2.0, 2.0], [1.0, -math.inf], [0.0, -math.inf]])
    before = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
    mean, std = fitted(lows, scores, 2, before)
    assert mean.flatten().tolist() == [2.0, 0.0] and std.flatten().tolist() == [1.0, 1.0]


def test_the_high_band_stays_that_of_the_initial_noise():
    noise = torch.randn(2, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fresh = torch.Generator().manual_seed(1)
    problem = dataclasses.replace(
        quadratic(), noise=noise, draw=lambda: torch.randn(noise.shape, dtype=torch.float64, generator=fresh)
    )
    for step in run(problem, settings("ses", iterations=15, population=5, elites=2, band=4)):
        torch.testing.assert_close(
            with_low_band(step.noise, torch.zeros(2, 4, 4, 4, dtype=torch.float64), 2),
            with_low_band(noise, torch.zeros(2, 4, 4, 4, dtype=torch.float64), 2),
        )


# --- Evolution --------------------------------------------------------------------------------------------------------


def test_a_child_has_each_element_from_one_of_two_different_parents():
    """Chances .1 and .9 of three parents: the first, and the second after it. Draws above 0 take the first's."""
    parents = torch.arange(3.0)[:, None, None, None, None].expand(3, 1, 1, 1, 4).double() * 10
    draws = iter(
        [
            torch.tensor([-1.2816, 1.2816, 0.0, 0.0]),  # whose distribution function is .1, .9
            torch.tensor([1.0, -1.0, 0.5, -0.5]),
            torch.tensor([0.0, 0.0, 3.0, 4.0]),
        ]
    )
    problem = dataclasses.replace(quadratic(), draw=lambda: next(draws).double()[None, None, None])
    found = child_of(parents, problem, 0.5)
    expected = torch.tensor([0.0, 20.0, 1.5, 22.0]).double() / math.sqrt(1.25)
    torch.testing.assert_close(found.flatten(), expected)


def test_a_childs_first_parent_is_drawn_and_a_draw_of_zero_takes_the_others_element():
    """Chances .9 and .1 of three parents: the third, and the first, which comes after it."""
    parents = torch.arange(3.0)[:, None, None, None, None].expand(3, 1, 1, 1, 3).double() * 10
    draws = iter([torch.tensor([1.2816, -1.2816, 0.0]), torch.tensor([1.0, 0.0, -1.0]), torch.zeros(3)])
    problem = dataclasses.replace(quadratic(), draw=lambda: next(draws).double()[None, None, None])
    assert child_of(parents, problem, 0.0).flatten().tolist() == [20.0, 0.0, 0.0]


def test_a_parent_that_is_better_than_its_children_stays_one():
    """As below; the children of (4, 4) and (0, 0) are (4, 0) and (0, 4), and the next one is (4, 4) again."""
    best_first, still = (-1.0, 0.0), (0.0, 0.0)
    drawn = [(4.0, 4.0), best_first, (1.0, -1.0), still, best_first, (-1.0, 1.0), still, best_first, (1.0, 1.0), still]
    draws = iter(drawn)
    problem = dataclasses.replace(
        quadratic(batch=1, score=lambda images: images.flatten(1).sum(1)),
        noise=torch.zeros(1, 1, 1, 2, dtype=torch.float64),
        draw=lambda: torch.tensor(next(draws), dtype=torch.float64)[None, None, None],
    )
    made = run(problem, settings("evolution", iterations=4, population=2, parents=2, sigma=0.0))
    found = [step.noise.flatten().tolist() for step in made]
    assert found == [[0.0, 0.0], [4.0, 4.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]]


def test_the_next_generation_has_the_best_of_all_so_far_as_parents():
    """Two elements; the score is their sum. (-1, .) takes the best as the first parent, (1, -1) its first element."""
    best_first, first_element, both, still = (-1.0, 0.0), (1.0, -1.0), (1.0, 1.0), (0.0, 0.0)
    draws = iter([(4.0, 4.0), *[best_first, first_element, still], *[best_first, both, still] * 3])
    noise = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    problem = dataclasses.replace(
        quadratic(batch=1, score=lambda images: images.flatten(1).sum(1)),
        noise=noise,
        draw=lambda: torch.tensor(next(draws), dtype=torch.float64)[None, None, None],
    )
    made = run(problem, settings("evolution", iterations=5, population=2, parents=2, sigma=0.0))
    found = [step.noise.flatten().tolist() for step in made]
    assert found[:4] == [[0.0, 0.0], [4.0, 4.0], [4.0, 0.0], [4.0, 4.0]]
    assert found[4:] == [[4.0, 4.0]] * 2  # the two best so far are both (4, 4); (0, 0) is no parent any more


def test_children_of_noise_are_noise_of_unit_variance():
    generator = torch.Generator().manual_seed(0)
    parents = torch.randn(5, 4, 1, 100, 100, generator=generator)
    problem = dataclasses.replace(quadratic(), draw=lambda: torch.randn(4, 1, 100, 100, generator=generator))
    found = child_of(parents, problem, 0.5)
    assert float(found.var()) == pytest.approx(1, abs=0.02) and float(found.mean()) == pytest.approx(0, abs=0.02)


def test_chances_are_equal():
    drawn = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))
    counts = np.histogram(uniform(drawn).numpy(), bins=10, range=(0, 1))[0]
    assert counts.sum() == 20_000 and abs(counts - 2000).max() < 200
    assert float(uniform(torch.tensor([[1e9]])).max()) < 1
