"""The spatial judge: what it reads in a prompt, T2I-CompBench's rule worked out by hand, and a real forward."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from reno.evaluators import spatial
from reno.evaluators.finders import Detection
from reno.evaluators.spatial import Place, asks, iou, place_of, place_score, verdict
from reno.prompts.reader import prompt_from_text
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt

SQUARE = (479, 479)
"""An image whose pixels are the rule's."""
BEE, LAMP = (0, 200, 40, 240), (300, 200, 340, 260)


# --- Prompts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a bee on the left of a lamp", Place("bee", "on the left of", "lamp")),
        ("An airplane on the bottom of the wine glass.", Place("airplane", "on the bottom of", "wine glass")),
        ("a mouse on side of a key", Place("mouse", "on side of", "key")),
        ("a girl near a frog", Place("girl", "near", "frog")),
        ("a cat on top of a sofa", Place("cat", "on the top of", "sofa")),
        ("a cat next to a cat", None),
        ("a cat and a sofa", None),
        ("a cat left of a sofa", None),
        ("cats near a sofa", None),
        ("a cat is near a sofa and a dog is on the left of a chair", None),
    ],
)
def test_the_place_is_read_from_the_whole_text(text, place):
    assert place_of(text) == place
    assert asks(Prompt(text)) is (place is not None)


def test_a_prompt_with_attributes_is_left_to_other_judges():
    assert not asks(Prompt("a red bee near a lamp", (Binding("red", "bee"),)))


@pytest.mark.skipif("RENO_SUITES" not in os.environ, reason="needs RENO_SUITES, the folder with copies of the suites")
@pytest.mark.parametrize(("name", "prompts"), [("spatial_val", 300), ("spatial", 998)])
def test_every_line_of_the_benchmarks_lists_is_read(name, prompts):
    lines = (Path(os.environ["RENO_SUITES"]) / "t2i_compbench" / f"{name}.txt").read_text("utf-8").splitlines()
    read = {line: asks(prompt_from_text(line.strip(), name)) for line in lines if line.strip()}
    assert len(read) == prompts and all(read.values())


# --- The rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "one", "other", "score"),
    [
        ("on the left of", BEE, LAMP, 1.0),
        ("on the right of", BEE, LAMP, 0.0),
        ("on the right of", LAMP, BEE, 1.0),
        ("on the top of", BEE, LAMP, 0.0),  # 300 across and 10 down: beside and not above
        ("on the top of", (0, 0, 20, 20), (0, 100, 20, 120), 1.0),
        ("on the bottom of", (0, 0, 20, 20), (0, 100, 20, 120), 0.0),
        ("on the bottom of", (0, 100, 20, 120), (0, 0, 20, 20), 1.0),
        ("on the left of", (0, 0, 20, 20), (100, 100, 120, 120), 0.0),  # a diagonal is none of the four
        ("on the top of", (0, 0, 20, 20), (100, 100, 120, 120), 0.0),
        ("on the left of", (0, 0, 30, 10), (10, 0, 40, 10), 0.2),  # IoU 200 / 400
        ("on the left of", (0, 0, 55, 10), (45, 0, 100, 10), 1.0),  # IoU 100 / 1000 is a tenth: 0.1 / 0.1
        ("on the right of", (10, 0, 40, 10), (0, 0, 30, 10), 0.2),
        ("on the top of", (0, 0, 10, 30), (0, 10, 10, 40), 0.2),
        ("on the bottom of", (0, 10, 10, 40), (0, 0, 10, 30), 0.2),
        ("near", (0, 0, 10, 10), (149, 400, 159, 410), 1.0),  # one axis is enough
        ("next to", (0, 0, 10, 10), (400, 149, 410, 159), 1.0),
        ("near", (0, 0, 10, 10), (150, 300, 160, 310), 0.5),  # 150 is not below 150
        ("on side of", (0, 0, 10, 10), (200, 150, 210, 160), 0.75),
        # Boxes that touch, with centres a pixel or half a pixel apart: the least shift counts, to one side only.
        ("on the left of", (0, 0, 1, 1), (1, 0, 2, 1), 1.0),
        ("on the right of", (0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), 0.0),
        ("on the top of", (0, 0, 1, 1), (0, 1, 1, 2), 1.0),
        ("on the bottom of", (0, 0, 0.5, 0.5), (0, 0.5, 0.5, 1), 0.0),
        ("on the bottom of", (100, 100, 120, 120), (0, 0, 20, 20), 0.0),  # a diagonal
    ],
)
def test_a_place_scores_by_the_benchmarks_rule(relation, one, other, score):
    assert place_score(relation, one, other) == pytest.approx(score)


def test_the_overlap_is_the_intersection_over_the_union():
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert iou((0, 0, 10, 10), (20, 0, 30, 10)) == 0.0
    assert iou((0, 0, 10, 10), (5, 5, 15, 15)) == pytest.approx(25 / 175)


# --- The verdict ------------------------------------------------------------------------------------------------------

LEFT = Place("bee", "on the left of", "lamp")


