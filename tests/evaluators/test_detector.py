"""The detector: its protocol on detections and colours that are written down, its colours against CLIPModel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reno.evaluators import detector
from reno.evaluators.detector import BLANK, COLORS, TEMPLATES, Detector, Painted, crop_of
from reno.evaluators.finders import Detection, coco_name
from reno.prompts.reader import prompt_from_text
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt, Wanted

PAIR = prompt_from_text("a gold bench and a green clock", "prompt")
RED, GOLD, GREEN = (0.9, 0.05, 0.05), (0.8, 0.66, 0.14), (0.1, 0.7, 0.1)


# --- The detector: what detections and colours mean -----------------------------------------------------------


def painted(name, score, color):
    return Painted(name, score, {each: 0.9 if each == color else 0.1 / 10 for each in COLORS})


def test_bound_is_the_surest_detection_of_the_object_in_the_colour():
    shown = [painted("bench", 0.9, "gold"), painted("clock", 0.8, "red"), painted("cup", 0.7, "green")]
    shown.append(painted("clock", 0.5, "green"))  # GenEval looks at as many as are asked for: one
    verdict = detector.verdict(PAIR.bindings, shown, {"bench": 0.9, "clock": 0.8})
    bench, clock = verdict.judgements
    assert [(j.attribute, j.object) for j in verdict.judgements] == [("gold", "bench"), ("green", "clock")]
    assert bench.bound and bench.bound_confidence == pytest.approx(0.81)
    assert (clock.object_present, clock.attribute_present, clock.bound) == (True, True, False)
    assert verdict.faults == {"swapped": False, "missing": False}


def test_what_is_not_there_has_no_confidence_in_its_colour():
    verdict = detector.verdict(PAIR.bindings, [], {"bench": 0.2, "clock": 0.1})
    for judgement, surest in zip(verdict.judgements, (0.2, 0.1), strict=True):
        assert (judgement.object_present, judgement.attribute_present, judgement.bound) == (False, False, False)
        assert (judgement.attribute_confidence, judgement.bound_confidence) == (0.0, 0.0)
        assert judgement.object_confidence == surest
    one = detector.verdict(PAIR.bindings, [painted("bench", 0.9, "gold")], {"bench": 0.9, "clock": 0.1})
    assert one.judgements[1].bound_confidence == 0.0 and one.judgements[1].attribute_confidence > 0


def test_it_is_loaded_with_genevals_settings_unless_others_are_given(tiny):
    folders = {"mask2former": tiny / "mask2former", "clip_vit_l": tiny / "clip_vit_l"}
    usual = detector.load("mine", folders, torch.device("cpu"))
    assert (usual.name, usual.kin, usual.threshold, usual.colors) == ("mine", "clip", 0.3, COLORS)
    own = detector.load("mine", folders, torch.device("cpu"), threshold=0.7, image_size=48, colors=["red"])
    assert (own.threshold, own.colors, own.finder.preprocess.size) == (0.7, ("red",), 48)
    assert usual.finder.preprocess.size != 48
    assert (usual.reader.clip.dtype, usual.reader.device) == (torch.float32, torch.device("cpu"))


def test_colours_on_each_others_objects_are_swapped():
    shown = [painted("bench", 0.9, "green"), painted("clock", 0.8, "gold")]
    verdict = detector.verdict(PAIR.bindings, shown, {"bench": 0.9, "clock": 0.8})
    assert verdict.faults == {"swapped": True, "missing": False}
    assert all(j.object_present and j.attribute_present and not j.bound for j in verdict.judgements)
    assert [j.instead for j in verdict.judgements] == ["green", "gold"]


def test_two_of_an_object_are_two_detections():
    asked = [Binding("red", "car"), Binding("blue", "car")]
    one = detector.verdict(asked, [painted("car", 0.9, "red")], {"car": 0.9})
    assert [j.bound for j in one.judgements] == [True, False] and [j.instead for j in one.judgements] == [None, "red"]
    green = detector.verdict(asked, [painted("car", 0.9, "red"), painted("car", 0.4, "green")], {"car": 0.9})
    assert [j.instead for j in green.judgements] == [None, "green"]  # the red one is right for the other binding
    assert detector.verdict(asked, [], {"car": 0.1}).judgements[0].instead is None
    two = detector.verdict(asked, [painted("car", 0.9, "red"), painted("car", 0.4, "blue")], {"car": 0.9})
    assert [j.bound for j in two.judgements] == [True, True] and not two.faults["swapped"]


class Finds:
    """A finder that was told what is there."""

    counts = True
    device, parts = torch.device("cpu"), ()

    def __init__(self, *found):
        self.found = list(found)

    def check(self, name):
        pass

    def known_as(self, name):
        return coco_name(name)

    def find(self, images, objects):
        return [self.found for _ in images]


class NearestColor:
    """Names a crop's colour by its mean, and remembers the crops and what they are called."""

    def read(self, image, found, colors):
        self.colors, self.names = colors, [detection.object for detection in found]
        self.crops = [crop_of(image, detection) for detection in found]
        return [{color: self._near(crop, color) for color in colors} for crop in self.crops]

    def _near(self, crop, color):
        swatch = torch.tensor({"red": RED, "gold": GOLD, "green": GREEN}.get(color, (9.0, 9.0, 9.0)))
        return float(torch.exp(-((crop.flatten(1).mean(1) - swatch) ** 2).sum()))


