"""Published values and the libraries' own code: what agrees, what differs, and what is skipped."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from reno.evaluators import blip_vqa, detector
from reno.running.checking import libraries
from reno.running.checking.checking import CheckRequest, agrees, check_all, compared
from reno.running.checking.libraries import LibraryProcessor, levels_between, picture_card
from reno.running.checking.measures import MEASURES
from reno.running.checking.pictures import NoPicture, PictureSource
from reno.running.checking.published import KnownPicture, PublishedValue, PublishedValues, published_values
from reno.spec.job import Checkpoint, EvaluatorSpec, GeneratorSpec, MetricSpec, MetricTerm, NamedCheckpoint
from reno.weights.architectures import NAMES
from reno.weights.checkpoints import CheckpointFinder
from reno.weights.images import Preprocessing, from_uint8

CPU = torch.device("cpu")
ASKED = ("a red car", "a blue cup")


# --- The published values ---------------------------------------------------------------------------------------------


def test_the_data_names_what_there_is():
    published = published_values()
    assert {value.checkpoint for value in published.values} == {
        "clip", "blip", "blip_large", "blip_vqa", "owlv2", "mask2former",
    }  # fmt: skip
    for value in published.values:
        assert value.checkpoint in NAMES and value.picture in published.pictures and value.measure in MEASURES
        assert value.source and value.confirmed and value.size == "full"
        assert bool(value.atol) != (value.measure == "answer")


def test_a_mistyped_key_of_the_data_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("pictures: {}\nvalues: []\nvalue: []\n")
    with pytest.raises(msgspec.ValidationError, match="value"):
        published_values(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("checkpoint", "place", "found", "verdict"),
    [
        ("clip", 0, [24.5701 + 0.025, 19.3049], ["ok", "ok"]),  # 0.001 + 0.1% of it
        ("clip", 0, [24.5701 + 0.026, 19.3049 - 0.021], ["differs", "differs"]),
        ("blip", 0, [0.986139, 0.057031], ["ok", "ok"]),
        ("blip", 0, [0.986141, float("nan")], ["differs", "differs"]),
        ("blip_vqa", 0, ["on beach"], ["ok"]),
        ("blip_vqa", 0, ["on the beach"], ["differs"]),
        ("owlv2", 0, [[0.666, 6.3, 52.4, 326.2, 473.6], [0.614, 341.67, 23.39, 642.32, 371.91]], ["ok", "differs"]),
        ("owlv2", 0, [[0.668, 6.75, 51.96, 326.62, 473.13], [0.614, 341.67, 23.39, 642.32, 371.35]], ["differs", "ok"]),
        ("mask2former", 0, [1.8326, -8.0844, -4.1928], ["ok", "ok", "differs"]),
    ],
)
def test_a_value_agrees_within_its_tolerance(checkpoint, place, found, verdict):
    value = [value for value in published_values().values if value.checkpoint == checkpoint][place]
    assert [result.verdict for result in compared(value, found)] == verdict


def test_a_row_tells_what_was_asked_and_shows_a_digit_more():
    value = published_values().values[1]
    first, second = compared(value, [0.98612, 0.1])
    assert first.check == "blip: probability (itm, enc) 'merlion in singapore'"
    assert (first.expected, first.measured, first.tolerance) == ("0.98613", "0.986120", "1e-05")
    assert second.verdict == "differs" and second.source.startswith("LAVIS")
    assert compared(published_values().values[0], [0.0, 0.0])[0].tolerance == "0.001 + 0.1%"
    with pytest.raises(ValueError):
        compared(value, [0.98613])
    assert not agrees(1.0, float("inf"), 0.1, 0.1)


# --- Pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reno-bench" / "pictures"


def drawn(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 10, 10)).save(path)
    return path


def test_a_picture_is_taken_from_the_users_folder_then_the_cache_then_its_address(tmp_path, cache):
    told = []
    known = KnownPicture("it.png", drawn(tmp_path / "far" / "it.png").as_uri(), (40, 30))
    with pytest.raises(
        NoPicture, match=r"it\.png is not on this disk; save file://.* in a folder and give it as images="
    ):
        PictureSource(None, False, told.append).find(known)
    assert PictureSource(tmp_path, True, told.append).find(known).size == (40, 30)
    (line,) = told
    assert line.startswith("fetching file://") and re.search(r"/far/it\.png, [1-9]\d* B$", line)
    assert [path.name for path in cache.iterdir()] == ["it.png"]
    assert PictureSource(None, False, told.append).find(known).size == (40, 30) and len(told) == 1
    drawn(tmp_path / "own" / "it.png", (41, 30))
    with pytest.raises(NoPicture, match=r"is another picture: it has 41 x 30 pixels and not 40 x 30"):
        PictureSource(tmp_path / "own", True).find(known)


@pytest.mark.parametrize(
    ("address", "says"),
    [("http://127.0.0.1:9/it.png", r"it\.png cannot be fetched \(URLError: .*\); save http://127"),
     ("nowhere", r"it\.png cannot be fetched \(ValueError: ")],
)  # fmt: skip
def test_a_picture_that_cannot_be_fetched_says_what_to_do(cache, address, says):
    with pytest.raises(NoPicture, match=says):
        PictureSource(None, True).find(KnownPicture("it.png", address))
    assert not cache.exists() or not list(cache.iterdir())


def test_what_an_earlier_fetch_left_half_written_is_cleared(tmp_path, cache):
    known = KnownPicture("it.png", drawn(tmp_path / "far" / "it.png").as_uri())
    cache.mkdir(parents=True)
    old = cache / ".it.png~elsewhere@1.2-3.part"
    old.write_bytes(b"half")
    os.utime(old, (time.time() - 86500,) * 2)
    PictureSource(None, True).find(known)
    assert [path.name for path in cache.iterdir()] == ["it.png"]


def test_a_picture_that_cannot_be_written_leaves_no_part(tmp_path, cache):
    (cache / "it.png").mkdir(parents=True)
    known = KnownPicture("it.png", drawn(tmp_path / "far" / "it.png").as_uri())
    with pytest.raises(NoPicture, match=r"it\.png cannot be fetched \(IsADirectoryError: "):
        PictureSource(None, True).find(known)
    assert [path.name for path in cache.iterdir()] == ["it.png"]


def test_a_file_that_is_no_picture_says_so(tmp_path, cache):
    (tmp_path / "it.png").write_text("no picture")
    with pytest.raises(NoPicture, match=r"it\.png cannot be read as a picture \(UnidentifiedImageError"):
        PictureSource(tmp_path, False).find(KnownPicture("it.png", "x"))


# --- A checkpoint against its published values ------------------------------------------------------------------------


@pytest.fixture
def checked(tiny, tmp_path, cache, monkeypatch):
    """checked(expected, **change): the results for a tiny CLIP of which somebody published these scores."""
    folder = shutil.copytree(tiny / "clip", tmp_path / "clip")
    (folder / "random_weights.json").unlink()  # as if it were trained
    shutil.copy(drawn(tmp_path / "it.png", (60, 50)), tmp_path / "pictures.png")
    (tmp_path / "of_ones_own").mkdir()
    (tmp_path / "of_ones_own" / "generator.py").write_text("def load(**_): ...\n")
    monkeypatch.syspath_prepend(tmp_path)

    def check(expected, images=tmp_path, size="tiny"):
        published = PublishedValues(
            {"it": KnownPicture("it.png", "x")},
            (PublishedValue("clip", "score", "it", ASKED, tuple(expected), "somebody", "it", size, {}, 1e-3),),
        )
        model = NamedCheckpoint("clip", Checkpoint(str(folder)), "models.checkpoints.clip")
        metrics = {"clip": MetricSpec("clip", (MetricTerm("clip", model),))}
        generator = GeneratorSpec("of_ones_own.generator", None)  # no pipeline is known for it
        pictures = PictureSource(images, False)
        results = list(check_all(CheckRequest(generator, metrics, (), pictures, CPU, published, CheckpointFinder())))
        assert [result.verdict for result in results[:2]] == ["skipped", "ok"]
        return results[2:]

    return check


def scores(tiny, path) -> list[float]:
    """What transformers says, called as its documentation calls it."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    pixels = CLIPImageProcessorPil.from_pretrained(tiny / "clip")(Image.open(path), return_tensors="pt").pixel_values
    tokens = AutoTokenizer.from_pretrained(tiny / "clip")(list(ASKED), padding=True, return_tensors="pt")
    with torch.no_grad():
        model = CLIPModel.from_pretrained(tiny / "clip").eval()
        output = model(tokens.input_ids, pixels, attention_mask=tokens.attention_mask)
    return output.logits_per_image[0].tolist()


