"""Claims as data: the default file, a study's own, and one sentence for each that cannot be used."""

from __future__ import annotations

import pytest

from analysis.numbers.measures import BY_NAME
from analysis.numbers.stated_claims import DEFAULT, metrics_called, named_metrics, stated_claims
from reno.spec.claims import MEASURES
from reno.spec.errors import BadInput

GOOD = {"key": "x", "statement": "s", "definition": "d", "parts": [{"measure": "bound", "a": "clip", "b": "blip"}]}


def part(**fields):
    """GOOD with another part."""
    return GOOD | {"parts": [{"measure": "bound", "a": "clip", "b": "blip"} | fields]}


def test_a_claim_may_measure_what_the_analysis_measures():
    assert tuple(BY_NAME) == MEASURES


def test_the_default_claims_are_four_on_clip_and_blip():
    found = stated_claims()
    assert [claim.key for claim in found] == ["a", "b", "c", "d"]
    assert named_metrics(found) == ("clip", "blip")
    told = {claim.key: [(one.measure, one.a, one.b, one.threshold) for one in claim.parts] for claim in found}
    assert told == {
        "a": [("fully_bound", "after", "before", 0)],
        "b": [("fully_bound", "clip", "blip", 0)],
        "c": [
            ("objects", "clip", None, 0.9),
            ("objects", "clip", "blip", -0.05),
            ("bound_given_present", "blip", "clip", 0),
        ],
        "d": [("attributes", "blip", None, 0.9), ("attributes", "blip", "clip", -0.05), ("swapped", "blip", "clip", 0)],
    }
    assert [claim.of_each_metric for claim in found] == [True, False, False, False]


def test_a_stores_own_claims_take_the_place_of_the_default_and_the_first_of_a_key_stays():
    other = GOOD | {"key": "y"}
    again = GOOD | {"statement": "another"}
    assert [(claim.key, claim.statement) for claim in stated_claims([other, GOOD, again])] == [("y", "s"), ("x", "s")]


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        (GOOD | {"parts": []}, "it has no parts"),
        ({"key": "x", "statement": "s", "parts": GOOD["parts"]}, "missing required field `definition`"),
        (GOOD | {"states": "s"}, "unknown field `states`"),
        (part(measure="bounds"), "measure 'bounds' is not known; did you mean 'bound'?"),
        (part(measure="x y z"), "measure 'x y z' is not known; it is one of fully_bound"),
        (part(abov=1), "unknown field `abov`"),
        (part(a="after"), "a part compares a: after with b: before, or one metric with another"),
        (part(a="before", b="after"), "a part compares a: after with b: before"),
        (part(a="blip"), "a and b are both 'blip'"),
        (part(margin=-0.1), "margin must be above 0"),
        (part(margin=5.0), "margin must be above 0, below 1"),
        (part(margin=float("inf")), "margin must be above 0, below 1"),
        (part(above=1.5), "above must be above -1 and below 1, as a difference of shares is, not 1.5"),
        (part(above=-1.5), "above must be above -1 and below 1, as a difference of shares is, not -1.5"),
        (part(above=-1.0), "above must be above -1 and below 1, as a difference of shares is, not -1"),
        (part(above=float("nan")), "above must be above -1 and below 1"),
        (GOOD | {"statement": " "}, "key, statement and definition must not be empty"),
        (part(margin=0.1, above=0.2), "margin must be above 0, below 1, and stand without `above`"),
        (part(b=None), "a part has b, what a is compared with, or at_least, the level that a has to reach"),
        (part(at_least=0.9), "at_least is about a alone, after optimisation; leave out b, margin and above"),
        (part(b=None, at_least=0.9, margin=0.1), "at_least is about a alone"),
        (part(b=None, at_least=90), "at_least must be above 0 and below 1, not 90; for example at_least: 0.9"),
        (part(b=None, a="after", at_least=0.9), "at_least is about one metric; write its name instead of a: after"),
        (
            part() | {"parts": [*part()["parts"], {"measure": "bound", "a": "after", "b": "before"}]},
            "parts on after and before are decided for each metric; put parts that name a metric into another claim",
        ),
        (part(margin="wide"), "Expected `float | null`, got `str`"),
        ("CLIP wins", "Expected `object`, got `str`"),
    ],
)
def test_a_claim_that_cannot_be_used_is_refused_in_one_sentence(claim, why):
    with pytest.raises(BadInput) as refused:
        stated_claims([GOOD | {"key": "first"}, claim])
    said = str(refused.value)
    key = "2" if isinstance(claim, str) else "x"
    assert said.startswith(f"claim {key} of the store's jobs cannot be used: ") and why in said
    assert "\n" not in said


def test_a_file_that_is_no_list_of_claims_is_refused(tmp_path):
    for text, why in (("key: a", "must be a list of claims"), ("- [", "cannot be read"), ("", "must be a list")):
        path = tmp_path / "claims.yaml"
        path.write_text(text, "utf-8")
        with pytest.raises(BadInput, match=why):
            stated_claims(default=path)
    with pytest.raises(BadInput, match="cannot be read"):
        stated_claims(default=tmp_path / "none.yaml")
    assert DEFAULT.is_file()


def test_a_metric_is_called_by_its_label_or_else_by_its_family():
    families = {"clip": "clip", "clip_vit_h": "clip", "blip_large": "blip", "clip+blip": "blip clip"}
    assert metrics_called("clip", families) == ["clip"]
    assert metrics_called("blip", families) == ["blip_large"]
    del families["clip"]
    assert metrics_called("clip", families) == ["clip_vit_h"]
    assert metrics_called("red_share", families) == []
