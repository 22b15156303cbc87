"""The noise that the embedded models start from by default follows the rule that conf/models/testbed.yaml states."""

from __future__ import annotations

import pytest
import yaml

from reno import HOME
from reno.run import main
from reno.spec.trial import own_seed
from reno.store.store import Store

FIRST = "a gold bench and a green clock"


@pytest.mark.slow
def test_the_default_seed_is_the_first_that_starts_as_the_rule_says(tmp_path):
    """From 0 on: 20 to 35% of the report's prompts are right at the start, and of the first one the clock is right and
    the bench is not."""
    values = yaml.safe_load((HOME / "conf" / "models" / "testbed.yaml").read_text("utf-8"))
    assert values["own_noise"] is True
    seeds = range(values["seed"] + 1)
    words = ["method=none", f"seed={list(seeds)}".replace(" ", ""), "tracking=disabled", "batch_size=12"]
    assert main([*words, f"results={tmp_path / 'r'}"]) == 0
    stored = {(one.record.spec.prompt, one.record.spec.seed): one for one in Store(tmp_path / "r").whole()}
    prompts = {prompt for prompt, _ in stored}
    holds = []
    for seed in seeds:
        judged = {text: stored[text, own_seed(text, seed)].judgements()["oracle"].initial for text in prompts}
        share = sum(said.bound == len(said.judgements) for said in judged.values()) / len(prompts)
        bench, clock = judged[FIRST].judgements
        holds.append(0.2 <= share <= 0.35 and not bench.bound and clock.bound)
    assert holds == [False] * values["seed"] + [True]
