"""batch_size=auto: the fastest batch that fits, chosen once, the same when a job goes on, and told with its reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
from types import SimpleNamespace

import psutil
import pytest
import torch

from reno.device.residence import free_bytes, left_of_limit
from reno.memory import main as memory
from reno.running import sizing
from reno.running.batch import run_batch
from reno.running.fit.cards import CONTEXT, GIB, SHARE, largest_batch
from reno.running.fit.prediction import predict_alone, rehearse
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.running.sizing import GAIN, LONG, best_size, calibrate, choose_batch_size, recall, remember
from reno.store.records import Cut
from reno.store.store import Store
from reno.weights import images

CPU = torch.device("cpu")
FOUR = "prompt=[a red car,a blue cup,a pink star,a green clock]"


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    """The machine's table, in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reno-bench" / "paces.json"


# --- What is fastest ----------------------------------------------------------------------------------------


def test_the_batch_doubles_until_two_doublings_have_not_paid():
    seconds = {1: 1.0, 2: 0.7, 4: 0.5, 8: 0.49, 16: 0.48, 32: 0.1}
    timed = []

    def pace(size):
        timed.append(size)
        return seconds[size]

    paces = calibrate(pace, {}, 64)
    assert timed == [1, 2, 4, 8, 16]  # neither 8 nor 16 is faster than 4 by GAIN, so 32 is not asked
    assert best_size(paces) == 4 and best_size(paces, most=3) == 2
    assert calibrate(pace, paces, 64) == paces and timed == [1, 2, 4, 8, 16]
    assert calibrate(pace, {1: 1.0}, 3) == {1: 1.0, 2: 0.7}


def test_one_pace_that_something_else_slowed_does_not_end_the_search():
    seconds = {1: 1.0, 2: 0.7, 4: 0.75, 8: 0.4, 16: 0.3, 32: 0.29}
    paces = calibrate(lambda size: seconds[size], {}, 32)
    assert best_size(paces) == 16


def test_a_small_gain_is_not_worth_a_larger_batch():
    assert best_size({1: 1.0, 2: 1.0 - 0.9 * GAIN}) == 1
    assert best_size({1: 1.0, 2: 1.0 - 1.1 * GAIN}) == 2
    assert best_size({}) == 1


def test_a_device_that_one_trial_fills_and_a_batch_that_fails_end_the_calibration():
    assert calibrate(lambda size: LONG + 1, {}, 64) == {1: LONG + 1}

    def fails(size):
        if size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1 / size

    assert calibrate(fails, {}, 64) == {1: 1.0, 2: 0.5}


def test_the_table_keeps_each_key_and_survives_damage(table):
    assert recall("a") == {}
    remember("a", {2: 0.5, 1: 1.0})
    remember("b", {1: 2.0})
    assert recall("a") == {1: 1.0, 2: 0.5} and recall("b") == {1: 2.0}
    table.write_text("{")
    assert recall("a") == {}
    remember("a", {1: 3.0})
    assert recall("a") == {1: 3.0}


def test_a_table_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember("a", {1: 1.0})
    assert recall("a") == {}


# --- What fits ----------------------------------------------------------------------------------------------


def test_free_memory_is_what_the_system_and_the_containers_limit_allow(monkeypatch):
    available = min(10 * GIB, left_of_limit())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10 * GIB))
    assert free_bytes(CPU) == pytest.approx(available, rel=0.05)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=12345))
    assert free_bytes(CPU) == 12345


def test_a_containers_limit_counts_and_its_cached_files_do_not(tmp_path):
    group = tmp_path / "sys/fs/cgroup/jobs/7"
    for folder in (group, tmp_path / "proc/self"):
        folder.mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/jobs/7\n")
    (group / "memory.stat").write_text("anon 3000\nfile 50000\n")
    (group / "memory.max").write_text("10000\n")
    assert left_of_limit(tmp_path) == 7000
    (group / "memory.max").write_text("max\n")
    assert left_of_limit(tmp_path) == left_of_limit(tmp_path / "elsewhere") == float("inf")


def test_the_limit_of_a_job_stands_above_the_group_of_its_step(tmp_path):
    groups = [tmp_path / "sys/fs/cgroup", *(tmp_path / "sys/fs/cgroup" / name for name in ("job", "job/step"))]
    for folder in (groups[-1], tmp_path / "proc/self"):
        folder.mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    (tmp_path / "memory.max").write_text("1\n")  # no control group
    (tmp_path / "memory.stat").write_text("anon 0\n")
    for folder, limit, used in zip(groups[1:], ("1000", "max"), (400, 300), strict=True):  # the top one has no limit
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(f"anon {used}\nfile 50\n")
    assert left_of_limit(tmp_path) == 600
    (groups[2] / "memory.max").write_text("500\n")
    assert left_of_limit(tmp_path) == 200


