"""Successive halving of several starts."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from reno.methods import identity, images, leaders, picked, settings_of, shortened
from reno.methods.halving import rounds, survivors
from reno.methods.reno import Ascent
from reno.spec.errors import BadInput
from tests.methods.problems import quadratic, run, settings, sgd


def halving(optimizer=settings, **given):
    return optimizer(method="halving", **given)


def test_one_climber_is_a_warm_start():
    warm = run(quadratic(batch=3), settings(iterations=12, start=5))
    one = run(quadratic(batch=3), halving(iterations=12, starts=5, climbers=1))
    for step, other in zip(warm, one, strict=True):
        assert step.iteration == other.iteration and torch.equal(step.noise, other.noise)
        torch.testing.assert_close(step.grad_norm, other.grad_norm, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("optimizer", [settings, lambda **given: sgd(0.9, True, **given)])
def test_a_noise_that_stays_climbs_as_if_it_had_been_alone(optimizer):
    """One trial, four starts that all climb: 4 x 2, then 2 x 4, then the rest. The last noise's images are those that
    ReNO makes from its start, whatever the others did between."""
    chosen = halving(optimizer, iterations=4 + 24 - 1, starts=4, climbers=4, lr=0.02)
    made = run(quadratic(batch=1), chosen)
    assert rounds(24, 4) == [2, 4]
    starts = [step.noise for step in made[:4]]
    first = {place: made[4 + 2 * rank : 6 + 2 * rank] for rank, place in enumerate(_order(made[:4]))}
    for place, climbed in first.items():
        assert torch.equal(climbed[0].noise, starts[place])
    kept = sorted(first, key=lambda place: -max(_score(step) for step in first[place]))[:2]
    second = {place: made[12 + 4 * rank : 16 + 4 * rank] for rank, place in enumerate(kept)}
    last = max(second, key=lambda place: max(_score(step) for step in second[place]))
    problem = dataclasses.replace(quadratic(batch=1), noise=starts[last])
    alone = run(problem, optimizer(iterations=2 + 4 + 7, lr=0.02))
    for step, other in zip([*first[last], *second[last], *made[20:]], alone, strict=True):
        torch.testing.assert_close(step.noise, other.noise, rtol=0, atol=1e-15)


def _score(step):
    return float(step.scores.total[0])


def _order(made):
    return sorted(range(len(made)), key=lambda place: -_score(made[place]))


def test_each_trial_keeps_its_own_noises():
    """A batch of three is three batches of one."""

    def alone(trial):
        whole = quadratic(batch=3)
        return dataclasses.replace(
            whole, noise=whole.noise[trial : trial + 1], draw=lambda: whole.draw()[trial : trial + 1]
        )

    chosen = halving(iterations=20, starts=6, climbers=4)
    together = run(quadratic(batch=3), chosen)
    for trial in range(3):
        for step, other in zip(together, run(alone(trial), chosen), strict=True):
            torch.testing.assert_close(step.noise[trial], other.noise[0], rtol=0, atol=1e-15)


@pytest.mark.parametrize(("starts", "climbers"), [(1, 1), (2, 2), (5, 3), (16, 4), (16, 16)])
def test_it_makes_as_many_images_as_reno(starts, climbers):
    chosen = halving(iterations=50, starts=starts, climbers=climbers)
    made = run(quadratic(), chosen)
    assert [step.iteration for step in made] == list(range(51)) and images(chosen) == 51
    assert all(step.grad_norm.isnan().all() == (place < starts or place == 50) for place, step in enumerate(made))


def test_the_rounds_share_the_images():
    assert rounds(35, 4) == [2, 5]  # 11 for each round: 4 x 2, 2 x 5, and 17 for the last
    assert rounds(35, 8) == [1, 2, 4]
    assert rounds(35, 1) == [] and rounds(6, 4) == [1, 1]


def test_the_leaders_are_each_trials_own():
    scores = torch.tensor([[1.0, 5.0], [3.0, 5.0], [2.0, 7.0]])
    places = leaders(scores, 2)
    assert places.tolist() == [[1, 2], [2, 0]]  # of equal scores the first
    values = torch.arange(6.0).reshape(3, 2, 1)
    assert picked(values, places).squeeze(2).tolist() == [[2.0, 5.0], [4.0, 1.0]]


def test_of_many_equal_scores_the_first_lead():
    assert leaders(torch.zeros(2000, 1), 3).flatten().tolist() == [0, 1, 2]


def test_the_starts_count_among_the_images_that_the_rounds_share():
    """Of 27 images 4 are of the starts and 23 are shared by three rounds: 7 for four noises, so one each."""
    made = run(quadratic(batch=1), halving(iterations=26, starts=4, climbers=4))
    best = _order(made[:4])
    for rank, step in enumerate(made[4:8]):
        assert torch.equal(step.noise, made[best[rank]].noise)


@pytest.mark.parametrize("optimizer", [settings, lambda **given: sgd(0.9, True, **given)])
def test_what_survives_has_the_noise_and_the_optimisers_state_of_its_own_ascent(optimizer):
    """Two trials, of which the first is from the second ascent and the second from the first."""
    problem = quadratic()
    ascents = [Ascent(problem, problem.noise * factor, halving(optimizer)) for factor in (1.0, 3.0)]
    for ascent in ascents:
        ascent.look(0)
        ascent.move()
    (kept,) = survivors(ascents, torch.tensor([[1, 0]]))
    before = [one.optimizer.state[one.noise] for one in ascents]
    after = kept.optimizer.state[kept.noise]
    assert after.keys() == before[0].keys()
    for name, value in after.items():
        assert all(value is not state[name] for state in before)
        if value.shape == problem.noise.shape:
            assert torch.equal(value, torch.stack([before[1][name][0], before[0][name][1]]))
            assert not torch.equal(value, before[0][name])
        else:
            assert torch.equal(value, before[0][name])
    assert torch.equal(kept.noise, torch.stack([ascents[1].noise[0], ascents[0].noise[1]]))


# --- Noises and trials that fail --------------------------------------------------------------------------------------


def test_a_noise_that_fails_on_its_way_is_dropped_and_the_trial_goes_on():
    """Far from the target the score has no gradient: of the first trial's noises all but the nearest are cut."""

    def score(images):
        distance = (images - 0.3).square().flatten(1).sum(1)
        return -torch.where(distance > nearest + 1e-9, distance.detach(), distance)

    tried = run(quadratic(batch=1), settings("best_of_n", iterations=3))
    nearest = min(-_score(step) for step in tried)
    made = run(quadratic(batch=1, score=score), halving(iterations=15, starts=4, climbers=2))
    assert all(step.failures == {} for step in made)
    assert -_score(made[-1]) < nearest


