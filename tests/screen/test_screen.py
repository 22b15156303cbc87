"""What a job's screen, log and contact sheet hold of prompts that try to steer them, or that no font has."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from rich.console import Console

from reno.config.words import quote
from reno.letters.console import PatientConsole
from reno.letters.fonts import Fonts
from reno.run import main
from reno.running.plan import make_plan
from reno.screen.contact_sheet import (
    GAP,
    PICTURE,
    STEP,
    STEP_TEXT,
    STEPS,
    TEXT,
    draw_contact_sheet,
    settings_of,
)
from reno.screen.screen import _table, prompt_notes
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding
from reno.store.records import JudgedTrial, Scores
from reno.store.store import Store
from reno.store.stored import Stored
from tests.letters.test_fonts import make_font

ATTACKS = [
    "\x1b[2J\x1b]0;owned\x07", "a\u202ecar", "\x9b31m red", "two\nlines\r", "=1+1", "<script>", "\x01", "\x85 red",
    "[red]rich markup[/red] :car:", "车", "a red car 🚗", "%s {0} {{x}}", "\u2066\u2069\u200f",
]  # fmt: skip


@pytest.fixture(scope="module")
def ran(knobs, tmp_path_factory):
    """The store of a job with these prompts."""
    results = tmp_path_factory.mktemp("attacks") / "results"
    words = [*knobs, f"results={results}", "tracking=disabled", "batch_size=16", "iterations=0"]
    assert main([*words, f"prompt=[{','.join(map(quote, ATTACKS))}]"]) == 0
    return results


def test_no_prompt_steers_the_screen_or_the_log(knobs, ran, capsys):
    words = [*knobs, f"results={ran}", "tracking=disabled", "batch_size=16", "iterations=0", "seed=7"]
    assert main([*words, f"prompt=[{','.join(map(quote, ATTACKS))}]"]) == 0
    shown = capsys.readouterr()
    logs = [path.read_text("utf-8") for path in ran.glob("jobs/*/job.log")]
    assert len(logs) == 2
    for text in (shown.out, shown.err, *logs):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert r"\x1b[2J\x1b]0;owned\x07" in shown.out and "[red]rich markup[/red] :car:" in shown.out
    assert shown.out.count("note: 2 prompts hold letters or signs that are not English") == 1
    stored = {trial.record.spec.prompt for trial in Store(ran)}
    assert {prompt for prompt in stored} == set(ATTACKS)  # the store has each as it was typed


def test_an_english_job_has_no_such_note(knobs, tmp_path, capsys):
    words = [*knobs, f"results={tmp_path}", "tracking=disabled", "iterations=0"]
    assert main([*words, "prompt=a “red” car – and a cup"]) == 0
    assert "not English" not in capsys.readouterr().out


def test_a_sheet_draws_what_a_font_has_and_else_the_code_point(ran, tmp_path):
    trials = [trial for trial in Store(ran) if trial.record.spec.prompt == "车" and trial.record.spec.seed == 42]
    font = make_font(tmp_path / "Chinese.ttf", "车")
    sheets = []
    for name, found in (("one", [font]), ("none", []), ("again", [])):
        path = draw_contact_sheet(trials, "clip", tmp_path / f"{name}.png", Fonts(lambda found=found: found))
        with Image.open(path) as image:
            top = image.height - GAP - TEXT + 2
            sheets.append(image.convert("L").crop((GAP, top, 240, top + 18)))  # the prompt's line
    widths = [image.point(lambda value: 255 * (value < 128)).getbbox() for image in sheets]
    assert widths[0][2] - widths[0][0] <= 15  # one square of the font
    assert widths[1][2] - widths[1][0] > 50 and widths[1] == widths[2]  # [U+8F66]


def test_a_sheet_names_its_settings_and_shows_iterations_between(knobs, tmp_path, capsys):
    words = [*knobs, f"results={tmp_path}", "tracking=disabled", "iterations=3", "lr=0.05", "prompt=a red car"]
    assert main(words) == 0
    (trial,) = Store(tmp_path)
    assert settings_of(trial.record.spec.method).startswith("3 iterations · lr 0.05 · ")
    asked = {"options": {"start_by": "blip"}, "asked": {"blip": [{"kind": "blip", "weights": "0123"}]}}
    assert settings_of({"name": "reno", "iterations": 5} | asked) == "5 iterations · start_by blip"
    path = draw_contact_sheet([trial], "clip", tmp_path / "sheet.png", Fonts(lambda: []))
    small = [np.asarray(Image.fromarray(frame).resize((STEP, STEP)), float) for frame in trial.frames()]
    with Image.open(path) as image:
        top = image.height - GAP - STEP_TEXT - STEP
        margin = image.convert("L").crop((image.width - GAP, 0, image.width, image.height))
        assert margin.getextrema() == (255, 255)  # long settings go on in a second line
        for place in range(4):
            left = GAP + round(place * (2 * PICTURE + 4 - STEP) / (STEPS - 1))
            shown = np.asarray(image.convert("RGB").crop((left, top, left + STEP, top + STEP)), float)
            apart = [np.abs(shown - one).mean() for one in small]
            assert min(apart) == apart[place] < 10, (place, apart)


def test_a_row_of_the_embedded_world_takes_one_line_of_80_columns(ran, compose):
    plan = make_plan(compose("prompt=a gold umbrella and a pink house", "metric=clip"))
    trial = next(iter(Store(ran)))
    spec = replace(trial.record.spec, prompt="a gold umbrella and a purple tree", seed=4294967295)
    score = {"clip": -13.82}
    bindings = (Binding("gold", "umbrella"), Binding("purple", "tree"))
    record = replace(trial.record, spec=spec, scores=Scores(initial=score, best=score, last=score), bindings=bindings)
    verdict = Verdict(
        tuple(Judgement(one.attribute, one.object, True, True, True, 1.0, 1.0, 1.0) for one in bindings), {}
    )
    judged = JudgedTrial(kin="none", initial=verdict, best=verdict, identity=None)
    console = Console(width=80, file=io.StringIO())
    console.print(_table(plan, [Stored(trial.folder, record)], [{"oracle": judged}]))
    heading, *lines = console.file.getvalue().splitlines()
    assert " ".join(heading.split()) == "prompt seed clip score bound (oracle)"
    row = "a gold umbrella and a purple tree 4294967295 -13.82 -> -13.82 2 -> 2 of 2"
    assert [" ".join(line.split()) for line in lines] == [row]


def test_a_bar_needs_a_terminal_that_can_go_back(monkeypatch):
    monkeypatch.setattr("sys.stdout", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for term, live in (("xterm", True), ("dumb", False)):
        monkeypatch.setenv("TERM", term)
        assert PatientConsole().live == live
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert not PatientConsole().live


def test_a_suites_protocol_is_told_where_the_job_does_another(compose):
    def told(*words):
        notes = prompt_notes(make_plan(compose("suite=geneval", "limit=2", *words)))
        return [note for note in notes if "the protocol" in note]

    (note,) = told("evaluators=[]")
    assert note == (
        "note: the protocol GenEval asks for 4 images per prompt (seed=[0,1,2,3] own_noise=true) and "
        "the judge detector (evaluators=detector)"
    )
    (note,) = told("evaluators=[]", "seed=[5,6,7,8]", "own_noise=true")
    assert note == "note: the protocol GenEval asks for the judge detector (evaluators=detector)"
    assert told("evaluators=detector", "seed=[5,6,7,8]", "own_noise=true") == []


def test_a_judge_that_is_not_the_official_one_is_named_as_such(compose, tmp_path, tiny):
    for name in ("spatial_val", "complex_val", "color_val"):
        entry = f"{name}:\n    version: 1\n    file: {name}.txt\n    sha256: null\n    category: {name[:-4]}\n"
        protocol = {
            "spatial_val": "{name: B, images: 1, judge: detector_spatial, measure: score, official: UniDet}",
            "complex_val": "{name: B, images: 1, judge: null, measure: null, official: '3-in-1, which is not here'}",
            "color_val": "{name: B, images: 1, judge: blip_vqa, measure: score}",
        }[name]
        (tmp_path / "benchmarks").mkdir(exist_ok=True)
        (tmp_path / "benchmarks" / f"{name}.yaml").write_text(f"suites:\n  {entry}    protocol: {protocol}\n")
        (tmp_path / f"{name}.txt").write_text("a bee near a lamp\na red bee near a lamp\n")

    def told(name, *words):
        words = (f"suite={name}", f"suites={tmp_path}", "own_noise=true", *words)
        return prompt_notes(make_plan(compose("-cd", str(tmp_path), *words)))

    notes = told("spatial_val", "evaluators=detector_spatial")
    assert (
        "note: the official judge of spatial_val's spatial prompts is UniDet; detector_spatial follows its rule and is "
        "not the official one"
    ) in notes
    assert (
        "note: 1 prompt has nothing that a judge here looks for, of 2 ('a red bee near a lamp': it has bindings, which "
        "none of the judges here looks for)"
    ) in notes
    notes = told("complex_val", "evaluators=[]")
    assert "note: the official judge of complex_val's complex prompts is 3-in-1, which is not here" in notes
    assert not any("official" in note for note in told("color_val", "evaluators=[]"))
    both = told("spatial_val", "evaluators=[blip_vqa,detector_spatial]")
    assert not any("looks for" in note for note in both)