def test_a_published_value_is_met_or_missed(checked, tiny, tmp_path):
    true = scores(tiny, tmp_path / "it.png")
    assert [result.verdict for result in checked([true[0], true[1] + 0.01])] == ["ok", "differs"]
    (skipped,) = checked(true, images=None)
    assert skipped.verdict == "skipped" and "it.png is not on this disk" in skipped.why
    (skipped,) = checked(true, size="full")
    assert skipped.why == "the checkpoint has other sizes than openai/clip-vit-base-patch32"


def test_what_is_of_another_class_differs(tmp_path, monkeypatch):
    """As in a run, which would refuse it."""
    (tmp_path / "of_a_user").mkdir()
    (tmp_path / "of_a_user" / "mine.py").write_text("def load(*_, **__): return 'no model'\n")
    monkeypatch.syspath_prepend(tmp_path)
    kind = "of_a_user.mine"
    request = CheckRequest(
        GeneratorSpec(kind, None), {"own": MetricSpec("own", (MetricTerm(kind),))}, (EvaluatorSpec("judge", kind),),
        PictureSource(None, False), CPU, published_values(), CheckpointFinder(), named=True,
    )  # fmt: skip
    _, metric, judge = check_all(request)
    assert (metric.verdict, judge.verdict) == ("differs", "differs")
    assert metric.why.startswith("metric of_a_user.mine: load returned a str; it has to return a subclass of reno.met")
    assert judge.why.startswith("evaluator judge: load returned a str; it has to return a subclass of reno.evaluators")


