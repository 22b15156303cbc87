"""The metrics' training: how noisy the captions are, what the pictures are labelled as, and that what a stage exports
scores as what it trained."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reno.metrics.blip import BlipMetric
from reno.metrics.clip import ClipMetric
from reno.prompts.reader import read_text
from reno.spec.errors import BadInput
from reno.testbed import layout, tokenizers
from reno.testbed.render import render
from reno.testbed.training import blip, captions, clip, labels, metric_stage, picture_families, picture_pool
from reno.testbed.training import vae as vae_stage
from reno.testbed.training.loop import tensor_of
from reno.testbed.training.spoiling import SPOILERS, blended, chimera, fused, two_toned
from reno.testbed.world import (
    COLORS,
    HELD_OUT,
    OBJECTS,
    TAUGHT_COLORS,
    TAUGHT_OBJECTS,
    Scene,
    Thing,
    allowed,
    caption,
    sample_pairs,
    sample_scene,
)

SHARES = {"drawn": 1, "spoiled": 1, "swapped": 1}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build folder with an untrained VAE and a pool of 48 pictures a family."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "vae").mkdir()
    torch.manual_seed(0)
    save_file(dict(vae_stage.build().named_parameters()), folder / "vae" / "average.safetensors")
    picture_pool.PicturePool(folder, labels.SQUARE, generated=0.0, sizes=SHARES, chunk=48)
    return folder


def many_captions(count: int = 3000, **shares: float) -> list[tuple[list, captions.Caption]]:
    rng = random.Random(5)
    noise = captions.CaptionNoise(**({"dropped": 0, "jumbled": 0, "partial": 0, "prefixed": 0} | shares))
    asked = [sample_pairs(rng, 2 + i % 2) for i in range(count)]
    return [(pairs, captions.noisy(rng, pairs, noise)) for pairs in asked]


def read(text: str) -> list[tuple[str, str]]:
    return [(binding.attribute, binding.object) for binding in read_text(text).bindings]


@pytest.mark.parametrize(("kind", "share"), [("dropped", 0.2), ("jumbled", 0.14), ("partial", 0.15), ("prefixed", 0.3)])
def test_captions_are_as_noisy_as_stated(kind, share):
    def is_so(pairs, written):
        if kind == "prefixed":
            return written.text.startswith("a photo of ")
        if kind == "partial":
            return set(read(written.text)) < set(pairs)
        said = sorted(word for word in written.text.replace(",", "").split() if word != "and")
        whole = sorted(word for word in caption(pairs).replace(",", "").split() if word != "and")
        if kind == "dropped":
            return len(said) < len(whole) or written.text.count("and") + written.text.count(",") < len(pairs) - 1
        return set(read(written.text)) != set(pairs)

    found = np.mean([is_so(*one) for one in many_captions(**{kind: share})])
    assert abs(found - share) < 0.025
    assert not any(is_so(*one) for one in many_captions(600))


def test_no_caption_claims_a_held_out_combination():
    for pairs, written in many_captions(dropped=0.2, jumbled=0.5, partial=0.3):
        assert not set(written.claims) & HELD_OUT
        rng = random.Random(written.text)
        assert not set(captions.false(rng, pairs)) & HELD_OUT
        assert set(captions.false(rng, pairs)) != set(pairs)


def test_a_false_caption_is_wrong_by_a_swap_a_colour_or_an_object():
    rng, kinds = random.Random(6), {"swap": 0, "color": 0, "object": 0}
    for _ in range(900):
        pairs = sample_pairs(rng, 2)
        wrong = captions.false(rng, pairs)
        same_colors, same_objects = ({p[i] for p in pairs} == {p[i] for p in wrong} for i in (0, 1))
        assert same_colors or same_objects
        kinds["swap" if same_colors and same_objects else "object" if same_colors else "color"] += 1
    assert all(200 < count < 400 for count in kinds.values())


def test_the_lessons_teach_the_worlds_words_and_further_ones():
    rng = random.Random(8)
    things = [pair for _ in range(2000) for pair in picture_families.taught_pairs(rng, 2)]
    assert not set(things) & HELD_OUT
    world = [color in COLORS and name in OBJECTS for color, name in things]
    assert 0.5 < np.mean(world) < 0.75  # half, and those of the others that happen to be
    assert {color for color, _ in things} == set(TAUGHT_COLORS) and {name for _, name in things} == set(TAUGHT_OBJECTS)


@pytest.mark.parametrize(("color", "further"), [("blue", False), ("teal", True)])
def test_what_is_false_of_the_worlds_scene_is_in_the_worlds_words(color, further):
    pairs = [("red", "car"), (color, "cup")]
    for what, known in (("color", COLORS), ("object", OBJECTS)):
        named = {
            pair[what == "object"] for one in captions.replacements(pairs, what) for pair in one if pair not in pairs
        }
        assert named & set(known) and bool(named - set(known)) == further


def test_the_pool_shows_nothing_held_out_and_its_labels_are_what_is_drawn(built):
    pool = picture_pool.PicturePool(built, labels.SQUARE, generated=0.0, sizes=SHARES, chunk=48)
    for family in pool.families.values():
        assert family.images.dtype == torch.uint8 and family.images.shape[1:] == (3, 64, 64)
        for numbers in (*family.asked, *family.shown):
            pairs = picture_pool.pairs_of(numbers)
            assert allowed(pairs)
        assert torch.equal(family.asked[::2], family.asked[1::2])  # twins
    assert (pool.families["spoiled"].shown[1::2] == -1).all()  # shows nothing that may be named
    assert not (pool.families["spoiled"].shown[::2] == -1).all((1, 2)).any()
    changed = (pool.families["drawn"].shown[1::2] != pool.families["drawn"].asked[1::2]).any((1, 2))
    assert changed.float().mean() > 0.8


def test_a_faulty_twin_is_named_as_asked_only_now_and_then():
    """Where a colour leaked a little; every other fault is named."""
    rng = random.Random(12)
    asked = [sample_pairs(rng, 2) for _ in range(1000)]
    shown = [labels.shown_by(picture_families.faulty(rng, pairs), labels.SQUARE, rng) for pairs in asked]
    same = np.mean([set(one) == set(other) for one, other in zip(asked, shown, strict=True)])
    assert 0.01 < same < 0.1


def test_the_patches_say_what_covers_them():
    scene = Scene((Thing("red", "heart", 0.25, 0.25, 0.4), Thing("blue", "star", 0.7, 0.7, 0.4, leak=("gold", 0.9))))
    pairs = labels.shown_by(scene, labels.SQUARE)
    assert pairs == [("red", "heart"), ("gold", "star")]
    objects, colors = picture_pool.patch_map(
        labels.LabelledPicture(render(scene), pairs, pairs, scene.things), labels.SQUARE
    )
    assert (objects[2, 2], colors[2, 2]) == (OBJECTS.index("heart"), COLORS.index("red"))
    assert (objects[5, 5], colors[5, 5]) == (OBJECTS.index("star"), COLORS.index("gold"))
    assert objects[0, 7] == picture_pool.NOTHING and colors[0, 7] == picture_pool.UNGRADED
    hidden = picture_pool.patch_map(labels.LabelledPicture(render(scene), pairs, [], scene.things), labels.SQUARE)
    assert (hidden == picture_pool.UNGRADED).all()


class PerfectPainter:
    """Draws the law's scenes, the third of them badly."""

    def __init__(self, asked):
        self.asked = asked

    def __call__(self, noise, texts):
        images = [render(layout.scene_of(z, p)) for z, p in zip(noise.double().numpy(), self.asked, strict=True)]
        images[2] = np.full_like(images[2], 128)
        return tensor_of(images)


