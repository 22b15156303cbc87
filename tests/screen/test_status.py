"""What `reno.status` says of a store, and of a folder that is none."""

from __future__ import annotations

import json

import pytest

from reno.status import main
from reno.store.claims import Claims
from reno.store.store import Store
from tests.store.records import golden, record


def test_a_line_a_job_and_a_line_a_worker(tmp_path, capsys):
    made = golden("job")
    spec, trial = made["spec"], made["trials"][0]
    for lr, folder in ((0.01, "0"), (0.05, "1")):
        of = {**spec, "method": {"name": "reno", "lr": lr}}
        other = {**trial, "id": record(seed=round(100 * lr)).id, "state": "not run"}
        (tmp_path / "jobs" / folder).mkdir(parents=True)
        values = {**made, "spec": of, "trials": [other], "status": None}
        (tmp_path / "jobs" / folder / "job.json").write_text(json.dumps(values))
    Store(tmp_path).prepare()
    with Claims(tmp_path, "NVIDIA [red]H100") as claims:
        claims.take([record(seed=5).id])
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        assert main([f"results={tmp_path}"]) == 0
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert said[:3] == [
        "job stored running failed to do time left device hours",
        "lr 0.01 0 of 1 0 0 1 not known -",
        "lr 0.05 0 of 1 1 0 0 not known -",
    ]
    assert said[3].endswith(" (NVIDIA [red]H100) runs 1 trial") and len(said) == 4
    assert main([f"results={tmp_path}"]) == 0
    assert "no worker runs; the same commands go on with what is to do" in capsys.readouterr().out


def test_typed_prompts_are_shown_and_jobs_with_the_same_words_are_named_by_their_folders(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    made = golden("job")
    labels = {**made["labels"], "prompts": None}

    def write(folder, seed, *prompts):
        (tmp_path / "jobs" / folder).mkdir(parents=True)
        trials = [{**made["trials"][0], "id": record(seed=seed).id, "prompt": prompt} for prompt in prompts]
        values = {**made, "labels": labels, "trials": trials}
        (tmp_path / "jobs" / folder / "job.json").write_text(json.dumps(values))

    write("2026-11-28_10-00-00-000000", 1, "a green boat")
    write("2026-11-28_11-00-00-000000", 2, "a green boat")
    write("2026-11-28_12-00-00-000000/3", 3, "a green boat")
    write("2026-11-28_13-00-00-000000", 4, "a boat\x1b[31m", "a red car")
    write("2026-11-28_14-00-00-000000", 5, "a green boat and a red car and a blue cup")
    assert main([f"results={tmp_path}"]) == 0
    names = [line.partition("  ")[0] for line in capsys.readouterr().out.splitlines()[1:6]]
    assert names == [
        'reno on "a green boat" · 2026-11-28_10-00-00-000000',
        'reno on "a green boat" · 2026-11-28_11-00-00-000000',
        'reno on "a green boat" · 2026-11-28_12-00-00-000000/3',
        'reno on "a boat\\x1b[31m" and 1 more',
        'reno on "a green boat and a red car and a blue …"',
    ]


@pytest.mark.parametrize(("make", "said"), [(False, "there is no folder"), (True, "holds no job")])
def test_a_folder_without_jobs_is_refused(tmp_path, capsys, make, said):
    if make:
        (tmp_path / "empty").mkdir()
    assert main([f"results={tmp_path / 'empty'}"]) == 2
    error = capsys.readouterr().err
    assert said in error and "results=DIR" in error and error.count("\n") == 1


def test_a_store_whose_first_job_loads_its_models_is_not_called_a_wrong_folder(tmp_path, capsys):
    assert main([f"results={tmp_path}"]) == 2
    assert "holds no job; give the folder" in capsys.readouterr().err
    (tmp_path / "jobs" / "2026-01-01_00-00-00-000000").mkdir(parents=True)
    assert main([f"results={tmp_path}"]) == 0
    assert "no job has begun yet; one that is starting is shown" in capsys.readouterr().out
