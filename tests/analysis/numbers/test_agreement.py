"""Agreement and kappa against hand-worked values and an independent formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.numbers.agreement import agreement


def answers(both, only_a, only_b, neither, prompts=10):
    pairs = [(True, True)] * both + [(True, False)] * only_a + [(False, True)] * only_b + [(False, False)] * neither
    frame = pd.DataFrame(pairs, columns=["a", "b"], dtype=bool)
    return frame.assign(prompt=[f"p{k % prompts}" for k in range(len(frame))])


def test_cohens_own_kind_of_table_by_hand():
    """20 and 15 of 50 agree; a says yes to 25, b to 30: observed 0.7, expected 0.5, kappa 0.4."""
    found = agreement(answers(20, 5, 10, 15))
    assert found.share.value == pytest.approx(0.7) and found.kappa.value == pytest.approx(0.4)
    assert (found.both, found.only_a, found.only_b, found.neither) == (20, 5, 10, 15)
    assert (found.count, found.prompts) == (50, 10)
    assert found.share.low < 0.7 < found.share.high and found.kappa.low < 0.4 < found.kappa.high


def test_kappa_is_the_chance_corrected_agreement_of_any_answers():
    rng = np.random.default_rng(0)
    a = rng.random(400) < 0.7
    b = np.where(rng.random(400) < 0.8, a, rng.random(400) < 0.5)
    found = agreement(pd.DataFrame({"a": a, "b": b, "prompt": np.arange(400) % 40}))
    confusion = pd.crosstab(a, b).to_numpy() / 400
    chance = confusion.sum(0) @ confusion.sum(1)
    assert found.kappa.value == pytest.approx((np.trace(confusion) - chance) / (1 - chance))


def test_judges_that_always_agree_and_judges_with_one_answer():
    assert agreement(answers(5, 0, 0, 5)).kappa.value == 1
    assert agreement(answers(0, 5, 5, 0)).kappa.value == -1
    one = agreement(answers(8, 0, 0, 0))
    assert one.share.value == 1 and np.isnan(one.kappa.value)


def test_where_there_are_no_questions_nothing_is_known_and_nothing_is_warned_of():
    with np.errstate(all="raise"):
        none, one = agreement(answers(0, 0, 0, 0)), agreement(answers(0, 0, 0, 8))
    assert np.isnan([none.share.value, none.kappa.value]).all() and (none.count, none.prompts) == (0, 0)
    assert (one.share.value, one.neither) == (1, 8) and np.isnan(one.kappa.value)


def test_every_question_counts_the_same_however_many_a_prompt_has():
    frame = pd.DataFrame({"a": [True] * 10, "b": [True] * 9 + [False], "prompt": ["x"] * 9 + ["y"]})
    assert agreement(frame).share.value == pytest.approx(0.9)
