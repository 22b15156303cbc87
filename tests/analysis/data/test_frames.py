"""Frames from records: names that tell apart, orders, and trials that the store lacks."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from analysis.claims import claims
from analysis.data.frames import _family, tidy
from analysis.data.results import TYPED
from analysis.numbers.slices import slices
from analysis.tables.notes import cautions
from analysis.tables.versus import metric_against_metric


def test_metrics_and_generators_are_told_apart_as_their_labels_do_and_further_where_those_do_not(record):
    half = [
        {"kind": kind, "head": None, "weight": weight, "weights": kind * 3}
        for kind, weight in (("clip", 1.0), ("blip", 0.5))
    ]
    plain = ("clip", "blip", "blip_itc", "clip_vit_h")
    records = [record(metric=metric) for metric in plain]
    records += [record(metric="clip+blip"), record(metric="clip+blip", terms=half)]
    trials = tidy(records).trials
    assert trials["metric"].tolist()[:4] == list(plain)
    assert trials["families"].tolist() == ["clip", "blip", "blip", "clip", "blip clip", "blip clip"]
    sums = trials["metric"].tolist()[4:]
    assert len(set(sums)) == 2 and all(name.startswith("clip+blip[") for name in sums) and "0.5*" in sums[1]
    other = tidy([record(), record(generator="digest-of-another")]).trials
    assert other["models"].tolist() == ["sd_turbo[g]", "sd_turbo[-another]"]


def test_settings_name_what_varies_and_nothing_else(record):
    records = [record(lr=lr, iterations=count) for lr in (0.01, 5.0) for count in (25, 50)]
    records[0].spec.method["grad_clip"] = 0.1
    records += [record(method="none"), record(method="best_of_n")]
    assert tidy(records).trials["settings"].tolist() == [
        "25 it., lr 0.01, clip 0.1", "50 it., lr 0.01", "25 it., lr 5", "50 it., lr 5", "", "50 it.",
    ]  # fmt: skip


def test_a_trial_belongs_to_every_set_it_was_asked_for_in(record, job):
    shared, alone = record("p1", prompts="report"), record("p2", prompts=None)
    other = replace(shared, labels=replace(shared.labels, prompts="pairs_test"))
    results = tidy([shared, alone], [job([shared]), job([other], {0: {"state": "stored before"}})])
    members = results.members.groupby("trial")["prompt_set"].agg(set)
    assert members[shared.id] == {"report", "pairs_test"}
    assert members[alone.id] == {TYPED}
    assert len(results.trials) == 2


def test_a_trial_that_failed_and_then_succeeded_is_no_failure_and_the_latest_job_tells(record, job):
    a, b, c = record("p1"), record("p2"), record("p3")
    failed = {"state": "failed", "reason": "first"}
    jobs = [job([a, b, c], {0: failed, 1: failed, 2: {"state": "not run"}}, "one")]
    jobs += [job([a, b], {0: {"state": "done"}, 1: {"state": "failed", "reason": "second"}}, "two")]
    results = tidy([a], jobs)
    assert results.absent[["trial", "state", "reason"]].fillna("").to_numpy().tolist() == [
        [b.id, "failed", "second"], [c.id, "missing", ""],
    ]  # fmt: skip
    assert results.commands == ("one", "two")


def test_a_job_of_an_older_record_still_counts(record, job):
    old = job([record("p1"), record("p2")], {1: {"state": "failed", "reason": "x"}}, spec={})
    absent = tidy([record("p1")], [old]).absent
    assert absent["state"].tolist() == ["failed"] and absent["settings"].isna().all()
    assert absent["metric"].tolist() == ["clip"]


def test_a_score_that_was_not_finite_is_missing_and_its_trial_is_not(record):
    odd = record(scores={"initial": {"clip": 1.0}, "best": {"clip": 3.0}, "last": {"clip": None}})
    results = tidy([odd])
    assert results.trials["score_last"].isna().all() and results.damaged == ()


def test_a_judge_of_two_identities_is_two_judges_and_the_tables_say_so(record):
    """CLIP's trials were judged with other weights than BLIP's: nothing compares them."""

    def judged(old, new):
        return [
            record(f"p{k}", metric=metric, identity={"weights": weights})
            for k in range(8)
            for metric, weights in (("clip", old), ("blip", new))
        ]

    records = judged("old", "new")
    cut = slices(tidy(records))
    names = [one.judge for one in cut]
    assert len(set(names)) == 2 and all(name.startswith("oracle[") for name in names)
    assert [one.rows["fully/best"].notna().sum() for one in cut] == [8, 8]
    (said,) = [sentence for sentence in cautions(cut) if "identities" in sentence]
    assert "oracle judged with 2 identities" in said and "evaluators=oracle" in said
    assert all(name in said for name in names)
    versus = metric_against_metric(cut)
    assert all(said in claim.cautions for claim in claims(cut))
    assert said in versus.accounting and not (versus.frame["pairs"] > 0).any()
    assert {one.judge for one in slices(tidy(judged("new", "new")))} == {"oracle"}


def test_methods_of_a_user_are_told_apart_by_their_own_settings(record):
    records = [record(method="tiny_walk", iterations=count, options=(("step", 0.1),)) for count in (5, 6)]
    records += [record(method="tiny_walk", iterations=5, options=(("step", 0.2), ("kick", 1)), seed=1)]
    assert tidy(records[:2]).trials["settings"].tolist() == ["5 it.", "6 it."]
    assert tidy(records).trials["settings"].tolist() == ["5 it., step=0.1", "6 it., step=0.1", "5 it., kick=1 step=0.2"]


def test_a_metric_that_chose_the_start_is_told_apart_by_its_weights(record):
    def settled(by):
        asked = {} if by is None else {"start_by": "blip", "asked": {"blip": [{"kind": "blip", "weights": by}]}}
        return record(method="reno", options=tuple(asked.items()), seed=len(by or ""))

    names = tidy([settled(None), settled("a"), settled("bb")]).trials["settings"].tolist()
    assert names[0].endswith("lr 0.01") and len(set(names)) == 3
    assert all("start_by=blip:" in name and "asked" not in name for name in names[1:])


def test_a_metric_without_weights_is_named_by_its_kind_and_options_where_its_label_is_not_enough(record):
    terms = [{"kind": "my_metrics.red_share", "weight": 1.0, "options": value} for value in ("a", "b")]
    records = [record(metric="red_share", terms=[term], seed=seed) for seed, term in enumerate(terms)]
    alone = tidy(records[:1]).trials.iloc[0]
    assert (alone["metric"], alone["families"]) == ("red_share", "red_share")
    names = tidy(records).trials["metric"].tolist()
    assert names == [f"red_share[1*my_metrics.red_share options={value}]" for value in "ab"]


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("hpsv2", "clip"),
        ("imagereward", "blip"),
        ("mine.pickscore", "pickscore"),
        ("siglip2", "siglip2"),
        ("blip2_itm", "blip"),
        ("a.b", "b"),
    ],
)
def test_a_metric_is_of_the_family_that_it_is_built_on(kind, family):
    assert _family(kind) == family


def test_metrics_and_methods_stand_in_the_order_in_which_jobs_ran_them(record, job):
    """Records come in the order of their ids, jobs in the order they ran; what only scored images comes last."""
    order, images = ("zeta", "alpha", "middle"), ("initial", "best", "last")
    records = [
        record(metric=metric, method=method, scores={which: {metric: 1.0, "seen": 1.0} for which in images})
        for metric in order
        for method in ("walk", "none", "reno", "amble")
    ]
    results = tidy(sorted(records, key=lambda one: one.id), [job([one]) for one in records])
    assert results.metrics == (*order, "seen")
    assert results.methods == ("walk", "none", "reno", "amble")
    assert slices(results)[0].methods == ("reno", "walk", "amble", "decoder_only", "best_of_n", "none")
