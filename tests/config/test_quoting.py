"""Texts as a shell hands them over, as Hydra reads them."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from reno.config.compose import composed
from reno.config.page import RUN
from reno.config.quoting import as_text, as_value, each
from reno.config.words import as_hydra_reads, parse
from reno.evaluate import PAGE as EVALUATE
from reno.spec.errors import BadInput

PATHS = [
    "/x/café", "a (1)", "a & b", "~/x", "été [1]", "it's", 'say "hi"', "a;b", "$HOME/x", "${x}/y", "a#b", "a  b",
    "日本", "1e5", "007", "1_000", "true", "nan", "-1", "%20", "a=b", "a:b", "back\\slash", "x!",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_what_was_typed(path):
    knobs = ["results", "study", "prompts", "models.generator.path", "models.checkpoints.clip.path", "tracking.project"]
    for word in parse(RUN, [f"{knob}={path}" for knob in (*knobs, "models.generator.revision")]).knobs:
        parsed = OverridesParser.create().parse_override(word)
        value = OmegaConf.create({"it": parsed.value(), "x": "a value that must not be read"})
        assert (parsed.is_sweep_override(), value.it) == (False, path), word


def test_a_revision_is_no_number():
    values = composed(RUN, parse(RUN, ["models.generator.revision=12e4567"])).values
    assert values["models"]["generator"]["revision"] == "12e4567"


def test_a_comma_belongs_to_a_value_where_a_command_cannot_sweep():
    assert composed(EVALUATE, parse(EVALUATE, ["results=/x/a, b"])).values["results"] == "/x/a, b"


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("results=/x/café,a (1)", "results='/x/café','a (1)'"),
        ("results='/x/a, b',café", "results='/x/a, b','café'"),
        ("prompts=pairs_dev,/x/é.txt", "prompts=pairs_dev,'/x/é.txt'"),
        ("prompt=a red car,a cup", "prompt='a red car','a cup'"),
        ('prompt="a red car, a blue cup","café"', 'prompt="a red car, a blue cup","café"'),
        ("prompt=[un café,thé],[b]", "prompt=[un café,thé],[b]"),
        ("prompt=[un café,thé]", "prompt=['un café','thé']"),
        ("lr=0.1,0.2", "lr=0.1,0.2"),
        ("seed=[0,1],[2]", "seed=[0,1],[2]"),
        ("lr=range(0,1)", "lr=range(0,1)"),
        ("prompts=glob(pairs*)", "prompts=glob(pairs*)"),
        ("metric=étude,clip", "metric='étude',clip"),
        ("models.generator.path=/a b,/é", "++models.generator.path='/a b','/é'"),
        ("study=null", "study=null"),
        ("hydra.sweep.dir=/x/é", "hydra.sweep.dir='/x/é'"),
    ],
)
def test_in_a_sweep_each_of_several_values_is_read_by_itself(word, read):
    assert as_hydra_reads(RUN, word, sweeping=True) == read


def test_what_has_a_form_of_its_own_stays():
    for text in ("'a'", '"a"', "[a]", "{a: 1}", "null", "NULL"):
        assert as_text(text) == as_value(text) == text
    assert (as_text("1"), as_value("1"), as_value("${lr}é")) == ("'1'", "1", "${lr}é")


def test_pieces_between_commas_are_found_in_linear_time():
    assert each("a" + " " * 200_000 + ",b", as_value).endswith(",b")
    assert each(",".join("é" * 50_000), as_value).count(",") == 49_999


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("prompt=caf\udce9", r"^'prompt=caf\\udce9' holds a byte that is no UTF-8"),
        ("results=\ud800", "holds a byte that is no UTF-8"),
        ("study=a\0b", "holds a NUL character"),
        ("-cd=~nobody-here", "there is no user of that name"),
    ],
)
def test_what_no_file_could_hold_is_refused(word, says):
    with pytest.raises(BadInput, match=says):
        parse(RUN, [word])
