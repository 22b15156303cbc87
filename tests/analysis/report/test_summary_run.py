"""The run that ends a study: its tables, images, figures and verdicts, as a real offline run holds them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis import __main__ as command
from analysis import figures
from analysis.claims import claims_on
from analysis.data import load
from analysis.data.frames import tidy
from analysis.figures import Figure
from analysis.numbers.slices import slices
from analysis.report import summary_run
from analysis.report.summary_run import MOST_TRIALS, log_summary_run, logged_values, study_of
from analysis.tables.broken import broken_trials
from analysis.tables.headline import headline
from reno.tracking import TrackingSpec
from tests.tracking.offline_runs import read_back

pytestmark = pytest.mark.usefixtures("no_key")


@pytest.mark.slow
def test_a_run_holds_tables_with_images_figures_and_verdicts(store, tmp_path, capfd):
    results = load(store)
    cut = slices(results)
    cell = [one for one in cut if one.prompt_set == cut[0].prompt_set]
    tables = [headline(cell), broken_trials(cell)]
    found = claims_on(cut[0], cut)
    picture = tmp_path / "curves__synthetic.png"
    Image.fromarray(np.full((8, 9, 3), 7, np.uint8)).save(picture)
    figure = Figure("curves", "Curves.", "synthetic", "pairs_test", "", picture.with_suffix(".pdf"), picture)
    (tmp_path / "claims.csv").write_text("claim\n")
    kept = {"claims.csv": tmp_path / "claims.csv"}
    tracking = TrackingSpec("auto")
    warnings: list[str] = []
    for _ in range(2):  # a report made again takes the place of the one before it
        lines = log_summary_run(results, tables, [figure], found, kept, tracking, store, warnings.append)

    assert warnings == [] and capfd.readouterr() == ("", "")
    assert len(lines) == 1 and "1 run offline" in lines[0] and "sync" in lines[0]
    (directory,) = (store / "wandb").glob("offline-run-*")
    records = read_back(directory)
    (run,) = records["run"]
    assert (run["job_type"], run["run_group"], run["project"]) == ("report", study_of(results), "reno")
    assert run["config"]["update"]["metrics"] == sorted(results.trials["metric"].unique())

    (row,) = [record["item"] for record in records["history"]]
    keys = {key.rpartition(".")[0] for key in row if key.endswith(".path")}
    stems = [f"tables/{t.number}_{t.name}__synthetic__{t.prompt_set}" for t in tables]
    assert keys == {"tables/trials", *stems, "figures/curves__synthetic"}
    with Image.open(directory / "files" / row["figures/curves__synthetic.path"]) as image:
        assert image.size == (9, 8)

    written, files = {}, {}
    for artifact in records["artifact"]:
        local = {entry["path"]: Path(entry["local_path"]) for entry in artifact["manifest"]["contents"]}
        files |= local
        written |= {k: json.loads(local[f"{k}.table.json"].read_text()) for k in keys if f"{k}.table.json" in local}
    assert set(written) == keys - {"figures/curves__synthetic"}
    (results_artifact,) = [artifact for artifact in records["artifact"] if artifact["type"] == "results"]
    assert re.fullmatch(r"results-[\w.-]+", results_artifact["name"])
    assert [entry["path"] for entry in results_artifact["manifest"]["contents"]] == ["claims.csv"]
    trials = written["tables/trials"]
    assert len(trials["data"]) == min(len(results.trials), MOST_TRIALS)
    for cells in (dict(zip(trials["columns"], row, strict=True)) for row in trials["data"][:5]):
        for which, when in (("initial", "before"), ("best", "after")):
            with Image.open(files[cells[when]["path"]]) as image:
                np.testing.assert_array_equal(np.asarray(image), results.stored(cells["trial"]).image(which))
        judged = results.judged
        own = judged[(judged["trial"] == cells["trial"]) & (judged["image"] == "best")]
        for judge, bound in own.groupby("judge")["bound"].mean().items():
            assert cells[f"{judge} bound after"] == pytest.approx(bound)
    first = written[stems[0]]
    assert first["columns"] == list(tables[0].frame.columns) and len(first["data"]) == len(tables[0].frame)
    assert written[stems[1]]["columns"][-2:] == ["before", "after"]

    summary = {name: value for record in records["summary"] for name, value in record.get("update", {}).items()}
    assert summary["trials"] == len(results.trials)
    assert summary["missing"] == (results.absent.drop_duplicates("trial")["state"] == "missing").sum()
    verdicts = [value for name, value in summary.items() if name.startswith("claim/")]
    assert sorted(verdicts) == sorted(claim.verdict for claim in found)
    assert records["exit"][-1].get("exit_code", 0) == 0


def test_an_image_that_cannot_be_read_is_left_empty(store):
    class Gone:
        def shown(self, trial, look):
            return None

    assert summary_run._Images(Gone()).of("a") == [None, None]
    assert [summary_run._cell(value) for value in (np.nan, None, np.float64(0.5), np.bool_(True), "a", (1, 2))] == [
        None, None, 0.5, True, "a", "(1, 2)",
    ]  # fmt: skip


def test_the_command_tracks_only_where_it_is_asked_to(store, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(figures, "write_figures", lambda *_: iter(()))
    monkeypatch.setattr("analysis.claims.claims", lambda cut: [])
    monkeypatch.setattr("analysis.tables.all_tables", lambda *_: iter(()))
    monkeypatch.setattr("analysis.report.write_report", lambda *_: ("page", "paper", "pics"))
    monkeypatch.setattr(summary_run, "make_tracker", lambda spec, folder, warn: asked.append((spec, folder)))
    (tmp_path / "out").mkdir()
    assert command.main([str(store), str(tmp_path / "out")]) == 0
    assert asked == []
    words = [str(store), str(tmp_path / "out"), "track=offline", "project=p", "entity=e"]
    assert command.main(words) == 1  # the stand-in is no tracker
    ((spec, folder),) = asked
    assert (spec.mode, spec.project, spec.entity, folder) == ("offline", "p", "e", store)
    assert command.main([str(store), str(tmp_path / "out"), "track=ofline"]) == 2
    assert "offline" in capsys.readouterr().err


def test_no_cell_of_a_table_is_a_formula_since_wandb_gives_it_as_csv(record):
    results = tidy([record("=1+1"), record("a\x1b[31m\u202e"), record("-0.5")])
    table = logged_values(results, [], [])["tables/trials"]
    prompts = [row[table.columns.index("prompt")] for row in table.rows]
    assert sorted(prompts) == ["'=1+1", "-0.5", r"a\x1b[31m\u202e"]
    assert all(isinstance(row[table.columns.index("score_best")], float) for row in table.rows)
