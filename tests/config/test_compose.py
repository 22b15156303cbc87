"""What a user typed wrong, in one sentence."""

from __future__ import annotations

import pytest

from reno.config.compose import composed, explain
from reno.config.conf import Conf
from reno.config.page import RUN
from reno.config.words import parse
from reno.evaluate import PAGE as EVALUATE
from reno.spec.errors import BadInput


def sentence(page, *typed):
    with pytest.raises(Exception) as refused:
        words = parse(page, typed)
        composed(page, words)
    return explain(refused.value, page, words.conf)


METRICS, STUDIES = (", ".join(Conf().options(group)) for group in ("metric", "experiments"))
UNREADABLE = (
    "cannot be read as knob=value; put a value with commas, quotes or brackets in two pairs of quotes, as in "
    "prompt='\"a, b\"'"
)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["lr=1,2"], "lr has several values; add -m to sweep over them"),
        (["seed=1,2"], "seed has several values; add -m to sweep over them, or write one list: 'seed=[1,2]'"),
        (["metric=clop"], f"metric=clop is not known; use {METRICS}; did you mean 'clip'?"),
        (["+experiments=reprot"], f"experiments=reprot is not known; use {STUDIES}; did you mean 'report'?"),
        (["iteration=3"], "iteration is not a knob; did you mean 'iterations'?"),
        (["zzz=3"], "zzz is not a knob; --help lists them all"),
        (["+zzz=3"], "zzz is not a knob; --help lists them all"),
        (["zzz.x=3"], "zzz.x is not a knob; --help lists them all"),
        (["~zzz"], "zzz is not a knob; --help lists them all"),
        (["~lr"], "lr has no value; leave out ~lr"),
        (["lr"], "'lr' is not knob=value; --help lists the knobs; did you mean 'lr=...'?"),
        (["prompt=[a"], f"'prompt=[a' {UNREADABLE}"),
        (["-m", "lr=1,2"], "python -m reno.run cannot sweep; leave out -m and give each knob one value"),
        (["--resolve"], "--resolve is not a flag of this command; knobs are typed as knob=value"),
        (["lr=${nothing}"], "the value of lr cannot be read (Interpolation key 'nothing' not found)"),
    ],
)  # fmt: skip
def test_what_cannot_be_composed_is_one_sentence(typed, says):
    assert sentence(RUN, *typed) == says


def test_another_command_has_its_own_knobs_and_words():
    assert sentence(EVALUATE, "lr=3") == "lr is not a knob; --help lists them all"
    assert sentence(EVALUATE, "device=cpu,cuda") == "device has several values; give it one"
    assert "cannot sweep; leave out -m and give each knob one value" in sentence(EVALUATE, "-m")
    assert sentence(EVALUATE, "evalutors=x") == "evalutors is not a knob; did you mean 'evaluators'?"


def test_a_choice_of_ones_own_is_listed(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "clipper.yaml").touch()
    known = ", ".join(sorted([*METRICS.split(", "), "clipper"]))
    assert sentence(RUN, "-cd", str(tmp_path), "metric=clippr") == (
        f"metric=clippr is not known; use {known}; did you mean 'clipper'?"
    )


def test_what_the_user_did_not_do_is_not_explained():
    assert explain(KeyError("x")) is None and explain(RuntimeError("CUDA error")) is None
    assert explain(BadInput("say this")) == "say this"


def test_values_are_plain_and_their_references_known():
    chosen = composed(RUN, parse(RUN, ["metric=blip"]))
    assert chosen.values["metric"]["terms"][0]["head"] == "itm"
    assert {"metric.head", "models.record"} <= chosen.references
