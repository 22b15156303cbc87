"""What finds objects, against transformers' own processing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reno.evaluators import finders
from reno.evaluators.finders import (
    Segmenter,
    WordDetector,
    _box_of,
    _inside,
    coco_name,
    finder_kind,
    load_finder,
    read_names,
)
from reno.spec.errors import BadInput
from reno.weights.images import Preprocessing, to_uint8

CPU = torch.device("cpu")


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


def test_a_wide_images_boxes_are_cut_at_its_own_edges(reading_words, images, monkeypatch):
    corners = torch.tensor([[-3.0, 10.0, 90.0, 60.0]])
    monkeypatch.setattr(reading_words.finder, "look", lambda image, names: (torch.tensor([[0.7, 0.2]]), corners))
    (found,) = reading_words.finder.find(images[:1, :, :48], [["bench", "clock"]])
    assert [(each.object, each.box) for each in found] == [("bench", (0, 10, 90, 48)), ("clock", (0, 10, 90, 48))]
    assert [each.score for each in found] == pytest.approx([0.7, 0.2])


def test_owl_vit_is_loaded_as_owl_vit_and_takes_images_that_are_not_square(monkeypatch, tiny):
    import transformers

    wanted = []

    def load(kind, folder, dtype, device):
        assert (dtype, device) == (torch.float32, CPU)
        wanted.append(kind)
        return SimpleNamespace(config=transformers.Owlv2Config.from_pretrained(folder))

    monkeypatch.setattr(finders, "load_model", load)
    made = [WordDetector(tiny / "owlv2", CPU, None, square=square) for square in (True, False)]
    assert wanted == [transformers.Owlv2ForObjectDetection, transformers.OwlViTForObjectDetection]
    assert [one.square for one in made] == [True, False] and all(one.parts == (one.model,) for one in made)


def test_a_segmenters_weights_and_device_are_those_a_judge_moves(segmenting):
    finder = segmenting.finder
    assert finder.parts == (finder.model,) and finder.device == CPU


def test_a_size_that_is_asked_for_is_not_cropped_and_the_weights_are_loaded_in_float32(tiny, monkeypatch):
    asked, load = [], finders.load_model
    monkeypatch.setattr(finders, "load_model", lambda *given: asked.append(given[2:]) or load(*given))
    cropping = replace(Preprocessing.from_folder(tiny / "mask2former"), crop=(32, 32))
    monkeypatch.setattr(Preprocessing, "from_folder", lambda folder: cropping)
    made = Segmenter(tiny / "mask2former", CPU, 48)
    assert (made.preprocess.size, made.preprocess.crop) == (48, None) and asked == [(torch.float32, CPU)]


def test_a_masks_box_is_the_smallest_around_it():
    mask = np.zeros((6, 9), dtype=bool)
    mask[1, 4] = mask[3, 2] = True
    assert _box_of(mask) == (2, 1, 5, 4)


@pytest.mark.parametrize(
    ("corner", "box"),
    [
        ((0.4, 0.6, 5.4, 7.6), (0, 1, 5, 8)),
        ((-3.0, -2.0, 20.0, 30.0), (0, 0, 10, 8)),
        ((3.0, 1.0, 3.4, 5.0), None),
        ((1.0, 3.0, 5.0, 3.4), None),
        ((12.0, 1.0, 15.0, 5.0), None),
        ((9.0, 7.0, 15.0, 15.0), (9, 7, 10, 8)),
    ],
)
def test_a_box_is_rounded_and_cut_at_the_edges_of_the_image(corner, box):
    assert _inside(corner, 8, 10) == box


def test_a_detections_score_is_its_probability_times_the_mean_probability_of_its_mask(segmenting):
    """Two queries of 80 classes and none; the last class counts, a pixel of log-odds 0 is outside the mask."""
    classes = len(segmenting.finder.labels)
    logits = torch.full((2, classes + 1), -40.0)
    logits[0, classes - 1], logits[0, classes] = 2.0, 0.0
    logits[1, 0] = 40.0
    masks = torch.full((2, 3, 4), -5.0)
    masks[0, 1, 2], masks[0, 2, 3], masks[0, 0, 0] = 1.0, 3.0, 0.0
    (found,) = segmenting.finder._read(logits, masks)
    assert found.object == segmenting.finder.labels[-1] and found.box == (2, 1, 4, 3) and found.mask.sum() == 2
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    assert found.score == pytest.approx(sigmoid(2.0) * (sigmoid(1.0) + sigmoid(3.0)) / 2, abs=1e-6)

    masks[0, 1, 2] = -5.0
    (of_one_pixel,) = segmenting.finder._read(logits, masks)
    assert of_one_pixel.score == pytest.approx(sigmoid(2.0) * sigmoid(3.0), abs=1e-6)


@pytest.mark.parametrize("kind", ["mask2former", "owlv2", "owlvit"])
def test_the_kinds_of_finder_are_read_from_the_configuration(tmp_path, kind):
    (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    assert finder_kind(tmp_path) == kind
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput) as refused:
        finder_kind(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / 'config.json'} names no model_type; the detector can use mask2former, owlv2 or owlvit"
    )


def test_the_segmenter_knows_objects_by_cocos_names(segmenting):
    assert segmenting.finder.known_as("computer mouse") == coco_name("computer mouse") != "computer mouse"


def test_another_kind_of_checkpoint_is_refused(tiny):
    with pytest.raises(BadInput, match="holds a blip model; the detector can use mask2former, owlv2 or owlvit"):
        load_finder(tiny / "blip", CPU, None)
    with pytest.raises(BadInput, match="takes images of 64 pixels only"):
        load_finder(tiny / "owlv2", CPU, 80)


def test_without_the_weights_the_names_of_mask2former_are_those_of_its_config(tiny, segmenting):
    read = read_names(tiny / "mask2former")
    for name in segmenting.finder.labels:
        read.check(name)
    with pytest.raises(BadInput) as by_the_finder:
        segmenting.finder.check("zebra-striped spaceship")
    with pytest.raises(BadInput) as without_weights:
        read.check("zebra-striped spaceship")
    assert str(without_weights.value) == str(by_the_finder.value)


def test_a_mask2former_that_names_no_objects_knows_none(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mask2former"}')
    with pytest.raises(BadInput, match="the detector knows 0 objects and 'bench' is not one of them"):
        read_names(tmp_path).check("bench")


def test_without_the_weights_a_finder_of_words_refuses_what_its_text_encoder_would_cut(tiny, reading_words):
    read, long = read_names(tiny / "owlv2"), "zebra " * 20
    read.check("spaceship")
    with pytest.raises(BadInput) as by_the_finder:
        reading_words.finder.check(long)
    with pytest.raises(BadInput) as without_weights:
        read.check(long)
    assert str(without_weights.value) == str(by_the_finder.value)
