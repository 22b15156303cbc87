"""`dry_run=true`: refuses what a run refuses, reads no weights, writes nothing, and ends a sweep with one total."""

from __future__ import annotations

import re
import sys

import pytest

from reno.letters.amounts import in_bytes
from reno.run import main
from reno.weights import loading
from tests.commands.words_over import over


@pytest.fixture
def dry(knobs, tmp_path, monkeypatch, capsys):
    """dry(*words): the status and the output of a dry run in an empty folder, which stays empty. No weights are
    loaded."""
    here = tmp_path / "here"
    here.mkdir()

    def refuse(*_, **__):
        raise AssertionError("weights were loaded")

    def run(*words: str):
        with monkeypatch.context() as patched:
            patched.chdir(here)
            for module in [loading, *(m for name, m in sys.modules.items() if name.startswith("reno."))]:
                for name in ("load_model", "load_part"):
                    if hasattr(module, name):
                        patched.setattr(module, name, refuse)
            capsys.readouterr()
            status = main(over([*knobs, "results=results", "tracking=disabled"], *words, "dry_run=true"))
        for module in [module for name, module in sys.modules.items() if name.startswith("reno.")]:
            for name in ("load_model", "load_part"):  # of a module that was imported meanwhile
                if getattr(module, name, None) is refuse:
                    setattr(module, name, getattr(loading, name))
        assert not list(here.iterdir())
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


REFUSED = [
    (["prompt=" + "zebra " * 100], "too long for the generator's text encoder"),
    (["prompt=一辆红色的汽车" + "车" * 80], "too long for the generator's text encoder"),
    (["evaluators=detector", "prompt=a red zebrra"], "'zebrra' is not one of them; did you mean 'zebra'"),
    (["evaluators=detector", "prompt=a wooden zebra"], "judges colours and does not know 'wooden'"),
    (["evaluators=detector_open", "prompt=a red " + "x" * 60], "too long for the detector's text encoder"),
    (["models.generator.timestep=1000"], "models.generator.timestep must be a whole number, 0 to 999, not 1000"),
    (["method=reno", "method.kind=nothing"], "is not a module"),
    (["tracking.mode=onlin"], "tracking.mode"),
    (["metric=clip", "record=[clip]", "models.checkpoints.clip.path=/"], "no weights in safetensors"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED)
def test_what_a_run_refuses_is_refused_in_its_sentence(dry, words, says):
    status, out, err = dry(*over(["prompt=a red zebra"], *words))
    assert (status, out) == (2, "")
    assert says in err and len(err.splitlines()) == 1


def test_a_folder_of_another_family_is_refused(dry, tiny):
    status, out, err = dry("prompt=a red zebra", f"models.generator.path={tiny / 'sdxl_turbo'}")
    assert (status, out) == (2, "") and len(err.splitlines()) == 1
    assert err.startswith(f"error: {tiny / 'sdxl_turbo'} holds a StableDiffusionXLPipeline and this generator is a ")


def test_all_long_prompts_are_listed_below_the_sentence(dry):
    status, out, err = dry(f"prompt=[{'zebra ' * 100},a red zebra,{'zebra ' * 90}]")
    first, *lines = err.splitlines()
    assert (status, out) == (2, "") and first.startswith("error: 2 prompts are too long for a text encoder")
    assert [line.split("…': ")[1].split(" for ")[0] for line in lines] == [
        "102 tokens of at most 77",
        "92 tokens of at most 77",
    ]


def test_words_that_the_testbed_does_not_know_are_refused(tmp_path, capsys):
    words = [f"results={tmp_path / 'results'}", "dry_run=true"]
    assert main(["prompt=a red zebra", *words]) == 2
    said = capsys.readouterr().err
    assert "cannot judge the prompt 'a red zebra': the testbed has no object 'zebra'" in said
    assert said.count("a red zebra") == 1 and "its objects are bench, clock, " in said
    assert said.endswith("; change the prompt, or run without a judge: evaluators=[]\n")
    assert main(["prompt=a red zebra", "seed=3", "own_noise=true", "evaluators=[]", *words]) == 0
    assert re.search(r"a red zebra +3 \(own\) +to do", capsys.readouterr().out)  # as the run's table has it
    assert main(["prompt=a red car and a blue cup and a pink star, a gold fish, a green boat, a red bowl", *words]) == 2
    assert "tokens of at most 24" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [["dry_run=true"], ["tracking=disabled"]])
def test_all_prompts_that_a_judge_cannot_judge_are_listed_with_their_lines(tmp_path, capsys, more):
    path = tmp_path / "own.txt"
    path.write_text("# mine\na red car\na red zebra\n\na teal car and a shiny dog\n")
    words = [f"results={tmp_path / 'results'}", *more]
    assert main([f"prompts={path}", *words]) == 2
    sentence, *lines = capsys.readouterr().err.splitlines()
    assert sentence.startswith("error: the judge oracle cannot judge 2 of 3 prompts; ")
    assert [line.partition(";")[0] for line in lines] == [
        f"  {path}, line 3: the testbed has no object 'zebra'",
        f"  {path}, line 5: the testbed has no colour 'teal' and no colour 'shiny' and no object 'dog'",
    ]
    assert list(tmp_path.iterdir()) == [path]
    path.write_text('{"prompt": "a red car"}\n{"prompt": "a red zebra"}\n')
    path.rename(tmp_path / "own.jsonl")
    assert main([f"prompts={tmp_path / 'own.jsonl'}", *words]) == 2
    assert f"cannot judge the prompt 'a red zebra' ({tmp_path / 'own.jsonl'}, line 2): the" in capsys.readouterr().err


