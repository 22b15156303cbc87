"""Each claim on stores made to support it, to contradict it, and to leave it open."""

from __future__ import annotations

import pytest

from analysis.claims import CONTRADICTED, SUPPORTED, UNDECIDED, claims, claims_frame, claims_markdown, claims_on
from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.numbers.statistics import holm
from analysis.text import markdown_text

RIGHT, WRONG, APART, PLAIN = ("right",) * 2, ("gone",) * 2, ("swapped",) * 2, ("plain",) * 2


def outcomes(*counted):
    """Twenty prompts: counted are (how many, before, after)."""
    made = [(before, after) for count, before, after in counted for _ in range(count)]
    assert len(made) == 20
    return made


def verdicts(results):
    (one,) = slices(results)
    return {claim.key: claim.verdict for claim in claims_on(one)}


def test_better_with_both_supports_and_worse_with_one_contradicts_improvement(many):
    better = outcomes((12, WRONG, RIGHT), (8, RIGHT, RIGHT))
    worse = outcomes((12, RIGHT, WRONG), (8, RIGHT, RIGHT))
    same = outcomes((3, WRONG, RIGHT), (2, RIGHT, WRONG), (15, RIGHT, RIGHT))
    assert verdicts(many({"clip": better, "blip": better}))["a"] == SUPPORTED
    assert verdicts(many({"clip": better, "blip": worse}))["a"] == CONTRADICTED
    assert verdicts(many({"clip": better, "blip": same}))["a"] == UNDECIDED


def test_clip_beats_blip_or_is_beaten_or_it_is_open(many):
    strong, weak = outcomes((16, WRONG, RIGHT), (4, WRONG, WRONG)), outcomes((4, WRONG, RIGHT), (16, WRONG, WRONG))
    near = outcomes((15, WRONG, RIGHT), (5, WRONG, WRONG))
    assert verdicts(many({"clip": strong, "blip": weak}))["b"] == SUPPORTED
    assert verdicts(many({"clip": weak, "blip": strong}))["b"] == CONTRADICTED
    assert verdicts(many({"clip": strong, "blip": near}))["b"] == UNDECIDED
    assert verdicts(many({"clip": strong, "blip": strong}))["b"] == UNDECIDED


def test_clip_gets_objects_in_and_binds_less(many):
    plain, right = outcomes((18, WRONG, PLAIN), (2, WRONG, RIGHT)), outcomes((2, WRONG, PLAIN), (18, WRONG, RIGHT))
    gone = outcomes((16, WRONG, WRONG), (4, WRONG, PLAIN))
    assert verdicts(many({"clip": plain, "blip": right}))["c"] == SUPPORTED
    assert verdicts(many({"clip": right, "blip": plain}))["c"] == CONTRADICTED  # it binds more
    assert verdicts(many({"clip": gone, "blip": right}))["c"] == CONTRADICTED  # its objects are not there
    assert verdicts(many({"clip": plain, "blip": plain}))["c"] == UNDECIDED


def test_blip_gets_colours_in_and_swaps_them(many):
    apart, right = outcomes((15, WRONG, APART), (5, WRONG, RIGHT)), outcomes((2, WRONG, APART), (18, WRONG, RIGHT))
    assert verdicts(many({"clip": right, "blip": apart}))["d"] == SUPPORTED
    assert verdicts(many({"clip": apart, "blip": right}))["d"] == CONTRADICTED
    pale = outcomes((20, WRONG, PLAIN))
    assert verdicts(many({"clip": right, "blip": pale}))["d"] == CONTRADICTED  # its colours are not there
    assert verdicts(many({"clip": right, "blip": right}))["d"] == UNDECIDED


def test_within_the_margin_is_not_above_it(many):
    """One object in forty fewer: 2.5 points, within the margin of 5, but the interval reaches below."""
    clip = outcomes((1, WRONG, ("plain", "gone")), (19, WRONG, PLAIN))
    found = claims_on(slices(many({"clip": clip, "blip": outcomes((20, WRONG, RIGHT))}))[0])
    objects = next(claim for claim in found if claim.key == "c").parts[0]
    assert objects.above == -0.05 and objects.effect.difference.value == pytest.approx(-0.025)
    assert objects.effect.difference.low < -0.05 and objects.verdict == UNDECIDED


