"""Thirty prompts that attack whatever shows them, through the whole report: every file that it writes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import typst

from analysis.__main__ import main
from analysis.figures.style import save, style
from reno.letters.fonts import Fonts
from reno.letters.harmless import NUMBER, cell, visible
from reno.spec.prompts import Binding, Prompt
from scripts.synthesise_store import METRICS, Odds, Truth, configurations, synthesise
from tests.letters.test_fonts import make_font

PAIR = (Binding("red", "car"), Binding("blue", "cup"))
ATTACKS = [
    "=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "  =1+1", "a;=1+1", "\t=1+1", "\r=1+1", "＝1+1",
    "\x1b[2J\x1b]0;owned\x07", "\x07bell", "\x9b31mred", "a\x00b", "line\nbreak", "a\r\nb", "\u2028separator",
    "\ud800 half", "a\u202ecod.exe", "a\u2066b\u2069", "\u200fa\u200eb", "\ufeffmark",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>", "{{7*7}}${7*7}", "$x_1$ \\input{/etc/passwd} %&#", "| a | b |", "```\nrm -rf /",
    "#set page() #panic()", "../../etc/passwd", "车", "-0.5",
]  # fmt: skip
BREAKING = Truth(Odds(0.99, 0.99, 0.99), dict.fromkeys(METRICS, Odds(0.99, 0.99, 0.01)), prompt_spread=0, failures=0)
"""Nearly every trial breaks a binding, so that the tables name its prompt."""
STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


@pytest.mark.slow
def test_no_file_of_the_report_holds_what_steers(tmp_path, monkeypatch, capsys):
    made = [one for one in configurations(iterations=(3,), lrs=(0.05,)) if one.method["name"] == "reno"]
    prompts = {"attacks": [Prompt(text, PAIR) for text in ATTACKS]}
    synthesise(tmp_path / "results", 99, prompts=prompts, configured=made, truth=BREAKING, seeds=1)
    on_paper = []
    compile_ = typst.compile

    def seen(source, root, **how):
        on_paper.append(json.loads((Path(root) / "data.json").read_text("utf-8")))
        return compile_(source, root=root, **how)

    monkeypatch.setattr(typst, "compile", seen)
    out = tmp_path / "report"
    assert main([str(tmp_path / "results"), str(out)]) == 0
    shown = capsys.readouterr()
    texts = [path for path in out.rglob("*") if path.suffix in (".csv", ".html", ".md", ".tex", ".txt")]
    assert {path.suffix for path in texts} == {".csv", ".html", ".md", ".tex", ".txt"}
    for path in texts:
        assert not STEERING.search(path.read_text("utf-8")), path
    for text in (shown.out, shown.err, *strings(on_paper)):
        assert not STEERING.search(text)
    assert r"a\u202ecod.exe" in (out / "index.html").read_text("utf-8")
    assert set(map(visible, ATTACKS)) & set(strings(on_paper))  # a table names some
    tables = [path for path in texts if path.suffix == ".csv"]
    cells = [one for path in tables for row in csv.reader(path.open(encoding="utf-8", newline="")) for one in row]
    assert len(set(map(cell, ATTACKS)) & set(cells)) > 24 and {"'=1+1", "'@SUM(1)"} <= set(cells)
    assert any(re.fullmatch(r"-\d+\.\d+", one) for one in cells) and "'-0.5" not in cells  # a number stays one
    assert not [one for one in cells if re.match(r"\s*[=+\-@＝]", one) and not NUMBER.fullmatch(one)]
    assert {path.suffix for path in (out / "figures").iterdir()} == {".pdf", ".png"}


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def test_a_figure_has_the_letters_of_another_font_in_its_pdf_as_well(tmp_path):
    """As shapes: a PDF of matplotlib lacks the letters of an embedded font that is no TrueType."""
    from matplotlib import pyplot as plt

    font = make_font(tmp_path / "Chinese.ttf", "车")
    ink = []
    for text in ("", "车"):
        with style([text], Fonts(lambda: [font])):
            figure = plt.figure(figsize=(1, 1))
            figure.text(0.2, 0.2, text, fontsize=20)
            assert ("Chinese" in plt.rcParams["font.family"]) == bool(text)
            pdf, png = save(figure, tmp_path / f"figure{len(text)}")
        ink.append(int((plt.imread(png)[..., :3] < 0.5).all(-1).sum()))
        assert (b"/Type3" in pdf.read_bytes().replace(b" ", b"")) == bool(text)
    assert ink[0] == 0 and ink[1] > 500  # a square, no empty box
