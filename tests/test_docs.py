"""README.md and docs/ are true to the tree: their commands parse, their links and paths lead somewhere, their examples
run, and the walk of one trial is the walk that a trial takes."""

from __future__ import annotations

import re
import shlex
import sys
import threading
import tomllib
from contextlib import nullcontext
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml

from analysis.__main__ import PAGE as REPORT
from reno.check import PAGE as CHECK
from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.programs import PROGRAMS
from reno.config.words import parse
from reno.convert import PAGE as CONVERT
from reno.evaluate import PAGE as EVALUATE
from reno.evaluate import request_of
from reno.index import PAGE as INDEX
from reno.merge import PAGE as MERGE
from reno.reproduce import PAGE as REPRODUCE
from reno.run import main as run
from reno.running.fit.cards import CARDS, CONTEXT, GIB, SHARE
from reno.spec.errors import BadInput
from reno.status import PAGE as STATUS
from reno.store.store import Store
from reno.weights.conversion import CONVERSIONS
from scripts.stage_docs import main as stage_docs
from scripts.stage_docs import stage

ROOT = Path(__file__).resolve().parent.parent
README, HOUSE = ROOT / "README.md", ROOT / "docs" / "house.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?:python -m|python|make|reno \w+) .*")
MODULES = {one.name: one.module for one in PROGRAMS}