@pytest.mark.slow
def test_painted_pictures_are_labelled_by_the_law():
    rng = random.Random(8)
    asked = [sample_pairs(rng, 2) for _ in range(300)]
    noise = torch.from_numpy(np.random.default_rng(8).standard_normal((300, 8, 8, 8))).float()
    records = labels.labelled(PerfectPainter(asked), noise, asked, labels.SQUARE)
    leaked = vanished = unnamed = 0
    for index, (record, z) in enumerate(zip(records, noise.double().numpy(), strict=True)):
        scene = layout.scene_of(z, record.asked)
        shares = [thing.leak[1] for thing in scene.things]
        if index == 2 or not shares or any(labels.SQUARE.clear < share < 1 - labels.SQUARE.clear for share in shares):
            assert record.shown == []
        if not record.shown:
            unnamed += 1
            continue
        assert len(record.shown) == len(scene.things)
        for (color, name), thing in zip(record.shown, scene.things, strict=True):
            assert name == thing.object
            assert color == (thing.leak[0] if thing.leak[1] > 0.5 else thing.color)
            leaked += color != thing.color
        vanished += len(record.shown) < 2
    assert leaked > 40 and vanished > 3 and 10 < unnamed < 200


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_how_much_of_a_colour_leaked_is_read_off_the_image(share):
    """Whatever share the law says, and though the thing lies three pixels off."""
    law = Scene((Thing("red", "car", 0.3, 0.3, 0.4, leak=("blue", 0.1)), Thing("blue", "bench", 0.7, 0.7, 0.4)))
    car = Thing("red", "car", 0.3 + 3 / 64, 0.3 - 2 / 64, 0.4, leak=("blue", share))
    found, off = labels.sought(render(Scene((car, law.things[1]))), law)
    assert off < 0.02
    assert found.things[0].leak == ("blue", pytest.approx(share, abs=0.02))


@pytest.mark.parametrize("spoil", [two_toned, chimera, fused, blended])
def test_an_image_that_is_not_what_the_law_says_is_far_from_it(spoil):
    rng = random.Random(10)
    far = []
    for _ in range(20):
        scene = sample_scene(rng, 2)
        colors = [thing.color for thing in scene.things]
        scene = Scene(tuple(replace(t, leak=(c, 0.0)) for t, c in zip(scene.things, colors[::-1], strict=True)))
        far.append(labels.sought(spoil(rng, scene), scene)[1] - labels.sought(render(scene), scene)[1])
    assert np.median(far) > 0.05


