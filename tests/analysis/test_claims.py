"""Each claim on stores made to support it, to contradict it, and to leave it open."""

from __future__ import annotations

import pytest
from scipy.stats import chi2, norm

from analysis.claims import CONTRADICTED, EQUIVALENT, SUPPORTED, UNDECIDED, claims, claims_on
from analysis.claims.parts import _some
from analysis.claims.trials import compared_trials
from analysis.claims.written import claims_frame, claims_markdown
from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.numbers.statistics import holm
from analysis.text import markdown_text

METRICS = ("clip", "blip")
RIGHT, WRONG, APART, PLAIN = ("right",) * 2, ("gone",) * 2, ("swapped",) * 2, ("plain",) * 2


TIMES = 5
"""Each of twenty outcomes stands for so many prompts: twenty without a difference are too few for a margin of 0.05."""


def outcomes(*counted):
    """A hundred prompts: counted are (how many in twenty, before, after)."""
    made = [(before, after) for count, before, after in counted for _ in range(TIMES * count)]
    assert len(made) == 20 * TIMES
    return made


def verdicts(results):
    (one,) = slices(results)
    return {claim.key: claim.verdict for claim in claims_on(one)}


def test_improvement_has_one_verdict_a_metric(many):
    better = outcomes((12, WRONG, RIGHT), (8, RIGHT, RIGHT))
    worse = outcomes((12, RIGHT, WRONG), (8, RIGHT, RIGHT))
    same = outcomes((3, WRONG, RIGHT), (2, RIGHT, WRONG), (15, RIGHT, RIGHT))
    for blip, verdict in ((better, SUPPORTED), (worse, CONTRADICTED), (same, UNDECIDED)):
        found = verdicts(many({"clip": better, "blip": blip}))
        assert (found["a, clip"], found["a, blip"]) == (SUPPORTED, verdict)  # one verdict a metric


def test_clip_beats_blip_or_is_beaten_or_it_is_open(many):
    strong, weak = outcomes((16, WRONG, RIGHT), (4, WRONG, WRONG)), outcomes((4, WRONG, RIGHT), (16, WRONG, WRONG))
    near = outcomes((15, WRONG, RIGHT), (5, WRONG, WRONG))
    assert verdicts(many({"clip": strong, "blip": weak}))["b"] == SUPPORTED
    assert verdicts(many({"clip": weak, "blip": strong}))["b"] == CONTRADICTED
    assert verdicts(many({"clip": strong, "blip": near}))["b"] == UNDECIDED
    assert verdicts(many({"clip": strong, "blip": strong}))["b"] == EQUIVALENT


def test_clip_gets_objects_in_and_binds_less(many):
    plain, right = outcomes((18, WRONG, PLAIN), (2, WRONG, RIGHT)), outcomes((2, WRONG, PLAIN), (18, WRONG, RIGHT))
    gone = outcomes((16, WRONG, WRONG), (4, WRONG, PLAIN))
    assert verdicts(many({"clip": plain, "blip": right}))["c"] == SUPPORTED
    assert verdicts(many({"clip": right, "blip": plain}))["c"] == CONTRADICTED  # it binds more
    assert verdicts(many({"clip": gone, "blip": right}))["c"] == CONTRADICTED  # its objects are not there
    nothing = outcomes((20, WRONG, WRONG))
    assert verdicts(many({"clip": nothing, "blip": nothing}))["c"] == CONTRADICTED  # nor are these, though no fewer
    assert verdicts(many({"clip": plain, "blip": plain}))["c"] == EQUIVALENT


def test_blip_gets_colours_in_and_swaps_them(many):
    apart, right = outcomes((15, WRONG, APART), (5, WRONG, RIGHT)), outcomes((2, WRONG, APART), (18, WRONG, RIGHT))
    assert verdicts(many({"clip": right, "blip": apart}))["d"] == SUPPORTED
    assert verdicts(many({"clip": apart, "blip": right}))["d"] == CONTRADICTED
    pale = outcomes((20, WRONG, PLAIN))
    assert verdicts(many({"clip": right, "blip": pale}))["d"] == CONTRADICTED  # its colours are not there
    assert verdicts(many({"clip": right, "blip": right}))["d"] == EQUIVALENT


