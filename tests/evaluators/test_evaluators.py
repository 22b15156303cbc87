"""The judges of real images: their protocols on stubbed answers and detections, their models against transformers."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest
import torch

from reno.spec.errors import BadInput
from reno.evaluators import blip_vqa, detector
from reno.evaluators.detector import BLANK, COLORS, Detector, Painted, crop_of
from reno.evaluators.finders import Detection, Segmenter, load_finder
from reno.config.help import options
from reno.weights.images import Preprocessing
from reno.spec.prompts import Binding, Prompt, prompt_from_text
from reno.spec.job import Checkpoint

CPU = torch.device("cpu")
BENCH, CLOCK = Binding("gold", "bench"), Binding("green", "clock")
PAIR = prompt_from_text("a gold bench and a green clock", "prompt")
RED, GOLD, GREEN = (0.9, 0.05, 0.05), (0.8, 0.66, 0.14), (0.1, 0.7, 0.1)


@pytest.fixture(scope="module")
def images():
    """Two smooth images (2, 3, 96, 96)."""
    rough = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(rough, 96, mode="bilinear")


@pytest.fixture(scope="module")
def vqa(tiny):
    return blip_vqa.load("blip_vqa", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=None)


@pytest.fixture(scope="module")
def segmenting(tiny):
    folders = {"mask2former": tiny / "mask2former", "clip_vit_l": tiny / "clip_vit_l"}
    return detector.load("detector", folders, CPU, threshold=0.0)


@pytest.fixture(scope="module")
def reading_words(tiny):
    folders = {"owlv2": tiny / "owlv2", "clip_vit_l": tiny / "clip_vit_l"}
    return detector.load("detector_open", folders, CPU, threshold=0.0)


JUDGES = options("evaluator")


@pytest.mark.parametrize("name", JUDGES)
def test_every_judge_composes_with_options_that_its_kind_has(compose, name):
    (spec,) = compose(f"evaluators={name}").evaluators
    kind = importlib.import_module(f"reno.evaluators.{spec.kind}")
    assert spec.name == name and set(spec.options) <= set(inspect.signature(kind.load).parameters)
    if spec.kind != "oracle":  # which judges no image of sd_turbo; conf/models/sd_turbo.yaml has a knob for each other
        assert all(not model.knob.startswith("+") for model in spec.models)


def test_a_judges_checkpoint_is_its_own_until_another_is_given(compose):
    (spec,) = compose("evaluators=[detector]", "models.checkpoints.mask2former.path=null").evaluators
    assert spec.models[0].checkpoint == Checkpoint("facebook/mask2former-swin-small-coco-instance")
    other = ["models.checkpoints.mask2former.path=a/b", "models.checkpoints.mask2former.revision=c"]
    (spec,) = compose("evaluators=[detector]", *other).evaluators
    assert spec.models[0].checkpoint == Checkpoint("a/b", "c")


# --- BLIP-VQA: what is asked, what the answers mean ----------------------------------------------------------


def test_each_phrase_object_attribute_and_exchange_is_asked_once():
    assert blip_vqa.questions(PAIR.bindings) == [
        "a gold bench?", "a green clock?", "a bench?", "a clock?", "gold?", "green?", "a green bench?", "a gold clock?",
    ]  # fmt: skip
    assert blip_vqa.questions([Binding("orange", "apple")]) == ["an orange apple?", "an apple?", "orange?"]
    same = [Binding("red", "car"), Binding("red", "cup")]
    assert len(blip_vqa.questions(same)) == len(set(blip_vqa.questions(same))) == 5  # nothing to exchange


def answers(**given):
    """Probabilities of yes, 0.1 for what is not given; `a_gold_bench` stands for "a gold bench?"."""
    said = {question.replace("_", " ") + "?": p for question, p in given.items()}
    return {question: said.get(question, 0.1) for question in blip_vqa.questions(PAIR.bindings)}


def test_the_score_is_the_product_over_phrases_and_half_is_enough():
    verdict = blip_vqa.verdict(PAIR.bindings, answers(a_gold_bench=0.5, a_green_clock=0.3, a_bench=0.9, green=0.6), 0.5)
    bench, clock = verdict.judgements
    assert (bench.bound, bench.object_present, bench.attribute_present) == (True, True, False)
    assert (clock.bound, clock.object_present, clock.attribute_present) == (False, False, True)
    assert (bench.bound_confidence, bench.object_confidence, clock.attribute_confidence) == (0.5, 0.9, 0.6)
    assert verdict.score == pytest.approx(0.15)
    assert verdict.to_json()["score"] == verdict.score
    assert verdict.faults == {"swapped": False, "missing": True}


def test_a_swap_is_both_exchanged_phrases_and_each_more_than_its_own():
    swapped = answers(a_green_bench=0.8, a_gold_clock=0.7, a_bench=0.9, a_clock=0.9)
    assert blip_vqa.verdict(PAIR.bindings, swapped, 0.5).faults == {"swapped": True, "missing": False}
    for change in ({"a_gold_clock": 0.4}, {"a_gold_bench": 0.9}):
        other = {**swapped, **{q.replace("_", " ") + "?": p for q, p in change.items()}}
        assert not blip_vqa.verdict(PAIR.bindings, other, 0.5).faults["swapped"]


def test_a_judged_batch_gives_each_image_its_own_answers(vqa, images, monkeypatch):
    told = {"a red car?": 0.9, "a car?": 0.9, "red?": 0.9}
    monkeypatch.setattr(vqa, "ask", lambda images, texts: [[told.get(text, 0.2) for text in few] for few in texts])
    pair, car = vqa.judge(images, [PAIR, prompt_from_text("a red car", "prompt")])
    assert [j.bound for j in pair.judgements] == [False, False] and [j.bound for j in car.judgements] == [True]
    assert (vqa.name, vqa.kin) == ("blip_vqa", "blip")


# --- BLIP-VQA: its model against transformers' own generate ---------------------------------------------------


def test_the_answer_is_that_of_transformers_generate(vqa, images):
    """p(yes) / (p(yes) + p(no)) of a softmax over the whole vocabulary, from the scores of transformers' generate."""
    tokens = vqa.tokenizer("a gold bench?", return_tensors="pt")
    tokens.input_ids[:, 0] = vqa.tokenizer.convert_tokens_to_ids("[ENC]")
    yes, no = vqa.tokenizer.convert_tokens_to_ids(["yes", "no"])
    for image, (mine,) in zip(images, vqa.ask(images, [["a gold bench?"]] * 2), strict=True):
        written = vqa.model.generate(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            pixel_values=vqa.preprocess(image[None]),
            max_new_tokens=1,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        p = written.scores[0].softmax(-1)[0]
        assert mine == pytest.approx((p[yes] / (p[yes] + p[no])).item(), abs=1e-6)


def test_an_answer_knows_nothing_of_the_other_questions_and_images(vqa, images):
    texts = [["a gold bench?", "gold?"], ["a shiny green traffic light?"]]
    together = vqa.ask(images, texts)
    for place, few in enumerate(texts):
        for text, answer in zip(few, together[place], strict=True):
            assert vqa.ask(images[place : place + 1], [[text]])[0][0] == pytest.approx(answer, abs=1e-6)
    assert vqa.ask(images, texts) == together  # deterministic
    assert len({round(answer, 9) for few in together for answer in few}) == 3


def test_more_pixels_are_an_interpolated_position_table(tiny, vqa, images):
    larger = blip_vqa.load("blip_vqa", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=96)
    assert larger.preprocess(images).shape == (2, 3, 96, 96)
    (answer,) = larger.ask(images[:1], [["a gold bench?"]])[0]
    assert 0 < answer < 1 and answer != vqa.ask(images[:1], [["a gold bench?"]])[0][0]
    with pytest.raises(BadInput, match=r"no multiple of 16.*for example 96"):
        blip_vqa.load("blip_vqa", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=100)


def test_a_question_that_would_be_cut_is_refused(vqa):
    with pytest.raises(BadInput, match="BLIP-VQA's text encoder"):
        vqa.check_prompt(Prompt("x", (Binding("red", "zebra " * 600),)))


# --- The detector: what detections and colours mean -----------------------------------------------------------


def painted(name, score, color):
    return Painted(name, score, {each: 0.9 if each == color else 0.1 / 10 for each in COLORS})


def test_bound_is_the_surest_detection_of_the_object_in_the_colour():
    shown = [painted("bench", 0.9, "gold"), painted("clock", 0.8, "red"), painted("cup", 0.7, "green")]
    shown.append(painted("clock", 0.5, "green"))  # GenEval looks at as many as are asked for: one
    verdict = detector.verdict(PAIR.bindings, shown, {"bench": 0.9, "clock": 0.8})
    bench, clock = verdict.judgements
    assert bench.bound and bench.bound_confidence == pytest.approx(0.81)
    assert (clock.object_present, clock.attribute_present, clock.bound) == (True, True, False)
    assert verdict.faults == {"swapped": False, "missing": False}


def test_colours_on_each_others_objects_are_swapped():
    shown = [painted("bench", 0.9, "green"), painted("clock", 0.8, "gold")]
    verdict = detector.verdict(PAIR.bindings, shown, {"bench": 0.9, "clock": 0.8})
    assert verdict.faults == {"swapped": True, "missing": False}
    assert all(j.object_present and j.attribute_present and not j.bound for j in verdict.judgements)


def test_two_of_an_object_are_two_detections():
    asked = [Binding("red", "car"), Binding("blue", "car")]
    one = detector.verdict(asked, [painted("car", 0.9, "red")], {"car": 0.9})
    assert [j.bound for j in one.judgements] == [True, False]
    two = detector.verdict(asked, [painted("car", 0.9, "red"), painted("car", 0.4, "blue")], {"car": 0.9})
    assert [j.bound for j in two.judgements] == [True, True] and not two.faults["swapped"]


class Finds:
    """A finder that was told what is there."""

    def __init__(self, *found):
        self.found = list(found)

    def check(self, name):
        pass

    def find(self, images, objects):
        return [self.found for _ in images]


class NearestColor:
    """Names a crop's colour by its mean, and remembers the crops."""

    def read(self, image, found, colors):
        self.colors = colors
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


def test_outside_the_mask_is_grey():
    image, bench, _ = scene()
    crop = crop_of(image, Detection("bench", 1.0, (0, 8, 28, 24), bench))
    assert torch.equal(crop[:, :, :4], torch.full((3, 16, 4), BLANK)) and round(BLANK * 255) == 0x99
    assert torch.equal(crop[:, :, 4:], image[:, 8:24, 4:28])
    assert torch.equal(crop_of(image, Detection("bench", 1.0, (0, 0, 10, 5))), image[:, :5, :10])


def test_at_most_sixteen_of_each_object_and_of_all_others():
    many = [Detection(name, 0.9 - k / 100, (0, 0, 1, 1)) for k in range(20) for name in ("bench", "dog", "cat")]
    counted = detector._counted(many, ["bench"], 0.3)
    assert [sum(d.object == name for d in counted) for name in ("bench", "dog", "cat")] == [16, 8, 8]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a gold bnech", "'bnech' is not one of them; did you mean 'bench'"),
        ("a wooden bench", "judges colours and 'wooden'"),
        ("a geen bench", "did you mean 'green'"),
    ],
)
def test_a_word_it_cannot_judge_gets_one_sentence(segmenting, images, text, says):
    with pytest.raises(BadInput) as refused:
        segmenting.judge(images[:1], [prompt_from_text(text, "prompt")])
    assert says in str(refused.value) and "\n" not in str(refused.value)


