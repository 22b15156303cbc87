"""What every judge has, and that each in conf/evaluator can be planned."""

from __future__ import annotations

import pytest
import torch

from reno.config.conf import Conf
from reno.evaluators import Evaluator, checked_verdicts, not_finite
from reno.running.plan import make_plan
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding, Prompt


@pytest.mark.parametrize("name", Conf().options("evaluator"))
def test_every_judge_composes_with_options_that_its_kind_has(compose, name):
    """A plan checks every option against the kind's `load`."""
    (judge,) = make_plan(compose(f"evaluators={name}")).evaluators
    assert judge.spec.name == name and set(judge.checkpoints) == {model.name for model in judge.spec.models}
    assert all(model.knob == f"models.checkpoints.{model.name}" for model in judge.spec.models)


def test_a_judge_may_do_no_more_than_judge():
    class Fair(Evaluator):
        name = "fair"

    fair = Fair()
    assert fair.kin == "none"
    fair.check_prompt(Prompt("anything"))
    fair.check_size(1, 1)
    with pytest.raises(TypeError, match="Fair has no judge"):
        fair.judge(torch.zeros(1, 3, 2, 2), [Prompt("a")])


PROMPTS = [Prompt("a red car", (Binding("red", "car"),)), Prompt("no binding")]
SURE = Judgement("red", "car", True, True, True, 0.9, 0.8, 0.7)


class Saying(Evaluator):
    name = "sayer"

    def __init__(self, verdicts):
        self.verdicts = verdicts

    def judge(self, images, prompts):
        return self.verdicts


def test_verdicts_that_fit_the_prompts_are_handed_on():
    verdicts = [Verdict((SURE,), {}), Verdict((), {})]
    assert checked_verdicts(Saying(verdicts), torch.zeros(2, 3, 2, 2), PROMPTS) is verdicts


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ((Verdict((SURE,), {}), Verdict((), {})), "has to return a list of 2 verdicts, one per image"),
        ([Verdict((SURE,), {})], "has to return a list of 2 verdicts, one per image"),
        ([Verdict((SURE,), {}), 3], "returned a int and not a Verdict"),
        ([Verdict((SURE,), {}), Verdict((), {"swapped": 3})], "returned a verdict with a wrong value: Expected `bool`"),
        ([Verdict((), {}), Verdict((), {})], "judged [], which are not the prompt's bindings"),
    ],
)
def test_verdicts_of_another_kind_number_or_prompt_are_an_error_that_names_the_judge(verdicts, says):
    with pytest.raises(ValueError) as raised:
        checked_verdicts(Saying(verdicts), torch.zeros(2, 3, 2, 2), PROMPTS)
    assert str(raised.value).startswith("the judge sayer ") and says in str(raised.value)


def test_every_number_of_a_verdict_has_to_be_finite():
    unsure = Judgement("blue", "bowl", True, True, True, 0.9, float("inf"), 0.7)
    assert not_finite(Saying([]), Verdict((SURE,), {}, 0.5)) is None
    assert not_finite(Saying([]), Verdict((SURE,), {})) is None
    assert not_finite(Saying([]), Verdict((), {}, float("nan"))) == (
        "the judge sayer gave nan as score; it has to be a finite number"
    )
    for judgements in ((SURE, unsure), (unsure, SURE)):
        assert not_finite(Saying([]), Verdict(judgements, {})) == (
            "the judge sayer gave inf as attribute_confidence of blue bowl; it has to be a finite number"
        )