def test_within_the_margin_is_not_above_it(many):
    """One object in forty fewer: 2.5 points, within the margin of 5, but the interval reaches below."""
    clip = outcomes((1, WRONG, ("plain", "gone")), (19, WRONG, PLAIN))
    found = claims_on(slices(many({"clip": clip, "blip": outcomes((20, WRONG, RIGHT))}))[0])
    objects = next(claim for claim in found if claim.key == "c").parts[1]
    assert objects.above == -0.05 and objects.effect.difference.value == pytest.approx(-0.025)
    assert objects.effect.difference.low < -0.05 and objects.verdict == UNDECIDED
    assert objects.decided.why == "−0.05 lies inside the interval"


def test_fewer_than_six_prompts_that_differ_decide_nothing_and_how_many_more_would_is_said(many):
    """Five of a hundred prompts move, all up: the score interval leaves zero out, and the exact test says p = 1/16."""
    few = outcomes((1, WRONG, RIGHT), (19, WRONG, WRONG))
    claim = claims_on(slices(many({"clip": few, "blip": few}))[0])[0]
    assert claim.parts[0].effect.difference.low > 0 and claim.parts[0].effect.p == pytest.approx(0.0253, abs=1e-4)
    assert claim.verdict == UNDECIDED
    assert claim.sentence.startswith(
        "“ReNO improves binding with clip”: undecided (only 5 prompts differ; about 51 more prompts would decide); on "
    )


def test_two_metrics_that_do_not_differ_are_equivalent_given_enough_prompts(many):
    """52 prompts without a difference are enough for a margin of 0.05, and 51 are not: 1.645^2 x 0.95 / 0.05 = 51.4."""
    same = [(WRONG, RIGHT)] * 25 + [(WRONG, WRONG)] * 27
    (one,) = slices(many({"clip": same, "blip": same}))
    b = claims_on(one)[2]
    assert (b.key, b.verdict) == ("b", EQUIVALENT)
    assert b.sentence.startswith(
        "“CLIP beats BLIP overall”: equivalent (the difference lies within ±0.05); on sd_turbo"
    )
    assert "90% interval [−0.05, 0.05] within ±0.05" in b.parts[0].sentence
    (one,) = slices(many({"clip": same[1:], "blip": same[1:]}))
    assert claims_on(one)[2].decided.text == "undecided: about 1 more prompt would decide"
    (one,) = slices(many({"clip": same[1:], "blip": same[1:]}), margin=0.06)
    assert claims_on(one)[2].verdict == EQUIVALENT
    (one,) = slices(many({"clip": same, "blip": same}), margin=0.02)
    assert claims_on(one)[2].verdict == UNDECIDED


def test_where_all_prompts_share_one_or_two_noises_nothing_is_decided(record):
    for seeds in (1, 2, 3):
        records = [record(f"p{k:02d}", seed, metric) for k in range(20) for seed in range(seeds) for metric in METRICS]
        (one,) = slices(tidy(records))
        clip, *_ = claims_on(one)
        if seeds == 3:
            assert clip.verdict == SUPPORTED and clip.parts[0].measured.over == "prompts and noises"
            continue
        assert {claim.verdict for claim in claims_on(one)} == {UNDECIDED}
        noises = "1 noise" if seeds == 1 else "2 noises"
        assert clip.decided.why == (
            f"with {noises} that all prompts share nothing can be said of other noises; give at least 3 seeds, or "
            "own_noise=true"
        )


def test_a_verdict_goes_by_the_interval_over_prompts_and_noises(record):
    """Of three noises that all prompts share, one is better with BLIP and two are as good: other noises may differ."""
    records = [
        record(f"p{k:02d}", seed, metric, after=WRONG if seed == 0 and metric == "clip" and k % 10 else RIGHT)
        for k in range(30)
        for seed in range(3)
        for metric in METRICS
    ]
    (one,) = slices(tidy(records))
    b = next(claim for claim in claims_on(one) if claim.key == "b")
    effect = b.parts[0].effect
    assert (effect.win, effect.loss, effect.over) == (0, 27, "prompts and noises")
    assert effect.difference.value == pytest.approx(-0.3)
    assert effect.difference.low < -0.3 < 0 < effect.difference.high
    assert b.verdict == UNDECIDED and b.decided.why == "more noises, not more prompts, would decide"