def test_the_score_is_half_the_place_and_a_quarter_of_each_detections_score():
    found = [Detection("bee", 0.8, BEE), Detection("lamp", 0.4, LAMP), Detection("bee", 0.3, (400, 0, 420, 20))]
    said = verdict(LEFT, found, 0.2, SQUARE)  # the bee with the highest score counts, and not the one on the right
    assert said.score == pytest.approx(0.2 + 0.1 + 0.5) and said.correct is True and said.faults == {"missing": False}
    turned = verdict(Place("lamp", "on the left of", "bee"), found, 0.2, SQUARE)
    assert (turned.score, turned.correct, turned.judgements) == (0.0, False, ())  # 0.3 is below a half


def test_a_place_that_holds_in_part_is_scored_and_is_not_correct():
    found = [Detection("bee", 0.9, (0, 0, 30, 10)), Detection("lamp", 0.9, (10, 0, 40, 10))]
    said = verdict(LEFT, found, 0.2, SQUARE)
    assert said.score == pytest.approx(0.55) and said.correct is False


@pytest.mark.parametrize("lamp", [0.2, 0.1])
def test_an_object_that_is_not_above_the_threshold_is_not_there(lamp):
    said = verdict(LEFT, [Detection("bee", 0.9, BEE), Detection("lamp", lamp, LAMP)], 0.2, SQUARE)
    assert (said.score, said.correct, said.faults, said.judgements) == (0.0, False, {"missing": True}, ())


def test_a_score_of_one_half_is_kept():
    said = verdict(LEFT, [Detection("bee", 1.0, LAMP), Detection("lamp", 1.0, BEE)], 0.2, SQUARE)
    assert (said.score, said.correct) == (0.5, False)  # two sure detections, and the bee on the right


@pytest.mark.parametrize(
    ("size", "placed"),
    [
        ((479, 479), 0.5 + 1 / 28),  # 150 / 280
        ((958, 958), 1.0),  # 280 pixels are 140 of the rule's
        ((240, 240), 150 / (280 * 479 / 240)),
        ((240, 480), 0.5 + 1 / 28),  # the longer side is 480 at most: 280 pixels are 280
    ],
)
def test_distances_are_those_of_an_image_with_a_shorter_side_of_479(size, placed):
    found = [Detection("bee", 1.0, (0, 0, 10, 10)), Detection("lamp", 1.0, (280, 280, 290, 290))]
    assert verdict(Place("bee", "near", "lamp"), found, 0.2, size).score == pytest.approx(0.5 + placed / 2)


class Finds:
    """A finder that sees a bee, and a lamp 280 pixels away in both directions."""

    device, parts = torch.device("cpu"), ()

    def find(self, images, objects):
        return [[Detection("bee", 1.0, (0, 0, 10, 10)), Detection("lamp", 1.0, (280, 280, 290, 290))] for _ in images]

    def known_as(self, name):
        return name


def test_an_image_is_as_high_and_as_wide_as_its_tensor_says():
    (said,) = spatial.SpatialJudge("mine", Finds(), 0.2).judge(
        torch.zeros(1, 3, 240, 480), [Prompt("a bee near a lamp")]
    )
    assert said.score == pytest.approx(0.5 + (0.5 + 1 / 28) / 2)  # as in the table above


# --- With weights -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge(tiny):
    return spatial.load("detector_spatial", {"owlv2": tiny / "owlv2"}, torch.device("cpu"), threshold=0.0)


def test_a_real_forward_gives_a_verdict_that_follows_from_the_finders_boxes(judge, images):
    prompts = [Prompt("a bee on the left of a lamp"), Prompt("a lamp near a bee")]
    said = judge.judge(images, prompts)
    assert said == judge.judge(images, prompts)
    for image, prompt, one in zip(images, prompts, said, strict=True):
        place = place_of(prompt.text)
        (found,) = judge.finder.find(image[None], [(place.object, place.other)])
        assert {each.object for each in found} == {"bee", "lamp"}
        assert one == verdict(place, found, 0.0, tuple(image.shape[-2:])) and one.faults == {"missing": False}


def test_it_is_loaded_with_its_own_threshold_unless_another_is_given(tiny):
    folders, cpu = {"mask2former": tiny / "mask2former"}, torch.device("cpu")
    usual, own = spatial.load("mine", folders, cpu), spatial.load("mine", folders, cpu, threshold=0.7, image_size=48)
    assert (usual.name, usual.threshold, own.threshold) == ("mine", 0.2, 0.7)
    assert own.finder.preprocess.size == 48 != usual.finder.preprocess.size
    read, strict = spatial.reader("mine", folders), spatial.reader("mine", folders, threshold=0.7)
    assert (read.name, read.threshold, strict.threshold) == ("mine", 0.2, 0.7)


def test_an_object_that_the_detector_cannot_read_gets_one_sentence(judge, tiny):
    reader = spatial.reader("detector_spatial", {"owlv2": tiny / "owlv2"}, image_size=None)
    for each in (judge, reader):
        each.check_prompt(Prompt("a bee near a lamp"))
        each.check_prompt(Prompt("no place"))
        each.check_prompt(Prompt(f"a red bee near a {'x' * 80}", (Binding("red", "bee"),)))  # which is not judged
        with pytest.raises(BadInput, match="too long"):
            each.check_prompt(Prompt(f"a bee near a {'x' * 80}"))