def test_an_interval_beyond_zero_is_not_enough_where_the_adjusted_test_disagrees(many):
    """Four of twenty prompts move, all up: the bootstrap's interval leaves zero out, the exact test says p = 1/8."""
    few = outcomes((4, WRONG, RIGHT), (16, WRONG, WRONG))
    claim = claims_on(slices(many({"clip": few, "blip": few}))[0])[0]
    assert claim.parts[0].effect.difference.low > 0 and claim.parts[0].effect.p == pytest.approx(0.125, abs=0.02)
    assert claim.verdict == UNDECIDED


def test_nothing_is_decided_on_five_prompts_random_weights_no_judge_or_one_metric(many):
    better = outcomes((20, WRONG, RIGHT))
    worse = outcomes((20, WRONG, WRONG))
    assert set(verdicts(many({"clip": better[:5], "blip": worse[:5]})).values()) == {UNDECIDED}
    assert set(verdicts(many({"clip": better, "blip": worse}, random_weights=True)).values()) == {UNDECIDED}
    assert set(verdicts(many({"clip": better, "blip": worse}, judges=())).values()) == {UNDECIDED}
    assert verdicts(many({"clip": better})) == {"a": SUPPORTED, "b": UNDECIDED, "c": UNDECIDED, "d": UNDECIDED}
    assert set(verdicts(many({"clip": better}, method="none")).values()) == {UNDECIDED}
    (one,) = slices(many({"clip": better}))
    assert "BLIP" in claims_on(one)[1].sentence


def test_settings_chosen_on_dev_prompts_are_the_basis_and_dev_prompts_carry_no_claim(tuned):
    records = tuned(12)
    found = claims(slices(tidy(records)))
    assert {claim.prompt_set for claim in found} == {"pairs_test"}
    a, b = found[:2]
    assert a.verdict == SUPPORTED and b.verdict == UNDECIDED
    assert "chosen on pairs_dev (clip: 50 it., lr 0.01; blip: 50 it., lr 0.05)" in a.basis
    untuned = claims(slices(tidy([row for row in records if row.labels.prompts == "pairs_test"])))
    assert "all settings that clip and blip both ran" in untuned[0].basis
    assert untuned[1].parts[0].effect.pairs == 24  # paired on the settings too


def test_a_claim_says_on_what_it_rests_and_marks_a_kin_judge(many):
    better, worse = outcomes((20, WRONG, RIGHT)), outcomes((20, WRONG, WRONG))
    results = many({"clip": better, "blip": worse}, judges=(("blip_vqa", "blip"),), models="sd_turbo")
    found = claims(slices(results))
    assert all(claim.kin for claim in found)
    for word in ("sd_turbo", "pairs_test", "20 of them", "blip_vqa†"):
        assert word in found[1].sentence
    text = claims_markdown(found)
    assert "may favour that metric" in text and "Holm" in text and "20 prompts, 1 seed, 20 pairs" in text
    frame = claims_frame(found)
    assert frame["claim"].value_counts().to_dict() == {"a": 2, "b": 1, "c": 2, "d": 2}


def test_a_third_metric_at_other_settings_does_not_take_the_pair_apart(record):
    records = [record(f"p{k}", metric=metric, lr=0.01) for k in range(8) for metric in ("clip", "blip")]
    records += [record(f"p{k}", metric="clip+blip", lr=5.0) for k in range(8)]
    found = claims(slices(tidy(records)))
    assert [part.effect.pairs for part in found[0].parts] == [8, 8, 8]
    assert found[1].parts[0].effect.pairs == 8


def stated(metric_a, metric_b, key="x", **part):
    """A study's own claim, as job.json has it."""
    parts = [{"measure": "fully_bound", "a": metric_a, "b": metric_b, **part}]
    return {"key": key, "statement": f"{key} holds", "definition": "in words", "parts": parts}


