"""The command as a user types it: help, sweeps, bad input, exit statuses, a tracked run read back."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from reno.config.compose import composed
from reno.config.page import RUN
from reno.config.quoting import quote
from reno.config.sweep import begin_status, end_status, worst_status
from reno.config.words import parse
from reno.letters.console import PatientConsole
from reno.run import main
from reno.spec.errors import BadInput
from reno.store.store import Store
from tests.commands.words_over import over
from tests.tracking.offline_runs import read_back

ROOT = Path(__file__).resolve().parent.parent.parent
KNOBS = {
    *("prompt", "prompts", "seed", "metric", "lr", "iterations", "models", "method", "optimizer", "regularization"),
    *("grad_clip", "batch_size", "device", "dtype", "results", "tracking", "dry_run"),
}


def test_help_explains_every_knob_with_its_default(capsys):
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    explained = {knob.name: knob for knob in RUN.knobs()}
    assert set(explained) >= KNOBS
    for name, knob in explained.items():
        assert re.search(rf"^{name} ", page, re.MULTILINE) and len(knob.help) > 10
    assert explained["lr"].default == "0.01"
    assert "clip_vs_blip" in page


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from reno.run import main; main(['--help']); sys.exit(bool({'torch', 'hydra'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


def test_the_testbed_runs_without_any_other_knob(tmp_path, capsys):
    assert main(["dry_run=true", f"results={tmp_path / 'results'}"]) == 0
    shown = capsys.readouterr().out
    assert "testbed, reno, metric clip: 12 trials" in shown and "random" not in shown


def test_a_sweep_loads_its_models_once_and_ends_with_zero(knobs, tmp_path, monkeypatch, capsys):
    from reno import run
    from reno.generators import stable_diffusion

    made = []
    load = stable_diffusion.load
    monkeypatch.setattr(stable_diffusion, "load", lambda *a, **k: (made.append(1), load(*a, **k))[1])
    monkeypatch.setattr(run, "_kept", [])
    words = [
        *knobs,
        f"results={tmp_path}",
        "tracking=disabled",
        "prompt='a red car'",
        "metric=clip,blip",
        "lr=0.01,0.05",
        "iterations=0",
        "record=[]",
        "-m",
    ]
    assert main(words) == 0
    assert len(made) == 1
    trials = list(Store(tmp_path))
    assert sorted((t.record.labels.metric, t.record.spec.method["lr"]) for t in trials) == [
        ("blip", 0.01),
        ("blip", 0.05),
        ("clip", 0.01),
        ("clip", 0.05),
    ]
    assert "HYDRA" not in capsys.readouterr().out


@pytest.mark.parametrize("how", [[], ["-m"], ["dry_run=true"], ["-m", "dry_run=true"]])
def test_a_typed_option_that_the_metric_does_not_have_is_refused_however_the_job_is_run(tmp_path, capsys, how):
    """One that stands in the file of the models is for metrics of every kind."""
    words = [f"results={tmp_path / 'r'}", "tracking=disabled", "metric=blip", "iterations=0", *how]
    assert main([*words, "models.checkpoints.blip.options.far_off=1"]) == 2
    said = capsys.readouterr().err
    assert "models.checkpoints.blip.options.far_off is not an option of metric blip" in said and said.count("\n") == 1


TEXTS = [
    "../../x",
    "a/b",
    'it\'s "quoted"',
    "<script>alert(1)</script>",
    "🐶 café",
    "line\nbreak",
    "a, b {c} [d] (e) $f ${g} x=y",
    "back\\slash\\",
]


def test_any_text_runs_and_is_stored_like_any_other(knobs, tmp_path):
    words = [*knobs, f"results={tmp_path / 'results'}", "tracking=disabled", "batch_size=8", "iterations=0"]
    assert main([*words, f"prompt=[{','.join(map(quote, TEXTS))}]"]) == 0
    trials = list(Store(tmp_path / "results"))
    assert sorted(trial.record.spec.prompt for trial in trials) == sorted(TEXTS)
    assert all(re.fullmatch("[0-9a-f]{64}", trial.folder.name) for trial in trials)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_prompt_is_what_was_typed(text):
    assert composed(RUN, parse(RUN, [f"prompt={text}"])).values["prompt"] == text


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
    ("~models.record.0", "takes an entry out of a list"),
    ("device=cpu:", "is not a device"),
    ("device=cuda:²", "is not a device"),
    ("device=cuda:007", "is not a device"),
    ("batch_size=4097", "less than 4097"),
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
    assert main(over(words, word)) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert len(shown.err.strip().splitlines()) == 1 and "Traceback" not in shown.err
    assert not (tmp_path / "results").exists()


def test_weights_that_were_never_fetched_are_told_before_anything_is_written(knobs, tiny, tmp_path, capsys):
    """A folder that was cloned without git-lfs."""
    shutil.copytree(tiny / "clip", tmp_path / "clip")
    pointer = tmp_path / "clip" / "model.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605157884\n")
    words = [*knobs, f"results={tmp_path / 'results'}", "tracking=disabled", "prompt=a red car"]
    assert main(over(words, f"models.checkpoints.clip.path={pointer.parent}")) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert f"error: {pointer} is a git-lfs pointer" in said and said.endswith("`git lfs pull` in its folder")
    assert not (tmp_path / "results").exists()


def test_a_job_that_is_only_asked_about_has_the_same_knobs():
    with pytest.raises(BadInput, match="bogus is not a knob"):
        composed(RUN, parse(RUN, ["+bogus=1"]))


def test_a_disk_that_is_full_before_a_sweep_begins_is_one_sentence(knobs, tmp_path, monkeypatch, capsys):
    """Hydra writes the sweep's configuration before its first job."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")  # as write() raises it, without the file's name

    monkeypatch.setattr(OmegaConf, "save", full)
    assert main([*knobs, "-m", "lr=0.1,0.2", f"results={tmp_path}"]) == 2
    assert capsys.readouterr().err == (
        "error: the results folder cannot be written (No space left on device); give another results folder: "
        "results=DIR\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
def test_an_output_on_a_full_disk_costs_only_the_output(monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        console = PatientConsole()
        console.print("a line")
        console.print("and another")


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


@pytest.mark.slow
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
    *rows, last = [record["item"] for record in records["history"]]
    assert last["iteration"] == trial.record.best_iteration and "loss" not in last  # the pictures before and after
    trace = trial.trace()
    assert [row["iteration"] for row in rows] == list(range(51))
    for name in ("loss", "score", "noise_norm", "regularizer", "seconds"):
        assert [row[name] for row in rows] == pytest.approx(trace[name].tolist()), name
    for row, frame in zip(rows, trial.frames(), strict=True):
        with Image.open(folder / "files" / row["image.path"]) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), frame)
    config = records["run"][0]["config"]["update"]
    shown = [config[name] for name in ("prompt", "seed", "method", "lr")]
    assert shown == ["a gold bench and a green clock", 42, "reno", 0.01]
    assert config["provenance"]["bindings"][1] == {"attribute": "green", "object": "clock"}
    summary = {name: value for record in records["summary"] for name, value in record.get("update", {}).items()}
    assert summary["score/clip/best"] == trial.record.scores.best["clip"]
    assert summary["best_iteration"] == trial.record.best_iteration
    (run,) = records["run"][:1]
    assert (run["run_id"], run["run_group"], run["job_type"]) == (trial.id, "mine", "clip")


