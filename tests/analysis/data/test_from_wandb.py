"""Trials read from W&B are those of the store that its answers were recorded from."""

from __future__ import annotations

import json
import re
import shutil
import types
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from msgspec import UNSET
from wandb.apis import public

from analysis.claims import claims
from analysis.data import load
from analysis.data.frames import tidy
from analysis.data.from_wandb import PAGE, load_wandb
from analysis.numbers.slices import slices
from analysis.report import write_report
from analysis.tables import cells
from analysis.tables.headline import headline
from reno.spec.errors import BadInput
from reno.store.records import BatchMate
from reno.store.stored import read_trial
from reno.tracking.cards import card_of, numbers_of, record_text

FRAMES = ("trials", "judged", "scores", "members", "absent")


class RecordedServer:
    """Stands in for the service that wandb.Api sends its GraphQL through; everything above it is wandb's own."""

    def __init__(self, nodes, page=3):
        self.nodes = nodes
        self.page = page
        self.asked = []

    def runs(self, path, order, per_page, lazy):
        assert (order, per_page, lazy) == ("+created_at", PAGE, False)
        entity, project = path.split("/")
        return public.Runs(self, entity, project, order=order, per_page=per_page, lazy=lazy)

    def execute_graphql(self, query, variables, *_, **__):
        self.asked.append(variables)
        if variables.get("project") == "nowhere":
            return {"project": None}
        start = int(variables.get("after") or variables.get("cursor") or 0)
        nodes = list(enumerate(self.nodes, start=1))[start : start + self.page]
        more = start + len(nodes) < len(self.nodes)
        edges = [{"node": dict(node), "cursor": str(number)} for number, node in nodes]
        runs = {"edges": edges, "pageInfo": {"endCursor": str(start + len(nodes)), "hasNextPage": more}}
        return {"project": {"internalId": "1", "runCount": len(self.nodes), "readOnly": False, "runs": runs}}


def node(record, state="finished", summary=None, job_type=None, older=False):
    """A run as the server answers: config and summary are JSON texts, and a whole float comes back without its .0.

    older: as versions logged it whose config was the spec, and whose summary held the record."""
    values = record.to_json()
    whole = state == "finished" and summary is None
    told = {"bindings": values["bindings"], "labels": values["labels"]}
    text = {"record": record_text(record, record.judgements)} if whole else {}
    if older:
        config = {**values["spec"], **told, "series": "a line", "provenance": values["provenance"]}
        summary = summary or text
    else:
        provenance = {**values["provenance"], "spec": values["spec"], **told, **text}
        config = {"metric": values["labels"]["metric"], "lr": 5.0, "series": "a line", "provenance": provenance}
        summary = summary or (numbers_of(record, record.judgements) if whole else {})
    config = json.loads(json.dumps(config), parse_float=lambda text: json.loads(text.removesuffix(".0")))
    return {
        "id": "UnVuOnYx", "name": record.id, "displayName": "x", "state": state, "group": "s",
        "jobType": job_type or record.labels.metric, "tags": [], "createdAt": "2026-01-01T00:00:00",
        "config": json.dumps({key: {"desc": None, "value": value} for key, value in config.items()}),
        "summaryMetrics": json.dumps({**summary, "_runtime": 3, "_step": 50}), "historyKeys": None,
        "systemMetrics": "{}", "sweepName": None, "projectId": "1",
        "user": {"name": "n", "username": "u"}, "heartbeatAt": None, "commit": None, "readOnly": True,
    }  # fmt: skip


def same(one, other, names=FRAMES):
    for name in names:
        frames = [getattr(results, name) for results in (one, other)]
        if name in ("members", "absent"):
            frames = [frame.sort_values(list(frame.columns[:3])).reset_index(drop=True) for frame in frames]
        pd.testing.assert_frame_equal(*frames, check_dtype=not frames[0].empty)


@pytest.fixture(autouse=True)
def folder_of_runs(tmp_path, monkeypatch):
    """The client makes a folder for each run it reads."""
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))