# --- The detector: its models against transformers ------------------------------------------------------------


def test_the_segmenters_detections_are_those_of_transformers(tiny):
    """At 384 pixels, the size at which transformers' post-processing reads its masks."""
    from transformers import Mask2FormerImageProcessorPil

    image = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(5)), 384)
    finder = Segmenter(tiny / "mask2former", CPU, None)
    (found,) = finder.find(image, [["bench"]])
    with torch.no_grad():
        output = finder.model(pixel_values=finder.preprocess(image))
    processor = Mask2FormerImageProcessorPil.from_pretrained(tiny / "mask2former")
    (expected,) = processor.post_process_instance_segmentation(output, threshold=0.0, return_binary_maps=True)
    theirs = sorted(expected["segments_info"], key=lambda segment: -segment["score"])
    assert [finder.labels[segment["label_id"]] for segment in theirs] == [detection.object for detection in found]
    for detection, segment in zip(found, theirs, strict=True):
        assert detection.score == pytest.approx(segment["score"], abs=1e-5)
        np.testing.assert_array_equal(detection.mask, expected["segmentation"][segment["id"]].numpy() == 1)
        left, top, right, bottom = detection.box
        assert detection.mask[top:bottom, left:right].sum() == detection.mask.sum()


def test_the_segmenter_sees_what_transformers_shows_it(tiny, images):
    from transformers import Mask2FormerImageProcessorPil

    from reno.weights.images import to_uint8

    processor = Mask2FormerImageProcessorPil.from_pretrained(tiny / "mask2former")
    theirs = processor(list(to_uint8(images)), return_tensors="pt").pixel_values
    mine = Preprocessing.from_folder(tiny / "mask2former")(images)
    torch.testing.assert_close(mine, theirs, atol=2 / 255 / 0.22, rtol=0)