@pytest.mark.parametrize("sweep", [(), ("-m", "lr=0.01,0.02,0.03")])
def test_an_interrupt_keeps_what_is_done_and_stops_the_whole_command(knobs, tmp_path, sweep, method, capsys):
    odd = method(
        "batches = []\n"
        "def steps(problem, settings):\n"
        "    batches.append(1)\n"
        "    if len(batches) == 2:\n"
        "        raise KeyboardInterrupt\n"
        "    yield from reno.steps(problem, settings)\n"
    )
    results = tmp_path / "results"
    words = [*knobs, *odd, f"results={results}", "tracking=disabled", "batch_size=1"]
    assert main([*words, "prompt=[a red car,a blue cup]", *sweep]) == 130
    assert len(sys.modules["odd.method"].batches) == 2
    assert len(list(Store(results))) == 1
    assert "1 of 2 trials are stored" in capsys.readouterr().out


# --- What must not go unseen ------------------------------------------------------------------------------------------


IGNORED = [
    ("models.generator.height=768", "has no option 'height'"),
    ("models.generator.revisoin=x", "has no option 'revisoin'"),
    ("models.checkpoints.clip.revisoin=x", "did you mean 'revision'"),
    ("models.checkpoints.clop.path=x", "did you mean 'clip'"),
    ("models.recrod=[clip]", "did you mean 'record'"),
    ("metric.temperature=3", "metric.temperature is not a knob"),
    ("method.restarts=3", "method reno has no option 'restarts'"),
    ("optimizer.momentum=0.5", "optimizer adam has no setting 'momentum'"),
    ("tracking.projekt=mine", "did you mean 'project'"),
]


