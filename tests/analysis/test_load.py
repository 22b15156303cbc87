"""The store as frames: names, counts of what is not there, and sentences for what cannot be read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from analysis.claims import claims
from analysis.load import TYPED, load, tidy
from analysis.outcomes import slices
from analysis.tables.table import cautions
from analysis.tables.versus import metric_against_metric
from reno.errors import BadInput
from reno.prompts import load_prompts
from reno.results import Store
from scripts.synthesise_store import Truth, synthesise


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store on disk: 4 prompts x 14 configurations, some failed."""
    root = tmp_path_factory.mktemp("store") / "results"
    synthesise(root, 56, prompts={"pairs_test": load_prompts("pairs_test")[:4]}, truth=Truth(failures=0.1))
    return root


@pytest.fixture
def root(whole, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(whole, tmp_path / "results")


def test_importing_the_analysis_does_not_import_torch():
    modules = "analysis.claims, analysis.figures, analysis.load, analysis.tables, analysis.writing, analysis.__main__"
    check = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_frames_hold_what_the_records_hold(whole):
    results = load(whole)
    stored = {trial.id: trial for trial in Store(whole)}
    assert sorted(results.trials["trial"]) == sorted(stored)
    assert len(results.judged) == len(stored) * 2 * 2 * 2  # judges, images, bindings
    row = results.trials.iloc[0]
    record = stored[row["trial"]].record
    own = record["labels"]["metric"]
    assert row["score_best"] == record["scores"]["best"][own]
    assert (row["prompt"], row["seed"]) == (record["spec"]["prompt"], record["spec"]["seed"])
    judged = results.judged[(results.judged["trial"] == row["trial"]) & (results.judged["judge"] == "blip_vqa")]
    given = record["judgements"]["blip_vqa"]
    assert judged["bound"].tolist() == [j["bound"] for which in ("initial", "best") for j in given[which]["judgements"]]
    assert set(judged["kin"]) == {"blip"}
    trace = results.traces([row["trial"]])
    assert trace["score"].tolist() == stored[row["trial"]].trace()["score"].tolist()


def test_failed_and_missing_trials_are_counted_at_their_own_settings(root):
    before = load(root)
    assert len(before.absent) > 0 and set(before.absent["state"]) == {"failed"}
    assert len(before.trials) + len(before.absent) == 56
    gone = before.trials[before.trials["method"] == "reno"].iloc[0]
    shutil.rmtree(root / "trials" / gone["trial"])
    absent = load(root).absent.set_index("trial")
    assert absent.loc[gone["trial"], ["state", "settings", "metric", "prompt"]].tolist() == [
        "missing", gone["settings"], gone["metric"], gone["prompt"],
    ]  # fmt: skip
    assert absent["reason"].dropna().tolist() == ["the gradient is not finite"] * len(before.absent)


def test_damaged_trials_are_left_out_with_a_sentence_each(root):
    trials = sorted((root / "trials").iterdir())
    (trials[0] / "best.png").unlink()
    (trials[1] / "trial.json").write_text("{")
    record = json.loads((trials[2] / "trial.json").read_text())
    del record["timings"]
    (trials[2] / "trial.json").write_text(json.dumps(record))
    (root / "trials" / ".DS_Store").touch()
    broken_job = next((root / "jobs").glob("*/0/job.json"))
    planned = json.loads(broken_job.read_text())["trials"]
    results = load(root)
    assert len(results.damaged) == 3
    assert all(trial.name in sentence for trial, sentence in zip(trials, results.damaged, strict=False))
    assert "best.png is missing" in results.damaged[0] and "timings" in results.damaged[2]
    assert set(results.absent.loc[results.absent["state"] == "damaged", "trial"]) == {t.name for t in trials[:3]}
    broken_job.write_text("[]")
    again = load(root)
    assert "job" in again.damaged[-1] and len(again.absent) <= len(results.absent)
    assert len(planned) > 0


def test_what_was_judged_later_is_in_the_frames(root):
    store = Store(root)
    trial = next(iter(store))
    verdict = trial.judgements()["oracle"]["best"]
    entry = {
        "kin": "blip",
        "identity": {"version": 1},
        "initial": verdict,
        "best": verdict,
        "judged": "2026-01-01T00:00Z",
    }
    store.add_judgement(trial, "another", entry)
    judged = load(root).judged
    later = judged[judged["judge"].eq("another")]
    assert set(later["trial"]) == {trial.id} and set(later["kin"]) == {"blip"}
    assert later[later["image"].eq("best")]["bound"].tolist() == [one["bound"] for one in verdict["judgements"]]


def test_an_empty_store_gets_one_clear_sentence(root, tmp_path):
    with pytest.raises(BadInput, match=r"there is no folder .*nowhere.*RESULTS=DIR"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no trial; run one first"):
        load(tmp_path / "empty")
    for trial in (root / "trials").iterdir():
        (trial / "trial.json").unlink()
    with pytest.raises(BadInput, match=r"only \d+ damaged ones.*trial.json is missing"):
        load(root)
    shutil.rmtree(root / "trials")
    with pytest.raises(BadInput, match=r"all \d+ that were run failed.*gradient is not finite"):
        load(root)


def test_a_trace_that_cannot_be_read_is_named(root):
    results = load(root)
    trials = results.trials["trial"].tolist()[:3]
    (root / "trials" / trials[1] / "trace.parquet").write_bytes(b"no")
    traces = results.traces(trials)
    assert traces.attrs["unread"] == (trials[1],)
    assert set(traces["trial"]) == {trials[0], trials[2]}


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
    records[0]["spec"]["method"]["grad_clip"] = 0.1
    records += [record(method="none"), record(method="best_of_n")]
    assert tidy(records).trials["settings"].tolist() == [
        "25 it., lr 0.01, clip 0.1", "50 it., lr 0.01", "25 it., lr 5", "50 it., lr 5", "", "50 it.",
    ]  # fmt: skip


def test_a_trial_belongs_to_every_set_it_was_asked_for_in(record, job):
    shared, alone = record("p1", prompts="report"), record("p2", prompts=None)
    other = {**shared, "labels": {**shared["labels"], "prompts": "pairs_test"}}
    results = tidy([shared, alone], [job([shared]), job([other], {0: {"state": "stored before"}})])
    members = results.members.groupby("trial")["prompt_set"].agg(set)
    assert members[shared["id"]] == {"report", "pairs_test"}
    assert members[alone["id"]] == {TYPED}
    assert len(results.trials) == 2


def test_a_trial_that_failed_and_then_succeeded_is_no_failure_and_the_latest_job_tells(record, job):
    a, b, c = record("p1"), record("p2"), record("p3")
    failed = {"state": "failed", "reason": "first"}
    jobs = [job([a, b, c], {0: failed, 1: failed, 2: {"state": "not run"}}, "one")]
    jobs += [job([a, b], {0: {"state": "done"}, 1: {"state": "failed", "reason": "second"}}, "two")]
    results = tidy([a], jobs)
    assert results.absent[["trial", "state", "reason"]].fillna("").to_numpy().tolist() == [
        [b["id"], "failed", "second"], [c["id"], "missing", ""],
    ]  # fmt: skip
    assert results.commands == ("one", "two")


def test_a_job_of_an_older_record_still_counts(record, job):
    old = job([record("p1"), record("p2")], {1: {"state": "failed", "reason": "x"}})
    del old["spec"]
    absent = tidy([record("p1")], [old]).absent
    assert absent["state"].tolist() == ["failed"] and absent["settings"].isna().all()
    assert absent["metric"].tolist() == ["clip"]


def test_a_score_that_was_not_finite_is_missing_and_its_trial_is_not(record):
    odd = record()
    odd["scores"]["last"]["clip"] = None
    results = tidy([odd])
    assert results.trials["score_last"].isna().all() and results.damaged == ()


def test_a_judge_of_two_identities_is_two_judges_and_the_tables_say_so(record):
    """CLIP's trials were judged with other weights than BLIP's: nothing compares them."""
    records = [record(f"p{k}", metric=metric) for k in range(8) for metric in ("clip", "blip")]
    for one in records:
        weights = "old" if one["labels"]["metric"] == "clip" else "new"
        one["judgements"]["oracle"]["identity"] = {"weights": weights}
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
    for one in records:
        one["judgements"]["oracle"]["identity"] = {"weights": "new"}
    assert {one.judge for one in slices(tidy(records))} == {"oracle"}


def test_texts_that_are_no_unicode_can_be_read(root):
    """Bytes that are no text reach a command's words, and so the records, as lone surrogates."""
    for path in (*root.glob("trials/*/trial.json"), *root.glob("jobs/**/job.json")):
        text = path.read_text("utf-8").replace("a ", "a \udc80", 1).encode("utf-8", "surrogatepass")
        path.write_bytes(text)
    results = load(root)
    assert results.damaged == () and len(results.trials) + len(results.absent) == 56
    assert results.trials["prompt"].str.contains("\\udc80", regex=False).any()
