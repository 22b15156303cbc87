"""The made-up store is a store, and holds the effects it was told to hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.claims import EQUIVALENT, SUPPORTED, UNDECIDED, claims
from analysis.data import load
from analysis.numbers.effects import change, level
from analysis.numbers.measures import BY_NAME
from analysis.numbers.slices import slices
from reno.config.prompt_sets import load_prompts
from reno.store.records import JobRecord, TrialRecord, read_json
from reno.store.store import Store
from reno.store.stored import Stored
from scripts.synthesise_store import TRUTHS, Configuration, Odds, Truth, configurations, made_up_pairs, main, synthesise

NONE = Configuration("clip", {"name": "none"})


def prompts_of(name):
    return load_prompts(name).prompts


def test_every_trial_is_whole_to_the_last_byte_and_true_to_its_identity(tmp_path):
    prompts = {"triples_test": prompts_of("triples_test")[:2]}
    assert synthesise(tmp_path, 28, prompts=prompts, truth=Truth(failures=0)) == 28
    inodes = set()
    assert len(list(Store(tmp_path))) == 28
    for trial in Store(tmp_path):
        assert isinstance(trial, Stored), trial
        record = trial.record
        assert trial.damage() is None
        assert record.trial.id == trial.id and record.batch == (record.trial,)
        trace, frames = trial.trace(), trial.frames()
        assert len(trace) == record.timings.images
        assert len(frames) == len(trace) or len(frames) == 1  # an animation of one picture is a picture
        best, own = record.best_iteration, record.labels.metric
        assert best == trace["score"].argmax() and record.scores.best[own] == trace["score"].max()
        np.testing.assert_array_equal(frames[min(best, len(frames) - 1)], trial.image("best"))
        np.testing.assert_array_equal(frames[0], trial.image("initial"))
        inodes.add((trial.folder / "noise.safetensors").stat().st_ino)
    assert len(inodes) == 1  # shared by hard links
    assert list(Store(tmp_path).staging.iterdir()) == []


def test_the_records_are_valid_and_hold_nothing_that_the_definition_lacks(tmp_path):
    """What is on disk is what the typed records write, to the key: the reader ignores unknown keys and has defaults."""
    synthesise(tmp_path, 28, prompts={"triples_test": prompts_of("triples_test")[:2]}, truth=Truth(failures=0.3))
    files = sorted(tmp_path.glob("trials/*/trial.json")) + sorted(tmp_path.glob("jobs/*/*/job.json"))
    planned, failed = 0, 0
    for file in files:
        values = read_json(file)
        record = (TrialRecord if file.name == "trial.json" else JobRecord).from_json(values)
        assert record.to_json() == values
        if isinstance(record, JobRecord):
            failures = [trial for trial in record.trials if trial.state == "failed"]
            assert all((tmp_path / "trials" / trial.id).exists() == (trial.state == "done") for trial in record.trials)
            assert all(trial.reason for trial in failures) and record.status == int(bool(failures))
            planned, failed = planned + len(record.trials), failed + len(failures)
    assert planned == 28 and 0 < failed < 28
    assert len(list(tmp_path.glob("trials/*"))) == planned - failed


def test_judges_say_of_one_image_one_thing_and_name_what_is_wrong(tmp_path):
    synthesise(tmp_path, 30, prompts={"pairs_test": prompts_of("pairs_test")[:10]}, configured=[NONE], seeds=3)
    seen = set()
    for trial in Store(tmp_path):
        for judged in trial.judgements().values():
            assert judged.initial == judged.best  # nothing was optimised: both are one image
            there = [judgement.object_present for judgement in judged.best.judgements]
            assert judged.best.faults["missing"] == (not all(there))
            assert all(judgement.object_present for judgement in judged.best.judgements if judgement.bound)
            seen |= {(name, flag) for name, flag in judged.best.faults.items()}
    assert seen == {(name, flag) for name in ("missing", "swapped") for flag in (True, False)}


@pytest.mark.slow
def test_the_effects_are_those_it_was_told(tmp_path):
    truth = Truth(before=Odds(0.5, 1.0, 1.0), after={"clip": Odds(1.0, 1.0, 0.3)}, prompt_spread=0.0, failures=0.0)
    reno = next(c for c in configurations(("clip",)) if c.method["name"] == "reno" and c.reach == 1.0)
    synthesise(
        tmp_path,
        300,
        prompts={"pairs_test": prompts_of("pairs_test")},
        configured=[reno],
        truth=truth,
        seeds=3,
        own_noise=True,
    )
    one = slices(load(tmp_path))[0]
    assert one.judge == "oracle"
    objects, bound = BY_NAME["objects"], BY_NAME["bound_given_present"]
    for measure, before, after in ((objects, 0.5, 1.0), (bound, 1.0, 0.3)):
        assert level(one.rows, measure, "initial").value == pytest.approx(before, abs=0.05)
        assert level(one.rows, measure, "best").value == pytest.approx(after, abs=0.05)
    assert change(one.rows, objects).p < 0.001


@pytest.mark.slow
def test_seeds_of_a_prompt_agree_as_strongly_as_told(tmp_path):
    shares = {}
    for spread in (0.0, 4.0):
        root = tmp_path / str(spread)
        truth = Truth(before=Odds(0.5, 1, 1), prompt_spread=spread, failures=0)
        synthesise(
            root,
            80,
            prompts={"pairs_test": prompts_of("pairs_test")[:20]},
            configured=[NONE],
            truth=truth,
            seeds=4,
        )
        by_prompt = slices(load(root))[0].rows.groupby("prompt")["objects/best"].mean()
        shares[spread] = by_prompt.std()
    assert shares[4.0] > 1.7 * shares[0.0]


def test_the_command_refuses_a_folder_with_trials(tmp_path, capsys):
    assert main([str(tmp_path / "r"), "--trials", "3"]) == 0
    assert len(list(Store(tmp_path / "r"))) <= 3
    assert main([str(tmp_path / "r")]) == 2
    assert "new folder" in capsys.readouterr().err


def few_configurations():
    """ReNO at one setting with each metric."""
    method = {"name": "reno", "iterations": 2, "lr": 0.05, "regularization": 0.0, "grad_clip": None, "optimizer": {}}
    return [Configuration(metric, method) for metric in ("clip", "blip")]


def claims_of(root, truth, prompts, seeds=1, own_noise=True):
    """The claims of a store of ReNO's trials, as the oracle sees them, by key."""
    made = {"made_up": made_up_pairs(prompts)}
    synthesise(
        root, 10_000, prompts=made, configured=few_configurations(), truth=truth, seeds=seeds, own_noise=own_noise
    )
    return {claim.key: claim for claim in claims(slices(load(root))) if claim.judge == "oracle"}


