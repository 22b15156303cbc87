"""Real models have judges by default: which, what they leave out, and what is said where their weights are not had."""

from __future__ import annotations

import pytest

from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.run import main
from reno.store.store import Store

USUAL = ["blip_vqa", "detector_open"]


@pytest.fixture
def usual(knobs) -> list[str]:
    """The knobs of the tiny models, with the judges that real models come with."""
    return [word for word in knobs if not word.startswith("evaluators=")]


def job_of(*words):
    parsed = parse(RUN, words)
    return job_from_config(composed(RUN, parsed), parsed.conf)


@pytest.mark.parametrize(
    ("words", "judges", "usual"),
    [
        (["models=sd_turbo"], USUAL, True),
        (["models=sd_turbo", "evaluators=[]"], [], False),
        (["models=sd_turbo", "evaluators=[blip_vqa,detector_open]"], USUAL, False),
        (["models=sd_turbo", "models.evaluators=[blip_vqa]"], ["blip_vqa"], False),
        (["+experiments=report", "models=sd_turbo"], USUAL, True),
        (["+experiments=geneval", "suite=null"], ["detector"], False),
        (["+experiments=reno_table1", "suite=null"], ["blip_vqa"], False),
        ([], ["oracle"], False),  # a closed world: other words mean nothing in it
    ],
)
def test_the_judges_of_real_models_are_those_that_need_no_choice(words, judges, usual):
    job = job_of(*words, "hydra.mode=RUN") if "+experiments=geneval" in words else job_of(*words)
    assert [judge.name for judge in job.evaluators] == judges and job.usual_judges is usual


def test_a_prompt_that_a_usual_judge_cannot_judge_is_left_to_the_other_and_noted(usual, tmp_path, capsys):
    words = [*usual, "prompt=[a red car,a wooden bench]", "iterations=0", f"results={tmp_path / 'r'}", "record=[]"]
    note = "note: detector_open leaves out 1 of 2 prompts, such as 'a wooden bench': detector_open judges colours and"
    assert main([*words, "dry_run=true"]) == 0
    assert note in capsys.readouterr().out
    assert main([*words, "tracking=disabled"]) == 0
    assert note in capsys.readouterr().out
    said = {trial.record.spec.prompt: set(trial.judgements()) for trial in Store(tmp_path / "r")}
    assert said == {"a red car": set(USUAL), "a wooden bench": {"blip_vqa"}}
    assert main([*words, "evaluators=[blip_vqa,detector_open]", "seed=1", "dry_run=true"]) == 2  # it was asked for
    assert "detector_open cannot judge the prompt 'a wooden bench'" in capsys.readouterr().err


def test_a_judge_that_is_left_with_nothing_is_not_loaded(usual, tmp_path, monkeypatch, capsys):
    from reno.evaluators import detector

    monkeypatch.setattr(detector, "load", lambda *_, **__: pytest.fail("it was loaded for nothing"))
    words = [*usual, "prompt=a wooden bench", "iterations=0", f"results={tmp_path / 'r'}", "record=[]"]
    assert main([*words, "tracking=disabled"]) == 0
    (trial,) = Store(tmp_path / "r")
    assert set(trial.judgements()) == {"blip_vqa"}


def test_where_no_prompt_has_a_binding_no_judges_weights_are_wanted(usual, tmp_path, capsys):
    bare = [word for word in usual if "blip_vqa" not in word and "owlv2" not in word and "clip_vit_l" not in word]
    words = [*bare, "prompt=a sunset", "iterations=0", f"results={tmp_path / 'r'}", "record=[]", "tracking=disabled"]
    assert main(words) == 0  # they are not on this disk
    assert len(list(Store(tmp_path / "r"))) == 1


def test_weights_that_cannot_be_had_end_the_job_before_anything_is_written(usual, tmp_path, capsys):
    bare = [word for word in usual if "models.checkpoints.blip_vqa" not in word]
    words = [*bare, "prompt=a red car", f"results={tmp_path / 'r'}", "tracking=disabled"]
    assert main(words) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("error: the judge blip_vqa has no weights: models.checkpoints.blip_vqa: ")
    assert line.endswith("; or go without judges: evaluators=[]") and "HF_HUB_OFFLINE" in line
    assert not list(tmp_path.iterdir())
    assert main([*words, "evaluators=[]", "iterations=0", "record=[]"]) == 0


def test_a_dry_run_says_what_published_judges_need_and_nothing_of_a_users_own_weights(usual, tmp_path, capsys):
    words = ["prompt=a red car", f"results={tmp_path / 'r'}", "dry_run=true"]
    assert main([*usual, *words]) == 0
    assert "judges after" not in capsys.readouterr().out  # the tiny ones
    published = [word for word in usual if not word.startswith("models.checkpoints.")]
    assert main([*published, *words]) == 0
    assert (
        "judges after the optimisation: blip_vqa, detector_open; 3.8 GB of weights, on a GPU 2.2 GiB beside the loop's "
        "weights and 6 s a trial on a T4, at most (predicted); evaluators=[] turns them off"
    ) in capsys.readouterr().out


def test_the_seconds_of_two_cpu_cores_are_not_foretold_of_a_gpu(usual, tmp_path, capsys, monkeypatch):
    import torch

    words = [*usual, "prompt=a red car", f"results={tmp_path / 'r'}", "dry_run=true", "dtype=float32"]
    assert main([*words, "device=cpu"]) == 0
    assert "(on two CPU cores with CLIP, by reference_seconds in conf/models)" in capsys.readouterr().out
    monkeypatch.setattr("reno.running.plan.choose_device", lambda name: torch.device("cuda"))
    assert main(words) == 0
    assert "it is not known yet how long a trial of these models takes" in capsys.readouterr().out