def test_nothing_is_decided_on_five_prompts_random_weights_no_judge_or_one_metric(many):
    better = outcomes((20, WRONG, RIGHT))
    worse = outcomes((20, WRONG, WRONG))
    assert set(verdicts(many({"clip": better[:5], "blip": worse[:5]})).values()) == {UNDECIDED}
    assert set(verdicts(many({"clip": better, "blip": worse}, random_weights=True)).values()) == {UNDECIDED}
    assert set(verdicts(many({"clip": better, "blip": worse}, judges=())).values()) == {UNDECIDED}
    assert verdicts(many({"clip": better})) == {"a, clip": SUPPORTED, "b": UNDECIDED, "c": UNDECIDED, "d": UNDECIDED}
    assert set(verdicts(many({"clip": better}, method="none")).values()) == {UNDECIDED}
    (one,) = slices(many({"clip": better}))
    assert "BLIP" in claims_on(one)[1].sentence


def test_settings_chosen_on_dev_prompts_are_the_basis_and_dev_prompts_carry_no_claim(tuned):
    records = tuned(12)
    found = claims(slices(tidy(records)))
    assert {claim.prompt_set for claim in found} == {"pairs_test"}
    a, _, b = found[:3]
    assert a.verdict == SUPPORTED and b.verdict == UNDECIDED
    assert a.basis == "at its own best settings, chosen on pairs_dev (clip: 50 it., lr 0.01)"
    assert "chosen on pairs_dev (clip: 50 it., lr 0.01; blip: 50 it., lr 0.05)" in b.basis
    untuned = claims(slices(tidy([row for row in records if row.labels.prompts == "pairs_test"])))
    assert untuned[0].basis == "all settings of clip" and "all settings that clip and blip both ran" in untuned[2].basis
    assert untuned[2].parts[0].effect.pairs == 24  # paired on the settings too


def test_metrics_that_ran_no_settings_in_common_are_each_taken_at_all_of_theirs(tuned):
    """clip at one lr and blip at the other: a claim on each metric alone still stands; the two have no pair."""
    of_each = {("clip", 0.01), ("blip", 0.05)}
    records = [
        row for row in tuned(12)
        if row.labels.prompts == "pairs_test" and (row.labels.metric, row.spec.method["lr"]) in of_each
    ]  # fmt: skip
    found = slices(tidy(records))
    compared = compared_trials(found[0], found, ("clip", "blip"))
    assert {metric: len(rows) for metric, rows in compared.by_metric.items()} == {"clip": 12, "blip": 12}
    assert compared.basis == "all settings of each metric; there are none that clip and blip both ran"


def test_a_claim_says_on_what_it_rests_and_marks_a_kin_judge(many):
    better, worse = outcomes((20, WRONG, RIGHT)), outcomes((20, WRONG, WRONG))
    results = many({"clip": better, "blip": worse}, judges=(("blip_vqa", "blip"),), models="sd_turbo")
    found = claims(slices(results))
    assert [claim.kin for claim in found] == [
        False,
        True,
        True,
        True,
        True,
    ]  # to blip: not to what is said of clip alone
    for word in ("sd_turbo", "pairs_test", "100 prompts", "judged by blip_vqa†"):
        assert word in found[2].sentence
    text = claims_markdown(found)
    assert "may favour that metric" in text and "Holm" in text
    assert "100 prompts with 1 noise of their own each, 100 pairs" in text
    frame = claims_frame(found)
    assert frame["claim"].value_counts().to_dict() == {"a, clip": 1, "a, blip": 1, "b": 1, "c": 3, "d": 3}


