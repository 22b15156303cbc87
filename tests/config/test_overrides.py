"""Flags and knobs that Hydra would answer with an error of its own, or take and not use."""

from __future__ import annotations

import pytest

from reno.config.compose import composed, explain
from reno.config.conf import Conf
from reno.config.overrides import MOST_JOBS, check
from reno.config.page import RUN
from reno.config.words import parse
from reno.config.workers import check_launcher
from reno.spec.errors import BadInput

METRICS = ", ".join(Conf().options("metric"))


def refusal(*typed: str) -> str:
    with pytest.raises(BadInput) as refused:
        check(RUN, parse(RUN, typed))
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- Flags ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        ["--cfg", "job"], ["--cfg=all", "--resolve", "-p", "metric"], ["-c", "hydra", "lr=1"], ["--info"],
        ["-i", "plugins"], ["--version"], ["--hydra-help"], ["-sc", "install=bash"], ["--run"], ["-m", "lr=1,2"], [],
    ],
)  # fmt: skip
def test_flags_of_hydras_that_show_something_are_taken(typed):
    check(RUN, parse(RUN, typed))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["-x"], "-x is not a flag; the flags are -m, -cd FOLDER, --help, --cfg, "),
        (["-cn", "nothere"], "-cn is not a flag; "),
        (["--config-path=/x"], "--config-path is not a flag; "),
        (["--experimental-rerun=job.pickle"], "--experimental-rerun is not a flag; "),
        (["--cfg"], "--cfg  is not known; use --cfg with one of job, hydra, all"),
        (["--cfg", "x"], "--cfg x is not known; use --cfg with one of job, hydra, all"),
        (["--info=x"], "--info x is not known; use --info with one of all, config, "),
        (["--resolve"], "--resolve says how --cfg shows the configuration; add --cfg job"),
        (["-p", "metric"], "--package says how --cfg shows the configuration; add --cfg job"),
        (["--cfg", "job", "-p"], "--package needs a name, as in --cfg job --package metric"),
        (["--cfg", "job", "-m"], "--cfg and -m cannot be used together; leave one of them out"),
        (["-sc"], "--shell-completion needs one of install=SHELL, "),
        (["-sc", "install=bash", "lr=1"], "--shell-completion needs one of install=SHELL, "),
    ],
)
def test_another_flag_gets_one_sentence(typed, says):
    assert refusal(*typed).startswith(says)


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("=clip", "'=clip' has no knob before the =; write knob=value, and --help lists the knobs"),
        ("~", "'~' has no knob before the =; write knob=value, and --help lists the knobs"),
        ("lr", "'lr' is not knob=value; --help lists the knobs; did you mean 'lr=...'?"),
        ("metric@foo=clip", "metric@foo puts a choice where nothing reads it; write metric=NAME"),
        ("~metric", "metric has no value; leave out ~metric"),
        ("~lr", "lr has no value; leave out ~lr"),
        ("é=1", "é is not a knob; --help lists them all"),
        ("+foo/bar=1", "foo/bar is not a knob; --help lists them all"),
        ("steps=9", "steps is not a knob; did you mean 'models.generator.steps', as with models=dmd2_sdxl?"),
        ("climbers=2", "climbers is not a knob; did you mean 'method.climbers', as with method=halving?"),
        ("patience=9", "patience is not a knob; did you mean 'stop.patience'?"),
        ("nesterov=1", "nesterov is not a knob; did you mean 'optimizer.nesterov', as with optimizer=sgd_nesterov?"),
        ("seeds=9", "seeds is not a knob; did you mean 'seed'?"),
        ("hydra=nope", "hydra holds Hydra's own settings; set one of them, as in hydra.sweep.dir=FOLDER"),
        ("+experiment=report", "experiment is not a knob; did you mean '+experiments=report'?"),
        ("experiments=report", "a study is chosen with +experiments=NAME"),
        ("hydra.callbacks.sweep_folder=null", "hydra.callbacks.sweep_folder is the bench's own; leave it as it is"),
        ("hydra.searchpath=[/no/such]", "hydra.searchpath: '/no/such' is not a folder; -cd FOLDER adds one of yours"),
    ],
)
def test_a_name_that_nothing_has_gets_one_sentence(word, says):
    assert refusal(word) == says


def test_a_key_of_the_choice_that_was_made_is_named_without_it():
    assert refusal("climbers=2", "method=halving") == "climbers is not a knob; did you mean 'method.climbers'?"


