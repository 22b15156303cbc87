"""The report: self-contained, escaped, whole, and honest about what is missing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from msgspec.structs import replace

from analysis.__main__ import main
from analysis.claims import claims
from analysis.data import load
from analysis.data.frames import tidy
from analysis.figures import Figure
from analysis.numbers.slices import slices
from analysis.report import write_report
from analysis.report.exposition import printed, unbroken
from analysis.report.outcomes import BeforeAndAfter, JudgedBinding, in_words
from analysis.report.page import _code, grouped
from analysis.report.prompt_folders import slug
from analysis.report.sources import sources
from analysis.report.thumbnails import strip
from analysis.tables import Table, cells
from analysis.tables.cost import cost
from analysis.tables.files import to_markdown
from analysis.tables.headline import headline
from reno.letters.harmless import visible
from reno.spec.prompts import Binding, Prompt
from reno.store.files import encode_frames, encode_png
from reno.store.records import FileEntry
from reno.store.stored import Stored
from scripts.synthesise_store import Truth, configurations, synthesise

PAIR = (Binding("red", "car"), Binding("blue", "cup"))
HOSTILE = (
    "<script>alert('x')</script><img src=http://x.org/y onerror=alert(1)> & \"both\" 'quotes'",
    '</script> #read("/etc/passwd") $x^2$ *bold* \\ @ref <label> // {{ 7 * 7 }}',
    "../../../etc/passwd",
    "a red car and a blue cup in the rain " * 8 + "🐶 ünïcödé 漢字 \u202e",
    "bytes that are no text: \udc80",
)
STORED = (*HOSTILE[:-1], "bytes that are no text: \\udc80")
"""As the frames have them."""
SHOWN = tuple(map(visible, STORED))
SETTINGS = [one for one in configurations(iterations=(5,), lrs=(0.05,)) if one.method["name"] == "reno"]


def made(folder, prompts=HOSTILE, truth=None, settings=SETTINGS):
    """A store of these prompts, and its report but for the drawing of figures, which has its own tests."""
    root, out = folder / "results", folder / "report"
    texts = [Prompt(text, PAIR) for text in prompts]
    synthesise(root, 99, prompts={"set": texts}, configured=settings, seeds=2, truth=truth or Truth(failures=0))
    return root, out


def report(root, out):
    results = load(root)
    cut = slices(results)
    tables = [headline(cell) for cell in cells(cut)]  # one of the seven will do here, and is quick
    png = out / "figures" / "contact_sheet__x.png"
    png.parent.mkdir(parents=True, exist_ok=True)
    png.write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    figures = [Figure("contact_sheet", "A figure.", tables[0].models, "set", "oracle", png, png)]
    return write_report(results, cut, tables, claims(cut), figures, out)


class ParsedPage(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root, out = made(tmp_path_factory.mktemp("made"))
    return report(root, out)


@pytest.fixture(scope="module")
def page(written):
    return ParsedPage(written[0].read_text("utf-8"))


def test_the_page_asks_nothing_of_a_network(page):
    addresses = [value for tag, name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert addresses and all(value.startswith(("#", "data:")) for value in addresses)
    style = "".join(page.words)
    assert "@import" not in style and not re.search(r"url\(['\"]?(?!\$)", style)
    policy = next(v for t, n, v in page.attributes if t == "meta" and n == "content" and "default-src" in v)
    assert "default-src 'none'" in policy


def test_every_section_is_there(page):
    sections = [value for tag, name, value in page.attributes if (tag, name) == ("section", "id")]
    assert sections == ["first", "answer", "claims", "tables", "figures", "gallery", "ground", "missing", "commands"]
    text = "".join(page.words)
    assert page.tags.count("article") == len(HOSTILE) * 2
    assert "Table 1." in text and "That CLIP beats BLIP overall is undecided" in text
    assert "they say nothing about any model" in text
    assert "python -m analysis results=" in text and re.search(r"python -m reno\.reproduce \w{12} results=", text)
    assert "Nothing: every trial" in text


def test_the_answer_is_five_sentences(written):
    text = written[0].read_text("utf-8")
    answer = re.search(r'id="answer".*?</section>', text, re.S)[0]
    assert answer.count("<p>") == 5


def test_hostile_prompts_are_text_everywhere(written, page):
    headings = [word for word in page.words if word in SHOWN]
    assert set(headings) == set(SHOWN)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("script") == len(HOSTILE) * 2 + 1  # one a card and the page's own
    pics = written[2]
    assert sorted(path.name for path in pics.iterdir()) == sorted(map(slug, STORED))
    assert {path.parent.parent for path in pics.rglob("*.png")} == {pics}


def test_each_card_is_whole_without_javascript(page):
    cards = [json.loads(word) for word in page.words if word.startswith('[{"at"')]
    assert len(cards) == len(HOSTILE) * 2
    for card in cards:
        for side in card:
            assert len(side["curve"]) == len(side["at"]) == 6
            assert max(side["at"]) == side["count"] - 1
    pictures = [v for t, n, v in page.attributes if (t, n) == ("img", "src") and v.startswith("data:image/webp")]
    in_strip, figures, in_cards = 3 * 3, 1, 3 * len(cards)
    assert len(pictures) == in_strip + figures + in_cards
    assert len([v for t, n, v in page.attributes if (t, n) == ("path", "d") and v.count("L") == 5]) == 2 * len(cards)
    assert not [value for _, name, value in page.attributes if name == "data-picture"]


def test_the_pdf_is_made_and_holds_pages(written):
    data = written[1].read_bytes()
    assert data.startswith(b"%PDF-") and len(data) > 20_000


def test_the_same_store_gives_the_same_page(written, tmp_path):
    out = written[0].parent
    before = written[0].read_bytes()
    report(out.parent / "results", out)
    assert written[0].read_bytes() == before


def test_a_partial_store_says_what_is_missing(tmp_path):
    root, out = made(tmp_path, ("a red car and a blue cup", "p2"), Truth(failures=0.5))
    results = load(root)
    failed = len(results.absent)
    assert failed
    first, second, *_ = results.trials["trial"]
    (root / "trials" / first / "best.png").unlink()
    frames = root / "trials" / second / "frames.webp"
    size = frames.stat().st_size
    frames.unlink()  # its bytes are linked into other trials too
    frames.write_bytes(b"x" * size)
    text = "".join(ParsedPage(report(root, out)[0].read_text("utf-8")).words)
    assert f"{failed + 1} of 8 planned trials are not in any number here" in text
    assert "the gradient is not finite" in text and "best.png is missing" in text
    assert "Not everything that was planned is here" in text
    assert "of those planned, " in text and "and are not in it" in text


def test_of_many_damaged_ones_the_first_are_named_and_the_others_counted(record, tmp_path):
    results = tidy([record("p")], broken={str(k): f"trial {k} is damaged" for k in range(23)})
    said = sources(results, slices(results), tmp_path).missing
    assert said[0].startswith(
        "23 trials, judgements or job records are damaged or cannot be read, and are in no number"
    )
    assert said[-2:] == ("trial 19 is damaged", "... and 3 more damaged files")


def test_what_is_said_of_a_whole_group_of_tables_is_said_once(record):
    cell = slices(tidy([record(f"p{k}") for k in range(3)]))
    tables = [headline(cell), cost(cell)]
    (group,) = grouped(tables, [])
    assert any("All prompts start from one noise" in note for note in group["notes"])
    assert not {note for table in group["tables"] for note in table.notes} & set(group["notes"])
    assert all("All prompts start from one noise" in to_markdown(table) for table in tables)  # where it stands alone


@pytest.mark.parametrize("most", [24, 60])
def test_a_table_that_is_cut_says_so_once_and_of_itself(most):
    rows = pd.DataFrame({"trial": [str(k) for k in range(100)]})
    shown = printed(Table(6, "broken_trials", "Lost", "m", "p", rows, rows), most)
    assert len(shown.rows) == most and shown.notes == (f"The first {most} of 100 rows; the CSV has all.",)


def test_what_all_rows_share_is_said_once():
    rows = pd.DataFrame({"method": ["reno"] * 2, "metric": ["clip", "blip"], "score": ["1", "1"], "n": ["4", "4"]})
    shown = printed(Table(1, "headline", "What", "m", "p", rows, rows))
    assert [column.name for column in shown.columns] == ["metric", "score"]
    assert shown.same == "In every row: method reno, n 4." and shown.rows == (("clip", "1"), ("blip", "1"))
    one = printed(Table(1, "headline", "What", "m", "p", rows[:1], rows[:1]))
    assert [column.name for column in one.columns] == list(rows) and one.same == ""
    alike = pd.DataFrame({"method": ["reno"] * 2, "score": ["1", "2"]})  # one text is left to name the rows
    assert [column.name for column in printed(Table(1, "x", "X", "m", "p", alike, alike)).columns] == [
        "method",
        "score",
    ]


def test_an_interval_is_never_broken_and_stands_apart_from_its_value():
    assert unbroken("+0.56 [0.31, 0.81]*") == "+0.56 [0.31,\N{NO-BREAK SPACE}0.81]*"
    assert unbroken("0.31 → 0.88") == "0.31\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}0.88"


def test_an_empty_table_is_one_line(written, tmp_path):
    rows = pd.DataFrame()
    empty = Table(3, "tuned", "Tuned", "synthetic", "set", rows, rows, ("These are the dev prompts.",))
    root = written[0].parent.parent / "results"
    results = load(root)
    cut = slices(results)
    tables = [headline(cells(cut)[0]), empty]
    page, paper, _ = write_report(results, cut, tables, claims(cut), [], tmp_path)
    assert re.search(
        r'<p class="table empty"><b>Table 3.</b> Tuned[^<]* These are the dev prompts.</p>', page.read_text()
    )
    assert paper.read_bytes().startswith(b"%PDF-")


def test_a_caution_names_the_cells_it_is_about_where_it_is_not_about_all(record, tmp_path):
    records = [record(f"{name}{k}", seed, prompts=name) for k in range(2) for name, many in (("a", 1), ("b", 3))
               for seed in range(many)]  # fmt: skip
    results = tidy(records)
    one, three = sources(results, slices(results), tmp_path).cautions
    assert one.startswith("On sd_turbo, prompts a: All prompts start from one noise")
    assert three.startswith("On sd_turbo, prompts b: All prompts start from the same 3 noises")
    alike = tidy([one for one in records if one.spec.seed == 0])
    (said,) = sources(alike, slices(alike), tmp_path).cautions
    assert said.startswith("All prompts start from one noise")


def test_the_facts_say_how_many_trials_ran_side_by_side(record, tmp_path, page):
    sizes = [4, 4, 1]
    records = [record(f"p{place}") for place in range(3)]
    change = msgspec.structs.replace
    records = [
        change(one, provenance=change(one.provenance, batch=change(one.provenance.batch, size=size)))
        for one, size in zip(records, sizes, strict=True)
    ]
    results = tidy(records)
    facts = dict(sources(results, slices(results), tmp_path).facts)
    assert facts["trials side by side"] == "4 in a batch (2), 1 in a batch (1)"
    assert any(word.startswith("place 1 of 1") for word in page.words)


def test_an_empty_store_is_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "holds no trial" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_gallery_is_cut_with_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.report.cards.MOST_CARDS", 3)
    root, out = made(tmp_path, HOSTILE[:3])
    page = ParsedPage(report(root, out)[0].read_text("utf-8"))
    assert page.tags.count("article") == 3
    assert "3 of 6 pairs of prompt and seed are here, drawn at random" in "".join(page.words)


def judged(*states):
    shapes = {"right": (1, 1, 1), "elsewhere": (1, 1, 0), "plain": (1, 0, 0), "no object": (0, 1, 0), "none": (0, 0, 0)}
    return tuple(
        JudgedBinding(binding.attribute, binding.object, *map(bool, shapes[state]))
        for binding, state in zip(PAIR, states, strict=False)
    )


def test_judgements_in_words():
    assert in_words(judged("right", "elsewhere")) == (
        "The car is red; the cup is there and blue is in the image, but on something else."
    )
    assert in_words(judged("elsewhere", "elsewhere")) == (
        "The car and the cup are there and so are red and blue, but none on its own object."
    )
    assert in_words(judged("plain", "no object")) == (
        "The car is there, but not red, and red is nowhere; the cup is missing, and blue is on something else."
    )
    assert in_words(judged("none")) == "The car is missing, and so is red."
    assert in_words(()) == "Not judged."


def test_outcomes():
    assert BeforeAndAfter(judged("plain"), judged("right")).outcomes == ["mended"]
    assert BeforeAndAfter(judged("right"), judged("plain")).outcomes == ["broken"]
    assert BeforeAndAfter(judged("plain", "right"), judged("right", "elsewhere")).outcomes == [
        "mended",
        "broken",
        "swapped",
    ]
    assert BeforeAndAfter(judged("plain", "right"), judged("plain", "right")).outcomes == ["unchanged"]
    # The attribute is there and the object is not: not "both there, not together".
    assert BeforeAndAfter(judged("plain", "no object"), judged("plain", "no object")).outcomes == ["unchanged"]
    assert BeforeAndAfter().outcomes == ["not judged"]


def test_analysis_txt_says_what_each_metric_got_right_and_wrong(written):
    text = (written[2] / slug(HOSTILE[0]) / "analysis.txt").read_text("utf-8")
    assert text.startswith(f"Prompt: {HOSTILE[0]}\n")
    for metric in ("clip", "blip"):
        assert re.search(rf"^{metric} \(5 it\., lr 0\.05\): right: .*; wrong: .*\.$", text, re.M)
    assert "Seed 0\n  before: " in text and "Generator synthetic, 2 seeds, judged by oracle." in text
    names = sorted(path.name for path in (written[2] / slug(HOSTILE[0])).glob("*.png"))
    assert names == [f"synthetic_seed{seed}_{which}.png" for seed in (0, 1) for which in ("before", "blip", "clip")]


def test_a_strip_of_what_stands_still_is_one_still(record, tmp_path):
    still, other = (np.full((8, 8, 3), value, np.uint8) for value in (0, 200))

    def stored(frames, best):
        (tmp_path / "frames.webp").write_bytes(encode_frames(frames))
        (tmp_path / "best.png").write_bytes(encode_png(frames[best]))
        pd.DataFrame({"iteration": range(len(frames))}).to_parquet(tmp_path / "trace.parquet")
        written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        files = {
            name: FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in written.items()
        }
        return Stored(tmp_path, replace(record(), best_iteration=best, files=files))

    one = strip(stored([still] * 51, 0), 51)
    assert (one.count, set(one.at), one.of) == (1, {0}, (0,))
    two = strip(stored([still] * 3 + [other] * 2, 3), 5)
    assert (two.count, two.at, two.of) == (2, (0, 0, 0, 1, 1), (0, 3))


def test_the_reports_command_has_the_margin_and_the_labels_that_it_was_made_with(record, tmp_path):
    results = tidy([record("p0")])

    def command(results, *margin):
        said = sources(results, slices(results, *margin), tmp_path / "out").commands
        return next(line for line in said if line.startswith("python -m analysis"))

    assert command(results) == f"python -m analysis results={results.root} out={tmp_path / 'out'}"
    more = command(dataclasses.replace(results, labels=Path("my labels.csv")), 0.03)
    assert more.endswith(" margin=0.03 'labels=my labels.csv'")


def test_a_command_in_a_note_is_set_as_code_and_nothing_in_it_is_markup():
    assert _code("`a <b>` & c") == Markup("<code>a &lt;b&gt;</code> &amp; c")