def with_claims(record, job, plan, *own):
    """The one slice of a store whose job names these claims. plan: as of `many`."""
    records = [
        record(f"p{place:02d}", metric=metric, before=before, after=after)
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
    assert {key: claim.verdict for key, claim in found.items()} == {"r": SUPPORTED, "q": CONTRADICTED, "up": UNDECIDED}
    assert found["r"].parts[0].quantity == "prompts fully bound, red_share − clip"
    assert [part.metric for part in found["up"].parts] == ["red_share", "clip"]  # as the claims name them


def test_a_claim_on_a_metric_that_was_not_run_says_so_and_guesses_no_other(record, job):
    better = outcomes((20, WRONG, RIGHT))
    one = with_claims(record, job, {"clip_vit_h": better, "red_share": better}, stated("red_share", "blip"))
    (claim,) = claims_on(one)
    assert (claim.verdict, claim.parts) == (UNDECIDED, ())
    assert claim.sentence.startswith("“x holds” is not decided (ReNO was not run with blip here) on sd_turbo")
    two = {"clip_vit_h": better, "clip_vit_l": better, "blip_large": better}
    (claim,) = claims_on(with_claims(record, job, two, stated("clip", "blip")))
    assert claim.parts == ()
    assert "does not say which metric it means: clip may be clip_vit_h or clip_vit_l" in claim.sentence
    (claim,) = claims_on(with_claims(record, job, {"clip_vit_h": better, "blip_large": better}, stated("clip", "blip")))
    assert claim.parts[0].quantity == "prompts fully bound, clip_vit_h − blip_large"  # of its family, the only one


def test_a_threshold_above_zero_has_to_be_passed_and_a_margin_lies_below_zero(record, job):
    """The difference is 0.8 on every twenty prompts but four."""
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


def test_the_tests_of_all_claims_are_one_family_for_holm(record, job):
    """Each by itself is at p = 2 / 2^6 = 0.031; of four such tests none is significant."""
    few, none = [(WRONG, RIGHT)] * 6, [(WRONG, WRONG)] * 6
    plan = {"clip": few, "blip": none}
    alone = claims_on(with_claims(record, job, plan, stated("clip", "blip")))
    assert alone[0].parts[0].effect.p == pytest.approx(2 / 2**6) and alone[0].verdict == SUPPORTED
    four = claims_on(with_claims(record, job, plan, *(stated("clip", "blip", key) for key in "wxyz")))
    parts = [part for claim in four for part in claim.parts]
    assert [part.p_holm for part in parts] == pytest.approx(holm([2 / 2**6] * 4))
    assert {claim.verdict for claim in four} == {UNDECIDED}
    margins = [stated("clip", "blip", key, margin=0.1) for key in "xyz"]  # no tests: they do not count in the family
    mixed = claims_on(with_claims(record, job, plan, stated("clip", "blip", "w"), *margins))
    assert mixed[0].parts[0].p_holm == pytest.approx(2 / 2**6)


def test_the_rows_of_a_claim_hold_every_figure_of_its_parts(many):
    better, worse = outcomes((20, WRONG, RIGHT)), outcomes((12, WRONG, RIGHT), (8, WRONG, WRONG))
    results = many({"clip": better, "blip": worse}, judges=(("blip_vqa", "blip"),), models="sd_turbo")
    found = claims(slices(results))
    frame = claims_frame(found)
    parts = [(claim, part) for claim in found for part in (*claim.parts, *claim.beside)]
    assert len(frame) == len(parts) == 7
    for (_, row), (claim, part) in zip(frame.iterrows(), parts, strict=True):
        effect = part.effect
        assert row.to_dict() == pytest.approx(
            {
                "claim": claim.key, "statement": claim.statement, "models": "sd_turbo", "prompt_set": "pairs_test",
                "judge": "blip_vqa", "kin": True, "verdict": claim.verdict, "part": part.quantity,
                "part_verdict": part.verdict, "decides": True, "value_a": effect.a, "value_b": effect.b,
                "difference": effect.difference.value, "low": effect.difference.low, "high": effect.difference.high,
                "interval": effect.difference.kind, "crossed_low": effect.crossed.low,
                "crossed_high": effect.crossed.high, "crossed_interval": effect.crossed.kind, "above": part.above,
                "p": effect.p, "p_holm": part.p_holm, "prompts": 20, "seeds": 1, "pairs": 20,
            },
            nan_ok=True,
        )  # fmt: skip
    b = frame[frame["claim"] == "b"].iloc[0]  # by hand: 20 of 20 against 12 of 20
    assert (b["value_a"], b["value_b"], b["difference"]) == (1.0, 0.6, pytest.approx(0.4))


def test_best_of_n_stands_beside_the_claim_and_decides_nothing(record):
    records = [record(f"p{k}", method=method, after=RIGHT) for k in range(8) for method in ("reno", "best_of_n")]
    found = claims(slices(tidy(records)))
    frame = claims_frame(found)
    assert frame["decides"].tolist() == [True, False]
    assert frame["part"].iloc[1] == "beside it: fully bound, ReNO − best of n at equal images, clip"


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
