"""The embedded world's judges: right on held-out images, hard on malformed things, and read into the right verdicts."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
import torch

from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt
from reno.testbed.judges import JUNK, MIXED, PURE, SeenThing, agreement, color_names, learned, oracle, verdict
from reno.testbed.judges.analytic import AnalyticJudge
from reno.testbed.judges.specimens import BAD, DEGRADATIONS, degrade, held_out, lone
from reno.testbed.render import background_pixels, render
from reno.testbed.world import COLORS, OBJECTS, PALETTE, Backdrop, Scene, Thing
from reno.weights.images import from_uint8


@cache
def judge(name: str):
    return AnalyticJudge() if name == "analytic" else learned.load()


both = pytest.mark.parametrize("name", ["analytic", "learned"])


def pair(one: tuple[str, str], other: tuple[str, str]) -> np.ndarray:
    """An image of two (colour, object) pairs side by side."""
    return np.array(render(Scene((Thing(*one, 0.27, 0.5, 0.42), Thing(*other, 0.74, 0.5, 0.42)))))


def judged(name: str, image: np.ndarray, text: str):
    return oracle.Oracle(name, judge(name)).judge(from_uint8(image[None]), [Prompt(text)])[0]


@both
def test_bindings_are_judged_rightly_on_held_out_images(name):
    """Asked truthfully and falsely, of two and three things, on clean and worsened images."""
    rng = random.Random(11)
    right = []
    for index in range(60):
        image, asked = held_out(rng, 2 + index % 2)
        image = degrade(rng, image, DEGRADATIONS[index % len(DEGRADATIONS)])
        said = verdict(judge(name).look(image[None])[0], [binding for binding, _ in asked])
        right += [given.bound == truth for given, (_, truth) in zip(said.judgements, asked, strict=True)]
    assert np.mean(right) >= 0.985, f"{np.mean(right):.4f}"


@both
def test_a_two_toned_thing_is_bound_to_neither_of_its_colours(name):
    rng = random.Random(12)
    refused = []
    for _ in range(32):
        image, thing = lone(rng, "two_toned")
        said = verdict(judge(name).look(image[None])[0], [Binding(color, thing.object) for color in COLORS])
        refused.append(not said.bound and (said.faults["mixed"] or said.faults["junk"]))
    assert np.mean(refused) >= 0.93, f"{np.mean(refused):.3f}"


@both
@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != "two_toned"])
def test_what_is_no_whole_object_is_not_taken_for_one(name, kind):
    rng = random.Random(13)
    junk = []
    for _ in range(16):
        found = judge(name).look(lone(rng, kind)[0][None])[0]
        faults = verdict(found, [Binding("red", "car")]).faults
        junk.append(faults["junk"] or faults["mixed"] or (kind == "ghost" and not found))
    assert np.mean(junk) >= 0.75, f"{np.mean(junk):.3f}"


@both
def test_a_colour_with_a_little_of_another_has_its_name_and_one_half_way_has_none(name):
    for color, other in (("gold", "green"), ("red", "purple"), ("pink", "black"), ("orange", "gold")):
        for share, seen in ((0.08, color), (0.5, None), (0.92, other)):
            scene = Scene((Thing(color, "cup", size=0.5, leak=(other, share)),))
            (thing,) = judge(name).look(render(scene)[None])[0]
            assert (thing.object, thing.color) == ("cup", seen), (color, other, share)


@both
def test_each_colour_is_named_on_each_object(name):
    missed = []
    for object_ in OBJECTS:
        for color in COLORS:
            found = judge(name).look(render(Scene((Thing(color, object_, size=0.45),)))[None])[0]
            missed += [(color, object_)] * ([(thing.color, thing.object) for thing in found] != [(color, object_)])
    assert len(missed) <= 1, missed


@both
def test_what_is_swapped_is_said_to_be(name):
    said = judged(name, pair(("green", "bench"), ("gold", "clock")), "a gold bench and a green clock")
    assert said.faults == {"swapped": True, "missing": False, "junk": False, "mixed": False}
    for given in said.judgements:
        assert given.object_present and given.attribute_present and not given.bound
        assert given.bound_confidence < 0.2 < 0.8 < min(given.object_confidence, given.attribute_confidence)
    assert [given.instead for given in said.judgements] == ["green", "gold"]


def seen(name, color, sure=1.0):
    """A thing that a judge sees; color: None for a mixture."""
    objects, colors = np.zeros(len(OBJECTS) + 1), np.zeros(len(COLORS) + 1)
    objects[OBJECTS.index(name)], colors[COLORS.index(color) if color else -1] = sure, 1.0
    return SeenThing(0.5, 0.5, objects, colors)


def test_what_came_instead_is_the_colour_of_the_surest_thing_that_no_other_binding_asks_for():
    asked = [Binding("red", "car"), Binding("blue", "car"), Binding("gold", "cup"), Binding("pink", "star")]
    found = [seen("car", "green", 0.6), seen("car", "black", 0.7), seen("car", "blue", 0.9), seen("cup", None)]
    assert [given.instead for given in verdict(found, asked).judgements] == ["black", None, "mixed", None]
    assert verdict(found[2:], asked).judgements[0].instead == "blue"  # the only car there is


@both
def test_a_missing_object_and_an_attribute_on_another_thing(name):
    said = judged(name, pair(("green", "clock"), ("gold", "car")), "a gold bench and a green clock")
    bench, clock = said.judgements
    assert said.faults == {"swapped": False, "missing": True, "junk": False, "mixed": False}
    assert (bench.object_present, bench.attribute_present, bench.bound) == (False, True, False)
    assert (clock.object_present, clock.attribute_present, clock.bound) == (True, True, True)
    assert (bench.instead, clock.instead) == (None, None)  # one is not there, the other is right


@both
def test_judgements_come_in_the_prompts_order_and_verdicts_in_the_images(name):
    prompts = [Prompt("a gold bench and a green clock"), Prompt("a blue cup, a red star and a pink heart")]
    images = np.stack([pair(("gold", "bench"), ("green", "clock")), pair(("red", "star"), ("blue", "cup"))])
    said = oracle.Oracle(name, judge(name)).judge(from_uint8(images), prompts)
    assert [[(j.attribute, j.object, j.bound) for j in one.judgements] for one in said] == [
        [("gold", "bench", True), ("green", "clock", True)],
        [("blue", "cup", True), ("red", "star", True), ("pink", "heart", False)],
    ]
    assert [one.bound for one in said] == [2, 2]


@both
def test_nothing_is_found_on_an_empty_background(name):
    said = judged(name, background_pixels(Backdrop((225, 240, 230), (6, -6), (4, 3, 1))), "a red car")
    assert said.faults == {"swapped": False, "missing": True, "junk": False, "mixed": False}
    assert not said.judgements[0].bound and said.judgements[0].bound_confidence == 0


def thing(color: int, name: int, sure: float = 0.9) -> SeenThing:
    """A thing of a class of colours and a class of objects, each with probability `sure`."""
    objects, colors = np.full(JUNK + 1, (1 - sure) / JUNK), np.full(MIXED + 1, (1 - sure) / MIXED)
    objects[name], colors[color] = sure, sure
    return SeenThing(0.5, 0.5, objects, colors)


GREEN, GOLD = COLORS.index("green"), COLORS.index("gold")
BENCH, CLOCK = OBJECTS.index("bench"), OBJECTS.index("clock")


@pytest.mark.parametrize(
    ("seen", "faults"),
    [
        ([thing(GOLD, BENCH), thing(GREEN, CLOCK)], set()),
        ([thing(GREEN, BENCH), thing(GOLD, CLOCK)], {"swapped"}),
        ([thing(GREEN, BENCH)], {"missing"}),  # half of a swap: the other object is not there
        ([thing(GREEN, BENCH), thing(GOLD, OBJECTS.index("car"))], {"missing"}),
        ([thing(GREEN, BENCH), thing(GREEN, CLOCK)], set()),  # one colour is wrong, which is no swap
        ([thing(GOLD, BENCH), thing(GREEN, CLOCK), thing(GOLD, JUNK)], {"junk"}),
        ([thing(GOLD, BENCH), thing(GREEN, CLOCK), thing(MIXED, BENCH)], {"mixed"}),
        ([thing(MIXED, BENCH), thing(GREEN, CLOCK)], {"mixed"}),
        ([thing(MIXED, JUNK)], {"missing", "junk"}),  # what is no object is not also an object of mixed colour
        ([], {"missing"}),
    ],
)
def test_each_fault_is_named_and_no_other(seen, faults):
    said = verdict(seen, [Binding("gold", "bench"), Binding("green", "clock")])
    assert {name for name, there in said.faults.items() if there} == faults
    assert said.faults.keys() == {"swapped", "missing", "junk", "mixed"}


def test_the_last_class_of_an_object_is_junk_and_of_a_colour_a_mixture():
    assert (thing(GOLD, JUNK).object, thing(GOLD, JUNK).color) == (None, "gold")
    assert (thing(MIXED, BENCH).object, thing(MIXED, BENCH).color) == ("bench", None)
    assert (thing(COLORS.index(COLORS[-1]), OBJECTS.index(OBJECTS[-1])).object) == OBJECTS[-1]
    mixed = verdict([thing(MIXED, BENCH)], [Binding("gold", "bench")]).judgements[0]
    assert mixed.object_present and not mixed.attribute_present and not mixed.bound


def test_the_second_of_three_bindings_may_be_swapped_with_the_third():
    asked = [Binding("red", "car"), Binding("gold", "bench"), Binding("green", "clock")]
    assert verdict([thing(GREEN, BENCH), thing(GOLD, CLOCK)], asked).faults["swapped"]


def test_a_thing_is_named_by_its_likeliest_class():
    objects, colors = np.full(JUNK + 1, 0.01), np.full(MIXED + 1, 0.01)
    objects[JUNK], colors[COLORS.index("gold")] = 0.5, 0.9
    seen = SeenThing(0.5, 0.5, objects, colors)
    assert seen.object is None and seen.color == "gold"
    said = verdict([seen], [Binding("gold", "bench")])
    assert said.faults["junk"] and said.judgements[0].attribute_present and not said.judgements[0].bound
    assert said.judgements[0].bound_confidence == pytest.approx(0.009)


def test_each_colour_has_its_own_name_and_the_middle_of_two_has_none():
    for index, (name, rgb) in enumerate(PALETTE.items()):
        nearest, way = color_names(np.array(rgb))
        assert nearest == index and way < 1e-9, name
        for other in PALETTE.values():
            assert other == rgb or color_names((np.array(rgb) + other) / 2)[1] > 0.8 * PURE


def test_both_judges_agree():
    rng = random.Random(14)
    images, prompts = [], []
    for index in range(40):
        image, asked = held_out(rng, 2 + index % 2)
        bindings = tuple(binding for binding, _ in asked)
        images.append(image)
        prompts.append(Prompt("whatever", bindings))
    bound, disagreements = agreement(np.stack(images), prompts)
    assert bound >= 0.98 and len(disagreements) <= 4


def test_agreement_counts_bindings_and_names_the_images():
    class Blind:
        def look(self, images):
            return [[] for _ in images]

    images = np.stack([pair(("gold", "bench"), ("green", "clock")), pair(("gold", "car"), ("red", "star"))])
    prompts = [Prompt("a gold bench and a red clock"), Prompt("a gold bench and a green clock")]
    said = agreement(images, prompts, (judge("analytic"), Blind()))
    assert said == (0.75, [0])


def test_an_unknown_word_is_named():
    evaluator = oracle.load("oracle_analytic", judge="analytic")
    assert (evaluator.name, evaluator.kin) == ("oracle_analytic", "none")
    evaluator.check_prompt(Prompt("a gold bench and a green clock"))
    with pytest.raises(BadInput, match="no object 'zebra'"):
        evaluator.check_prompt(Prompt("a gold zebra"))


def test_what_cannot_be_loaded_or_judged_says_what_to_do(tmp_path):
    with pytest.raises(BadInput, match="make testbed"):
        oracle.load(checkpoints={"oracle": tmp_path})
    with pytest.raises(BadInput, match="did you mean 'learned'"):
        oracle.load(judge="learnt")
    with pytest.raises(BadInput, match="64 x 64"):
        oracle.load(judge="analytic").judge(torch.zeros(1, 3, 512, 512), [Prompt("a red car")])


def test_a_learned_judge_with_damaged_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    file = tmp_path / learned.FILE
    file.write_bytes((learned.WEIGHTS / learned.FILE).read_bytes()[:-10])
    with pytest.raises(BadInput, match=f"{file} is cut off"):
        learned.load(tmp_path)
    weights = load_file(learned.WEIGHTS / learned.FILE)
    del weights["head.bias"]
    save_file(weights, file)
    with pytest.raises(BadInput, match=f"{file} does not hold the learned judge's weights .*head.bias"):
        learned.load(tmp_path)