def test_a_third_metric_changes_nothing_of_what_is_said_of_the_other_two(record):
    """Neither at other settings, nor where it has none that dev prompts chose."""
    pair = [record(f"p{k}", k, metric, after=RIGHT if k % 4 else WRONG) for k in range(20) for metric in METRICS]
    dev = [record(f"d{k}", k, metric, prompts="pairs_dev") for k in range(6) for metric in METRICS]
    third = [record(f"p{k}", k, "clip+blip", lr=5.0) for k in range(20)]
    for records in (pair, pair + dev):
        two, three = (claims(slices(tidy(made))) for made in (records, records + third))
        said = [(claim.key, claim.sentence, claim.basis, claim.p_holm) for claim in two]
        assert [
            (claim.key, claim.sentence, claim.basis, claim.p_holm) for claim in three if "+" not in claim.key
        ] == said
        assert len(three) == len(two) + 1


def stated(metric_a, metric_b, key="x", **part):
    """A study's own claim, as job.json has it."""
    parts = [{"measure": "fully_bound", "a": metric_a, "b": metric_b, **part}]
    return {"key": key, "statement": f"{key} holds", "definition": "in words", "parts": parts}


def with_claims(record, job, plan, *own):
    """The one slice of a store whose job names these claims. plan: as of `many`."""
    records = [
        record(f"p{place:02d}", place, metric=metric, before=before, after=after)
        for metric, made in plan.items()
        for place, (before, after) in enumerate(made)
    ]
    (one,) = slices(tidy(records, [job(records, claims=own)]))
    return one


def test_a_study_has_its_own_claims_on_its_own_metrics(record, job):
    strong, weak = outcomes((16, WRONG, RIGHT), (4, WRONG, WRONG)), outcomes((4, WRONG, RIGHT), (16, WRONG, WRONG))
    plan = {"clip": weak, "red_share": strong}
    own = (stated("red_share", "clip", "r"), stated("clip", "red_share", "q"), stated("after", "before", "up"))
    found = {claim.key: claim for claim in claims_on(with_claims(record, job, plan, *own))}
    assert {key: claim.verdict for key, claim in found.items()} == {
        "r": SUPPORTED, "q": CONTRADICTED, "up, red_share": SUPPORTED, "up, clip": SUPPORTED,
    }  # fmt: skip
    assert found["r"].parts[0].quantity == "prompts fully bound, red_share − clip"
    assert list(found)[2:] == ["up, red_share", "up, clip"]  # as the claims name them


def test_a_claim_on_a_metric_that_was_not_run_says_so_and_guesses_no_other(record, job):
    better = outcomes((20, WRONG, RIGHT))
    one = with_claims(record, job, {"clip_vit_h": better, "red_share": better}, stated("red_share", "blip"))
    (claim,) = claims_on(one)
    assert (claim.verdict, claim.parts) == (UNDECIDED, ())
    assert claim.sentence.startswith("“x holds”: undecided (ReNO was not run with blip here); on sd_turbo")
    assert "prompts pairs_test, judged by oracle." in claim.sentence
    two = {"clip_vit_h": better, "clip_vit_l": better, "blip_large": better}
    (claim,) = claims_on(with_claims(record, job, two, stated("clip", "blip")))
    assert claim.parts == ()
    assert "does not say which metric it means: clip may be clip_vit_h or clip_vit_l" in claim.sentence
    (claim,) = claims_on(with_claims(record, job, {"clip_vit_h": better, "blip_large": better}, stated("clip", "blip")))
    assert claim.parts[0].quantity == "prompts fully bound, clip_vit_h − blip_large"  # of its family, the only one