def test_a_file_of_ones_own_that_cannot_be_read_and_was_not_chosen_hides_no_typing_error(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.yaml").write_text("a: [1")
    assert "did you mean 'models.generator.steps'" in refusal("-cd", str(tmp_path), "steps=9")


def test_a_group_of_ones_own_is_left_to_hydra(tmp_path):
    (tmp_path / "setting").mkdir()
    (tmp_path / "setting" / "mine.yaml").write_text("# @package _global_\nlr: 0.5\n")
    assert composed(RUN, parse(RUN, ["-cd", str(tmp_path), "+setting=mine"])).values["lr"] == 0.5


# --- Values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plus", ["", "+", "++"])
@pytest.mark.parametrize(
    "value", ["null", "true", "3", "", "[1,1]", "[]", "???", "/etc/passwd", "../metric/clip", "[clip]"]
)
def test_a_choice_that_is_no_name_is_refused_with_those_that_are(plus, value):
    assert refusal(f"{plus}metric={value}") == f"metric={value} is not known; use {METRICS}"
    assert refusal("-m", f"{plus}metric={value}").startswith("metric=")


def test_choices_of_ones_own_are_among_them(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "3d.yaml").touch()
    assert refusal("-cd", str(tmp_path), "metric=null") == f"metric=null is not known; use 3d, {METRICS}"
    check(RUN, parse(RUN, ["-cd", str(tmp_path), "metric=3d"]))


@pytest.mark.parametrize("knob", ["metric", "models.generator", "study", "++lr"])
def test_an_empty_mapping_sets_nothing(knob):
    assert refusal(f"{knob}={{}}").endswith("={} sets nothing; leave it out, or set one of its keys: "
                                            f"{knob.lstrip('+')}.KEY=VALUE")  # fmt: skip


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("lr=range(1,3,0)", "lr=range(1,3,0) must go from a number to a number by a step that is not 0"),
        ("lr=range(0,inf)", "lr=range(0,inf) must go from a number to a number"),
        ("lr=range(0)", "lr=range(0) gives no value; for example range(1,4) gives 1, 2 and 3"),
        ("lr=range(3,1)", "lr=range(3,1) gives no value"),
        ("metric=glob(x*)", f"metric=glob(x*) finds nothing; it may find {METRICS}"),
        ("seed=range(0,1000000)", f"the sweep has 1e+06 jobs; {MOST_JOBS} are the most"),
        ("metric=clip,null", "metric=clip,null is not known; use aesthetic, blip, "),
    ],
)
def test_a_sweep_of_nothing_or_of_too_much_is_refused(word, says):
    assert refusal("-m", word).startswith(says)


@pytest.mark.parametrize(
    "word", ["lr=range(3,1,-1)", "lr=range(0.1,0.5,0.1)", "metric=glob(*)", "seed=range(0,300)", "lr=1,1"]
)
def test_any_other_sweep_is_taken(word):
    check(RUN, parse(RUN, ["-m", word]))


# --- Studies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must have `# @package _global_` as its first line; without it its knobs reach no job"),
        ("# mine\n# @package _global_\nlr: 0.5\n", "must have"),
        ("lr: 0.5\n", "must have `# @package _global_` as its first line"),
        ("# @package _global_\n", "sets no knob; write the study's knobs into it, as in experiments/report.yaml"),
        ("\n# @package _global_\nnull\n", "sets no knob"),
    ],
)
def test_a_study_that_would_change_nothing_is_named(tmp_path, text, says):
    (tmp_path / "experiments").mkdir()
    path = tmp_path / "experiments" / "mine.yaml"
    path.write_text(text)
    assert refusal("-cd", str(tmp_path), "+experiments=mine").startswith(f"{path} {says}")
    path.write_text("\n#  @package  _global_ \nlr: 0.5\n")
    assert composed(RUN, parse(RUN, ["-cd", str(tmp_path), "+experiments=mine"])).values["lr"] == 0.5


# --- Hydra's own settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("hydra/launcher=rq", "hydra/launcher=rq needs a package that is not installed; "
                              "`pip install hydra-rq-launcher` brings it"),
        ("hydra/launcher=nope", "hydra/launcher=nope is not known; use basic, gpus, "),
        ("hydra/sweeper=optuna", "hydra/sweeper=optuna needs a package that is not installed; "
                                 "`pip install hydra-optuna-sweeper` brings it"),
        ("hydra.run.dir=null", "hydra.run.dir=null cannot be used here"),
        ("++metric.weights=[1,2]", "metric.weights=[1,2] cannot be used here; metric.weights takes keys and values, as "
                                   "in 'metric.weights={KEY: VALUE}'"),
        ("metric=clip/x", f"metric=clip/x is not known; use {METRICS}; did you mean 'clip'?"),
    ],
)  # fmt: skip
def test_what_only_hydra_knows_gets_a_sentence_too(word, says):
    with pytest.raises(Exception) as refused:
        composed(RUN, parse(RUN, ["metric=sum"] * word.startswith("++metric") + [word]))
    assert explain(refused.value, RUN, Conf()).startswith(says)


@pytest.mark.parametrize("none", ["0", "-0", "00"])
def test_a_launcher_without_a_worker_is_refused(none):
    with pytest.raises(BadInput, match=r"n_jobs=-?0+ starts no worker; give 1 or more, or -1 for one a CPU core"):
        check_launcher(parse(RUN, ["-m", "lr=1,2", "hydra/launcher=gpus", f"hydra.launcher.n_jobs={none}"]))
    check_launcher(parse(RUN, ["-m", "lr=1,2", "hydra/launcher=gpus", "hydra.launcher.n_jobs=10"]))


def test_a_launcher_without_a_sweep_is_refused():
    with pytest.raises(BadInput, match="hydra/launcher=gpus starts the jobs of a sweep, and this is one job; type -m"):
        check_launcher(parse(RUN, ["hydra/launcher=gpus"]))
    for words in (["-m", "hydra/launcher=basic"], ["+experiments=colab", "hydra/launcher=basic"]):
        check_launcher(parse(RUN, words))
