"""Methods by name: what decides their outcome, how many images they make, and the ones that take no gradient."""

from __future__ import annotations

import sys
import types
from inspect import signature

import pytest
import torch
import yaml

from reno import HOME
from reno.config.conf import Conf
from reno.methods import identity, images, load_method, settings_of, steps, unoptimised
from reno.spec.errors import BadInput
from reno.spec.job import MethodSettings
from tests.methods.problems import quadratic, run, settings

RENO = MethodSettings("reno", 50, 0.01, 0.5, 0.1, "adam", {"betas": [0.9, 0.999], "eps": 1e-8})


def test_best_of_n_makes_as_many_images_and_starts_where_reno_does():
    problem = quadratic()
    made = run(problem, settings("best_of_n", iterations=7))
    assert [step.iteration for step in made] == list(range(8))
    torch.testing.assert_close(made[0].noise, problem.noise)
    fresh = quadratic().draw
    for step in made[1:]:
        torch.testing.assert_close(step.noise, fresh())


def test_none_makes_one_image():
    problem = quadratic()
    (only,) = run(problem, settings("none"))
    assert only.iteration == 0 and torch.equal(only.noise, problem.noise)


def test_a_step_without_optimisation_has_a_score_and_no_gradient():
    problem = quadratic()
    noise = problem.noise.clone().requires_grad_(True)
    step = unoptimised(problem, noise, 7)
    expected = -(noise.detach() - 0.3).square().flatten(1).sum(1)
    assert step.iteration == 7
    torch.testing.assert_close(step.scores.total, expected)
    torch.testing.assert_close(step.losses, 100 - expected)
    assert torch.equal(step.regularizer, torch.zeros(2)) and step.grad_norm.isnan().all() and step.failures == {}
    assert not step.images.requires_grad and not step.scores.total.requires_grad


def test_decoder_only_leaves_the_unet_out():
    def broken(noise):
        raise AssertionError("the U-Net was called")

    made = run(quadratic(generate=broken), settings("decoder_only"))
    assert made[-1].scores.total.sum() > made[0].scores.total.sum()
    torch.testing.assert_close(made[0].images, quadratic().noise * 2)


# --- Identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reno", "decoder_only"])
def test_an_optimisers_identity_holds_every_setting_that_moves_the_noise(method):
    chosen = MethodSettings(method, 50, 0.01, 0.5, 0.1, "sgd", {"momentum": 0.9, "nesterov": True})
    assert identity(chosen) == {
        "name": method,
        "iterations": 50,
        "lr": 0.01,
        "regularization": 0.5,
        "grad_clip": 0.1,
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True},
    }


def test_a_control_does_not_depend_on_the_learning_rate():
    slow, fast = (MethodSettings("best_of_n", 50, lr, 0.0, None, "adam", {}) for lr in (0.01, 0.05))
    assert identity(slow) == identity(fast) == {"name": "best_of_n", "iterations": 50}
    assert identity(MethodSettings("none", 50, 0.01, 0, None, "adam", {})) == {"name": "none"}


@pytest.mark.parametrize(
    "chosen",
    [
        MethodSettings("reno", 7, 0.5, 0.01, 0.1, "sgd", {"momentum": 0.9, "nesterov": True}),
        MethodSettings("reno", 0, 0.01, 0.0, None, "adam", {"betas": [0.9, 0.999], "eps": 1e-8}),
        MethodSettings("decoder_only", 7, 0.5, 0.01, 0.1, "adam", {"betas": [0.5, 0.9], "eps": 0.0}),
    ],
)
def test_settings_come_back_whole_from_their_identity(chosen):
    made = identity(chosen)
    assert settings_of(made) == chosen
    assert identity(chosen) == made  # reading it changes nothing in it


