"""Pictures that were made elsewhere, in two layouts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from analysis.data import load
from analysis.numbers.slices import slices
from analysis.tables import all_tables
from reno.evaluate import main
from reno.running.given import Picture, find_pictures, store_pictures
from reno.running.pool import ModelPool
from reno.running.reproducing import reproduce
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt
from reno.store.store import Store

CAR = {"tag": "colors", "include": [{"class": "car", "count": 1, "color": "red"}], "prompt": "a photo of a red car"}
CUP = {"tag": "counting", "include": [{"class": "cup", "count": 2}], "prompt": "a photo of two cups"}


def picture(path, shade=0, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), shade, np.uint8)).save(path)


@pytest.fixture
def geneval(tmp_path):
    """Two prompts with two pictures each, in GenEval's layout."""
    folder = tmp_path / "sd"
    for place, row in enumerate((CAR, CUP)):
        for number in range(2):
            picture(folder / f"{place:05d}" / "samples" / f"{number:04d}.png", 50 * place + number)
        (folder / f"{place:05d}" / "metadata.jsonl").write_text(json.dumps(row) + "\n")
        picture(folder / f"{place:05d}" / "grid.png")
    return folder


def test_genevals_layout_gives_each_sample_with_its_metadata(geneval):
    found = find_pictures(geneval)
    assert [(one.prompt.text, one.number) for one in found] == [
        (CAR["prompt"], 0), (CAR["prompt"], 1), (CUP["prompt"], 0), (CUP["prompt"], 1),
    ]  # fmt: skip
    assert found[0].prompt.bindings == (Binding("red", "car"),) and found[2].prompt.category == "counting"


@pytest.mark.parametrize("inner", ["", "samples"])
def test_compbenchs_layout_has_the_prompt_in_the_files_name(tmp_path, inner):
    for name in (
        "a red car and a blue bowl_000001.png",
        "a red car and a blue bowl_000000.jpg",
        "a 4_4 game_000000.png",
    ):
        picture(tmp_path / inner / name)
    (tmp_path / inner / "notes.txt").write_text("x")
    found = {(one.prompt.text, one.number): one.prompt.bindings for one in find_pictures(tmp_path)}
    two = (Binding("red", "car"), Binding("blue", "bowl"))
    assert found == {
        ("a red car and a blue bowl", 0): two,
        ("a red car and a blue bowl", 1): two,
        ("a 4_4 game", 0): (),
    }


def test_a_suites_prompts_bring_their_categories_and_refuse_others(tmp_path):
    picture(tmp_path / "a red car_0.png")
    known = Prompt("a red car", (), "color")
    assert find_pictures(tmp_path, [known])[0].prompt == known
    with pytest.raises(BadInput, match="'a red car' is not a prompt of the suite"):
        find_pictures(tmp_path, [Prompt("a blue bowl")])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing.txt", "holds no pictures in a known layout"),
        ("a red car.png", "is not named PROMPT_NUMBER.png"),
        ("_0.png", "is empty"),
    ],
)
def test_a_folder_of_another_layout_is_refused(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match=says):
        find_pictures(tmp_path)
    with pytest.raises(BadInput, match="is not a folder"):
        find_pictures(tmp_path / name)


def test_odd_folders_of_genevals_are_refused(geneval):
    (geneval / "00000" / "metadata.jsonl").write_text(json.dumps(CAR) + "\n" + json.dumps(CUP))
    with pytest.raises(BadInput, match="holds 2 prompts"):
        find_pictures(geneval)
    (geneval / "00000" / "metadata.jsonl").write_text(json.dumps(CAR))
    picture(geneval / "00000" / "samples" / "best.png")
    with pytest.raises(BadInput, match="has no number as its name"):
        find_pictures(geneval)


def test_a_picture_is_stored_once_and_other_pixels_or_makers_are_another_trial(geneval, tmp_path):
    store, found = Store(tmp_path / "results"), find_pictures(geneval)
    assert store_pictures(found, store, "sd", "sd") == (4, 0)
    assert store_pictures(found, store, "sd", "sd") == (0, 4)
    assert store_pictures(found, store, "flux", "sd") == (4, 0)
    picture(found[0].path, 99)
    assert store_pictures(found, store, "sd", "sd") == (1, 3)
    assert len(list(store.whole())) == 9
    found[1].path.write_bytes(b"no picture")
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        store_pictures(found, Store(tmp_path / "another"), "sd", "sd")
    assert not (tmp_path / "another").exists()
    other = [Picture(found[0].path, Prompt(CAR["prompt"]), 0)]
    with pytest.raises(BadInput, match="with other bindings or another category; give another results=DIR"):
        store_pictures(other, store, "sd", "sd")
    with pytest.raises(BadInput, match="is a picture that was made elsewhere"):
        reproduce(next(store.whole()), ModelPool())


def test_they_are_judged_and_reach_the_tables_of_one_generator(geneval, tiny, tmp_path, capsys):
    """Whole, by the command, with GenEval's judge on the tiny checkpoints."""
    checkpoints = [f"models.checkpoints.{name}.path={tiny / name}" for name in ("mask2former", "clip_vit_l")]
    words = [f"results={tmp_path / 'results'}", "evaluators=detector", *checkpoints]
    assert main([f"images={geneval}", "name=sd_turbo", *words]) == 0
    shown = capsys.readouterr().out
    assert "detector: 4 trials judged" in shown and "correct images " in shown and "->" not in shown
    assert shown.endswith(f"report         python -m analysis results={tmp_path / 'results'}\n")
    results = load(tmp_path / "results")
    tables = {table.name: table for table in all_tables(results, slices(results))}
    rows = tables["categories"].frame.set_index("category")
    assert rows["trials"].to_dict() == {"colors": 2, "counting": 2, "mean of categories": 4}
    assert rows["correct_after"].notna().all() and (rows["correct_after"] == rows["correct_before"]).all()
    assert tables["categories"].models == "sd_turbo"
    for name in ("headline", "categories"):
        assert not tables[name].shown.map(lambda text: "→" in text).any().any()
    assert tables["headline"].shown["change"].tolist() == ["–"]


@pytest.mark.parametrize("knob", ["name=x", "suite=geneval", "suites=x"])
def test_a_knob_about_pictures_without_pictures_is_refused(knob, tmp_path, capsys):
    assert main([knob, "evaluators=oracle", f"results={tmp_path}"]) == 2
    assert "add images=FOLDER" in capsys.readouterr().err