@pytest.mark.parametrize(("naming", "own", "other"), [(labels.SQUARE, 0.49, 0.09), (labels.PURE, 0.343, 0.027)])
def test_what_is_between_two_answers_is_named_by_either(naming, own, other):
    rng = random.Random(11)
    middle = labels.WHOLE[2] * (labels.UNNAMED + labels.NAMED) / 2
    small = Thing("gold", "cup", 0.7, 0.7, middle)
    scene = Scene((Thing("red", "car", 0.3, 0.3, 0.4, leak=("gold", 0.3)), small))
    said = [labels.named(scene, 2, naming, rng) for _ in range(2000)]
    assert np.mean([("red", "car") in pairs for pairs in said]) == pytest.approx(own, abs=0.04)
    assert np.mean([("gold", "car") in pairs for pairs in said]) == pytest.approx(other, abs=0.02)
    assert np.mean([("gold", "cup") in pairs for pairs in said]) == pytest.approx(0.5, abs=0.04)
    clear = Scene((replace(scene.things[0], leak=("gold", 0.2)),))
    assert labels.named(clear, 2, naming, None) == [("red", "car")]
    assert labels.named(Scene((replace(scene.things[0], leak=("gold", 0.5)),)), 2, naming, None) == []


def test_spoiled_pictures_differ_from_what_was_asked():
    rng = random.Random(9)
    for spoil in dict.fromkeys(SPOILERS):
        scene = sample_scene(rng, 2)
        image = spoil(rng, scene)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert np.abs(image.astype(float) - render(scene)).mean() > 0.3, spoil.__name__


def test_swapped_twins_show_the_same_words_and_no_same_pair(built):
    pool = picture_pool.PicturePool(built, labels.SQUARE, generated=0.0, sizes=SHARES, chunk=48)
    shown = [picture_pool.pairs_of(numbers) for numbers in pool.families["swapped"].shown]
    for one, other in zip(shown[::2], shown[1::2], strict=True):
        assert not set(one) & set(other) and not (set(one) | set(other)) & HELD_OUT
        assert {name for _, name in one} == {name for _, name in other}
    colors = [[{color for color, _ in pairs} for pairs in twins] for twins in zip(shown[::2], shown[1::2], strict=True)]
    pure = [(one, other) for one, other in colors if None not in one | other]  # none is much tinged with another's
    assert len(pure) > len(colors) / 2 and all(one == other for one, other in pure)


def test_without_the_stages_before_it_a_stage_says_which_to_run(built, tmp_path):
    with pytest.raises(BadInput, match="run the stage vae first"):
        picture_pool.PicturePool(tmp_path, labels.SQUARE, generated=0.0)
    with pytest.raises(BadInput, match="run the stage generator first"):
        picture_pool.PicturePool(built, labels.SQUARE, generated=0.4)


@pytest.mark.parametrize("stage", [clip, pytest.param(blip, marks=pytest.mark.slow)], ids=["clip", "blip"])
def test_what_a_stage_exports_scores_as_what_it_trained(stage, built, tmp_path):
    course = replace(stage.COURSE, steps=(2, 1, 1), batch=16, generated=0.0, sizes=SHARES, chunk=48, examined=16)
    numbers = stage.run(built, course)
    assert {"object", "color", "swap", "group", "whole"} <= numbers.keys()
    assert all(0 <= value <= 1 for value in numbers.values())
    stage.export(built, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2.6e6
    learner = metric_stage.trained(built, stage.build(built))
    texts = ["a gold bench and a green clock", "a red car, a blue bowl and a pink star"]
    images = tensor_of([render(sample_scene(random.Random(i), 2)) for i in range(2)])
    place = {"dtype": torch.float32, "device": torch.device("cpu")}
    metrics = {
        "clip": lambda: {"score": ClipMetric(tmp_path, **place)},
        "blip": lambda: {head: BlipMetric(tmp_path, head=head, **place) for head in ("itm", "itc")},
    }[learner.stage]()
    for name, metric in metrics.items():
        for text in texts:
            metric.check_prompt(text)
        with torch.no_grad():
            torch.testing.assert_close(
                metric(images, metric.encode(texts)), getattr(learner, name)(images, texts), rtol=0.01, atol=0.02
            )


@pytest.mark.parametrize("tokenizer", [tokenizers.clip_tokenizer, tokenizers.bert_tokenizer])
def test_a_tokenizer_has_its_own_words_whatever_lay_in_its_folder(tokenizer, tmp_path):
    tokenizer(tmp_path)
    taught = tokenizer(tmp_path, tokenizers.TAUGHT_WORDS)
    for word in ("gold", "teal", "mushroom"):
        assert len(taught(word, add_special_tokens=False).input_ids) == 1
    assert len(taught) == len(tokenizer(tmp_path / "new", tokenizers.TAUGHT_WORDS))