def scene():
    """A gold bench on the left, a green clock on the right, on red; and their masks."""
    image = torch.tensor(RED)[:, None, None].repeat(1, 32, 64)
    bench, clock = np.zeros((32, 64), bool), np.zeros((32, 64), bool)
    bench[8:24, 4:28], clock[10:20, 40:50] = True, True
    image[:, torch.from_numpy(bench)] = torch.tensor(GOLD)[:, None]
    image[:, torch.from_numpy(clock)] = torch.tensor(GREEN)[:, None]
    return image, bench, clock


def test_a_hand_made_scene_is_judged_by_the_colours_under_the_masks():
    image, bench, clock = scene()
    reader = NearestColor()
    finder = Finds(
        Detection("bench", 0.9, (4, 8, 28, 24), bench),
        Detection("clock", 0.31, (40, 10, 50, 20), clock),
        Detection("clock", 0.29, (0, 0, 64, 8)),
    )
    judge = Detector("detector", finder, reader, threshold=0.3, colors=COLORS)
    (verdict,) = judge.judge(image[None], [PAIR])
    assert [j.bound for j in verdict.judgements] == [True, True]
    assert len(reader.crops) == 2 and reader.crops[0].shape == (3, 16, 24)  # what is below the threshold is not read
    assert reader.colors == list(COLORS)
    (crimson,) = judge.judge(image[None], [prompt_from_text("a crimson bench", "prompt")])
    assert reader.colors == [*COLORS, "crimson"] and not crimson.judgements[0].bound

    finder.found[1] = Detection("clock", 0.3, (40, 10, 50, 20), clock)
    (missed,) = judge.judge(image[None], [PAIR])
    assert [j.object_present for j in missed.judgements] == [True, False]
    assert missed.judgements[1].object_confidence == 0.3 and missed.faults["missing"]
    assert not missed.judgements[1].attribute_present

    finder.found = []
    (nothing,) = judge.judge(image[None], [PAIR])
    assert [j.object_confidence for j in nothing.judgements] == [0.0, 0.0]


def asked(*wanted, unwanted=(), category="", bindings=()):
    return Prompt("a photo", bindings, category, wanted, unwanted)