@pytest.mark.parametrize("older", [False, True])
def test_the_frames_are_those_of_the_store(store, older):
    records = [read_trial(path).record for path in sorted((store / "trials").iterdir())]
    server = RecordedServer([node(record, older=older) for record in reversed(records)], page=25)
    from_wandb, stored = load_wandb("lab/study", server), load(store)
    names = [name for name in FRAMES if name != "absent"]
    own = set(stored.trials["trial"])
    assert len(own) > 30 and len(server.asked) == -(-len(own) // 25)
    same(from_wandb, stored, [name for name in names if name != "members"])
    assert set(from_wandb.members["trial"]) == own
    assert [len(one.rows) for one in slices(from_wandb)] == [len(one.rows) for one in slices(tidy(records))]
    assert str(from_wandb.root) == "wandb:lab/study"


def test_what_the_job_logs_is_what_is_read(record):
    """The config is that of the card, with the record that the run's end adds to its provenance."""
    stored = record(seed=3, judges=(("oracle", "none"),))
    job = types.SimpleNamespace(
        models=stored.labels.models, metric=types.SimpleNamespace(name="clip"),
        settings=types.SimpleNamespace(method="reno"), prompt_set=stored.labels.prompts, study=stored.labels.study,
        claims=({"key": "a"},),
    )  # fmt: skip
    plan = types.SimpleNamespace(job=job, random=False, dtype="float32")
    config = card_of(stored.trial, plan, "g", stored.provenance).config
    config["provenance"]["record"] = record_text(stored, stored.judgements)
    logged = {**node(stored), "config": json.dumps({key: {"value": value} for key, value in config.items()})}
    results = load_wandb("lab/study", RecordedServer([logged]))
    assert results.records == {stored.id: msgspec.structs.replace(stored, files={})}
    assert [one for one in results.members["study"]] == [stored.labels.study]


def test_failed_crashed_stopped_and_missing_runs_are_counted(record, job):
    named = [record(seed=seed, lr=5.0) for seed in range(7)]
    batch = [BatchMate(id=one.id, prompt=one.spec.prompt, seed=one.spec.seed) for one in named]
    trials = [record(seed=seed, lr=5.0, batch=batch) for seed in range(7)]
    others = [record(seed=seed, metric="blip") for seed in range(2)]
    nodes = [
        node(trials[0], "failed", {"failed": "the gradient is not finite"}),
        node(trials[1]),
        node(trials[2], "crashed"),
        node(trials[3], "running"),
        node(trials[4], "failed", {"failed": "interrupted"}),
        node(trials[5], summary={"score/clip/best": 3.0}),
        *map(node, others),
        node(record(seed=9), job_type="report"),
        {**node(record(seed=9), job_type="job"), "config": json.dumps({"metric": {"value": "clip"}})},
        {**node(record(seed=10)), "config": "{}"},
    ]  # trials[6] never started
    results = load_wandb("lab/study", RecordedServer(nodes))

    states = {0: "failed", 2: "failed", 3: "not run", 4: "not run", 5: "done", 6: "not run"}
    told = {0: "the gradient is not finite", 2: "its run crashed: the process ended before the trial did"}
    jobs = [
        job(trials, {k: {"state": state, "reason": told.get(k, UNSET)} for k, state in states.items()}),
        job(others),
    ]
    stored = tidy([trials[1], *others], jobs, broken={trials[5].id: results.damaged[0]})
    order = {name: results.trials.set_index("trial").loc[stored.trials["trial"]].reset_index() for name in ("trials",)}
    pd.testing.assert_frame_equal(order["trials"], stored.trials)
    same(results, stored, ("members", "absent"))
    assert results.absent["state"].value_counts().to_dict() == {"failed": 2, "missing": 3, "damaged": 1}
    assert results.absent["metric"].unique() == ["clip"]  # 5 and 5.0 are one configuration
    assert "does not have its trial" in results.damaged[0] and results.damaged[1].startswith("1 runs in lab/study")


@pytest.fixture
def served(store, monkeypatch):
    """served(folders): the project of these trials, by id; what is asked of a run is answered from its folder.

    The runs whose history was asked for are in `served.asked`, those whose history cannot be had in
    `served.unreadable`; of every `served.every`th iteration there is an image."""
    asked, unreadable = [], set()

    def folder(run):
        return store / "trials" / run.id

    def history(run):
        asked.append(run.id)
        if run.id in unreadable:
            raise public.runs.CommError("the server is away")
        for row in read_trial(folder(run)).trace().to_dict("records"):
            image = picture(f"image_{row['iteration']:.0f}_x.png") if row["iteration"] % serve.every == 0 else None
            yield {"_step": 1, "image": image, **{name: v for name, v in row.items() if v == v}}
        yield {"_step": 99, "other": "a row of no iteration"}
        best = read_trial(folder(run)).record.best_iteration
        yield {"iteration": best, **{key: picture(f"{key}_51_x.png") for key in ("before", "after")}}

    def picture(name):
        return {"_type": "image-file", "path": f"media/images/{name}"}

    class File:
        def __init__(self, run, name):
            self.run, self.name = run, name

        def download(self, root, replace):
            which = "initial" if "image_0_" in self.name or "before" in self.name else "best"
            target = Path(root) / self.name
            target.parent.mkdir(parents=True)
            shutil.copy(folder(self.run) / f"{which}.png", target)
            return target.open()

    def serve(folders):
        return load_wandb("lab/study", RecordedServer([node(read_trial(path).record) for path in folders.values()]))

    monkeypatch.setattr(public.Run, "scan_history", history)
    monkeypatch.setattr(public.Run, "file", lambda run, name: File(run, name))
    serve.asked, serve.unreadable, serve.every = asked, unreadable, 1
    return serve


def test_traces_and_images_are_fetched_when_they_are_wanted(store, served):
    folders = {path.name: path for path in sorted((store / "trials").iterdir())[:3]}
    unreadable = list(folders)[2]
    served.unreadable.add(unreadable)
    results = served(folders)
    assert served.asked == []
    own = load(store).traces(folders)
    own = own[own["trial"] != unreadable].reset_index(drop=True)
    own["trial"] = own["trial"].cat.remove_unused_categories()
    pd.testing.assert_frame_equal(results.all_traces, own, check_dtype=False)
    assert results.all_traces.attrs["unread"] == (unreadable,)
    for trial, path in list(folders.items())[:2]:
        for which in ("initial", "best"):
            np.testing.assert_array_equal(results.stored(trial).image(which), read_trial(path).image(which))
    assert served.asked.count(next(iter(folders))) == 1
    with pytest.raises(BadInput, match=r"cannot be read .*the server is away"):
        results.stored(unreadable).image("best")


def test_the_images_are_there_where_only_every_nth_iteration_was_logged(store, served):
    path = next(path for path in sorted((store / "trials").iterdir()) if read_trial(path).record.best_iteration % 7)
    served.every = 7
    results = served({path.name: path})
    for which in ("initial", "best"):
        np.testing.assert_array_equal(results.stored(path.name).image(which), read_trial(path).image(which))
    assert len(results.history(path.name)) == len(read_trial(path).trace())


def test_a_project_has_a_report_with_the_first_and_the_best_image(store, served, tmp_path):
    stored = load(store).trials
    alike = stored[(stored["method"] == "reno") & (stored["metric"] == "clip")]
    alike = alike[alike["settings"] == alike["settings"].iloc[0]]
    reno = [store / "trials" / trial for trial in alike.drop_duplicates(["prompt", "seed"])["trial"][:3]]
    results = served({path.name: path for path in reno})
    served.unreadable.add(reno[2].name)
    cut = slices(results)
    tables = [headline(cell) for cell in cells(cut)]
    page, paper, pics = write_report(results, cut, tables, claims(cut), [], tmp_path)
    text = page.read_text("utf-8")
    cards = re.findall(r"<article.*?</article>", text, re.S)
    gone = [card for card in cards if '<h4>before</h4><span class="picture unreadable">' in card]
    assert (len(cards), len(gone)) == (3, 1)  # the one that cannot be fetched
    sides = [json.loads(re.search(r"<script[^>]*>(.*?)</script>", card)[1])[0] for card in cards if card not in gone]
    seen = {(len(side["curve"]), side["best"]): side for side in sides}
    for path in reno[:2]:
        side = seen[len(read_trial(path).trace()), read_trial(path).record.best_iteration]
        assert len(side["at"]) == len(side["curve"])
        assert side["count"] in (1, 2)  # one still where the outcome is as it was
    assert "Only the first and the best iteration are here" in text
    assert "versions" in text and "reno.reproduce" not in re.search(r'id="commands".*?</section>', text, re.S)[0]
    assert paper.read_bytes().startswith(b"%PDF-")
    assert not list(pics.rglob("*.png"))
    assert all("The images are in the runs of wandb:lab/study." in path.read_text() for path in pics.rglob("*.txt"))


def test_what_cannot_be_read_gets_one_sentence(record, monkeypatch):
    with pytest.raises(BadInput, match=r"wandb:lab/nowhere cannot be read .*Could not find project"):
        load_wandb("lab/nowhere", RecordedServer([]))
    with pytest.raises(BadInput, match="holds no whole trial; its runs are: none at all"):
        load_wandb("lab/study", RecordedServer([]))
    with pytest.raises(BadInput, match=r"its runs are: 1 crashed, 1 running|its runs are: 1 running, 1 crashed"):
        load_wandb("lab/study", RecordedServer([node(record(), "crashed"), node(record(seed=1), "running")]))
    with pytest.raises(BadInput, match="is no project; write wandb:entity/project"):
        load_wandb("a/b/c")


def test_without_a_key_the_command_says_what_is_needed(no_key, tmp_path, capsys):
    from analysis.__main__ import main

    assert main(["wandb:lab/study", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "reading wandb:lab/study needs a key" in said and "WANDB_API_KEY" in said
    assert not (tmp_path / "out").exists()
