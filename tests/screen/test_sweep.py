"""What a sweep shows at its end: a line a job, a sheet of pictures, and what to type next."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image

from reno.run import main
from reno.screen.sweep import bound_of, ended_jobs, names_of, next_commands, wilson
from reno.screen.sweep_sheet import draw_sweep_sheet
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding
from reno.store.records import JobRecord, JudgedTrial
from reno.store.store import write_job_record


@pytest.fixture(scope="module")
def swept(knobs, tmp_path_factory):
    """(the folder of a sweep of four jobs, its results, what it printed)."""
    results = tmp_path_factory.mktemp("sweep") / "results"
    words = ["tracking=disabled", "batch_size=2", "iterations=1", "prompt=['a red car','=1+1']", f"results={results}"]
    sweep = ["-m", *(word for word in knobs if word != "iterations=2"), *words, "metric=clip,blip", "lr=.01,.05"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(sweep) == 0
    (folder,) = (results / "jobs").iterdir()
    return folder, results, said.getvalue()


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0), (8 / 12, 12, 0.3906, 0.8619), (0.5, 100, 0.4038, 0.5962)],
)
def test_wilsons_interval_is_the_published_one(share, count, low, high):
    assert wilson(share, count) == pytest.approx((low, high), abs=5e-5)


def test_the_jobs_stand_in_their_order_named_by_what_differs(swept):
    folder, results, _ = swept
    jobs = ended_jobs(folder)
    assert [job.name for job in jobs] == ["clip · lr 0.01", "clip · lr 0.05", "blip · lr 0.01", "blip · lr 0.05"]
    assert all(job.root == results and len(job.trials) == 2 for job in jobs)


def test_only_workers_of_one_job_stand_in_one_line(swept, tmp_path):
    """Two jobs of the same trials, as those of two batch sizes are; then the same two as workers."""
    folder, results, _ = swept
    record = JobRecord.from_json(json.loads((folder / "0" / "job.json").read_bytes()))
    shutil.copytree(results / "trials", tmp_path / "trials")
    for command, lines in (("reno.run -m batch_size=1,4", 2), ("reno.run workers=2", 1)):
        for number in ("0", "1"):
            job = tmp_path / "jobs" / "sweep" / number
            job.mkdir(parents=True, exist_ok=True)
            write_job_record(job, replace(record, command=command))
        assert len(ended_jobs(tmp_path / "jobs" / "sweep")) == lines


def test_a_damaged_record_or_job_is_left_out(swept, tmp_path):
    folder, *_ = swept
    assert ended_jobs(tmp_path) == []
    damaged = folder / "9"
    damaged.mkdir()
    try:
        (damaged / "job.json").write_text("{")
        assert len(ended_jobs(folder)) == 4
    finally:
        (damaged / "job.json").unlink()
        damaged.rmdir()


def judged(trial, before, after, kin="none"):
    """The trial with two bindings of which the judge `looker` finds so many right."""

    def verdict(right):
        there = [Judgement("red", "car", True, True, place < right, 1.0, 1.0, 1.0) for place in range(2)]
        return Verdict(tuple(there), {})

    said = {"looker": JudgedTrial(kin=kin, initial=verdict(before), best=verdict(after), identity=None)}
    record = replace(trial.record, bindings=(Binding("red", "car"), Binding("red", "car")), judgements=said)
    return dataclasses.replace(trial, record=record)


def test_a_sweep_ends_with_a_line_a_job_the_sheet_and_three_commands(swept):
    folder, results, said = swept
    end = said[said.rindex("own score") :].splitlines()
    assert [line.split("  ")[0] for line in end[1:5]] == [job.name for job in ended_jobs(folder)]
    assert all("->" in line and line.rstrip().endswith(" s") for line in end[1:5])
    assert end[5].startswith("pictures of all jobs") and end[7] == "next:" and len(end) == 11
    assert f"python -m analysis results={results}" in end[8].replace(sys.executable, "python")


def test_bound_counts_images_with_every_binding_right(swept):
    job = ended_jobs(swept[0])[0]
    one, other = job.trials
    trials = (judged(one, 1, 2), judged(other, 2, 2), judged(other, 0, 1))
    said = tuple(trial.judgements() for trial in trials)
    bound = bound_of(dataclasses.replace(job, trials=trials, judged=said), "looker")
    assert (bound.before, bound.after, bound.images, bound.prompts) == (1, 2, 3, 2)
    assert bound.interval == pytest.approx(wilson(2 / 3, 2))
    assert bound_of(job, "looker") is None


def test_jobs_that_differ_in_a_methods_options_or_in_nothing_that_is_named_have_names_of_their_own(swept):
    jobs = ended_jobs(swept[0])[:2]

    def named(**changes):
        pairs = []
        for job, values in zip(jobs, changes.values(), strict=True):
            trial = job.trials[0]
            spec = replace(trial.record.spec, method=jobs[0].trials[0].record.spec.method | values)
            pairs.append((job.record, spec.method))
        return names_of(pairs, ["job 0", "job 7"])

    assert named(a={"options": {"start": 10}}, b={"options": {"start": 20}}) == ["start 10", "start 20"]
    assert named(a={}, b={}) == ["clip · job 0", "clip · job 7"]


def test_jobs_that_only_their_numbers_tell_apart_have_the_sweeps_numbers(swept, tmp_path):
    folder, results, _ = swept
    (tmp_path / "trials").symlink_to(results / "trials")
    job = json.loads((folder / "2" / "job.json").read_text())
    for number, trial in zip(("4", "10"), job["trials"], strict=True):
        (tmp_path / "jobs" / "sweep" / number).mkdir(parents=True)
        values = {name: value for name, value in job.items() if name != "sha256"}
        values |= {"trials": [trial], "labels": {**job["labels"], "prompts": "mine"}}
        (tmp_path / "jobs" / "sweep" / number / "job.json").write_text(json.dumps(values))
    assert [job.name for job in ended_jobs(tmp_path / "jobs" / "sweep")] == ["blip · job 4", "blip · job 10"]


def test_the_sheet_has_the_rows_that_all_jobs_share(swept, tmp_path):
    jobs = {
        job.name: {(t.record.spec.prompt, t.record.spec.seed): t for t in job.trials} for job in ended_jobs(swept[0])
    }
    whole = draw_sweep_sheet(jobs, None, tmp_path / "a.png")
    first = next(iter(jobs.values()))
    less = draw_sweep_sheet({"one": first, "two": dict(list(first.items())[:1])}, None, tmp_path / "b.png")
    assert Image.open(whole).height > Image.open(less).height and Image.open(whole).width > Image.open(less).width
    assert draw_sweep_sheet({"one": first, "two": {}}, None, tmp_path / "c.png") is None
    assert (swept[0] / "contact_sheet.png").is_file()


def test_the_next_commands_name_the_store_and_the_models(swept, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: str(Path(sys.executable).with_name(name)))
    folder, results, _ = swept
    commands = [command for command, _ in next_commands(ended_jobs(folder))]
    assert commands[0] == f"python -m analysis results={results}" and len(commands) == 3
    assert all(f"results={results}" in command for command in commands)
    assert all("models=sd_turbo" in command for command in commands[1:])
    assert json.loads((folder / "0" / "job.json").read_text())["labels"]["models"] == "sd_turbo"


def test_where_the_shell_finds_another_python_the_next_commands_name_this_one(swept, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/elsewhere/python")
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / "my env" / "bin" / "python"))
    commands = [command for command, _ in next_commands(ended_jobs(swept[0]))]
    assert all(command.startswith("'my env/bin/python' -m ") for command in commands)


def test_the_settings_that_all_jobs_of_a_method_share_are_not_in_their_names(swept):
    job = ended_jobs(swept[0])[0]

    def of(method, **settings):
        return replace(job.record, labels=replace(job.record.labels, method=method)), {"name": method, **settings}

    pairs = [of("walk", iterations=5, options={"width": width}) for width in (0.1, 0.2)] + [of("none", iterations=0)]
    walk, wider, none = names_of(pairs, ["job 0", "job 1", "job 2"])
    assert (walk.endswith(" · width 0.1"), wider.endswith(" · width 0.2")) == (True, True)
    assert none.startswith("none on ") and " · " not in none
