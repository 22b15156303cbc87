"""ReNO from the best of several noises."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from reno.methods import asked, better, identity, images, settings_of, shortened
from reno.spec.errors import BadInput
from reno.spec.job import MethodSettings
from tests.methods.problems import quadratic, run, settings


def score_of(noise):
    return -(noise - 0.3).square().flatten(1).sum(1)


def test_the_first_images_are_those_of_best_of_n_and_the_best_of_them_is_where_reno_starts():
    made = run(quadratic(batch=3), settings(iterations=9, start=4))
    tried = run(quadratic(batch=3), settings("best_of_n", iterations=3))
    for one, other in zip(made, tried, strict=False):
        assert torch.equal(one.noise, other.noise) and one.grad_norm.isnan().all()
    places = torch.stack([score_of(step.noise) for step in tried]).argmax(0)
    assert len(set(places.tolist())) > 1  # the trials differ in which noise is the best
    best = torch.stack([tried[place].noise[trial] for trial, place in enumerate(places.tolist())])
    problem = dataclasses.replace(quadratic(batch=3), noise=best)
    climbed = run(problem, settings(iterations=5))
    for one, other in zip(made[4:], climbed, strict=True):
        torch.testing.assert_close(one.noise, other.noise, rtol=0, atol=0)
        torch.testing.assert_close(one.grad_norm, other.grad_norm, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("start", [1, 2, 5, 6])
def test_it_makes_as_many_images_whatever_it_tries_first(start):
    chosen = settings(iterations=7, start=start)
    made = run(quadratic(), chosen)
    assert [step.iteration for step in made] == list(range(8)) and images(chosen) == 8
    updates = sum(not step.grad_norm.isnan().any() for step in made)
    assert updates == (7 if start == 1 else 7 - start)


def test_a_noise_without_a_finite_score_is_not_started_from():
    """Of the first trial the initial noise has none, and of the second it is the best of all."""

    def score(images):
        lost = (images[0] == quadratic().noise[0]).all()
        first, second = score_of(images)
        return torch.stack([torch.where(lost, torch.nan, first), second + 100.0 * (images[1] == start[1]).all()])

    start = quadratic().noise
    made = run(quadratic(score=score), settings(iterations=5, start=3))
    finite = [step.scores.total[0].item() for step in made[1:3]]
    assert torch.equal(made[3].noise[0], made[1 + finite.index(max(finite))].noise[0])
    assert torch.equal(made[3].noise[1], start[1])
    assert made[-1].failures == {}


def test_of_equal_scores_the_first_is_kept_and_one_that_is_not_finite_is_below_all():
    nan, inf = float("nan"), float("inf")
    scores = torch.tensor([1.0, 1.0, nan, nan, 2.0, inf, 0.0])
    than = torch.tensor([1.0, 0.0, 0.0, nan, nan, 0.0, -inf])
    assert better(scores, than).tolist() == [False, True, False, False, True, False, True]


def test_a_chain_that_carries_no_gradient_is_named_with_its_image():
    made = run(quadratic(generate=lambda noise: noise.detach()), settings(iterations=5, start=2))
    assert made[1].failures == {}
    assert made[2].failures[0].startswith("iteration 2: the chain is cut in the generator")


def test_another_metric_chooses_the_start_and_the_optimised_one_scores_every_image():
    """The other metric likes a large first number, the optimised one the nearness to 0.3."""
    seen = []

    def largest(images):
        seen.append(images.clone())
        return images[:, 0, 0, 0]

    problem = dataclasses.replace(quadratic(batch=3), others={"other": largest})
    made = run(problem, settings(iterations=6, start=4, start_by="other"))
    tried = [step.noise for step in made[:4]]
    assert len(seen) == 4 and all(torch.equal(one, other) for one, other in zip(seen, tried, strict=True))
    firsts = torch.stack(tried)[:, :, 0, 0, 0]
    chosen, by_own = firsts.argmax(0), torch.stack([score_of(noise) for noise in tried]).argmax(0)
    assert (chosen != by_own).any()
    for trial, place in enumerate(chosen.tolist()):
        assert torch.equal(made[4].noise[trial], tried[place][trial])
    assert all(torch.equal(step.scores.total, score_of(step.noise)) for step in made)


# --- Its settings -----------------------------------------------------------------------------------------------------


def test_a_start_of_one_is_reno_as_it_was_with_the_same_id():
    plain = settings(iterations=4)
    for one, other in zip(run(quadratic(), plain), run(quadratic(), settings(iterations=4, start=1)), strict=True):
        assert torch.equal(one.noise, other.noise) and torch.equal(one.scores.total, other.scores.total)
    assert identity(settings(iterations=4, start=1)) == identity(plain) and "options" not in identity(plain)


def test_another_start_is_another_trial_and_comes_back_from_its_identity():
    chosen = settings(iterations=4, start=2)
    assert identity(chosen)["options"] == {"start": 2}
    assert settings_of(identity(chosen)) == chosen


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (0, "method.start must be a whole number, 1 or more, not 0; for example method.start=1"),
        (2.5, "method.start must be a whole number, 1 or more, not 2.5"),
        ("many", "method.start must be a whole number, 1 or more, not 'many'"),
        (
            50,
            "method.start=50 leaves no update of iterations=50, as each noise that is tried takes an iteration; use a "
            "smaller method.start, or iterations=51 or more",
        ),
    ],
)
def test_a_start_that_cannot_be_used_is_refused(start, why):
    with pytest.raises(BadInput) as refused:
        identity(settings(iterations=50, start=start))
    assert why in str(refused.value)


def test_the_metric_that_chooses_is_part_of_the_identity_and_needs_several_noises():
    chosen = settings(iterations=4, start=2, start_by="blip")
    assert identity(chosen)["options"] == {"start": 2, "start_by": "blip"} and asked(chosen) == ("blip",)
    assert settings_of(identity(chosen)) == chosen
    without = settings(iterations=4, start=2, start_by=None)
    assert identity(without) == identity(settings(iterations=4, start=2)) and asked(without) == ()
    with pytest.raises(BadInput, match=r"method\.start_by chooses among several noises; give their number"):
        identity(settings(iterations=4, start_by="blip"))
    with pytest.raises(BadInput, match=r"method\.start_by must be a text, not \['blip'\]"):
        identity(settings(iterations=4, start=2, start_by=["blip"]))


def test_two_starts_need_three_iterations():
    assert identity(settings(iterations=3, start=2))["iterations"] == 3
    with pytest.raises(BadInput, match=r"method\.start=2 leaves no update of iterations=2, .* or iterations=3 or more"):
        identity(settings(iterations=2, start=2))


def test_no_iterations_at_all_are_fine_with_one_noise():
    assert identity(settings(iterations=0, start=1))["iterations"] == 0


@pytest.mark.parametrize(
    ("iterations", "start", "most", "short"),
    [(50, 10, 2, (4, 2)), (50, 10, 1, (3, 2)), (3, 2, 2, (3, 2)), (50, 1, 2, (2, 1)), (1, 1, 2, (1, 1))],
)
def test_it_is_rehearsed_with_every_kind_of_step(iterations, start, most, short):
    found = shortened(settings(iterations=iterations, start=start), most)
    assert (found.iterations, found.options["start"]) == short
    made = run(quadratic(), found)
    assert len(made) == short[0] + 1 and made[-2].grad_norm.isfinite().all()


def test_reno_is_rehearsed_without_a_start_where_none_is_given():
    found = shortened(settings(iterations=50), 2)
    assert (found.iterations, found.options) == (2, {})


def test_a_method_without_a_word_on_it_is_rehearsed_with_fewer_iterations():
    chosen = MethodSettings("best_of_n", 50, 0.01, 0.0, None, "adam", {})
    assert (
        shortened(chosen, 2).iterations == 2 and shortened(dataclasses.replace(chosen, iterations=1), 2).iterations == 1
    )
