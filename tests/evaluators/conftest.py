"""Judges of the tiny models, and two images."""

from __future__ import annotations

import pytest
import torch

from reno.evaluators import blip_vqa, detector

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def images():
    """Two smooth images (2, 3, 96, 96)."""
    rough = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(rough, 96, mode="bilinear")


@pytest.fixture(scope="session")
def vqa(tiny):
    return blip_vqa.load("blip_vqa", {"blip_vqa": tiny / "blip_vqa"}, CPU, image_size=None)


@pytest.fixture(scope="session")
def segmenting(tiny):
    folders = {"mask2former": tiny / "mask2former", "clip_vit_l": tiny / "clip_vit_l"}
    return detector.load("detector", folders, CPU, threshold=0.0)


@pytest.fixture(scope="session")
def reading_words(tiny):
    folders = {"owlv2": tiny / "owlv2", "clip_vit_l": tiny / "clip_vit_l"}
    return detector.load("detector_open", folders, CPU, threshold=0.0)
