"""`python -m reno.check` as a user types it, on the tiny models and on the testbed."""

from __future__ import annotations

import pytest

from reno.check import PAGE, main
from tests.commands.words_over import over


@pytest.fixture
def words(knobs) -> list[str]:
    """Words that check the tiny models."""
    return [word for word in knobs if word.startswith("models")]


def rows(printed: str) -> dict[str, str]:
    """The first line of each row of the printed table, by what is checked."""
    lines = [line.strip() for line in printed.splitlines()]
    return {line.partition("  ")[0]: line for line in lines if "  " in line}


def test_the_tiny_models_agree_with_the_libraries(words, capsys):
    """The generator's image is the pipeline's, the pixel values are the processors'; a sum's terms are checked once."""
    assert main([*words, "metrics=clip+blip,clip", "evaluators=detector_open"]) == 0
    said = capsys.readouterr()
    found = rows(said.out)
    compared = ["generator: an image [1]", *(f"{one}: pixel values [2]" for one in ("clip", "blip", "owlv2"))]
    assert all(found[one].endswith(" ok") for one in compared)
    assert all("skipped: the weights are" in found[f"{one}: published values"] for one in ("clip", "blip", "owlv2"))
    assert "5 ok, 0 differs, 3 skipped" in said.out and said.out.count("clip: pixel values") == 1
    assert "[1] computed here, by diffusers' pipeline" in said.out and not said.err


@pytest.mark.slow
def test_every_metric_and_judge_of_the_tiny_models_is_checked(words, capsys):
    assert main(words) == 0
    found = rows(capsys.readouterr().out)
    names = ("clip", "blip", "blip_large", "clip_vit_h", "blip_vqa", "mask2former", "owlv2", "clip_vit_l")
    assert all(found[f"{name}: pixel values [2]"].endswith(" ok") for name in names)
    assert not any("oracle" in name for name in found)  # there is nothing to compare, and nobody named it


@pytest.mark.slow
def test_the_testbed_is_checked_as_far_as_it_goes(capsys):
    assert main(["models=testbed"]) == 0
    found = rows(capsys.readouterr().out)
    assert all(found[one].endswith(" ok") for one in ("generator: an image [1]", "clip: pixel values [2]"))
    assert "skipped: the checkpoint has other sizes" in found["clip: published values"]
    assert "skipped: these models have no" in found["metric blip_large"]


def test_weights_that_are_not_here_are_skipped_and_not_fetched(capsys):
    """Where nothing could be checked, nothing was found right: the status is 1."""
    assert main(["metrics=clip", "evaluators=oracle_analytic"]) == 1
    found = capsys.readouterr()
    said = found.out
    assert "not on this disk (stabilityai/sd-turbo" in said and "not on this disk (openai/clip-vit" in said
    assert not found.err
    assert "transformers has no image" in said and "0 ok, 0 differs, 3 skipped; nothing was checked" in said


def test_what_cannot_be_read_differs_and_the_others_are_checked(words, tiny, tmp_path, capsys):
    (tmp_path / "clip").mkdir()
    for file in (tiny / "clip").iterdir():
        (tmp_path / "clip" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"no weights")
    given = [f"models.checkpoints.clip.path={tmp_path / 'clip'}", "metrics=[clip,blip]", "evaluators=[]"]
    assert main([*words, *given]) == 1
    found = rows(capsys.readouterr().out)
    assert "differs" in found["clip: its weights"] and found["blip: pixel values [2]"].endswith(" ok")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("download=maybe", "download=maybe is not known; use one of nothing, pictures, all"),
        (
            "images=./nowhere",
            "images=nowhere is not a folder; give one that holds the pictures of the published values",
        ),
        ("device=tpu", "device=tpu is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("metrics=clop", "metrics=clop is not known; use aesthetic, blip, "),
        ("evaluators=clop", "evaluators=clop is not known; use blip_vqa, "),
        ("models.checkpoints.clop.path=x", "models.checkpoints.clop is not a knob"),
        ("models.generator.path=./nowhere", "models.generator.path=./nowhere is not a folder"),
        ("models.generator.gain=2", "generator stable_diffusion has no option 'gain'; it has timestep"),
        ("-m", "python -m reno.check cannot sweep"),
        ("iterations=3", "iterations is not a knob"),
        ("metric=clip", "metric is not a knob; did you mean 'metrics'?"),
    ],
)
def test_bad_input_gets_one_sentence(words, typed, sentence, capsys):
    assert main(over([*words, "metrics=[]", "evaluators=[]"], typed)) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {sentence}") and said.err.count("\n") == 1 and not said.out


def test_a_wrong_checkpoint_is_refused_also_where_no_metric_is_named(capsys):
    assert main(["evaluators=[]", "models.checkpoints.clip=3"]) == 2
    assert capsys.readouterr().err.startswith("error: models.checkpoints.clip must hold keys and values, not 3")


def test_a_metric_that_closed_models_do_not_have_is_refused_where_it_is_named(capsys):
    assert main(["models=testbed", "metrics=clip_vit_h"]) == 2
    assert "these models have no checkpoint for metric clip_vit_h" in capsys.readouterr().err


def test_help_is_the_page(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{knob.name} " in said for knob in PAGE.knobs()) and "exit status" in said