# --- What judges say --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image():
    return from_uint8(np.random.default_rng(0).integers(0, 255, (1, 80, 96, 3), dtype=np.uint8))


def test_an_answer_is_the_models_own(tiny, image):
    judge = blip_vqa.load("blip_vqa", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=None)
    (found,) = MEASURES["answer"](judge, image, ["where is it?"])
    ids = torch.tensor([[1279, *judge.tokenizer("where is it?").input_ids[1:]]])
    said = judge.model.generate(ids, judge.preprocess(image), torch.ones_like(ids), num_beams=3, max_length=10)
    assert found and found in judge.tokenizer.decode(said[0])


def test_detections_are_those_of_transformers_post_processing(tiny, image):
    from transformers import Owlv2ImageProcessorPil

    folders = {"owlv2": tiny / "owlv2", "clip_vit_l": tiny / "clip_vit_l"}
    judge = detector.load("detector_open", folders, CPU)
    finder = judge.finder
    with torch.no_grad():
        found = MEASURES["detections"](judge, image, ["cat"])
        square = torch.nn.functional.pad(image, (0, 0, 0, 16), value=0.5)
        tokens = finder.tokenizer(["a photo of a cat"], padding="max_length", max_length=16, return_tensors="pt")
        output = finder.model(**tokens, pixel_values=finder.preprocess(square))
    (theirs,) = Owlv2ImageProcessorPil().post_process_object_detection(output, 0.0, target_sizes=[(80, 96)])
    best = theirs["scores"].topk(2).indices
    expected = torch.cat([theirs["scores"][best][:, None], theirs["boxes"][best]], 1)
    torch.testing.assert_close(torch.tensor(found), expected, atol=1e-4, rtol=1e-5)


# --- The libraries' own code ------------------------------------------------------------------------------------------


def test_another_resize_is_seen(tiny):
    own = Preprocessing.from_folder(tiny / "clip")
    library = LibraryProcessor.from_folder(tiny / "clip", own)
    most, mean = levels_between(own, library, 512)
    assert 0 < most <= 2 and mean <= 0.5
    most, mean = levels_between(replace(own, kernel="bilinear"), library, 512)
    assert most > 2 and mean > 0.5
    assert levels_between(replace(own, size=40, crop=None), library, 512) is None
    own = Preprocessing.from_folder(tiny / "blip_vqa")
    larger = replace(own, size=(96, 96))
    assert levels_between(larger, LibraryProcessor.from_folder(tiny / "blip_vqa", larger), 512)[0] <= 2


def test_the_card_has_whole_levels_and_every_kind_of_content():
    card = picture_card(64)
    assert card.shape == (1, 3, 64, 64) and card.unique().numel() > 100
    torch.testing.assert_close(card * 255, (card * 255).round(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "ok"), (0.002, "differs")])
def test_an_image_that_is_not_the_pipelines_differs(tiny, monkeypatch, shift, verdict):
    from reno.generators import stable_diffusion

    class Shifted(stable_diffusion.StableDiffusion):
        def __call__(self, noise, conditioning):
            return super().__call__(noise, conditioning) + shift

    monkeypatch.setattr(stable_diffusion, "load", Shifted)
    model = NamedCheckpoint("generator", Checkpoint(str(tiny / "sd_turbo")), "models.generator")
    request = CheckRequest(
        GeneratorSpec("stable_diffusion", model, {"timestep": 499}), {}, (), PictureSource(None, False), CPU,
        published_values(), CheckpointFinder(),
    )  # fmt: skip
    (result,) = check_all(request)
    assert (result.check, result.verdict) == ("generator: an image", verdict), result
    assert libraries.PROMPT  # both images are of one prompt


@pytest.mark.parametrize(
    ("folder", "options", "unet"),
    [
        ("sdxl_turbo", {"steps": 2, "most_steps": 4, "height": 32}, None),
        ("sdxl_base", {"sampler": "lcm", "timestep": 800}, "diffusion_pytorch_model.safetensors"),
    ],
)
def test_an_image_of_sdxl_is_its_pipelines(tiny, folder, options, unet):
    """In one step, whatever number of steps is asked for; with a VAE of its own, and a U-Net that is one file."""

    def named(name, folder, inside=""):
        return NamedCheckpoint(name, Checkpoint(str(tiny / folder), inside=inside), f"models.generator.parts.{name}")

    parts = [named("vae", "sdxl_vae"), *([named("unet", "hyper_sdxl", unet)] if unet else [])]
    spec = GeneratorSpec("sdxl", named("generator", folder), options, parts=tuple(parts))
    no_pictures = PictureSource(None, False)
    (result,) = check_all(CheckRequest(spec, {}, (), no_pictures, CPU, published_values(), CheckpointFinder()))
    assert (result.check, result.verdict) == ("generator: an image", "ok"), result
