"""Whatever a prompt holds stays text, in every format."""

from __future__ import annotations

import io
import re
import shutil
import subprocess

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from analysis.data import load
from analysis.numbers.slices import slices
from analysis.tables import all_tables
from analysis.tables.files import to_csv, to_latex, to_markdown, write_table
from analysis.tables.table import Table
from analysis.text import file_name, latex_text, markdown_text, number
from reno.letters.harmless import cell, visible
from reno.spec.prompts import Binding, Prompt
from scripts.synthesise_store import synthesise

HOSTILE = [
    "<script>alert('x')</script>",
    r"100% of $x_1^2$ & {more} #1 ~ \input{/etc/passwd}",
    "a | b | c",
    "**bold** _it_ `code` [link](http://x.org) ![i](y) ~~s~~ <b>&amp;</b>",
    "two\nlines\r\nand\ttabs",
    "https://example.org www.example.org",
    "- item\n1. one\n> quote\n# head",
    "=1+1, \"quoted\" and 'single'",
    "[0.1, 0.2]*",
    "12. not a list",
]
SPECIAL = set("&%$#_{}~^\\")


def table(prompts):
    shown = pd.DataFrame({"prompt": prompts, "a − b [95%]": ["−0.10 [0.00, 0.20]*"] * len(prompts)})
    frame = pd.DataFrame({"prompt": prompts, "value": [1 / 3] * len(prompts)})
    return Table(1, "headline", "What | it_is", "g$", "my/own set.txt", frame, shown, (prompts[0],))


@pytest.mark.parametrize("prompt", HOSTILE)
def test_markdown_renders_a_hostile_prompt_as_its_own_text(prompt):
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    cells = [token for token in parser.parse(to_markdown(table([prompt]))) if token.type == "inline"]
    expected = " ".join(visible(prompt).split())
    matching = [one for one in cells if " ".join("".join(part.content for part in one.children).split()) == expected]
    assert len(matching) == 2  # the cell and the note
    for one in matching:
        assert {part.type for part in one.children} <= {"text", "text_special"}


@pytest.mark.parametrize("prompt", HOSTILE)
def test_latex_has_no_special_character_of_a_prompt_left_bare(prompt):
    text = latex_text(prompt)
    commands = re.sub(r"\\(text[a-z]+|dots|dag)\{\}|\\[&%$#_{}]|\{\[\}|\{\]\}|\$\\?[a-z-]+\$", "", text)
    assert not SPECIAL & set(commands)
    assert "\n" not in text


def test_latex_tables_have_booktabs_and_one_line_a_row():
    text = to_latex(table(HOSTILE))
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(HOSTILE)
    assert all(line.endswith(r"\\") and len(re.findall(r"(?<!\\)&", line)) == 1 for line in body)
    assert latex_text("🐶 né") == "{[}U+1F436{]} né"
    assert latex_text("a\u202eb\u0007c") == r"a\textbackslash{}u202eb\textbackslash{}x07c"


def test_csv_comes_back_with_every_digit_and_no_cell_is_a_formula():
    given = table([*HOSTILE, "-0.5", "@a", "\x1b[31m\u202e"])
    given.frame["=header"] = -1 / 7
    text = to_csv(given)
    back = pd.read_csv(io.StringIO(text, newline=""))
    assert back["value"].tolist() == given.frame["value"].tolist() and back["'=header"].iloc[0] == -1 / 7
    assert back["prompt"].tolist() == list(map(cell, given.frame["prompt"]))
    assert back["prompt"].iloc[-3:].tolist() == ["-0.5", "'@a", r"\x1b[31m\u202e"]
    assert text.count("\n") == 1 + len(given.frame)  # one line a row
    assert visible(text, keep="\n") == text


def test_files_have_safe_names_and_three_formats(tmp_path):
    paths = write_table(table(HOSTILE), tmp_path / "t")
    names = sorted(path.name for path in paths)
    assert all(
        re.fullmatch(r"1_headline__g-[0-9a-f]{6}__own_set.txt-[0-9a-f]{6}\.(csv|md|tex)", name) for name in names
    )
    assert [name.rpartition(".")[2] for name in names] == ["csv", "md", "tex"]
    assert re.fullmatch(r"passwd-[0-9a-f]{6}__x-[0-9a-f]{6}__x-[0-9a-f]{6}", file_name("../../etc/passwd", "..", ""))
    assert file_name("8_categories", "clip+blip", "blip_vqa") == "8_categories__clip+blip__blip_vqa"


def test_two_names_are_two_files():
    names = [
        "geneval/all@1",
        "parti/all@1",
        "a/list.txt",
        "b/list.txt",
        "list.txt",
        "clip[1]",
        "clip_1",
        "x" * 70,
        "x" * 71,
    ]
    assert len({file_name(name) for name in names}) == len(names)
    assert file_name("geneval/all@1") == "geneval_all_1"


def test_a_long_table_is_cut_with_a_note_and_its_csv_is_whole():
    long = table([f"p{k}" for k in range(100)])
    for text, rows in ((to_markdown(long), 60), (to_latex(long), 40)):
        assert f"p{rows - 1}" in text and f"p{rows}" not in text and f"The first {rows} of 100 rows" in text
    assert to_csv(long).count("\n") == 101


def test_numbers():
    assert number(-0.001) == "0.00" and number(0.001, signed=True) == "0.00"
    assert number(-1.5, 1) == "−1.5" and number(float("nan")) == "–"
    assert markdown_text("−0.1†") == "−0.1†" and markdown_text("0.17 → 0.23") == "0.17 → 0.23"


@pytest.mark.slow
def test_every_table_compiles_in_a_two_column_paper_and_fits(tmp_path):
    """pdfLaTeX with booktabs, on prompts that try to be commands: no error, no box wider than the page."""
    if not shutil.which("pdflatex"):
        pytest.skip("there is no pdflatex here (Debian: texlive-latex-base texlive-latex-recommended)")
    pair = (Binding("red", "car"), Binding("blue", "cup"))
    texts = [*HOSTILE, "a 🐶 né ß \u202e café 漢字", "a red car and a blue cup, " * 12]
    synthesise(tmp_path / "results", 400, prompts={"my_set%": [Prompt(text, pair) for text in texts]})
    results = load(tmp_path / "results")
    tables = [*all_tables(results, slices(results)), table(HOSTILE)]
    body = "\n".join(to_latex(one) + "\\clearpage" for one in tables)
    head = r"\documentclass[twocolumn]{article}\usepackage[T1]{fontenc}\usepackage{booktabs,textcomp,graphicx}"
    source = f"{head}\n\\begin{{document}}\nText.\n{body}\n\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(source, "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-3000:]
    pages = int(re.search(r"Output written on paper.pdf \((\d+) pages", done.stdout.replace("\n", ""))[1])
    assert pages >= len(tables)
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", done.stdout)]
    assert not [points for points in wide if points > 1], done.stdout
    assert "Float too large" not in done.stdout