@pytest.mark.slow
def test_no_more_trials_than_fit_beside_the_loaded_models(compose, monkeypatch):
    """Free memory for exactly three: peak less weights, with the margin."""
    job = compose("batch_size=auto", FOUR, "record=[]")
    plan = make_plan(job)
    models = ModelPool().load(plan, CPU)
    found = rehearse(sizing.as_loaded(plan, models), "cpu")
    monkeypatch.setattr(sizing, "rehearse", lambda plan, device_type: found)
    three = int((1 + SHARE) * (found.peak(3) - found.weight_bytes)) + 1
    assert largest_batch(found, three + found.weight_bytes + CONTEXT) == 3
    monkeypatch.setattr(sizing, "seconds_per_image", lambda plan, models, size: 1 / size)
    choices = {}
    for free in (three, 100 * three, 1):
        monkeypatch.setattr(sizing, "free_bytes", lambda device, free=free: free)
        choices[free] = choose_batch_size(plan, {}, models)
    assert choices[three].size == 2 and "3 fit into the free memory" in choices[three].reason
    assert choices[100 * three].size == 4 and "4 at most" in choices[100 * three].reason
    assert choices[1].size == 1 and "may not fit" in choices[1].reason


def test_one_trial_needs_no_looking(compose, monkeypatch):
    monkeypatch.setattr(sizing, "rehearse", None)
    monkeypatch.setattr(sizing, "run_batch", None)
    plan = make_plan(compose("batch_size=auto", "prompt=a red car", "record=[]"))
    assert choose_batch_size(plan, {}, ModelPool().load(plan, CPU)).size == 1


@pytest.mark.slow
def test_a_rehearsal_leaves_nothing_that_a_run_could_meet(compose):
    job = compose("prompt=a red car", "iterations=1", "record=[]")
    plan = make_plan(job)

    def scores():
        *_, done = run_batch(plan.trials, job.settings, "clip", ModelPool().load(plan, CPU))
        return [row["score"] for row in done.trials[0].trace]

    before = scores()
    predict_alone(job, "cpu")
    for kept in (images._as_tensor, images._channels):
        assert kept.cache_info().currsize == 0
    assert scores() == before
    for kept in (images._as_tensor, images._channels):
        assert kept.cache_info().currsize > 0


def test_where_iterations_are_replayed_the_replays_are_timed_and_not_what_prepares_them(compose, monkeypatch):
    plan = make_plan(compose("batch_size=auto", FOUR, "record=[]", "iterations=50"))
    models = ModelPool().load(plan, CPU)
    replaying = dataclasses.replace(models, execution=dataclasses.replace(models.execution, graph=True))
    asked = []

    def ran(batch, settings, name, bare):
        asked.append((len(batch), settings.iterations))
        seconds = [9.0, 8.0, *[0.4] * (settings.iterations - 2), 7.0]  # plain, captured, replayed, the last image
        yield SimpleNamespace(trials=[SimpleNamespace(trace=[{"seconds": value} for value in seconds])])

    monkeypatch.setattr(sizing, "run_batch", ran)
    assert sizing.seconds_per_image(plan, replaying, 4) == pytest.approx(0.1)
    assert asked == [(4, 2 + sizing.REPLAYS)]


# --- A job --------------------------------------------------------------------------------------------------


@pytest.fixture
def auto(run, monkeypatch):
    """auto(*overrides): the outcome of a job on a machine where two trials side by side are fastest."""
    monkeypatch.setattr(sizing, "seconds_per_image", lambda plan, models, size: {1: 1.0, 2: 0.5, 4: 0.5}[size])
    monkeypatch.setattr(sizing, "largest_that_fits", lambda plan, models, most: most)
    return lambda *overrides: run("record=[]", "iterations=1", *overrides)


def test_a_job_tells_what_it_chose_and_keeps_it_in_every_trial(auto, tmp_path, table, capsys):
    assert len(auto("batch_size=auto", FOUR).done) == 4
    shown = capsys.readouterr().out
    assert "batch_size=2: the fastest here (seconds per image, by batch size: 1: 1, 2: 0.5, 4: 0.5); 4 at most" in shown
    assert "batch_size=2: the fastest here" in (tmp_path / "job" / "job.log").read_text()
    for trial in Store(tmp_path / "results"):
        batch = trial.record.provenance.batch
        assert batch.size == 2 and batch.cut.size == 2 and batch.cut.automatic is True
    (paces,) = json.loads(table.read_text()).values()
    assert paces == {"1": 1.0, "2": 0.5, "4": 0.5}


