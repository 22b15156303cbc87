"""The differentiable preprocessing against the processors it stands for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from reno.spec.errors import BadInput
from reno.weights.images import Preprocessing, from_uint8, resize_matrix, to_uint8

SIZES = [(512, 512), (64, 64), (300, 224), (97, 131), (20, 20)]


def picture(height: int, width: int) -> np.ndarray:
    """Smooth shapes and hard edges and noise, uint8 (H, W, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 90 * np.sin(x / 7)[..., None] * np.cos(y / 5)[..., None] * np.array([1.0, -1.0, 0.5])
    waves[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 128)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    return (waves + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["clip", "blip", "clip_vit_h", "blip_large", "siglip2", "blip2_itm"])
@pytest.mark.parametrize("size", SIZES)
def test_pixel_values_are_the_processors_within_two_levels(tiny, name, size):
    from transformers import BlipImageProcessorPil, CLIPImageProcessorPil, SiglipImageProcessorPil

    kinds = {"clip": CLIPImageProcessorPil, "blip": BlipImageProcessorPil, "siglip2": SiglipImageProcessorPil}
    kinds["blip2"] = BlipImageProcessorPil
    processor = kinds[name.partition("_")[0]].from_pretrained(tiny / name)
    pixels = picture(*size)
    expected = processor(Image.fromarray(pixels), return_tensors="pt").pixel_values
    preprocess = Preprocessing.from_folder(tiny / name)
    got = preprocess(from_uint8(pixels[None]))
    assert got.shape == expected.shape
    levels = (got - expected).abs() * torch.tensor(preprocess.std)[:, None, None] * 255
    assert levels.max() <= 2.0
    assert levels.mean() <= 0.5


def test_resize_matrix_agrees_with_torchs_antialiased_bicubic():
    image = torch.rand(1, 1, 50, 37, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(image, (24, 61), mode="bicubic", antialias=True, align_corners=False)
    vertical = torch.from_numpy(resize_matrix(50, 24, "bicubic"))
    horizontal = torch.from_numpy(resize_matrix(37, 61, "bicubic"))
    torch.testing.assert_close(vertical @ image @ horizontal.T, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_resize_keeps_a_flat_image_flat(kernel):
    np.testing.assert_allclose(resize_matrix(512, 224, kernel).sum(1), 1.0, atol=1e-12)


def test_gradient_agrees_with_finite_differences(tiny):
    preprocess = Preprocessing.from_folder(tiny / "clip")
    image = 0.2 + 0.6 * torch.rand(1, 3, 40, 40, dtype=torch.float64)
    assert torch.autograd.gradcheck(preprocess, image.requires_grad_(True), fast_mode=True)


def test_an_image_of_the_right_size_is_only_normalised(tiny):
    preprocess = Preprocessing.from_folder(tiny / "clip")
    image = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
    torch.testing.assert_close(preprocess(image), (image - mean) / std)


def test_levels_survive_a_round_trip():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(to_uint8(from_uint8(pixels)), pixels)


def test_a_resampling_without_gradient_is_refused(tmp_path):
    config = {"size": 32, "resample": 0, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="resample=0"):
        Preprocessing.from_folder(tmp_path)


DESCRIBED = {"size": 32, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image_mean": [0.5]}, "does not describe an image processor"),
        ({"image_mean": None}, "does not describe an image processor"),
        ({"image_std": [1, 0, 1]}, r"image_std is \[1.0, 0.0, 1.0\]"),
        ({"size": "x"}, "a size is 'x'"),
        ({"size": {}}, "KeyError: 'height'"),
        ({"size": {"shortest_edge": -3}}, "a size is -3"),
        ({"crop_size": True}, "a size is True"),
        ({"rescale_factor": 1}, "asks for rescale_factor=1; only 1/255 is known"),
        ({"do_normalize": False}, "asks for do_normalize=false"),
        ({"do_resize": False}, "asks for do_resize=false"),
    ],
)
def test_an_image_processor_that_is_not_whole_or_not_known_is_refused(tmp_path, changed, said):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(DESCRIBED | changed))
    with pytest.raises(BadInput, match=said) as refused:
        Preprocessing.from_folder(tmp_path)
    assert str(refused.value).startswith(str(tmp_path / "preprocessor_config.json"))


@pytest.mark.parametrize(("content", "said"), [(None, "is not there"), ("[]", "holds a list"), ("", "is empty")])
def test_an_image_processor_that_cannot_be_read_is_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(BadInput, match=f"preprocessor_config.json {said}"):
        Preprocessing.from_folder(tmp_path)


def test_every_version_of_transformers_writes_a_size_in_its_own_way(tmp_path):
    def read(**changed) -> Preprocessing:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(DESCRIBED | changed))
        return Preprocessing.from_folder(tmp_path)

    assert read().size == read(size={"shortest_edge": 32}).size == 32
    assert read(size=[32, 40]).size == read(size={"height": 32, "width": 40}).size == (32, 40)
    assert read(crop_size=24).crop == read(crop_size={"height": 24, "width": 24}).crop == (24, 24)
    assert read(crop_size=24, do_center_crop=False).crop is None


def test_a_processor_that_was_saved_with_its_tokenizer_is_read(tiny, tmp_path):
    inner = json.loads((tiny / "blip" / "preprocessor_config.json").read_text())
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
    assert Preprocessing.from_folder(tmp_path) == Preprocessing.from_folder(tiny / "blip")
