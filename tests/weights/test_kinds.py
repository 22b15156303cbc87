"""Kinds by name: this program's modules, and a user's own by their dotted path."""

from __future__ import annotations

from typing import Literal

import pytest

from reno.metrics import clip
from reno.spec.errors import BadInput
from reno.weights.kinds import check_options, kinds, module_of, short_kind


@pytest.fixture
def own(tmp_path, monkeypatch):
    """own(name, source): a module in a folder outside the checkout."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, source):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)

    return write


def refusal(call):
    with pytest.raises(BadInput) as refused:
        call()
    return str(refused.value)


# --- Modules ----------------------------------------------------------------------------------------------------------


def test_a_kind_without_a_dot_is_a_module_of_its_room():
    assert module_of("metric", "clip", "reno.metrics") is clip
    assert module_of("metric", "reno.metrics.clip", "reno.evaluators") is clip


def test_a_kind_with_a_dot_is_a_users_own_module(own):
    own("lab_a.sharp", "def load(folder):\n    return 7\n")
    assert module_of("metric", "lab_a.sharp", "reno.metrics").load(None) == 7


def test_a_module_without_what_its_room_needs_is_refused(own):
    own("lab_e.sharp", "load = 7\n")
    for room, what, needed in (("reno.metrics", "metric", "load"), ("reno.methods", "method", "steps")):
        said = refusal(lambda room=room, what=what: module_of(what, "lab_e.sharp", room))
        assert said == f"{what} kind 'lab_e.sharp': the module lab_e.sharp has no function {needed}"


def test_a_rooms_kinds_are_its_modules():
    assert kinds("reno.metrics") == [
        "aesthetic", "blip", "blip2_itm", "clip", "hpsv2", "imagereward", "pickscore", "siglip2",
    ]  # fmt: skip
    assert kinds("reno.methods") == [
        "best_of_n", "decoder_only", "dno", "evolution", "gper", "halving", "mpgr", "none", "reno", "ses", "zero_order",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["clop", "reno.metrics.clop"])
def test_a_module_that_is_not_there_is_refused_with_those_that_are(kind):
    said = refusal(lambda: module_of("metric", kind, "reno.metrics"))
    hint = "; did you mean 'clip'?" if kind == "clop" else ""
    known = ", ".join(kinds("reno.metrics"))
    assert said == f"metric kind {kind!r} is not a module; use {known} or the dotted path of your own module{hint}"


def test_a_module_of_ones_own_that_is_not_found_says_where_to_run_the_command():
    said = refusal(lambda: module_of("metric", "lab_b.sharp", "reno.metrics"))
    assert said == (
        "metric kind 'lab_b.sharp': Python finds no module lab_b.sharp from here; run the command in the folder that "
        "holds lab_b/, or add that folder to PYTHONPATH"
    )


def test_a_module_that_is_not_there_inside_one_that_is(own):
    own("lab_c.there", "")
    said = refusal(lambda: module_of("metric", "lab_c.sharp", "reno.metrics"))
    assert said.startswith("metric kind 'lab_c.sharp': Python finds no module lab_c.sharp from here")


def test_a_module_that_needs_another_names_that(own):
    own("lab_d.sharp", "import no_such_package.inner\n")
    assert refusal(lambda: module_of("metric", "lab_d.sharp", "reno.metrics")) == (
        "metric lab_d.sharp cannot be imported: it needs no_such_package, which is not installed"
    )


@pytest.mark.parametrize(
    ("number", "source", "says"),
    [
        (1, "1 / 0\n", "ZeroDivisionError: division by zero"),
        (2, "def f(:\n", "SyntaxError: "),
        (3, "raise ModuleNotFoundError('no name')\n", None),
        (4, "from reno.metrics import nothing\n", "ImportError: cannot import name 'nothing'"),
    ],
)
def test_a_module_that_raises_is_refused_with_what_it_said(own, number, source, says):
    own(f"lab_e{number}.sharp", source)
    said = refusal(lambda: module_of("metric", f"lab_e{number}.sharp", "reno.metrics"))
    assert said.startswith(f"metric lab_e{number}.sharp cannot be imported")
    if says:
        assert says in said and said.endswith(f"; correct lab_e{number}.sharp")


def test_an_identity_calls_own_kinds_short_and_others_by_their_whole_path():
    assert short_kind("clip") == "clip" and short_kind("reno.testbed.judges.oracle") == "oracle"
    assert short_kind("lab.renown.sharp") == "lab.renown.sharp" and short_kind("renovated.x") == "renovated.x"


# --- Options ----------------------------------------------------------------------------------------------------------


def load(folder, *, dtype, device, head: Literal["itm", "itc"] = "itm", threshold: float = 0.5):
    pass


BESIDES = ("folder", "dtype", "device")


def test_options_that_a_kind_has_are_taken():
    check_options("metric x", {}, load, BESIDES)
    check_options("metric x", {"head": "itc", "threshold": "anything"}, load, BESIDES)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hed": "itc"}, "metric x has no option 'hed'; it has head, threshold; did you mean 'head'?"),
        ({"head": "itc", "zzz": 1}, "metric x has no option 'zzz'; it has head, threshold"),
        ({"dtype": 1}, "metric x has no option 'dtype'; it has head, threshold"),
        ({"head": "itcc"}, "metric x: head=itcc is not known; use itm or itc; did you mean 'itc'?"),
        ({"head": None}, "metric x: head=None is not known; use itm or itc"),
    ],
)
def test_an_option_that_a_kind_does_not_have_is_refused(options, says):
    assert refusal(lambda: check_options("metric x", options, load, BESIDES)) == says


def test_a_kind_without_options_says_so():
    assert refusal(lambda: check_options("metric x", {"a": 1}, lambda folder: None, BESIDES)) == (
        "metric x has no option 'a'; it has none"
    )


def test_a_kind_that_takes_anything_gets_it():
    check_options("metric x", {"a": 1}, lambda folder, **options: None, BESIDES)


def test_annotations_may_be_texts_and_may_name_what_is_not_there(own):
    """As under `from __future__ import annotations`, with a type that is imported for checkers only."""
    own("lab_f.text", "from typing import Literal\ndef load(*, head: 'Literal[\"a\"]' = 'a'): pass\n")
    own("lab_f.missing", "def load(*, head: 'Missing' = 'a'): pass\n")
    text, missing = (module_of("metric", f"lab_f.{name}", "reno.metrics").load for name in ("text", "missing"))
    assert "head=b is not known; use a" in refusal(lambda: check_options("x", {"head": "b"}, text, ()))
    check_options("x", {"head": "b"}, missing, ())
    assert "no option 'hed'" in refusal(lambda: check_options("x", {"hed": "b"}, missing, ()))


def test_a_class_is_checked_by_its_constructor():
    from reno.metrics.blip import BlipMetric

    check_options("metric blip", {"head": "itc"}, BlipMetric, BESIDES)
    assert "use itm or itc" in refusal(lambda: check_options("metric blip", {"head": "x"}, BlipMetric, BESIDES))
    assert "no option 'self'" in refusal(lambda: check_options("metric blip", {"self": 1}, BlipMetric, BESIDES))