def test_a_job_that_goes_on_cuts_the_batches_it_cut_before(auto, tmp_path, monkeypatch, capsys):
    auto("batch_size=auto", FOUR)
    ids = {trial.id: trial.record.provenance.batch for trial in Store(tmp_path / "results")}
    gone = sorted(ids)[0]
    (lost,) = [trial for trial in Store(tmp_path / "results") if trial.id == gone]
    shutil.rmtree(lost.folder)
    monkeypatch.setattr(sizing, "largest_that_fits", lambda *_: pytest.fail("asked again"))
    capsys.readouterr()
    assert auto("batch_size=auto", FOUR).done == [gone]
    assert "batch_size=2: settled by this job's first worker: the fastest here" in capsys.readouterr().out
    (again,) = [trial for trial in Store(tmp_path / "results") if trial.id == gone]
    assert again.record.provenance.batch.trials == ids[gone].trials


def test_a_job_whose_choice_was_not_written_down_takes_that_of_its_stored_trials(auto, tmp_path, capsys, monkeypatch):
    auto("batch_size=auto", FOUR)
    shutil.rmtree(tmp_path / "results" / "settled")
    shutil.rmtree(next(iter(Store(tmp_path / "results"))).folder)
    monkeypatch.setattr(sizing, "largest_that_fits", lambda *_: pytest.fail("asked again"))
    capsys.readouterr()
    auto("batch_size=auto", FOUR)
    assert "batch_size=2: this job's stored trials ran with it" in capsys.readouterr().out


def test_a_worker_that_measures_otherwise_takes_the_size_of_the_first(auto, tmp_path, monkeypatch):
    """Another one, for which four are fastest, writes its choice while this one is measuring."""
    settle = sizing.settle

    def too_late(root, key, values, usable):
        settle(root, key, {"batch_size": 4, "reason": "measured elsewhere"}, usable)
        return settle(root, key, values, usable)

    monkeypatch.setattr(sizing, "settle", too_late)
    auto("batch_size=auto", FOUR)
    cuts = {trial.record.provenance.batch.cut for trial in Store(tmp_path / "results")}
    assert [(cut.size, cut.reason) for cut in cuts] == [(4, "settled by this job's first worker: measured elsewhere")]


@pytest.mark.parametrize(
    "text",
    [
        '{"batch_size": 0, "reason": "no"}',
        *(pytest.param(text, marks=pytest.mark.slow) for text in ('{"batch_size": -3}', "{}", "{")),
    ],
)
def test_what_is_written_down_must_be_a_size(auto, tmp_path, capsys, text):
    auto("batch_size=auto", FOUR)
    (place,) = (tmp_path / "results" / "settled").iterdir()
    place.write_text(text)
    for said, warned in ("this job's stored trials ran with it", True), ("settled by this job's first worker", False):
        shutil.rmtree(next(iter(Store(tmp_path / "results"))).folder)
        capsys.readouterr()
        assert auto("batch_size=auto", FOUR).status == 0
        out, err = capsys.readouterr()
        assert f"batch_size=2: {said}" in out
        assert (f"settled/{place.name} cannot be used; settled/{place.stem}.1.json takes its place" in err) is warned


def test_what_a_user_asked_for_is_not_taken_for_a_choice(auto, tmp_path):
    auto("batch_size=1", "prompt=a red car")
    (trial,) = Store(tmp_path / "results")
    assert trial.record.provenance.batch.cut == Cut(size=1, reason="as asked", automatic=False)
    auto("batch_size=auto", FOUR)
    sizes = {trial.record.provenance.batch.cut.size for trial in Store(tmp_path / "results")}
    assert sizes == {1, 2}


def test_a_job_that_is_only_planned_calibrates_nothing(knobs, tmp_path, monkeypatch, table, capsys):
    from reno.run import main

    monkeypatch.setattr(sizing, "choose_batch_size", lambda *_: pytest.fail("asked"))
    assert main([*knobs, f"results={tmp_path / 'results'}", "batch_size=auto", FOUR, "dry_run=true"]) == 0
    assert "4 trials, 0 stored, 4 to do" in capsys.readouterr().out and not table.exists()


@pytest.mark.slow
def test_a_real_calibration_times_the_loop(compose):
    plan = make_plan(compose("batch_size=auto", "prompt=[a red car,a blue cup]", "record=[]"))
    models = ModelPool().load(plan, CPU)
    choice = choose_batch_size(plan, {}, models)
    assert choice.automatic and choice.size in (1, 2)
    key = sizing.machine_key(plan, models, sizing.environment(CPU))
    assert recall(key)[1] > 0
    other = dataclasses.replace(models, execution=dataclasses.replace(models.execution, channels_last=True))
    assert recall(sizing.machine_key(plan, other, sizing.environment(CPU))) == {}


@pytest.mark.slow
def test_the_prediction_takes_auto_for_one_trial(knobs, capsys):
    assert memory([*knobs, "metric=clip", "record=[]", "batch_size=auto"]) == 0
    assert "batch 1" in capsys.readouterr().out
