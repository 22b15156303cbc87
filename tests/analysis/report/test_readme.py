"""The README's answer is generated between its marks, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.claims import claims
from analysis.data.frames import tidy
from analysis.figures import Figure
from analysis.numbers.slices import slices
from analysis.report.readme import MARKS, write_readme
from analysis.tables import cells
from analysis.tables.headline import headline
from reno.spec.errors import BadInput

BEGIN, END = MARKS.begin, MARKS.end


def test_the_answer_stands_between_the_marks(tuned, job, tmp_path):
    records = tuned(8)
    command = "python -m reno.run -m +experiments=clip_vs_blip results=/somewhere/else"
    results = tidy(records, [job(records[:1], command=command)])
    cut = slices(results)
    found, tables = claims(cut), [headline(cell) for cell in cells(cut)]
    png = tmp_path / "x.png"
    png.write_bytes(b"a picture")
    figures = [Figure("wins", "Wins.", "sd_turbo", name, "oracle", png, png) for name in ("pairs_dev", "pairs_test")]
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nstale words\n{END}\nafter\n", "utf-8")
    write_readme(results, cut, tables, found, figures, readme)
    text = readme.read_text("utf-8")
    assert text.startswith(f"before\n{BEGIN}\n![Wins. Judge: oracle.](docs/answer.png)\n")
    assert text.endswith(f"```\n{END}\nafter\n") and "stale words" not in text
    assert (tmp_path / "docs" / "answer.png").read_bytes() == b"a picture"
    rows = [line for line in text.splitlines() if line.startswith("| reno")]
    assert [row.split(" | ")[1:3] for row in rows] == [["clip", "50 it., lr 0.01"], ["blip", "50 it., lr 0.05"]]
    assert all("0.00 → 1.00" in row for row in rows) and "prompts pairs\\_test" in text
    said = text.split("docs/answer.png)\n\n")[1].split("\n")[0]  # at their own best settings, both bind every prompt
    moved = r"from 0.00 to 1.00 with {} (change +1.00 \[0.35, 1.00\], 8 prompts)"
    assert f"right, as oracle judges, {moved.format('clip')} and {moved.format('blip')}." in said
    assert "That ReNO improves binding is supported with clip and with blip. That CLIP beats BLIP overall is " in said
    assert "overall is undecided (about 44 more prompts would decide; prompts fully bound, clip − blip: 0.00" in said
    assert f"All this rests on {len(records)} trials of sd\\_turbo" in said
    assert "python -m reno.run -m +experiments=clip_vs_blip\nmake readme-answer\n" in text
    assert str(tmp_path) not in text and "/somewhere" not in text
    write_readme(results, cut, tables, found, figures, readme)
    assert readme.read_text("utf-8") == text


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}"])
def test_a_readme_without_its_marks_is_refused_and_stays(text, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(text, "utf-8")
    with pytest.raises(BadInput, match="needs the line"):
        MARKS.check(readme)
    with pytest.raises(BadInput, match="cannot be read"):
        MARKS.check(tmp_path / "none.md")


def test_the_projects_own_readme_has_the_marks():
    MARKS.check(Path(__file__).parents[3] / "README.md")