def test_a_prompt_of_genevals_gets_its_verdict_under_its_names_with_ten_colours():
    """A red mouse of COCO left of a gold cup."""
    image = torch.zeros(3, 64, 64)
    image[:, 20:30, 5:15], image[:, 20:30, 45:55] = (torch.tensor(color)[:, None, None] for color in (RED, GOLD))
    mouse, cup = Detection("mouse", 0.8, (5, 20, 15, 30)), Detection("cup", 0.95, (45, 20, 55, 30))
    judge = Detector("detector", Finds(cup, mouse), NearestColor(), threshold=0.3, colors=COLORS)

    def correct(*wanted, **more):
        (found,) = judge.judge(image[None], [asked(*wanted, **more)])
        return found.correct

    red = Wanted("computer mouse", 1, "red")
    assert correct(Wanted("cup"), red) is True
    assert correct(Wanted("cup"), Wanted("computer mouse", 1, "blue")) is False
    assert correct(Wanted("cup"), Wanted("computer mouse", 1, None, ("left of", 0))) is True
    assert correct(Wanted("cup"), Wanted("computer mouse", 1, None, ("above", 0))) is False
    assert correct(red, category="counting") is False and correct(Wanted("cup"), category="counting") is True
    assert correct(Wanted("cup"), unwanted=(Wanted("computer mouse", 1),)) is False
    assert correct() is None
    judge.judge(image[None], [asked(Wanted("cup", 1, "yellow"))])
    assert judge.reader.colors == list(COLORS[:10]) and "gold" not in judge.reader.colors
    (found,) = judge.judge(image[None], [asked(red, bindings=(Binding("red", "computer mouse"),))])
    assert found.judgements[0].bound and found.judgements[0].object == "computer mouse"
    assert judge.reader.names == ["computer mouse"]  # GenEval's colours come last: the prompt's word, and not COCO's
    judge.judge(image[None], [asked(bindings=(Binding("red", "computer mouse"),))])
    assert judge.reader.names == ["cup", "computer mouse"]


def test_one_object_may_have_two_names_in_a_prompt():
    image = torch.zeros(3, 64, 64)
    image[:, 20:30, 5:15] = torch.tensor(RED)[:, None, None]
    judge = Detector(
        "detector", Finds(Detection("couch", 0.9, (5, 20, 15, 30))), NearestColor(), threshold=0.3, colors=COLORS
    )
    both = asked(Wanted("couch", 1, "red"), bindings=(Binding("red", "sofa"),))
    (found,) = judge.judge(image[None], [both])
    assert (
        found.correct
        and found.judgements[0].bound
        and found.judgements[0].object == "sofa"
        and not found.faults["missing"]
    )
    (found,) = judge.judge(image[None], [asked(Wanted("couch"), unwanted=(Wanted("sofa"),))])
    assert found.correct is False


def test_detections_that_cannot_be_counted_give_no_verdict_of_genevals():
    judge = Detector(
        "detector_open", Finds(Detection("car", 0.9, (5, 20, 15, 30))), NearestColor(), threshold=0.3, colors=COLORS
    )
    judge.finder.counts = False
    (found,) = judge.judge(torch.zeros(1, 3, 64, 64), [asked(Wanted("car"), bindings=(Binding("red", "car"),))])
    assert found.correct is None and found.judgements[0].object_present


@pytest.mark.parametrize("name", ["computer mouse", "tv remote", "computer keyboard", "dining table", "hair drier"])
def test_the_names_of_genevals_are_cocos(segmenting, name):
    segmenting.check_prompt(asked(Wanted(name)))
    with pytest.raises(BadInput, match="did you mean"):
        segmenting.check_prompt(asked(Wanted(name + "x")))
    with pytest.raises(BadInput, match="does not know 'wooden'"):
        segmenting.check_prompt(asked(Wanted(name, 1, "wooden")))


def test_outside_the_mask_is_grey():
    image, bench, _ = scene()
    crop = crop_of(image, Detection("bench", 1.0, (0, 8, 28, 24), bench))
    assert torch.equal(crop[:, :, :4], torch.full((3, 16, 4), BLANK)) and round(BLANK * 255) == 0x99
    assert torch.equal(crop[:, :, 4:], image[:, 8:24, 4:28])
    assert torch.equal(crop_of(image, Detection("bench", 1.0, (0, 0, 10, 5))), image[:, :5, :10])