def test_a_short_english_prompt_needs_no_tokenizer(dry, monkeypatch):
    monkeypatch.setattr("reno.weights.texts.load_tokenizer", lambda folder: pytest.fail("a tokenizer was loaded"))
    status, out, _ = dry("prompt=a red car and a blue cup")
    assert status == 0 and "1 trial, 0 stored, 1 to do; about " in out and out.rstrip().endswith("of results")


def test_a_sweep_ends_with_one_total_in_which_every_trial_counts_once(dry):
    """best_of_n does not depend on lr: its four jobs have two trials, of which the second pair of jobs has none new."""
    two = "prompt=['a red car','a blue cup']"
    status, out, err = dry("-m", two, "lr=0.01,0.05", "method=reno,best_of_n", "iterations=4")
    jobs = re.findall(r"^job (\d): (.*)$", out, re.MULTILINE)
    assert [number for number, _ in jobs] == list("0123") and "lr=0.05 method=best_of_n" in jobs[3][1]
    *_, last = out.splitlines()
    per_trial = 5 * 100_000
    assert (status, err) == (0, "")
    assert last.startswith("total: 4 jobs, 6 trials, 0 stored, 6 new; about 3 MB of results; about ")
    assert 6 * per_trial == 3_000_000 and out.count("total:") == 1
    assert last.endswith(
        "on two CPU cores with CLIP, by reference_seconds in conf/models; nothing is known of another device until a "
        "trial is stored)"
    )
    assert "2 trials, 0 stored, 0 to do, 2 of an earlier job" in out
    assert len(out.splitlines()) == 9  # two lines a job, without its trials


def test_what_is_true_of_all_jobs_of_a_sweep_is_said_once(dry):
    words = ["models=sd_turbo", "prompt='ein Café'", "record=[]", "evaluators=[]"]
    status, out, _ = dry("-m", *words, "lr=0.01,0.05")
    assert status == 0 and len(re.findall("^sd_turbo, reno, metric clip: 1 trial", out, re.MULTILINE)) == 2
    assert out.count("not English") == 1
    _, out, _ = dry(*words)
    assert out.startswith("trial") and out.count("not English") == 1


def test_stored_trials_that_two_jobs_share_count_once(knobs, tmp_path, capsys):
    words = [*knobs, f"results={tmp_path / 'r'}", "tracking=disabled", "method=best_of_n", "iterations=0"]
    assert main([*words, "prompt=a red car"]) == 0
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert main(["-m", *words, "prompt='a red car','a blue cup'", "lr=0.01,0.05", "dry_run=true"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    (trial,) = (tmp_path / "r" / "trials").iterdir()
    written = sum(path.stat().st_size for path in trial.iterdir() if path.name != "trial.json")
    assert last.startswith(f"total: 4 jobs, 2 trials, 1 stored, 1 new; about {in_bytes(written)} of results; about ")
    assert "another device" not in last  # the stored trial's own time
    assert main(["-m", *words, "prompt='a red car','a blue cup'", "metric=clip,blip", "dry_run=true"]) == 0
    assert "(2 of the 3 jobs on two CPU cores with CLIP, by reference" in capsys.readouterr().out.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_job_of_a_sweep_that_cannot_run_is_told_and_the_others_are_counted(dry):
    status, out, err = dry("-m", "prompt='a red car'", "lr=0.01,-1,0.02")
    assert status == 2 and err == "error: job 1: lr must be a number above 0, not -1\n"
    assert out.splitlines()[-1].startswith("total: 2 jobs, 2 trials, 0 stored, 2 new;")
    assert out.rstrip().endswith("1 job cannot run")


def test_debug_shows_the_traceback_of_a_job_of_a_sweep_too(dry):
    status, _, err = dry("-m", "prompt='a red car'", "lr=0.01,-1", "debug=true")
    assert status == 2 and err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1] == "error: job 1: lr must be a number above 0, not -1"


def test_trials_that_are_all_stored_need_no_check(knobs, tmp_path, monkeypatch, capsys):
    words = [*knobs, f"results={tmp_path}", "tracking=disabled", "iterations=0", "prompt=a red car"]
    assert main(words) == 0
    assert main([*words, "evaluators=oracle"]) == main([*words, "evaluators=oracle", "dry_run=true"]) == 0


OWN = """
from reno.metrics import Metric
from reno.spec.errors import BadInput

class Odd(Metric):
    def __init__(self, folder, *, dtype, device, values=False):
        self.device = device
        if values:
            raise RuntimeError("needs values")

    def check_prompt(self, text):
        if "zebra" in text:
            raise BadInput("odd knows no zebra")

load = Odd
"""


def test_a_module_of_the_users_own_is_asked_too(dry, tmp_path, monkeypatch):
    (tmp_path / "mine" / "metric").mkdir(parents=True)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    (tmp_path / "own" / "metric.py").write_text(OWN)
    (tmp_path / "mine" / "metric" / "odd.yaml").write_text("name: odd\nterms: [{kind: own.metric}]\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ["-cd", str(tmp_path / "mine"), "metric=odd", "record=[]"]
    assert dry(*words, "prompt=a red car")[0] == 0
    status, _, err = dry(*words, "prompt=a red zebra")
    assert (status, err) == (2, "error: odd knows no zebra\n")
    status, out, _ = dry(*words, "prompt=a red zebra", "metric.terms.0.values=true")
    assert status == 0 and "note: metric own.metric cannot be asked without its weights (RuntimeError" in out