def test_a_noise_that_fails_is_dropped_even_if_its_score_is_the_best():
    """The best start has no gradient, and no climber reaches its score in a round of small steps."""
    best = max(run(quadratic(batch=1), settings("best_of_n", iterations=3)), key=_score).noise

    def score(images):
        scores = -(images - 0.3).square().flatten(1).sum(1)
        return torch.where((images == best).flatten(1).all(1), scores.detach(), scores)

    made = run(quadratic(batch=1, score=score), halving(iterations=15, starts=4, climbers=2, lr=1e-4))
    assert torch.equal(made[4].noise, best)
    assert all(step.failures == {} for step in made) and not torch.equal(made[-1].noise, best)


def test_a_trial_fails_if_none_of_its_noises_can_climb():
    made = run(quadratic(generate=lambda noise: noise.detach()), halving(iterations=15, starts=4, climbers=2))
    why = "iteration 4: the chain is cut in the generator: its image carries no graph back to the noise"
    assert made[-1].failures == {0: why, 1: why}


# --- Its settings -----------------------------------------------------------------------------------------------------


def test_its_settings_are_part_of_its_identity():
    chosen = halving(iterations=20, starts=6, climbers=3)
    assert identity(chosen)["options"] == {"starts": 6, "climbers": 3}
    assert settings_of(identity(chosen)) == chosen


def test_four_of_sixteen_starts_climb_unless_others_are_given():
    identity(halving(iterations=23))
    with pytest.raises(BadInput, match=r"method\.climbers=17 is more than method\.starts=16"):
        identity(halving(iterations=50, climbers=17))
    assert shortened(halving(iterations=50), 1).options == {"starts": 2, "climbers": 2}
    assert shortened(halving(iterations=50, starts=1, climbers=1), 1).options == {"starts": 1, "climbers": 1}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"starts": 0}, "method.starts must be a whole number, 1 or more, not 0"),
        ({"climbers": 1.5}, "method.climbers must be a whole number, 1 or more, not 1.5"),
        ({"starts": 4, "climbers": 5}, "method.climbers=5 is more than method.starts=4; use 4 or fewer"),
        (
            {"starts": 16, "climbers": 4, "iterations": 22},
            "method.starts=16 and method.climbers=4 need iterations=23 or more, not 22; use more iterations, or fewer "
            "starts or climbers",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_refused(given, why):
    with pytest.raises(BadInput) as refused:
        identity(halving(**({"iterations": 50} | given)))
    assert why in str(refused.value)


def test_the_fewest_iterations_are_enough():
    chosen = halving(iterations=23, starts=16, climbers=4)
    identity(chosen)
    made = run(quadratic(), chosen)
    assert len(made) == 24 and made[-2].grad_norm.isfinite().all()


@pytest.mark.parametrize("climbers", [1, 4])
def test_it_is_rehearsed_with_every_kind_of_step(climbers):
    found = shortened(halving(iterations=50, starts=16, climbers=climbers), 1)
    identity(found)
    made = run(quadratic(), found)
    assert found.options == {"starts": 2, "climbers": min(climbers, 2)} and len(made) == (4 if climbers == 1 else 6)
