"""The whole report of a store with three metrics, two judges and a user's own method: nothing is left out, and no order
comes from the alphabet.

The metric red_share has no weights, and its score is the same on all initial images."""

from __future__ import annotations

import html
import re
from itertools import product

import numpy as np
import pytest
from msgspec.structs import replace

from analysis.__main__ import main
from analysis.data import load
from analysis.figures.style import metric_colors
from analysis.numbers.slices import slices
from analysis.tables import cells, tables_of
from reno.spec.trial import digest
from reno.store.files import TRACE_COLUMNS
from reno.store.store import Finished, Store, write_job_record

METRICS = ("red_share", "blip", "clip")
"""In the order in which the jobs ran: not that of the default claims, and not that of the alphabet."""
METHODS = ("none", "tiny_walk", "best_of_n", "reno")
JUDGES = (("red_judge", "red_share"), ("oracle", "none"))
PROMPTS, SEEDS = 8, 2
BOUND = {"clip": 3, "blip": 3, "red_share": 2}
START = {"clip": 20.0, "blip": -1.0, "red_share": 0.25}
OWN_CLAIM = {
    "key": "red",
    "statement": "red_share binds less than clip",
    "definition": "After optimisation, fewer images have every binding right with red_share than with clip.",
    "parts": [{"measure": "fully_bound", "a": "clip", "b": "red_share"}],
}


def scores(place, metric, method):
    """Each metric's score of each image; that of red_share is the same on every initial image."""
    gain = 0.0 if method == "none" else 2.0
    found = {}
    for image, share in (("initial", 0.0), ("best", 1.0), ("last", 0.8)):
        found[image] = {
            name: start + (0 if name == "red_share" else 0.1 * place) + share * gain * (1 if name == metric else 0.2)
            for name, start in START.items()
        }
    return found


def stored(record, place, seed, metric, method):
    """A finished trial. clip and blip bind three of four prompts, red_share two."""
    bound = method != "none" and place % 4 < BOUND[metric]
    terms = [{"kind": "red_share", "weight": 1.0}] if metric == "red_share" else None
    made = record(
        f"p{place}", seed, metric, method, ("gone", "plain"), ("right",) * 2 if bound else ("astray", "swapped"),
        iterations=2, judges=JUDGES, scores=scores(place, metric, method), terms=terms, prompts="set", models="toy",
        options=(("step", 0.5),) if method == "tiny_walk" else (),
    )  # fmt: skip
    made = replace(made, id=digest(made.spec.to_json()), best_iteration=0 if method == "none" else 1)
    own = [made.scores.initial[metric], made.scores.best[metric], made.scores.last[metric]]
    rows = [
        dict(zip(TRACE_COLUMNS, (k, -score, score, 0.0, 1.0, 22.0, 0.1), strict=True)) | {"score/a": score}
        for k, score in enumerate(own[: made.timings.images])
    ]
    frames = [np.full((8, 8, 3), 20 * place + 9 * k, np.uint8) for k in range(len(rows))]
    noise = np.zeros((4, 1, 1), np.float32)
    return Finished(made, rows, frames, made.best_iteration, noise, noise)


whole_report = pytest.mark.slow
"""Of the whole report of a larger store; tests/commands/test_own_parts.py makes one in every run."""


@pytest.fixture(scope="module")
def make_store(tmp_path_factory):
    from tests.analysis.conftest import make_job, make_record

    def make(claims=()):
        store = Store(tmp_path_factory.mktemp("three") / "results")
        store.prepare()
        for number, (metric, method) in enumerate(product(METRICS, METHODS)):
            trials = [
                store.commit(stored(make_record, place, seed, metric, method)).record
                for place, seed in product(range(PROMPTS), range(SEEDS))
            ]
            folder = store.root / "jobs" / "2026-01-01" / str(number)
            folder.mkdir(parents=True)
            write_job_record(folder, make_job(trials, **({"claims": claims} if claims else {})))
        return store.root

    return make


@pytest.fixture(scope="module")
def written(make_store, tmp_path_factory):
    root, folder = make_store(), tmp_path_factory.mktemp("written")
    out, readme = folder / "report", folder / "README.md"
    readme.write_text("<!-- answer: made by `make readme-answer` -->\n<!-- end of the answer -->\n", "utf-8")
    assert main([f"results={root}", f"out={out}", f"readme={readme}"]) == 0
    return root, out


def texts(out):
    """Every text of a report, by file; of the page, what is read."""
    found = {path: path.read_text("utf-8") for path in out.rglob("*") if path.suffix in (".md", ".csv", ".txt", ".tex")}
    page = re.sub(r"<(script|style).*?</\1>", "", (out / "index.html").read_text("utf-8"), flags=re.S)
    return found | {out / "index.html": html.unescape(re.sub("<[^>]+>", " ", page))}


