"""A store on disk as frames: counts of what is not there, and sentences for what cannot be read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from analysis.data import load
from reno.config.prompt_sets import load_prompts
from reno.spec.errors import BadInput
from reno.spec.trial import digest
from reno.store.records import JobRecord, JudgementRecord, read_json, record_bytes
from reno.store.store import Store
from scripts.synthesise_store import Truth, synthesise


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store on disk: 4 prompts x 14 configurations, some failed."""
    root = tmp_path_factory.mktemp("store") / "results"
    synthesise(root, 56, prompts={"pairs_test": load_prompts("pairs_test").prompts[:4]}, truth=Truth(failures=0.1))
    return root


@pytest.fixture
def root(whole, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(whole, tmp_path / "results")


@pytest.mark.slow
def test_importing_the_analysis_does_not_import_torch():
    modules = "analysis.claims, analysis.figures, analysis.report.summary_run, analysis.tables, analysis.__main__"
    check = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_frames_hold_what_the_records_hold(whole):
    results = load(whole)
    stored = {trial.id: trial for trial in Store(whole)}
    assert sorted(results.trials["trial"]) == sorted(stored)
    assert len(results.judged) == len(stored) * 2 * 2 * 2  # judges, images, bindings
    row = results.trials.iloc[0]
    record = stored[row["trial"]].record
    scores = record.scores
    for which, given in (("initial", scores.initial), ("best", scores.best), ("last", scores.last)):
        assert row[f"score_{which}"] == given[record.labels.metric]
    assert (row["prompt"], row["seed"]) == (record.spec.prompt, record.spec.seed)
    judged = results.judged[(results.judged["trial"] == row["trial"]) & (results.judged["judge"] == "blip_vqa")]
    given = record.judgements["blip_vqa"]
    assert judged["image"].tolist() == ["initial"] * 2 + ["best"] * 2
    assert judged["bound"].tolist() == [j.bound for verdict in (given.initial, given.best) for j in verdict.judgements]
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


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # its bytes may be linked into other trials too
    path.write_bytes(data)


def test_one_changed_bit_is_noticed_wherever_it_is_read(root):
    whole, (first, second, third, *_) = load(root), sorted((root / "trials").iterdir())
    job = next((root / "jobs").glob("*/0/job.json"))
    for path in (first / "trace.parquet", second / "trial.json", third / "best.png", job):
        flip(path)
    results = load(root)
    assert len(results.trials) == len(whole.trials) - 2 and len(results.damaged) == 3
    assert "trace.parquet is not what was written" in results.damaged[0]
    assert "trial.json cannot be used" in results.damaged[1]
    assert results.damaged[2].startswith(f"{job} is damaged: ") and "only it names" in results.damaged[2]
    assert results.shown(third.name, lambda one: one.image("initial")) is not None and results.not_shown == {}
    assert results.shown(third.name, lambda one: one.image("best")) is None
    assert "best.png is not what was written" in results.not_shown[third.name]


def test_a_damaged_judgement_and_a_job_of_another_spec_are_named(root):
    store = Store(root)
    trial = next(iter(store))
    verdict = trial.judgements()["oracle"].best
    store.add_judgement(
        JudgementRecord(
            trial=trial.id, judge="another", images=trial.image_digests(), kin="blip", identity={"version": 1},
            initial=verdict, best=verdict, judged="2026-01-01T00:00Z",
        )
    )  # fmt: skip
    (path,) = (root / "judgements").rglob("*.json")
    path.write_bytes(path.read_bytes().replace(b'"kin": "blip"', b'"kin": "clip"'))
    job = next((root / "jobs").glob("*/0/job.json"))
    values = read_json(job)
    values["trials"][0]["seed"] += 1
    job.write_bytes(record_bytes(values))  # as an older version wrote it, without a digest of its own
    results = load(root)
    assert results.damaged[0].startswith(f"the judgement in {path} is damaged: it is not what was written")
    assert f"{job} is damaged: its spec is not the one that the id" in results.damaged[1]
    assert "another" not in set(results.judged["judge"])


def test_what_may_not_be_read_is_told_so(whole, mortal):
    root = mortal(whole)
    first, *_ = sorted((root / "trials").iterdir())
    job = next((root / "jobs").glob("*/0"))
    (root / "judgements").mkdir()
    for place in (first, job, root / "judgements"):
        place.chmod(0)
    said = load(root).damaged
    assert f"the trial in {first} cannot be read: trial.json: Permission denied; give yourself the right" in said[0]
    assert f"the folder of judgements in {root / 'judgements'} cannot be read: Permission denied" in said[1]
    assert f"{job} cannot be read (Permission denied)" in said[2] and len(said) == 3
    (root / "trials").chmod(0)
    with pytest.raises(BadInput, match=r"trials cannot be read \(Permission denied\)"):
        load(root)


def test_what_was_judged_later_is_in_the_frames(root):
    store = Store(root)
    trial = next(iter(store))
    verdict = trial.judgements()["oracle"].best
    later = JudgementRecord(
        trial=trial.id, judge="another", images=trial.image_digests(), kin="blip", identity={"version": 1},
        initial=verdict, best=verdict, judged="2026-01-01T00:00Z",
    )  # fmt: skip
    store.add_judgement(later)
    judged = load(root).judged
    later = judged[judged["judge"].eq("another")]
    assert set(later["trial"]) == {trial.id} and set(later["kin"]) == {"blip"}
    assert later[later["image"].eq("best")]["bound"].tolist() == [one.bound for one in verdict.judgements]


def test_an_empty_store_gets_one_clear_sentence(root, tmp_path):
    with pytest.raises(BadInput, match=r"there is no folder .*nowhere.*results=DIR"):
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


def test_texts_that_are_no_unicode_can_be_read(root):
    """Bytes that are no text reach a command's words, and so the records, as lone surrogates."""
    renamed = {}
    for path in root.glob("trials/*/trial.json"):
        values = read_json(path)
        values["spec"]["prompt"] = values["spec"]["prompt"].replace("a ", "a \udc80", 1)
        values["id"] = renamed[values["id"]] = digest(values["spec"])
        path.write_bytes(record_bytes(values))
        path.parent.rename(path.parent.with_name(values["id"]))
    for path in root.glob("jobs/**/job.json"):
        values = read_json(path)
        for trial in values["trials"]:
            trial["prompt"] = trial["prompt"].replace("a ", "a \udc80", 1)
            trial["id"] = digest({**values["spec"], "prompt": trial["prompt"], "seed": trial["seed"]})
        path.write_bytes(record_bytes(values))
    results = load(root)
    assert results.damaged == () and len(results.trials) + len(results.absent) == 56
    assert results.trials["prompt"].str.contains("\\udc80", regex=False).any()


def test_the_claims_of_jobs_are_read(root):
    assert load(root).claims == ()
    claim = {"key": "x", "statement": "s", "definition": "d", "parts": [{"measure": "bound", "a": "clip", "b": "blip"}]}
    for path in root.glob("jobs/**/job.json"):
        path.write_bytes(record_bytes(read_json(path) | {"claims": [claim]}))
        assert JobRecord.from_json(read_json(path)).claims == (claim,)
    assert load(root).claims == (claim,)


def test_the_trace_of_a_weighted_sum_has_columns_of_its_terms_and_is_read_beside_others(root):
    """`score/<term>` columns stand in the trace of a weighted sum."""
    results = load(root)
    first, second = results.trials["trial"][:2]
    path = root / "trials" / first / "trace.parquet"
    plain = pd.read_parquet(path)
    path.unlink()  # its bytes are linked into other trials too
    plain.assign(**{"score/clip": 1.0, "score/blip": 2.0}).to_parquet(path)
    traces = results.traces([first, second])
    assert list(traces.columns) == ["trial", "iteration", "loss", "score", "seconds"]
    assert traces.attrs["unread"] == () and set(traces["trial"]) == {first, second}
    assert traces[traces["trial"] == first]["score"].tolist() == plain["score"].tolist()
