"""The knobs of a command are the keys of its page, and their help is the page's comments."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import yaml

from reno.check import PAGE as CHECK
from reno.config import page as pages
from reno.config.compose import composed, values_of
from reno.config.conf import OWN, Conf
from reno.config.page import RUN, Knob, Page
from reno.config.words import parse
from reno.convert import PAGE as CONVERT
from reno.evaluate import PAGE as EVALUATE
from reno.merge import PAGE as MERGE
from reno.reproduce import PAGE as REPRODUCE
from reno.status import PAGE as STATUS

PAGES = [RUN, EVALUATE, REPRODUCE, CHECK, CONVERT, STATUS, MERGE]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """written(text): a page of that text."""
    monkeypatch.setattr(pages, "OWN", tmp_path)

    def write(text):
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return Page("mine", "python -m mine", "What it does.", "exit status  0\n")

    return write


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_of_a_page_is_a_knob_and_has_help(page):
    values = yaml.safe_load((OWN / f"{page.name}.yaml").read_text(encoding="utf-8"))
    groups = [name for item in values.pop("defaults", []) if isinstance(item, dict) for name in item]
    values.pop("hydra", None)
    assert page.names() == [*(name for name in groups if not name.startswith("override")), *values]
    for knob in page.knobs():
        assert knob.help and knob.default, knob.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_knows_all_the_knobs_of_its_page_and_no_others(page):
    values = composed(page, parse(page, [])).values
    assert sorted(values) == sorted(page.names())


def test_removing_a_comment_changes_nothing_but_the_help(written):
    """One knob after another, on the page of reno.run."""
    text = (OWN / "config.yaml").read_text(encoding="utf-8")
    whole = written(text).knobs()
    assert len(whole) > 20
    for knob in whole:
        bare = re.sub(rf"^((?:  - )?{knob.name}:[^#\n]*?)[ \t]*#.*$", r"\1", text, flags=re.M)
        assert bare != text, knob.name
        expected = [dataclasses.replace(one, help="") if one.name == knob.name else one for one in whole]
        assert written(bare).knobs() == expected


def test_a_job_runs_without_the_comments(tmp_path, knobs, monkeypatch):
    from omegaconf import OmegaConf

    text = re.sub(r"[ \t]+#.*$", "", (OWN / "config.yaml").read_text(encoding="utf-8"), flags=re.M)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    values = composed(RUN, parse(RUN, knobs)).values
    monkeypatch.setattr(pages, "OWN", tmp_path)
    assert values_of(OmegaConf.create(values), RUN).values == values


def test_groups_plain_knobs_and_defaults_are_told_apart(written):
    page = written(
        "# A page.\n\n"
        "defaults:\n  - _self_\n  - models: testbed        # a generator\n  - override hydra/job_logging: none\n\n"
        "prompt: null    # a text; # of it\n"
        "seed: 42\n"
        "record: ${models.record}  # what is recorded\n"
        "url: 'a#b'   # an address\n"
        "nested:      # several\n  a: 1\n"
        "hydra:\n  run: {dir: x}\n"
    )
    assert page.knobs() == [
        Knob("models", "testbed", "a generator", True),
        Knob("prompt", "null", "a text; # of it", False),
        Knob("seed", "42", "", False),
        Knob("record", "${models.record}", "what is recorded", False),
        Knob("url", "'a#b'", "an address", False),
        Knob("nested", "", "several", False),
    ]


def test_help_has_a_line_a_knob_with_default_choices_and_comment(written):
    page = written(
        "defaults:\n  - metric: clip   # what is optimised\nseed: 42   # the seed\nrecord: ${models.record}\n"
        "runs: ${oc.select:models.runs,3}\n"
    )
    lines = page.help(Conf(), 200).splitlines()
    assert lines[:3] == ["usage: python -m mine", "", "What it does."]
    assert lines[4].split() == ["knob", "default", "what", "it", "is"]
    choices = ", ".join(Conf().options("metric"))
    assert lines[5] == f"{'metric':<15} {'clip':<20} what is optimised: {choices}"
    assert lines[6] == f"{'seed':<15} {'42':<20} the seed"
    assert lines[7] == f"{'record':<15} {'of models.record':<20} -"
    assert lines[8] == f"{'runs':<15} {'models.runs, or 3':<20} -"
    assert lines[9:] == ["", "exit status  0"]


@pytest.mark.parametrize("width", [60, 110])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_help_fits_the_terminal(page, width):
    said = page.help(Conf(), width)
    assert said.endswith("\n\n" + page.examples)
    table = said.removesuffix(page.examples)
    assert max(map(len, table.splitlines()[2:])) <= width
    for knob in page.knobs():
        assert re.search(rf"^{knob.name} ", table, re.M)


def test_studies_are_listed_where_a_command_has_them(tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").touch()
    said = RUN.help(Conf((OWN, tmp_path)))
    listed = " ".join(said[said.index("experiments (with +experiments=NAME): ") :].split()).split(": ")[1]
    assert "geneval, methods, mine, reno_table1, report, suites_testbed" in listed and listed.startswith("ablation")
    assert "experiments (with" not in EVALUATE.help(Conf())


def test_the_keys_of_a_detailed_knob_have_lines_of_their_own():
    text = RUN.help(Conf((OWN,)))
    keys = yaml.safe_load((OWN / "tracking" / "auto.yaml").read_text())
    for name, default in keys.items():
        shown = json.dumps(default).strip('"')
        assert re.search(rf"^  \.{name} +{re.escape(shown)} +\w", text, re.M)
    assert "  .head" not in text