@pytest.mark.parametrize("method", ["best_of_n", "none"])
def test_settings_that_did_not_matter_come_back_as_something_with_the_same_identity(method):
    chosen = MethodSettings(method, 7, 0.5, 0.01, 0.1, "sgd", {"momentum": 0.9, "nesterov": True})
    back = settings_of(identity(chosen))
    assert identity(back) == identity(chosen)
    assert back == MethodSettings(method, 7 if method == "best_of_n" else 0, 1.0, 0.0, None, "adam", {})


@pytest.mark.parametrize(("method", "count"), [("reno", 51), ("best_of_n", 51), ("decoder_only", 51), ("none", 1)])
def test_a_method_knows_how_many_images_it_makes(method, count):
    assert images(settings(method, iterations=50)) == count
    assert images(settings(method, iterations=3)) == len(run(quadratic(), settings(method, iterations=3)))


# --- A user's own method ----------------------------------------------------------------------------------------------


@pytest.fixture
def own(monkeypatch):
    """A method of a user: it makes `count` images of the initial noise times `factor`."""
    module = types.ModuleType("lab.still")

    def steps(problem, settings, *, factor=1.0, count=2):
        for iteration in range(count):
            yield unoptimised(problem, problem.noise * factor, iteration)

    module.steps = steps
    monkeypatch.setitem(sys.modules, "lab", types.ModuleType("lab"))
    monkeypatch.setitem(sys.modules, "lab.still", module)
    return module


def still(**options):
    return MethodSettings("still", 4, 0.1, 0.0, None, "adam", {}, "lab.still", options)


def test_a_method_elsewhere_is_given_its_own_options(own):
    problem = quadratic()
    made = list(steps(problem, still(factor=3.0, count=5)))
    assert len(made) == 5
    torch.testing.assert_close(made[0].noise, 3 * problem.noise)


def test_its_kind_and_options_are_part_of_its_identity_and_come_back(own):
    chosen = still(factor=3.0)
    assert identity(chosen) == {
        "name": "still",
        "kind": "lab.still",
        "iterations": 4,
        "lr": 0.1,
        "regularization": 0.0,
        "grad_clip": None,
        "optimizer": {"name": "adam"},
        "options": {"factor": 3.0},
    }
    assert settings_of(identity(chosen)) == chosen
    assert images(chosen) == 5  # unless it says otherwise
    own.images = lambda settings: 2
    own.identity = lambda settings: {"name": "still", "count": 2}
    assert images(chosen) == 2 and identity(chosen) == {"name": "still", "count": 2}


def test_an_option_that_a_method_does_not_have_is_refused(own):
    with pytest.raises(BadInput) as refused:
        load_method(still(fcator=1))
    assert str(refused.value) == ("method still has no option 'fcator'; it has factor, count; did you mean 'factor'?")
    with pytest.raises(BadInput, match="method reno has no option 'restarts'; it has start"):
        identity(MethodSettings("reno", 4, 0.1, 0.0, None, "adam", {}, "", {"restarts": 3}))
    with pytest.raises(BadInput, match="has no option 'problem'"):
        load_method(still(problem=1))


@pytest.mark.parametrize("name", sorted({*Conf().options("method")} - {"reno_warm"}))
def test_what_a_method_does_by_itself_is_what_its_file_says(name):
    """Such as method.gamma: the default of its code is that of conf/method. reno_warm is reno with another start."""
    told = yaml.safe_load((HOME / "conf" / "method" / f"{name}.yaml").read_text("utf-8"))
    by_itself = {key: word.default for key, word in signature(load_method(settings(name)).steps).parameters.items()}
    own = {key: value for key, value in told.items() if key != "name"}
    assert {key: by_itself[key] for key in own} == own
    assert not identity(settings(name, iterations=50)).get("options")  # which needs none


def test_a_method_that_is_no_module_is_refused():
    with pytest.raises(BadInput) as refused:
        load_method(settings("best_of"))
    assert "method kind 'best_of' is not a module; use best_of_n, decoder_only" in str(refused.value)
    assert "did you mean 'best_of_n'?" in str(refused.value)