@pytest.mark.parametrize("plus", ["", "+", "++"])
@pytest.mark.parametrize(("word", "says"), IGNORED)
def test_a_key_that_nobody_reads_is_refused_also_by_a_dry_run(knobs, tmp_path, word, says, plus, capsys):
    assert main([*knobs, f"results={tmp_path / 'results'}", "dry_run=true", plus + word]) == 2
    shown = capsys.readouterr().err
    assert says in shown and len(shown.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_damaged_trial_of_another_job_and_a_file_managers_file_do_not_stop_a_dry_run(knobs, tmp_path, capsys):
    words = [*knobs, f"results={tmp_path}", "tracking=disabled"]
    assert main([*words, "prompt=a red car"]) == 0
    (trial,) = Store(tmp_path)
    (trial.folder / "trial.json").write_text("{")
    (tmp_path / "trials" / ".DS_Store").write_bytes(b"x")
    capsys.readouterr()
    assert main([*words, "prompt=a blue cup", "dry_run=true"]) == 0
    assert "1 trial, 0 stored, 1 to do" in capsys.readouterr().out
    assert main([*words, "prompt=a red car", "dry_run=true"]) == 0
    shown = capsys.readouterr()
    assert "1 trial, 0 stored, 1 to do" in shown.out and "is damaged: trial.json cannot be used" in shown.err


LAUNCHER = '''
import multiprocessing

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict


class Elsewhere(Launcher):
    """Runs each job in a process of its own, whose answer is not looked at."""

    def setup(self, *, hydra_context, task_function, config):
        self.context, self.function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides, initial_job_idx):
        for place, overrides in enumerate(job_overrides):
            process = multiprocessing.get_context("fork").Process(target=self.one, args=(overrides, place))
            process.start()
            process.join()
        return []

    def one(self, overrides, place):
        config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = place
        HydraConfig.instance().set_config(config)
        run_job(
            hydra_context=self.context,
            config=config,
            task_function=self.function,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
'''


@pytest.mark.parametrize(
    ("lrs", "status", "subdir"),
    [
        pytest.param("0.01,0.02", 0, "${hydra.job.num}", marks=pytest.mark.slow),
        ("0.01,-1", 2, "deep/${hydra.job.num}/er"),
    ],
)
def test_jobs_in_other_processes_tell_how_they_ended(knobs, tmp_path, lrs, status, subdir, monkeypatch, capfd):
    from hydra.core.plugins import Plugins

    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "elsewhere.py").write_text(LAUNCHER)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("hydra_plugins", "hydra_plugins.elsewhere"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    Plugins.instance().register(importlib.import_module("hydra_plugins.elsewhere").Elsewhere)
    results = tmp_path / "results"
    words = [*knobs, f"results={results}", "tracking=disabled", "prompt='a red car'", "iterations=0"]
    assert main(["-m", *words, "lr=0.01,0.02"]) == 0  # the launched jobs find their trials stored, and are quick
    launched = ["hydra.launcher._target_=hydra_plugins.elsewhere.Elsewhere", f"hydra.sweep.subdir={subdir}"]
    assert main(["-m", *words, f"lr={lrs}", *launched]) == status
    assert ("error: job 1: lr must be" in capfd.readouterr().err) == (status == 2)
    assert not list(results.rglob("status.json"))


def test_a_job_that_left_no_status_has_failed(tmp_path):
    end_status(tmp_path / "0", 0)
    begin_status(tmp_path / "1")
    assert worst_status(tmp_path) == 1
    assert worst_status(tmp_path) is None  # there is no job any more


def test_a_dry_run_refuses_what_the_run_would_refuse_of_its_words(knobs, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    own = [*knobs, "prompt=a red car", "dry_run=true", "tracking=disabled"]
    for words, says in (
        ([*own, f"results={tmp_path / 'file' / 'results'}"], "is not a folder"),
        ([*own, "~models.record.0"], "takes an entry out of a list"),
        (["-m", *own, "lr=range(0)"], "gives no value"),
    ):
        assert main(words) == 2 and says in capsys.readouterr().err


def test_trials_that_stopped_early_are_counted_in_the_last_line(knobs, tmp_path, capsys):
    words = [f"results={tmp_path / 'results'}", "tracking=disabled", "prompt=[a red car,a blue cup]", "stop.score=-1e9"]
    assert main([*knobs, *words]) == 0
    assert "2 trials run, 0 stored before, 2 stopped early; mean" in capsys.readouterr().out