def test_at_most_sixteen_of_each_object_and_of_all_others_are_read():
    many = [Detection(name, 0.9 - k / 100, (0, 0, 1, 1)) for k in range(20) for name in ("bench", "dog", "cat")]

    class Counting(NearestColor):
        def read(self, image, found, colors):
            self.found = found
            return super().read(image, found, colors)

    reader = Counting()
    judge = Detector("detector", Finds(*many), reader, threshold=0.3, colors=COLORS)
    judge.judge(scene()[0][None], [prompt_from_text("a gold bench", "prompt")])
    assert [sum(d.object == name for d in reader.found) for name in ("bench", "dog", "cat")] == [16, 8, 8]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a gold bnech", "'bnech' is not one of them; did you mean 'bench'"),
        ("a wooden bench", "judges colours and does not know 'wooden'"),
        ("a greenish bench", "did you mean 'green'"),
    ],
)
def test_a_word_it_cannot_judge_gets_one_sentence(segmenting, images, text, says):
    with pytest.raises(BadInput) as refused:
        segmenting.judge(images[:1], [prompt_from_text(text, "prompt")])
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_colour_is_clips_zero_shot_class(segmenting, images):
    """Against logits that CLIPModel computes itself, with text features averaged over the three templates."""

    reader, found = (
        segmenting.reader,
        [Detection("bench", 1.0, (0, 0, 96, 96)), Detection("clock", 1.0, (3, 9, 50, 70))],
    )
    read = reader.read(images[0], found, ["red", "gold", "blue"])
    assert all(sum(colors.values()) == pytest.approx(1) for colors in read)
    for detection, colors in zip(found, read, strict=True):
        pixels = reader.clip.preprocess(crop_of(images[0], detection)[None])
        classes = []
        for color in ("red", "gold", "blue"):
            texts = [template.format(color=color, object=detection.object) for template in TEMPLATES]
            tokens = reader.clip.tokenizer(texts, padding=True, return_tensors="pt")
            with torch.no_grad():
                output = reader.clip.model(**tokens, pixel_values=pixels)
            classes.append(torch.nn.functional.normalize(output.text_embeds.mean(0), dim=-1))
        expected = (100 * torch.stack(classes) @ output.image_embeds[0]).softmax(-1)
        torch.testing.assert_close(
            torch.tensor(list(colors.values())), expected, atol=1e-4, rtol=1e-3, check_dtype=False
        )


@pytest.mark.parametrize("which", ["segmenting", "reading_words"])
def test_a_real_forward_judges_every_binding_the_same_each_time(which, images, request):
    judge = request.getfixturevalue(which)
    prompts = [PAIR, prompt_from_text("an orange car", "prompt")]
    verdicts = judge.judge(images, prompts)
    assert judge.kin == "clip"
    for verdict, prompt in zip(verdicts, prompts, strict=True):
        assert [(j.attribute, j.object) for j in verdict.judgements] == [
            (b.attribute, b.object) for b in prompt.bindings
        ]
        for j in verdict.judgements:
            assert all(0 <= c <= 1 for c in (j.object_confidence, j.attribute_confidence, j.bound_confidence))
    assert judge.judge(images, prompts) == verdicts


def test_without_the_weights_the_same_prompts_are_refused(tiny, segmenting):
    folders = {"clip_vit_l": tiny / "clip_vit_l", "mask2former": tiny / "mask2former"}
    read = detector.reader("mine", folders, colors=["red", "teal-ish"], threshold=0.4, image_size=64)
    assert (read.name, read.threshold, list(read.colors)) == ("mine", 0.4, ["red", "teal-ish"])
    assert detector.reader("mine", folders).threshold == 0.3
    name = segmenting.finder.labels[0]
    read.check_prompt(Prompt("x", (Binding("red", name), Binding("teal-ish", name))))
    with pytest.raises(BadInput, match=r"^mine judges colours and does not know 'furry'"):
        read.check_prompt(Prompt("x", (Binding("furry", name),)))
    with pytest.raises(BadInput, match="'spaceship' is not one of them"):
        read.check_prompt(Prompt("x", (Binding("red", "spaceship"),)))