@whole_report
def test_no_text_has_a_gap_or_another_spelling(written):
    _, out = written
    for path, text in texts(out).items():
        for wrong in ("– = – sd", "nan", "None", "RED", "Red_share", "Red share", "TINY", "Tiny", "– → –", "+– "):
            assert wrong not in text, (path.name, wrong)
    said = texts(out)[out / "index.html"]
    for name in (*METRICS, *METHODS, "oracle", "red_judge†"):
        assert name in said


@whole_report
def test_tables_have_every_metric_method_and_judge_in_order(written):
    root, _ = written
    results = load(root)
    cut = slices(results)
    (cell,) = cells(cut)
    assert [one.judge for one in cell] == ["oracle", "red_judge"]  # the one that is related to no metric first
    named = {table.name: table for table in tables_of(cell, cut, results)}
    headline, versus, cross, controls, broken, cost = (
        named[name] for name in ("headline", "versus", "cross_metric", "controls", "broken", "cost")
    )
    for table in (headline, cross, broken, cost):
        frame = table.frame
        if "judge" in frame:
            assert frame["judge"].drop_duplicates().tolist() == ["oracle", "red_judge"]
        methods = ["reno", "tiny_walk", "best_of_n", *(["none"] if table in (headline, cost) else [])]
        assert frame["method"].drop_duplicates().tolist() == methods, table.name
        for _, rows in frame.groupby("method"):
            assert rows["metric"].drop_duplicates().tolist() == ["clip", "blip", "red_share"], table.name
    assert [name for name in headline.shown if name.endswith(" score")] == [
        "clip score",
        "blip score",
        "red_share score",
    ]
    pairs = list(dict.fromkeys(zip(versus.frame["a"], versus.frame["b"], strict=True)))
    assert pairs == [("clip", "blip"), ("clip", "red_share"), ("blip", "red_share")]
    columns = [f"{name} (metric)" for name in ("clip", "blip", "red_share")]
    assert cross.shown.columns.tolist() == [
        "method", "metric", "settings", *columns, "oracle (judge)", "red_judge (judge)", "n",
    ]  # fmt: skip
    assert cross.shown["red_share (metric)"].str.endswith("sd").sum() == 0  # its score does not vary: gains without sd
    assert cross.shown["red_share (metric)"].str.startswith("+").all()
    assert cross.shown["clip (metric)"].str.endswith(" sd").all()
    compared = controls.frame[(controls.frame["judge"] == "oracle") & (controls.frame["metric"] == "red_share")]
    names = set(compared["control"])
    assert {"no optimisation", "tiny_walk, 2 it."} <= names
    assert any(name.startswith("best of 3, equal images") for name in names), names  # and what else is equal
    assert (compared["pairs"] == PROMPTS * SEEDS).all()


@whole_report
def test_colours_follow_the_order(written):
    root, out = written
    (one, _) = slices(load(root))
    colors = metric_colors(one.metrics)
    assert list(colors) == ["clip", "blip", "red_share"] and list(colors.values())[:2] == ["#0072B2", "#D55E00"]
    page = (out / "index.html").read_text("utf-8")
    sides = set(re.findall(r'class="side color-(\d)" data-metric="(\w+)"', page))
    assert sides == {("0", "clip"), ("1", "blip"), ("2", "red_share")}


@whole_report
def test_the_answer_names_the_metrics_as_they_are_written(written):
    _, out = written
    answer = (out.parent / "README.md").read_text("utf-8")
    assert re.search(r"with clip .*, from .* with blip .* and from .* with red\\_share \(change", answer)
    claims = (out / "claims.csv").read_text("utf-8")
    assert claims.count("after − before, red_share") == 2  # one a judge
    rows = [line.split(" | ")[1] for line in answer.splitlines() if line.startswith("| reno")]
    assert rows == ["clip", "blip", "red\\_share"]


@whole_report
def test_every_figure_is_drawn_for_each_judge(written):
    _, out = written
    names = {path.stem for path in (out / "figures").glob("*.png")}
    of_judges = ("contact_sheet", "settings", "score_against_judge", "gain_and_binding", "before_after", "wins")
    expected = {f"{name}__toy__set__{judge}" for name in (*of_judges, "cost_quality") for judge, _ in JUDGES}
    assert names == expected | {"curves__toy__set", "cross_matrix__toy__set"}


def test_a_study_with_a_claim_of_its_own_decides_that_and_orders_by_it(make_store):
    from analysis.claims import claims

    results = load(make_store(claims=(OWN_CLAIM,)))
    cut = slices(results)
    assert cut[0].metrics == ("clip", "red_share", "blip")
    found = claims(cut)
    assert [(claim.key, claim.judge) for claim in found] == [("red", "oracle"), ("red", "red_judge")]
    assert [claim.kin for claim in found] == [False, True]
    (part,) = found[0].parts
    assert part.quantity == "prompts fully bound, clip − red_share" and part.effect.pairs == PROMPTS * SEEDS
    assert part.effect.a == pytest.approx(0.75) and part.effect.b == pytest.approx(0.5)