def test_sides_that_the_backbone_does_not_divide_are_padded(segmenting, images, tiny):
    finder = Segmenter(tiny / "mask2former", CPU, 72)
    (found,) = finder.find(images[:1, :, :80], [["bench"]])
    assert found and all(detection.mask.shape == (80, 96) for detection in found)


def test_the_word_detectors_boxes_are_those_of_transformers(reading_words, images):
    from transformers import Owlv2ImageProcessorPil

    finder = reading_words.finder
    found = finder.find(images, [["bench", "clock"], ["car"]])
    assert {detection.object for detection in found[0]} == {"bench", "clock"}
    assert {detection.object for detection in found[1]} == {"car"}
    tokens = finder.tokenizer(["a photo of a car"], padding="max_length", max_length=16, return_tensors="pt")
    with torch.no_grad():
        output = finder.model(**tokens, pixel_values=finder.preprocess(images[1:]))
    (expected,) = Owlv2ImageProcessorPil().post_process_object_detection(output, 0.0, target_sizes=[(96, 96)])
    best = expected["scores"].argmax()
    assert found[1][0].score == pytest.approx(expected["scores"][best].item(), abs=1e-6)
    cut = expected["boxes"][best].clamp(0, 96).round().int().tolist()
    assert list(found[1][0].box) == cut


def test_a_wide_image_is_padded_to_a_square(reading_words, images):
    wide = images[:1, :, :48]
    (found,) = reading_words.finder.find(wide, [["bench"]])
    assert found and all(0 <= d.box[1] < d.box[3] <= 48 and d.box[2] <= 96 for d in found)
    square = torch.full((1, 3, 96, 96), 0.5)
    square[:, :, :48] = wide
    (same,) = reading_words.finder.find(square, [["bench"]])
    assert max(d.score for d in found) <= max(d.score for d in same)


def test_a_colour_is_clips_zero_shot_class(segmenting, images):
    """Against logits that CLIPModel computes itself, with text features averaged over the three templates."""
    from reno.evaluators.detector import TEMPLATES

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


def test_another_kind_of_checkpoint_is_refused(tiny):
    with pytest.raises(BadInput, match="holds a blip model; the detector can use mask2former, owlv2 or owlvit"):
        load_finder(tiny / "blip", CPU, None)
    with pytest.raises(BadInput, match="sees images of 64 pixels and no others"):
        load_finder(tiny / "owlv2", CPU, 80)
