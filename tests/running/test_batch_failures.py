"""What fails in a batch fails its own trial, with its reason, and nothing else."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import pytest
import torch

from reno.spec.judgements import Verdict
from tests.running.stand_in_models import (
    NAN,
    Looking,
    Numbered,
    Scripted,
    column,
    models_of,
    ran,
    said,
    settings,
    table,
    trials,
    written,
)


def test_a_trial_whose_score_is_never_finite_fails_alone():
    rows = [[1.0, 2.0], [NAN, math.inf], [4.0, 3.0]]
    judge, recorded = Looking(), Scripted(lambda trial, iteration: iteration)
    one, bad, other = ran(
        trials(3), models_of(Scripted(table(*rows)), None, {"recorded": recorded}, [judge]), settings(1)
    ).trials
    assert bad.failure == "the metric's score was never finite"
    assert (bad.best, bad.best_noise, bad.scores, bad.verdicts) == (-1, None, {}, {})
    assert column(bad, "score") == [None, None] and column(bad, "loss") == [None, None]
    assert (one.failure, other.failure) == (None, None) and (one.best, other.best) == (1, 0)
    assert one.verdicts == {"looker": ("clip", said(0, 0), said(0, 1))}
    assert other.verdicts == {"looker": ("clip", said(2, 0), said(2, 0))}
    assert other.scores["best"] == {"scripted": 4.0, "recorded": 0.25}


def test_a_failure_is_its_own_trials_and_the_first_is_kept(method_of):
    def falling(problem, settings):
        for step in written(problem, settings):
            step.failures.update({2: f"iteration {step.iteration}"})
            yield step

    judge = Looking()
    good, fell, early = ran(
        trials(3), models_of(Scripted(lambda trial, iteration: iteration), judges=[judge]), method_of(falling)
    ).trials
    assert (good.failure, fell.failure, early.failure) == (None, "it fell over", "iteration 0")
    assert good.verdicts and not fell.verdicts and not early.verdicts
    assert judge.calls == [["trial 0"]] * 2
    assert all(progress.scores["best"] for progress in (good, fell, early))


@pytest.mark.parametrize(("iteration", "which"), [(0, "initial"), (1, "best")])
def test_an_image_that_would_be_judged_and_is_not_finite_fails_its_trial_alone(iteration, which):
    """This metric does not look at the pixel."""

    class Spotted(Numbered):
        def __call__(self, noise, conditioning):
            images = super().__call__(noise, conditioning)
            images[1, 2, 2, 4] = math.inf if self.made == iteration + 1 else 0.0
            return images

    judge = Looking()
    one, bad = ran(
        trials(2, "float16"),
        models_of(Scripted(table([1, 2, 0], [1, 2, 0])), Spotted(dtype=torch.float16), judges=[judge]),
        settings(2),
    ).trials
    assert bad.failure == f"the {which} image has values that are not finite; try dtype=float32"
    assert one.failure is None and judge.calls == [["trial 0"]] * 2


@pytest.mark.parametrize("value", [NAN, math.inf])
def test_a_judge_without_a_finite_number_fails_that_trial_alone(value):
    class Unsure(Looking):
        def judge(self, images, prompts):
            one, other = super().judge(images, prompts)
            (judged,) = other.judgements
            return [one, Verdict((msgspec.structs.replace(judged, bound_confidence=value),), {})]

    one, bad = ran(trials(2), models_of(Scripted(lambda *_: 1.0), judges=[Unsure()]), settings(1)).trials
    assert one.failure is None
    assert bad.failure == f"the judge looker gave {value} as bound_confidence of a1 o1; it has to be a finite number"


@pytest.mark.parametrize("first", [True, False])
def test_one_of_a_trials_two_verdicts_without_a_finite_number_is_enough(first):
    class Unsure(Looking):
        def judge(self, images, prompts):
            (said,) = super().judge(images, prompts)
            (judged,) = said.judgements
            odd = (len(self.calls) == 1) == first
            return [Verdict((msgspec.structs.replace(judged, bound_confidence=NAN if odd else 1.0),), {})]

    (bad,) = ran(trials(1), models_of(Scripted(table([1.0, 2.0])), judges=[Unsure()]), settings(1)).trials
    assert bad.failure == "the judge looker gave nan as bound_confidence of a0 o0; it has to be a finite number"


def test_a_method_has_to_yield_a_step_with_an_image_for_each_trial(method_of):
    def odd(problem, settings):
        yield 3

    with pytest.raises(ValueError, match=r"^the method yielded a int; it has to yield reno\.methods\.Step$"):
        ran(trials(2), models_of(Scripted(lambda *_: 1.0)), method_of(odd))

    def short(problem, settings):
        for step in written(problem, settings):
            yield dataclasses.replace(step, images=step.images[:1])

    with pytest.raises(ValueError, match=r"^the method yielded 1 images of a batch of 2 trials$"):
        ran(trials(2), models_of(Scripted(lambda *_: 1.0)), method_of(short))


def test_where_every_trial_failed_nothing_is_judged(method_of):
    judge = Looking()
    done = ran(trials(2), models_of(Scripted(lambda *_: NAN), judges=[judge]), method_of(written))
    assert judge.calls == [] and done.scored
    assert done.trials[1].failure == "it fell over"  # the first reason is the one that is kept


def test_a_prompt_without_bindings_is_not_judged():
    judge = Looking()
    one, none, two = ran(
        trials(3, judged={0, 2}), models_of(Scripted(lambda trial, iteration: iteration), judges=[judge]), settings(1)
    ).trials
    assert judge.calls == [["trial 0", "trial 2"]] * 2
    assert none.failure is None and none.verdicts == {}
    assert one.verdicts["looker"][2] == said(0, 1) and two.verdicts["looker"][2] == said(2, 1)


@pytest.mark.parametrize("few", [{0}, {1}, {0, 1}])
def test_a_judge_that_says_too_little_is_an_error(few):
    """Else a trial would be without its judgement, or have another's. few: which of the two calls are short."""

    class Short(Looking):
        def judge(self, images, prompts):
            verdicts = super().judge(images, prompts)
            return verdicts[:-1] if len(self.calls) - 1 in few else verdicts

    with pytest.raises(ValueError):
        ran(trials(2), models_of(Scripted(lambda *_: 1.0), judges=[Short()]), settings(1))
