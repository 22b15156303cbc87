"""Every choice composes, and every study is planned in all its combinations."""

from __future__ import annotations

import re

import pytest
import yaml

from reno import HOME
from reno.config.conf import Conf
from reno.config.suites import suite_names
from reno.run import main

GROUPS = ("models", "metric", "method", "optimizer", "tracking")
CHOICES = [(group, choice) for group in GROUPS for choice in Conf().options(group) if choice != "testbed"]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes(compose, group, choice):
    weights = ["metric.weights={clip: 1}"] * (choice == "sum")  # of itself it sums nothing
    assert compose(f"{group}={choice}", *weights).settings.iterations == 2


OF_SUITES = {"suites_testbed": 2 * 2, "reno_table1": 1, "geneval": 2}
"""Studies of suites, and their jobs for one suite."""


@pytest.mark.parametrize("study", OF_SUITES)
def test_a_study_of_suites_names_suites_that_exist(study):
    values = yaml.safe_load((HOME / "experiments" / f"{study}.yaml").read_text())
    named = values.get("suite") or values["hydra"]["sweeper"]["params"]["suite"]
    assert set(named.split(",")) <= set(suite_names(Conf()))


@pytest.mark.parametrize("study", Conf().options("experiments"))
def test_every_experiment_composes_in_all_its_combinations(knobs, tmp_path, study, capsys):
    """As a user runs it: every job of the sweep is planned, none is run."""
    sets = tmp_path / "sets"
    sets.mkdir()
    small = sets / "small.txt"
    small.write_text("a red car and a blue cup\n")
    sweep = ["limit=1"] if study in OF_SUITES else [f"prompts={small}"]
    sweep += ["suite=testbed/pairs"] if study == "reno_table1" else []  # its own lists may have to be fetched
    models = [word for word in knobs if word.startswith("models")]  # the rest are the study's
    status = main(["-m", f"+experiments={study}", *models, "dry_run=true", f"results={tmp_path / 'r'}", *sweep])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    others = {"report": 1, "clip_vs_blip": 2 * 3 * 2 * 2, "ablation": 2 * 2 * 2 * 2}
    others |= {"methods": 2 * 11, "best_of_n_curve": 2 * 6, "colab": 2 * 2}
    jobs = (others | OF_SUITES)[study]
    assert len(re.findall(r"^job \d+:", shown.out, re.MULTILINE)) == jobs
    assert shown.err == ""
    if jobs > 1:
        assert shown.out.splitlines()[-1].startswith(f"total: {jobs} jobs, ")