def test_a_threshold_above_zero_has_to_be_passed_and_a_margin_lies_below_zero(record, job):
    """The difference is 0.8."""
    strong, none = outcomes((16, WRONG, RIGHT), (4, WRONG, WRONG)), outcomes((20, WRONG, WRONG))
    plan = {"clip": strong, "blip": none}
    verdict = {
        name: claims_on(with_claims(record, job, plan, stated(a, b, **part)))[0].verdict
        for name, a, b, part in (
            ("above 0.3", "clip", "blip", {"above": 0.3}),
            ("above 0.99", "clip", "blip", {"above": 0.99}),
            ("margin 0.05", "blip", "clip", {"margin": 0.05}),
            ("margin 0.99", "blip", "clip", {"margin": 0.99}),
        )
    }
    assert verdict == {
        "above 0.3": SUPPORTED, "above 0.99": CONTRADICTED, "margin 0.05": CONTRADICTED, "margin 0.99": SUPPORTED,
    }  # fmt: skip
    none_less = {"clip": none, "blip": none}  # no difference at all: within any margin
    (claim,) = claims_on(with_claims(record, job, none_less, stated("clip", "blip", margin=0.05)))
    assert claim.verdict == SUPPORTED


def test_the_claims_that_name_metrics_are_one_family_for_holm_and_each_has_one_p(record, job):
    """Each by itself is at p = 0.014, of McNemar's test of six to none; of four such claims none is supported."""
    plan = {"clip": [(WRONG, RIGHT)] * 6 + [(WRONG, WRONG)], "blip": [(WRONG, WRONG)] * 7}
    alone = claims_on(with_claims(record, job, plan, stated("clip", "blip")))
    six = chi2.sf(6, 1)
    assert (alone[0].p, alone[0].p_holm, alone[0].verdict) == (pytest.approx(six), pytest.approx(six), SUPPORTED)
    own = [stated("clip", "blip", key) for key in "wxyz"]
    four = claims_on(with_claims(record, job, plan, *own, stated("after", "before", "up")))
    assert [claim.p_holm for claim in four[:4]] == pytest.approx(holm([six] * 4))
    assert {claim.verdict for claim in four[:4]} == {UNDECIDED}
    assert four[0].sentence.startswith(
        "“w holds”: undecided (all its comparisons point to yes, but p is 0.057 after Holm's adjustment for 4 claims); "
    )
    assert four[4].p_holm == pytest.approx(six) and four[4].verdict == SUPPORTED  # of clip alone: another family


def test_a_claims_p_is_the_largest_of_its_parts_for_it_and_against_it_the_smallest_times_their_number(record, job):
    plan = {"clip": [(WRONG, RIGHT)] * 15 + [(WRONG, APART)] * 5, "blip": [(WRONG, WRONG)] * 20}
    parts = [{"measure": name, "a": "clip", "b": "blip"} for name in ("fully_bound", "objects", "swapped")]
    claim = {"key": "x", "statement": "s", "definition": "d", "parts": parts}
    (found,) = claims_on(with_claims(record, job, plan, claim))
    of_parts = [part.p for part in found.parts]
    assert of_parts == pytest.approx([chi2.sf(15, 1), chi2.sf(20, 1), chi2.sf(5, 1)])
    assert found.p == max(of_parts) == found.p_holm
    parts[1] = {"measure": "objects", "a": "blip", "b": "clip"}
    (found,) = claims_on(with_claims(record, job, plan, claim))
    assert found.p == pytest.approx(3 * chi2.sf(20, 1)) and found.verdict == CONTRADICTED


def test_a_level_has_to_be_reached(record, job):
    """19 of 20: from 0.76 to 0.99, by Wilson's interval."""
    plan = {"clip": [(WRONG, RIGHT)] * 19 + [(WRONG, WRONG)], "blip": [(WRONG, WRONG)] * 20}
    found = {}
    for at_least in (0.7, 0.9, 0.995):
        claim = stated("clip", None, at_least=at_least)
        del claim["parts"][0]["b"]
        (found[at_least],) = claims_on(with_claims(record, job, plan, claim))
    assert [claim.verdict for claim in found.values()] == [SUPPORTED, UNDECIDED, CONTRADICTED]
    part = found[0.9].parts[0]
    assert (part.interval.low, part.interval.high) == (pytest.approx(0.7639, abs=1e-4), pytest.approx(0.9911, abs=1e-4))
    assert part.p == pytest.approx(2 * norm.sf(0.05 / (0.9 * 0.1 / 20) ** 0.5))
    assert part.sentence == (
        "prompts fully bound, after, clip: 0.95 [0.76, 0.99] (95%, over prompts), has to be at least 0.90, p 0.456: "
        "undecided: 0.90 lies inside the interval; 20 prompts with 1 noise of their own each, 20 trials"
    )
    row = claims_frame([found[0.9]]).iloc[0]
    assert (row["value_a"], row["above"], row["pairs"]) == (0.95, 0.9, 20) and row[
        ["value_b", "difference"]
    ].isna().all()


