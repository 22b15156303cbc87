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


def test_own_noises_of_unequal_prompts_by_hand():
    """Prompts with 1, 1, 1, 1, 2 and 6 images, 1 apart around their centres: of such a prompt's images count
    (12 - 44 / 12) / 5."""
    sizes, centres = (1, 1, 1, 1, 2, 6), (0.0, 2, 4, 6, 8, 10)
    rows = [
        (f"p{p}", f"{p} {k}", centre + (k % 2 - 0.5) * (size > 1))
        for p, (size, centre) in enumerate(zip(sizes, centres, strict=True))
        for k in range(size)
    ]
    found = split(pd.DataFrame(rows, columns=["prompt", "seed", "y"]), "y")
    center = (0 + 2 + 4 + 6 + 2 * 8 + 6 * 10) / 12
    between = sum(size * (one - center) ** 2 for size, one in zip(sizes, centres, strict=True)) / 5
    within = 8 * 0.25 / 6
    of_prompt = (between - within) / ((12 - 44 / 12) / 5)
    assert found.variance == pytest.approx(of_prompt + within)
    assert found.prompt == pytest.approx(of_prompt / (of_prompt + within))


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


def test_crossed_components_by_hand():
    """With an interplay u x v whose rows and columns sum to 0, the sums of squares are those of the parts alone."""
    a, b = np.array([0.0, 1, 5, 2, 2, 8]), np.array([0.0, 3, 1])
    u, v = np.array([1.0, -1, 2, -2, 3, -3]), np.array([1.0, 1, -2])
    rows = crossed(a, b, np.outer(u, v)).assign(other=7.0)  # a further column is not the outcome
    rest = (28 * 6) / (5 * 2)
    prompt, noise = np.var(a, ddof=1) - rest / 3, np.var(b, ddof=1) - rest / 6
    assert prompt > 0 > noise  # a component below 0 counts as 0
    found = split(rows, "y")
    assert found.variance == pytest.approx(prompt + rest) and found.noise == 0
    assert (found.prompt, found.rest) == pytest.approx((prompt / (prompt + rest), rest / (prompt + rest)))


def test_components_over_metrics_by_hand():
    """Two noises a prompt, 1 above and 1 below it; the interplay of noise and metric sums to 0 over either."""
    a, v = (0.0, 1, 5, 2, 2, 8), (0.5, 0.5, -1.0)
    rows = [
        (f"p{p}", 2 * p + k, metric, 10.0 * m + centre + 2 * k - 1 + (2 * k - 1) * v[m], 7.0)
        for p, centre in enumerate(a)
        for k in (0, 1)
        for m, metric in enumerate(("clip", "blip", "third"))
    ]
    rows = pd.DataFrame(rows, columns=["prompt", "seed", "metric", "y", "other"])
    rows.loc[0, "other"] = np.nan  # which is not the outcome
    missing = rows.iloc[:1].assign(seed=99, y=np.nan)  # not every metric has it
    found = split_over_metrics(pd.concat([rows, missing]), "y")
    rest = 12 * 1.5 / (11 * 2)
    parts = ((2 * np.var(a, ddof=1) - 2) / 2, 2 - rest / 3, rest)
    assert found.variance == pytest.approx(sum(parts))
    assert (found.prompt, found.noise, found.rest) == pytest.approx(tuple(part / sum(parts) for part in parts))
    assert (found.design, found.noises.prompts, found.noises.own, found.trials) == ("nested", 6, True, 36)


def test_where_nothing_varies_or_nothing_can_be_split_there_are_no_shares():
    same, few = split(crossed([1] * 6, [2] * 3), "y"), split(crossed(range(7), [0, 1]), "y")
    for found in (same, few):
        assert np.isnan([found.prompt, found.noise, found.rest]).all()
    assert (same.variance, same.design, same.noises.times, same.trials) == (0, "crossed", "6 × 3", 18)
    assert np.isnan(few.variance) and (few.noises.times, few.trials) == ("7 × 2", 14)