def blocks(page: Path) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def prose(page: Path) -> str:
    return re.sub(r"^```\w*\n.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)


def commands(page: Path) -> list[list[str]]:
    """The words of every command in a page's blocks and in its inline code; `reno run` as `python -m reno.run`."""
    lines = [line.removeprefix("$ ") for block in blocks(page) for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    found = [shlex.split(line, comments=True) for line in lines if COMMAND.match(line)]
    return [["python", "-m", MODULES.get(two[1], two[1]), *two[2:]] if two[0] == "reno" else two for two in found]


def all_commands(*start: str) -> list:
    return [
        pytest.param(words, id=f"{page.stem}: {shlex.join(words)}")
        for page in PAGES
        for words in commands(page)
        if tuple(words[: len(start)]) == start
    ]


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """The files of docs/house.md's examples, in a folder that is the working directory."""
    for block in blocks(HOUSE):
        if match := re.match(r"(?:# @package _global_\n)?# ((?:mine|myconf)/\S+)\n", block):
            path = tmp_path / match[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)
    (tmp_path / "MYCONF").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


# --- Commands ---------------------------------------------------------------------------------------------------------


def one_value_each(words: list[str]) -> list[list[str]]:
    """A sweep's words as jobs in which every value of every knob occurs."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    knobs = [word for word in words if "=" in word and not word.startswith("-")]
    rest = [word for word in words if word not in knobs]
    parser = OverridesParser.create()
    swept = [parser.parse_override(knob) for knob in knobs]
    values = [
        [f"{one.input_line.partition('=')[0]}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [knob]
        for one, knob in zip(swept, knobs, strict=True)
    ]
    return [
        [*rest, *(own or column[0] for own, column in zip(row, values, strict=True))] for row in zip_longest(*values)
    ]


@pytest.mark.parametrize(
    "words", all_commands("python", "-m", "reno.run") + all_commands("python", "-m", "reno.memory")
)
def test_a_command_that_runs_or_predicts_a_job_makes_a_job(words, mine):
    sweep = "-m" in words[3:]
    plain = [word for word in words[3:] if word not in ("-m", "hydra/launcher=submitit_local")]  # a package's own
    if "--help" in plain:
        return
    for job in one_value_each(plain) if sweep else [plain]:
        parsed = parse(RUN, ["-m", *job] if sweep else job)
        copies = pytest.raises(BadInput, match="suites=FOLDER is not a folder")  # the reader's own
        with copies if "suites=FOLDER" in job else nullcontext():
            job_from_config(composed(RUN, parse(RUN, job)), parsed.conf)


@pytest.mark.parametrize("words", all_commands("python", "-m", "reno.evaluate"))
def test_a_command_that_judges_names_known_judges(words, mine):
    words = parse(EVALUATE, words[3:])
    assert request_of(composed(EVALUATE, words).values, words.conf).judges


@pytest.mark.parametrize("words", all_commands("python", "-m", "reno.check"))
def test_a_command_that_checks_has_known_knobs(words):
    assert composed(CHECK, parse(CHECK, words[3:])).values["download"] in ("nothing", "pictures", "all")


@pytest.mark.parametrize("words", all_commands("python", "-m", "reno.status"))
def test_a_command_that_looks_at_a_store_composes(words):
    composed(STATUS, parse(STATUS, words[3:]))


@pytest.mark.parametrize("words", all_commands("python", "-m", "reno.merge"))
def test_a_command_that_joins_stores_composes_and_names_some(words):
    assert composed(MERGE, parse(MERGE, words[3:])).values["stores"]


@pytest.mark.parametrize("words", all_commands("python", "-m", "reno.index"))
def test_a_command_that_indexes_a_store_composes(words):
    composed(INDEX, parse(INDEX, words[3:]))


@pytest.mark.parametrize("words", all_commands("python", "-m", "reno.convert"))
def test_a_command_that_converts_names_a_known_checkpoint(words):
    assert composed(CONVERT, parse(CONVERT, words[3:])).values["checkpoint"] in CONVERSIONS


@pytest.mark.parametrize("words", all_commands("python", "-m", "reno.reproduce"))
def test_a_command_that_reproduces_names_a_trial(words):
    assert composed(REPRODUCE, parse(REPRODUCE, words[3:])).values["trial"] == "TRIAL"


@pytest.mark.parametrize("words", all_commands("python", "-m", "analysis"))
def test_a_command_that_reports_has_known_knobs(words):
    values = composed(REPORT, parse(REPORT, words[3:])).values
    assert "DIR" in (values["results"], values["out"])


@pytest.mark.parametrize("words", all_commands("make"))
def test_a_target_of_make_is_there_and_so_are_its_variables(words):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for word in words[1:]:
        name, equals, _ = word.partition("=")
        assert re.search(rf"^{name} \?=" if equals else rf"^{name}:", makefile, re.M), f"the Makefile lacks {name}"


def test_every_command_belongs_to_a_test_above():
    known = [
        {
            "reno.run",
            "reno.memory",
            "reno.evaluate",
            "reno.reproduce",
            "reno.check",
            "reno.convert",
            "reno.status",
            "reno.merge",
            "reno.index",
            "analysis",
            "completion",
        }
    ]
    found = [words for page in PAGES for words in commands(page)]
    assert len(found) > 50
    for words in found:
        assert words[0] == "make" or words[1].startswith("scripts/") or words[2] in known[0], words


# --- Links and paths --------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page)) + re.findall(r'<img src="([^"]+)"', prose(page))
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_is_named_is_there(page):
    places = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name.isidentifier())
    named = set(re.findall(rf"(?<![\w./<-])((?:{places})/[\w./+-]*\w/?)", page.read_text("utf-8")))
    made = ("results/", "report/", "bench/", "bench-gpu/", "models/", "build/")  # by running something
    for path in named:
        folder_of_a_name = path.partition("NAME")[0]
        assert path.startswith(made) or (ROOT / folder_of_a_name).exists(), path


def test_every_page_is_linked_from_the_readme_and_the_readme_is_short():
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 150
    for page in PAGES[1:]:
        assert f"({page.relative_to(ROOT).as_posix()})" in text


# --- The house --------------------------------------------------------------------------------------------------------


def test_the_batches_that_fit_on_a_t4_follow_from_the_figures_beside_them():
    """docs/memory.md, from the capacity that torch reports in Colab, 14.56 GiB."""
    capacity = CARDS["T4 (free Colab)"] / GIB
    assert capacity == pytest.approx(14.56)
    row = re.compile(r"^\| .+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|$", re.M)
    rows = row.findall((ROOT / "docs" / "memory.md").read_text("utf-8"))
    assert len(rows) == 7
    for weights, alone, another, batch in (map(float, found) for found in rows):
        allowed = (capacity - CONTEXT / GIB + SHARE * weights) / (1 + SHARE)
        assert batch == 1 + (allowed - alone) // another


def contract(name: str) -> list[list[str]]:
    """The layers of one contract of import-linter, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers" and one["containers"] == [name])
    return [layer.split(" | ") for layer in layers]


def test_the_picture_of_the_rooms_is_the_contract():
    picture = next(block for block in blocks(HOUSE) if block.startswith("  testbed"))
    drawn = [re.split(r" {4,}", line.strip())[0].split() for line in picture.splitlines() if line.strip() != "|"]
    assert [sorted(line) for line in drawn] == [sorted(layer) for layer in contract("reno")]
    rooms = {path.stem for path in (ROOT / "reno").iterdir() if path.suffix in ("", ".py")} - {
        "__init__",
        "__pycache__",
    }
    assert {room for line in drawn for room in line} == rooms


def test_the_picture_of_the_analysis_is_the_contract():
    line = next(line for block in blocks(HOUSE) for line in block.splitlines() if line.startswith("  analysis:"))
    rooms = re.findall(r"[a-z]+", line.partition(":")[2])
    order = [layer[0] for layer in contract("analysis") if layer[0] not in ("__main__", "marks")]
    assert rooms == order[::-1]


# --- Examples ---------------------------------------------------------------------------------------------------------


def test_the_parts_of_ones_own_run_as_a_study(mine, capsys):
    assert run(["-cd", "myconf", "-m", "+experiments=hues", "iterations=2", "tracking=disabled"]) == 0
    trials = list(Store(mine / "results").whole())
    assert len(trials) == 2 * 3 * 3  # metrics, methods, prompts
    assert {trial.record.labels.method for trial in trials} == {"reno", "walk", "none"}
    assert all(set(trial.record.judgements) == {"looker"} for trial in trials)
    assert "error" not in capsys.readouterr().err


@pytest.mark.slow
def test_the_examples_in_python_run(tmp_path, monkeypatch, capsys):
    listen, read = sorted(b for b in blocks(ROOT / "docs" / "results.md") if b.startswith("from pathlib"))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "listening"}
    exec(listen, names)
    gains = names["gains"].gains
    assert len(gains) == 2 and all(gain > 0 for gain in gains.values())
    assert capsys.readouterr().out == f"0 {gains}\n"
    exec(read, {"__name__": "reading"})
    shown = capsys.readouterr().out
    assert (
        shown.count("a red car and a blue cup") == 2 and shown.count("oracle: ") == 2 and shown.count("last loss") == 2
    )


def test_the_walk_of_a_trial_is_the_walk_that_a_trial_takes(tmp_path, monkeypatch):
    walk = re.findall(r"`(reno/[\w/]+\.py):([\w.]+)`", prose(HOUSE).partition("## The walk")[2])
    assert len(walk) > 40
    reached: dict[tuple[str, str], int] = {}

    def watch(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(f"{ROOT}/reno/"):
            place = (str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname)
            reached.setdefault(place, len(reached))

    words = ["prompt=a red car and a blue cup", "iterations=1", "threads=1", "tracking=disabled"]
    threading.setprofile(watch)  # files are written on another thread
    sys.setprofile(watch)
    try:
        status = run([*words, f"results={tmp_path}"])
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert status == 0
    assert [place for place in walk if place not in reached] == []
    assert walk == sorted(walk, key=reached.__getitem__)


def test_the_site_has_every_page_and_all_that_pages_link_to(tmp_path, capsys):
    assert stage_docs([str(tmp_path / "site")]) == 0
    staged = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert {"README.md", "CONTRIBUTING.md", "docs/answer.png", *(f"docs/{page.name}" for page in PAGES[2:])} <= staged
    nav = yaml.safe_load(re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text()))["nav"]
    listed = {
        page for entry in nav for pages in entry.values() for page in ([pages] if isinstance(pages, str) else pages)
    }
    assert listed == {page for page in staged if page.startswith("docs/") and page.endswith(".md")} | {
        "README.md", "CONTRIBUTING.md",
    }  # fmt: skip
    with pytest.raises(BadInput, match="give a new folder"):
        stage_docs([str(tmp_path / "site")])


def test_a_page_that_links_to_nothing_is_not_staged(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[a page](docs/gone.md) and `[no](link.md)`\n")
    with pytest.raises(BadInput, match=r"a page links to docs/gone\.md, which is not there"):
        stage(tmp_path, tmp_path / "site")
    assert not (tmp_path / "site").exists()
