"""A folder of another kind of pipeline is refused by what its own files say, without its weights."""

from __future__ import annotations

import importlib
import json

import pytest

from reno.spec.errors import BadInput
from reno.weights.architectures import PUBLISHED

FOLDERS = {
    "stable_diffusion": ("sd_turbo", "unet"),
    "sdxl": ("sdxl_turbo", "unet"),
    "sana_sprint": ("sana_sprint", "transformer"),
    "pixart_dmd": ("pixart_alpha", "transformer"),
    "flux_schnell": ("flux_schnell", "transformer"),
}
"""By kind, a published checkpoint of its family, and its denoiser."""


def reader(kind, folder):
    options = {"sampler": "euler_ancestral"} if kind == "sdxl" else {}
    return importlib.import_module(f"reno.generators.{kind}").reader(folder, **options)


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_any_other_family_is_refused(kind):
    for other, (name, _) in FOLDERS.items():
        folder = PUBLISHED / name / "full"
        if other == kind:
            reader(kind, folder)
            continue
        named = json.loads((folder / "model_index.json").read_text())["_class_name"]
        with pytest.raises(BadInput) as refused:
            reader(kind, folder)
        assert str(refused.value).startswith(f"{folder} holds a {named} and this generator is a ")
        assert str(refused.value).endswith("or choose other models=NAME")


@pytest.mark.parametrize("kind", FOLDERS)
def test_without_an_index_the_denoiser_tells(kind, tmp_path):
    (tmp_path / FOLDERS[kind][1]).mkdir()
    (tmp_path / FOLDERS[kind][1] / "config.json").write_text('{"_class_name": "HunyuanDiT2DModel"}')
    with pytest.raises(BadInput, match="holds a HunyuanDiT2DModel and this generator is a"):
        reader(kind, tmp_path)


def test_files_that_say_nothing_are_not_refused_here(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": null}')
    for kind in FOLDERS:
        reader(kind, tmp_path)
