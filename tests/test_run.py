"""The command as a user types it: help, every choice, sweeps, bad input, exit statuses, a tracked run read back."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reno.compose import composed, quote
from reno.errors import BadInput
from reno.help import CONF, knobs, options
from reno.results import Store
from reno.run import main
from tests.offline_runs import read_back

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ("models", "metric", "method", "optimizer", "tracking")
KNOBS = {
    *("prompt", "prompts", "seed", "metric", "lr", "iterations", "models", "method", "optimizer", "regularization"),
    *("grad_clip", "batch_size", "device", "dtype", "results", "tracking", "dry_run"),
}


def test_help_explains_every_knob_with_its_default(capsys):
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    explained = {name: (default, text) for name, default, text in knobs()}
    assert set(explained) >= KNOBS
    for name, (_, text) in explained.items():
        assert re.search(rf"^{name} ", page, re.MULTILINE) and len(text) > 10
    assert explained["lr"][0] == "0.01"
    assert "clip_vs_blip" in page


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from reno.run import main; main(['--help']); sys.exit(bool({'torch', 'hydra'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


def test_help_knows_every_key_of_the_configuration():
    """A knob without a comment would be missing from the help, and then refused as unknown."""
    from omegaconf import OmegaConf

    config = OmegaConf.load(CONF / "config.yaml")
    keys = {key for key in config if key not in ("defaults", "hydra")}
    groups = {next(iter(entry)) for entry in config.defaults if not isinstance(entry, str)}
    assert keys | {group for group in groups if not group.startswith("override")} == {name for name, _, _ in knobs()}


CHOICES = [(group, choice) for group in GROUPS for choice in options(group) if choice != "testbed"]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes(compose, group, choice):
    assert compose(f"{group}={choice}").settings.iterations == 2


def test_the_testbed_runs_without_any_other_knob(tmp_path, capsys):
    assert main(["dry_run=true", f"results={tmp_path / 'results'}"]) == 0
    shown = capsys.readouterr().out
    assert "testbed, reno, metric clip: 12 trials" in shown and "random" not in shown


@pytest.mark.parametrize("study", options("experiments"))
def test_every_experiment_composes_in_all_its_combinations(knobs, tmp_path, study, capsys):
    """As a user runs it: every job of the sweep is planned, none is run."""
    sets = tmp_path / "sets"
    sets.mkdir()
    small = sets / "small.txt"
    small.write_text("a red car and a blue cup\n")
    sweep = [f"prompts={small}"]
    status = main(["-m", f"+experiments={study}", *knobs[:-2], "dry_run=true", f"results={tmp_path / 'r'}", *sweep])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    jobs = {"report": 1, "clip_vs_blip": 2 * 3 * 2 * 2, "ablation": 2 * 2 * 2 * 2}[study]
    assert len(re.findall(r"^job \d+:", shown.out, re.MULTILINE)) == jobs
    assert shown.err == ""


def test_a_sweep_loads_its_models_once_and_ends_with_zero(knobs, tmp_path, monkeypatch, capsys):
    from reno.generators.one_step import OneStepGenerator

    made = []
    whole = OneStepGenerator.__init__
    monkeypatch.setattr(OneStepGenerator, "__init__", lambda self, *a, **k: (made.append(1), whole(self, *a, **k))[1])
    monkeypatch.setattr("reno.models._pool", {})
    words = [
        *knobs,
        f"results={tmp_path}",
        "tracking=disabled",
        "prompt='a red car'",
        "metric=clip,blip",
        "lr=0.01,0.05",
        "-m",
    ]
    assert main(words) == 0
    assert len(made) == 1
    trials = list(Store(tmp_path))
    assert sorted((t.record["labels"]["metric"], t.record["spec"]["method"]["lr"]) for t in trials) == [
        ("blip", 0.01),
        ("blip", 0.05),
        ("clip", 0.01),
        ("clip", 0.05),
    ]
    assert "HYDRA" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "../../x",
        "a/b",
        'it\'s "quoted"',
        "<script>alert(1)</script>",
        "🐶 café",
        "line\nbreak",
        "a, b {c} [d] (e) $f ${g} x=y",
        "back\\slash\\",
    ],
)
def test_any_text_runs_and_is_stored_like_any_other(knobs, tmp_path, text, capsys):
    words = [*knobs, f"results={tmp_path / 'results'}", "tracking=disabled"]
    assert main([*words, f"prompt={quote(text)}"]) == 0
    if not text.startswith(("[", "'", '"')):
        assert main([*words, f"prompt={text}"]) == 0  # as typed, the same trial
    (trial,) = Store(tmp_path / "results")
    assert trial.record["spec"]["prompt"] == text
    assert re.fullmatch("[0-9a-f]{64}", trial.folder.name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


BAD = [
    ("metric=clp", "did you mean 'clip'"),
    ("models=testbad", "did you mean 'testbed'"),
    ("method=reon", "did you mean 'reno'"),
    ("optimizer=adm", "did you mean 'adam'"),
    ("prompts=raport", "did you mean 'report'"),
    ("iteration=3", "did you mean 'iterations'"),
    ("+anything=3", "anything is not a knob"),
    ("+experiments=clip_vs_blop", "did you mean 'clip_vs_blip'"),
    ("evaluators=orcale", "evaluators=orcale is not known"),
    ("record=[clap]", "did you mean 'clip'"),
    ("tracking.mode=onlin", "tracking.mode"),
    ("lr=-1", "lr must be a number above 0"),
    ("lr=0.1,0.2", "add -m to sweep"),
    ("iterations=x", "iterations must be a whole number"),
    ("prompt=", "prompt is empty"),
    ("prompt='x", "cannot be read as knob=value"),
    ("prompts=/no/such/file.txt", "neither a prompt set"),
    ("prompt=" + "zebra " * 100, "would be cut"),
    ("models.generator.path=/no/such/folder", "is not a folder"),
    ("models.checkpoints.clip.path=/", "no weights in safetensors"),
    ("models.generator.path=stabilityai/sd-turbo", "path=FOLDER"),
    ("device=cuda:99", "device=cuda:99 is not there"),
    ("results=/dev/null/x", "cannot be written"),
]


@pytest.mark.parametrize(("word", "says"), BAD)
def test_bad_input_gets_one_sentence_exit_status_2_and_leaves_nothing(knobs, tmp_path, word, says, capsys):
    words = [*knobs, f"results={tmp_path / 'results'}", "tracking=disabled"]
    assert main([*words, word]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert len(shown.err.strip().splitlines()) == 1 and "Traceback" not in shown.err
    assert not (tmp_path / "results").exists()


def test_a_job_that_is_only_asked_about_has_the_same_knobs():
    with pytest.raises(BadInput, match="bogus is not a knob"):
        composed(["+bogus=1"])


def test_a_damaged_trial_is_named_and_the_store_is_left_as_it_is(knobs, tmp_path, capsys):
    words = [*knobs, f"results={tmp_path}", "tracking=disabled", "prompt=a red car"]
    assert main(words) == 0
    (trial,) = Store(tmp_path)
    (trial.folder / "frames.webp").write_bytes(b"")
    capsys.readouterr()
    assert main(words) == 2
    assert "damaged: frames.webp has 0 bytes; delete that folder" in capsys.readouterr().err
    assert trial.folder.exists()


def test_one_bad_job_of_a_sweep_does_not_stop_the_others(knobs, tmp_path, capsys):
    words = ["-m", *knobs, f"results={tmp_path}", "tracking=disabled", "prompt='a red car'", "lr=0.01,-1,0.02"]
    assert main(words) == 2
    assert len(list(Store(tmp_path))) == 2
    assert "error: job 1: lr must be" in capsys.readouterr().err


def test_the_record_of_every_job_holds_the_command_as_it_was_typed(knobs, tmp_path):
    words = [
        "-m",
        *knobs,
        "iterations=0,1",
        f"results={tmp_path}",
        "tracking=disabled",
        """prompt='"a red car, a blue cup"'""",
    ]
    assert main(words) == 0
    records = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("jobs/*/*/job.json"))]
    assert len(records) == 2
    for record in records:
        assert shlex.split(record["command"]) == ["python", "-m", "reno.run", *words]


def test_debug_shows_the_traceback(knobs, tmp_path, capsys):
    assert main([*knobs, f"results={tmp_path}", "lr=-1", "debug=true"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_tracked_run_read_back_holds_51_images_and_51_losses(knobs, tmp_path):
    """From the user's command to what W&B's own reader finds in the offline run."""
    results = tmp_path / "results"
    words = [
        *knobs,
        "iterations=50",
        f"results={results}",
        "tracking=offline",
        "prompt=a gold bench and a green clock",
        "study=mine",
    ]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "reno.run", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "wandb sync" in done.stdout
    (trial,) = Store(results)
    (folder,) = (results / "wandb").glob(f"offline-run-*-{trial.id}")
    records = read_back(folder)
    rows = [record["item"] for record in records["history"]]
    trace = trial.trace()
    assert [row["iteration"] for row in rows] == list(range(51))
    for name in ("loss", "score", "noise_norm", "regularizer", "seconds"):
        assert [row[name] for row in rows] == pytest.approx(trace[name].tolist()), name
    for row, frame in zip(rows, trial.frames(), strict=True):
        with Image.open(folder / "files" / row["image.path"]) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), frame)
    config = records["run"][0]["config"]["update"]
    assert (config["prompt"], config["seed"], config["method"]["lr"]) == ("a gold bench and a green clock", 42, 0.01)
    assert config["bindings"][1] == {"attribute": "green", "object": "clock"}
    summary = {name: value for record in records["summary"] for name, value in record.get("update", {}).items()}
    assert summary["score/clip/best"] == trial.record["scores"]["best"]["clip"]
    assert summary["best_iteration"] == trial.record["best_iteration"]
    (run,) = records["run"][:1]
    assert (run["run_id"], run["run_group"], run["job_type"]) == (trial.id, "mine", "clip")


@pytest.mark.parametrize("sweep", [(), ("-m", "lr=0.01,0.02,0.03")])
def test_an_interrupt_keeps_what_is_done_and_stops_the_whole_command(knobs, tmp_path, sweep, monkeypatch, capsys):
    from reno import batch

    whole = batch.run_batch
    batches = []

    def interrupted(*arguments):
        batches.append(arguments)
        if len(batches) == 2:
            raise KeyboardInterrupt
        yield from whole(*arguments)

    monkeypatch.setattr(batch, "run_batch", interrupted)
    words = [*knobs, f"results={tmp_path}", "tracking=disabled", "batch_size=1", "prompt=[a red car,a blue cup]"]
    assert main([*words, *sweep]) == 130
    assert len(batches) == 2
    assert len(list(Store(tmp_path))) == 1
    assert "1 of 2 trials are stored" in capsys.readouterr().out