def test_the_rows_of_a_claim_hold_every_figure_of_its_parts(many):
    better, worse = outcomes((20, WRONG, RIGHT)), outcomes((12, WRONG, RIGHT), (8, WRONG, WRONG))
    results = many({"clip": better, "blip": worse}, judges=(("blip_vqa", "blip"),), models="sd_turbo")
    found = claims(slices(results))
    frame = claims_frame(found)
    parts = [(claim, part) for claim in found for part in (*claim.parts, *claim.beside)]
    assert len(frame) == len(parts) == 9
    for (_, row), (claim, part) in zip(frame.iterrows(), parts, strict=True):
        if not part.compares:
            continue
        effect = part.effect
        assert row.to_dict() == pytest.approx(
            {
                "claim": claim.key, "statement": claim.statement, "models": "sd_turbo", "prompt_set": "pairs_test",
                "judge": "blip_vqa", "kin": claim.kin, "verdict": claim.verdict, "part": part.quantity,
                "why": claim.decided.why, "claim_p": claim.p, "claim_p_holm": claim.p_holm,
                "part_verdict": part.verdict, "part_why": part.decided.why, "decides": True, "value_a": effect.a,
                "value_b": effect.b, "difference": effect.difference.value, "low": effect.difference.low,
                "high": effect.difference.high, "interval": effect.difference.kind, "over": "prompts",
                "above": part.above, "margin": 0.05, "p": effect.estimate.p(part.above),
                "detectable": effect.detectable, "prompts": 100, "seeds": 100, "pairs": 100,
            },
            nan_ok=True,
        )  # fmt: skip
    b = frame[frame["claim"] == "b"].iloc[0]  # by hand: 20 of 20 against 12 of 20
    assert (b["value_a"], b["value_b"], b["difference"]) == (1.0, 0.6, pytest.approx(0.4))


def test_best_of_n_stands_beside_the_claim_and_decides_nothing(record):
    records = [record(f"p{k}", k, method=method, after=RIGHT) for k in range(8) for method in ("reno", "best_of_n")]
    found = claims(slices(tidy(records)))
    frame = claims_frame(found)
    assert frame["decides"].tolist() == [True, False]
    assert frame["part"].iloc[1] == "beside it: prompts fully bound, ReNO − best of n at equal images, clip"


def test_the_page_of_the_claims_is_whole(record, job):
    strong, none = outcomes((20, WRONG, RIGHT)), outcomes((20, WRONG, WRONG))
    one = with_claims(record, job, {"clip": strong, "red_share": none}, stated("clip", "red_share", "<x>"))
    (claim,) = claims_on(one)
    (part,) = claim.parts
    assert claims_markdown([claim]).split("\n") == [
        "# Claims",
        "",
        "## (&lt;x&gt;) &lt;x&gt; holds: **supported**",
        "",
        markdown_text(claim.sentence),
        "",
        "Supported if: in words",
        "",
        r"Trials: all settings that clip and red\_share both ran, paired on them: 50 it., lr 0.01.",
        "",
        f"- {markdown_text(part.sentence)}",
        *(f"- {markdown_text(caution)}" for caution in claim.cautions),
        "",
    ]


def test_one_trial_is_singular():
    assert [_some(count, "trial") for count in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]


def test_prompts_that_are_too_few_are_counted_in_words(many):
    for count, said in ((1, "1 prompt is too few; at least 6 are needed"), (5, "5 prompts are too few; at least 6")):
        (one,) = slices(many({"clip": [(("gone",) * 2, ("right",) * 2)] * count}))
        assert said in claims_on(one)[0].sentence