def test_two_metrics_with_the_same_images_end_as_equivalent(tmp_path):
    found = claims_of(tmp_path, replace(TRUTHS["equal"], failures=0.0), prompts=60)
    b = found["b"]
    assert b.verdict == EQUIVALENT and b.parts[0].measured.over == "prompts and bindings"
    assert b.parts[0].effect.win == b.parts[0].effect.loss == 0


@pytest.mark.slow
def test_a_true_difference_is_found_with_enough_prompts_and_else_left_open(tmp_path):
    apart = {"clip": Odds(1.0, 1.0, 0.9), "blip": Odds(1.0, 1.0, 0.4)}
    truth = replace(TRUTHS["ten_points"], failures=0.0, before=Odds(1.0, 1.0, 0.1), after=apart)
    few, many = (claims_of(tmp_path / str(count), truth, count) for count in (8, 50))
    assert (few["b"].verdict, many["b"].verdict) == (UNDECIDED, SUPPORTED)
    assert "more prompt" in few["b"].decided.why
    interval = many["b"].parts[0].interval
    assert interval.low < 0.75 * 0.81 - 0.45 * 0.16 < interval.high  # what the two settings reach of 0.9^2 and 0.4^2
    assert many["a, clip"].verdict == SUPPORTED


@pytest.mark.slow
def test_noises_that_move_all_prompts_leave_open_what_other_noises_would_do(tmp_path):
    truth = replace(TRUTHS["ten_points"], failures=0.0, noise_spread=2.0)
    b = claims_of(tmp_path, truth, prompts=20, seeds=3, own_noise=False)["b"]
    assert b.parts[0].measured.over == "prompts, noises and bindings"
    assert b.verdict == UNDECIDED and "more noises" in b.decided.why


def test_the_command_makes_pairs_of_its_own_and_refuses_more_than_there_are(tmp_path, capsys):
    assert len({prompt.text for prompt in made_up_pairs(400)}) == 400
    assert main([str(tmp_path / "r"), "--trials", "2", "--truth", "equal", "--prompts", "2", "--own-noise"]) == 0
    assert len({trial.record.spec.seed for trial in Store(tmp_path / "r")}) == len(list(Store(tmp_path / "r")))
    assert main([str(tmp_path / "q"), "--prompts", "1000000"]) == 2
    assert "pairs that there are; give fewer" in capsys.readouterr().err
