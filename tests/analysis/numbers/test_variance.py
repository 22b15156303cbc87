"""Components of variance on outcomes that are sums of known parts, and on simulated ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.numbers.variance import split, split_over_metrics


def crossed(of_prompt, of_seed, rest=None):
    y = np.add.outer(np.asarray(of_prompt, float), np.asarray(of_seed, float))
    y = y if rest is None else y + rest
    rows = [(f"p{p}", s, y[p, s]) for p in range(y.shape[0]) for s in range(y.shape[1])]
    return pd.DataFrame(rows, columns=["prompt", "seed", "y"])


def test_a_sum_of_prompt_and_noise_has_no_rest():
    a, b = [0, 1, 5, 2, 2, 8], [0, 3, 1]
    found = split(crossed(a, b), "y")
    whole = np.var(a, ddof=1) + np.var(b, ddof=1)
    assert found.prompt == pytest.approx(np.var(a, ddof=1) / whole) and found.rest == pytest.approx(0, abs=1e-12)
    assert found.noise == pytest.approx(np.var(b, ddof=1) / whole) and found.variance == pytest.approx(whole)
    assert (found.design, found.noises.times, found.trials) == ("crossed", "6 × 3", 18)


def test_crossed_components_are_unbiased():
    rng, found = np.random.default_rng(0), []
    for _ in range(30):
        parts = rng.normal(0, 3, 20), rng.normal(0, 2, 15), rng.normal(0, 1, (20, 15))
        one = split(crossed(*parts), "y")
        found.append([one.prompt * one.variance, one.noise * one.variance, one.rest * one.variance])
    assert np.mean(found, axis=0) == pytest.approx([9, 4, 1], rel=0.15)


def test_a_prompt_without_every_noise_does_not_count_and_few_noises_are_not_split():
    rows = crossed(range(7), [0, 1, 4])
    assert split(rows[:-1], "y").noises.prompts == 6
    assert split(crossed(range(7), [0, 1]), "y").design == "none"
    assert np.isnan(split(crossed(range(5), [0, 1, 4]), "y").prompt)
    assert np.isnan(split(crossed([1] * 6, [2] * 3), "y").prompt)


def nested(rng, prompts=40, each=3, metrics=("clip", "blip"), sizes=(3.0, 2.0, 1.0)):
    rows, seed = [], 0
    for p in range(prompts):
        of_prompt = rng.normal(0, sizes[0])
        for _ in range(each + p % 2):  # unequal
            seed += 1
            of_noise = rng.normal(0, sizes[1])
            rows += [
                (f"p{p}", seed, metric, 10 * k + of_prompt + of_noise + rng.normal(0, sizes[2]))
                for k, metric in enumerate(metrics)
            ]
    return pd.DataFrame(rows, columns=["prompt", "seed", "metric", "y"])


def test_own_noises_by_hand():
    """Two images a prompt, 1 apart around 0, 0, 4, 4, 8, 8: within 0.5, between 2 x 12.8."""
    rows = [(f"p{p}", 2 * p + k, centre + k - 0.5) for p, centre in enumerate((0, 0, 4, 4, 8, 8)) for k in (0, 1)]
    found = split(pd.DataFrame(rows, columns=["prompt", "seed", "y"]), "y")
    of_prompt = (2 * 12.8 - 0.5) / 2
    assert found.design == "nested" and np.isnan(found.noise)
    assert found.variance == pytest.approx(of_prompt + 0.5)
    assert (found.prompt, found.rest) == pytest.approx((of_prompt / (of_prompt + 0.5), 0.5 / (of_prompt + 0.5)))


def test_nested_components_are_unbiased_and_several_metrics_tell_noise_from_rest():
    rng, one, several = np.random.default_rng(0), [], []
    for _ in range(30):
        rows = nested(rng)
        clip, both = split(rows[rows["metric"] == "clip"], "y"), split_over_metrics(rows, "y")
        one.append([clip.prompt * clip.variance, clip.rest * clip.variance])
        several.append([part * both.variance for part in (both.prompt, both.noise, both.rest)])
    assert np.mean(one, axis=0) == pytest.approx([9, 5], rel=0.15)
    assert np.mean(several, axis=0) == pytest.approx([9, 4, 1], rel=0.15)


def test_one_own_noise_a_prompt_is_not_told_from_the_prompt():
    rows = nested(np.random.default_rng(0), prompts=8, each=1)
    single = rows.drop_duplicates(["prompt", "metric"])
    assert split(single[single["metric"] == "clip"], "y").design == "none"
    assert split_over_metrics(single, "y").design == "none"
