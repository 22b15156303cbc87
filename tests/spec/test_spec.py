"""Identity and validation: what makes two trials the same, and what a user is told."""

from __future__ import annotations

import dataclasses
import re

import pytest

from reno.spec.errors import BadInput
from reno.running.plan import make_plan
from reno.spec.prompts import Binding, Prompt, parse_bindings
from reno.config.prompt_sets import load_prompts, named_sets
from reno.spec.job import MethodSettings
from reno.spec.trial import TrialSpec

TRIAL = TrialSpec(
    Prompt("a gold bench and a green clock"),
    42,
    "sha256:aa",
    ({"kind": "clip", "head": None, "weight": 1.0, "weights": "sha256:bb"},),
    "float32",
    MethodSettings("reno", 50, 0.01, 0.0, None, "adam", {"betas": [0.9, 0.999], "eps": 1e-8}).identity(),
)


def test_the_identity_is_the_sha256_of_canonical_json():
    """A golden value: if it moves, every stored trial is orphaned, and ALGORITHM should have been raised."""
    assert TRIAL.id == "5a2519c4df5d1a1e6c3d6d19d929af577dbda46536cb02abc86ef57d75a82f6a"


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": Prompt("a gold bench and a green clock ")},
        {"seed": 43},
        {"generator": "sha256:ab"},
        {"dtype": "float16"},
        {"metric": ({"kind": "clip", "head": None, "weight": 2.0, "weights": "sha256:bb"},)},
        {"method": {**TRIAL.method, "lr": 0.02}},
    ],
)
def test_what_decides_the_outcome_changes_the_identity(change):
    assert dataclasses.replace(TRIAL, **change).id != TRIAL.id


def test_bindings_judge_an_image_and_do_not_make_it():
    assert dataclasses.replace(TRIAL, prompt=Prompt(TRIAL.prompt.text, (Binding("gold", "bench"),))).id == TRIAL.id


def test_a_control_does_not_depend_on_the_learning_rate():
    slow, fast = (MethodSettings("best_of_n", 50, lr, 0.0, None, "adam", {}) for lr in (0.01, 0.05))
    assert slow.identity() == fast.identity()
    assert MethodSettings("none", 50, 0.01, 0, None, "adam", {}).identity() == {"name": "none"}


@pytest.mark.parametrize("method", ["reno", "decoder_only", "best_of_n", "none"])
def test_settings_come_back_from_their_identity(method):
    settings = MethodSettings(method, 7, 0.5, 0.01, 0.1, "sgd", {"momentum": 0.9, "nesterov": True})
    assert MethodSettings.from_identity(settings.identity()).identity() == settings.identity()


def test_paths_batch_size_device_and_tracking_are_not_identity(compose, tiny, tmp_path):
    import shutil

    shutil.copytree(tiny / "clip", tmp_path / "elsewhere")
    plain = compose()
    other = compose(
        f"models.checkpoints.clip.path={tmp_path / 'elsewhere'}",
        "batch_size=3",
        "tracking=disabled",
        "results=x",
        "device=cpu",
    )
    assert [trial.id for trial in make_plan(plain).trials] == [trial.id for trial in make_plan(other).trials]


def test_other_weights_are_another_identity(compose, tiny):
    one, other = compose(), compose(f"models.checkpoints.clip.path={tiny / 'clip_vit_h'}")
    assert make_plan(one).trials[0].id != make_plan(other).trials[0].id


def test_no_argument_is_the_reports_setting(compose):
    job = compose("iterations=50")
    settings = job.settings
    assert (settings.method, settings.optimizer, settings.lr, settings.iterations) == ("reno", "adam", 0.01, 50)
    assert (settings.regularization, settings.grad_clip, job.seeds, job.metric.name) == (0.0, None, (42,), "clip")
    assert job.prompts[0].text == "a gold bench and a green clock"
    assert len(job.prompts) == 12


def test_the_papers_preset_is_one_knob_and_its_parts_can_be_overridden(compose):
    paper = compose("optimizer=sgd_nesterov").settings
    assert (paper.lr, paper.grad_clip, paper.regularization) == (5.0, 0.1, 0.01)
    assert paper.optimizer_settings == {"momentum": 0.9, "nesterov": True}
    assert compose("optimizer=sgd_nesterov", "lr=1.0").settings.lr == 1.0


