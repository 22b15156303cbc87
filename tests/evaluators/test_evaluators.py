"""What every judge has, and that each in conf/evaluator can be planned."""

from __future__ import annotations

import pytest
import torch

from reno.config.conf import Conf
from reno.evaluators import Evaluator
from reno.running.plan import make_plan
from reno.spec.prompts import Prompt


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