def test_batches_are_cut_from_the_whole_plan(compose):
    plan = make_plan(compose("batch_size=5", "seed=[1,2]", "prompt=[a red car,a blue cup,a pink star]"))
    batches = list(plan.batches())
    assert [len(batch) for batch in batches] == [5, 1]
    assert [trial.seed for trial in plan.trials] == [1, 2, 1, 2, 1, 2]


def test_own_noises_are_a_prompts_own_whatever_it_runs_beside(compose):
    words = ["own_noise=true", "seed=[0,1]"]
    both = make_plan(compose(*words, "prompt=[a red car,a blue cup]")).trials
    alone = make_plan(compose(*words, "prompt=[a blue cup]")).trials
    assert len({trial.seed for trial in both}) == 4
    assert both[2:] == alone
    assert [trial.seed for trial in alone] == [0xFF746831, 0x0243C2F0]  # sha256 of "0 a blue cup", its first 8 digits


def test_the_itc_head_has_a_name_of_its_own(compose):
    job = compose("metric=blip", "metric.head=itc")
    assert job.metric.name == "blip_itc"
    assert [metric.name for metric in job.recorded] == ["clip", "blip"]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("lr=0", "lr must be a number above 0"),
        ("lr=.nan", "lr must be a number above 0"),
        ("lr=true", "lr must be a number above 0"),
        ("iterations=-1", "iterations must be a whole number, 0 or more"),
        ("iterations=1.5", "iterations must be a whole number"),
        ("seed=-1", "seed must be a whole number"),
        ("seed=[]", "seed=\\[\\] holds no seed"),
        ("batch_size=0", "batch_size must be a whole number, 1 or more"),
        ("batch_size=aut", "batch_size must be auto or a whole number"),
        ("regularization=-0.1", "regularization must be a number at least 0"),
        ("grad_clip=0", "grad_clip must be a number above 0"),
        ("dtype=float17", "did you mean 'float16'"),
        ("device=tpu", "auto, cpu, cuda"),
        ("prompt=''", "prompt is empty"),
        ("prompt=1", "prompt must be a text"),
        ("prompts=reprot", "did you mean 'report'"),
        ("optimizer.betas=[0.9]", "betas must be two numbers"),
        ("dry_run=maybe", "dry_run must be true or false"),
        ("own_noise=2", "own_noise must be true or false"),
        ("metric.terms.0.weight=-1", "weight of metric clip"),
    ],
)
def test_a_bad_value_gets_a_sentence(compose, override, says):
    with pytest.raises(BadInput, match=says) as caught:
        compose(override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a gold bench and a green clock", [("gold", "bench"), ("green", "clock")]),
        ("a red car, a blue bowl and a pink star", [("red", "car"), ("blue", "bowl"), ("pink", "star")]),
        ("A red car, a blue bowl, and an orange cup.", [("red", "car"), ("blue", "bowl"), ("orange", "cup")]),
        ("a green traffic light", [("green", "traffic light")]),
        ("a metallic desk lamp and a fluffy sweater", [("metallic", "desk lamp"), ("fluffy", "sweater")]),
        ("a photo of a bench", []),
        ("The red hat was on top of the brown coat rack.", []),
        ("dogs", []),
        ("../../etc/passwd", []),
    ],
)
def test_bindings_are_read_from_lists_of_phrases_only(text, expected):
    assert [(binding.attribute, binding.object) for binding in parse_bindings(text)] == expected


def test_every_named_set_loads():
    assert "report" in named_sets()
    for name in named_sets():
        prompts = load_prompts(name)
        assert prompts and all(prompt.bindings for prompt in prompts), name


def test_a_file_of_json_lines_brings_its_own_bindings(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "x of y", "bindings": [["x", "y"]]}\n\n{"prompt": "a red car"}\n')
    one, two = load_prompts(str(path))
    assert one.bindings == (Binding("x", "y"),)
    assert two.bindings == (Binding("red", "car"),)


def test_a_bad_line_of_a_file_is_named(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a red car"}\n{"text": "no"}\n')
    with pytest.raises(BadInput, match=re.escape(f"{path}, line 2")):
        load_prompts(str(path))
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    with pytest.raises(BadInput, match="holds no prompt"):
        load_prompts(str(tmp_path / "empty.txt"))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        load_prompts(str(tmp_path / "binary.txt"))
