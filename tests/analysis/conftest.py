"""Trial and job records made by hand, and the frames they become."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.data.frames import tidy
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding
from reno.store.records import (
    BatchRecord,
    GitState,
    JobRecord,
    JobTrial,
    JudgedTrial,
    Labels,
    Memory,
    Provenance,
    Scores,
    Timings,
    TrialIdentity,
    TrialRecord,
)

ADAM = {"name": "adam", "betas": [0.9, 0.999], "eps": 1e-8}
RIGHT, SWAPPED, PLAIN, ASTRAY, GONE = "right", "swapped", "plain", "astray", "gone"
"""A binding that holds; both there, apart; object there, attribute nowhere; attribute there, object not; neither."""
STATES = {
    RIGHT: (True, True, True), SWAPPED: (True, True, False), PLAIN: (True, False, False), ASTRAY: (False, True, False),
    GONE: (False, False, False),
}  # fmt: skip


def verdict(states):
    """What a judge says of an image whose bindings are in these states."""
    judgements = tuple(
        Judgement(f"color{place}", f"thing{place}", there, shown, bound, 0.9, 0.8, 0.7)
        for place, (there, shown, bound) in enumerate(STATES[state] for state in states)
    )
    return Verdict(judgements, {"swapped": SWAPPED in states, "junk": False})


def make_record(
    prompt="a red car and a blue cup", seed=0, metric="clip", method="reno", before=(GONE, GONE), after=(RIGHT, RIGHT),
    *, lr=0.01, iterations=50, prompts="pairs_test", models="sd_turbo", judges=(("oracle", "none"),), scores=None,
    seconds=2.0, terms=None, generator="g", random_weights=False, study="s", identity=None, options=(), batch=(),
):  # fmt: skip
    """A trial's record, but for files. before and after: a state a binding; identity: of its judges; options: of its
    method, besides the usual ones."""
    settings = {"name": method, **dict(options)}
    if method != "none":
        settings["iterations"] = iterations
    if method in ("reno", "decoder_only"):
        settings |= {"lr": lr, "regularization": 0.0, "grad_clip": None, "optimizer": ADAM}
    kinds = {"clip+blip": ("clip", "blip"), "red_share": ("red_share",)}.get(metric, (metric.split("_")[0],))
    terms = terms or [{"kind": kind, "head": None, "weight": 1.0, "weights": f"w-{metric}-{kind}"} for kind in kinds]
    parts = (prompt, seed, metric, method, lr, iterations, models, generator, str(terms), str(options))
    trial = "-".join(str(part) for part in parts) if method == "reno" else "-".join(map(str, (*parts[:4], iterations)))
    scores = scores or {which: {metric: value} for which, value in (("initial", 1.0), ("best", 3.0), ("last", 2.0))}
    return TrialRecord(
        id=trial,
        spec=TrialIdentity(
            algorithm=1, generator=generator, metric=tuple(terms), dtype="float32", method=settings, prompt=prompt,
            seed=seed,
        ),
        bindings=tuple(Binding(f"color{k}", f"thing{k}") for k in range(len(before))),
        labels=Labels(
            models=models, metric=metric, method=method, prompts=prompts, study=study, random_weights=random_weights
        ),
        scores=Scores(**scores),
        best_iteration=0 if method == "none" else iterations,
        judgements={
            name: JudgedTrial(kin=kin, initial=verdict(before), best=verdict(after), identity=identity)
            for name, kin in judges
        },
        timings=Timings(
            seconds=seconds, batch_seconds=seconds, batch_size=1, images=1 if method == "none" else iterations + 1
        ),
        memory=Memory(peak_host_bytes=10**9, peak_device_bytes=None),
        finished="2026-01-01T00:00:00+00:00",
        provenance=Provenance(
            versions={"python": "3.11"}, device="cpu (test)", git=GitState(commit="abc", diff=None),
            batch=BatchRecord(size=1, place=0, trials=tuple(batch)),
        ),
    )  # fmt: skip


def make_job(records, states=None, command="python -m reno.run", **fields):
    """A job's record, of the trials of one configuration. states: by place, the fields of a JobTrial; else done."""
    first = records[0]
    spec = {key: value for key, value in first.spec.to_json().items() if key not in ("prompt", "seed")}
    trials = tuple(
        JobTrial(id=r.id, prompt=r.spec.prompt, seed=r.spec.seed, **(states or {}).get(k, {"state": "done"}))
        for k, r in enumerate(records)
    )
    return JobRecord(**{"labels": first.labels, "spec": spec, "command": command, "trials": trials, **fields})


def tuned_records(tests):
    """clip is right at lr 0.01 only, blip at 0.05 only, on 6 dev prompts and on `tests` others."""
    right, wrong = (RIGHT,) * 2, (GONE,) * 2
    return [
        make_record(
            f"{letter}{place}", place, metric=metric, lr=lr, after=right if lr == good else wrong, prompts=prompts
        )
        for metric, good in (("clip", 0.01), ("blip", 0.05))
        for lr in (0.01, 0.05)
        for letter, prompts, count in (("d", "pairs_dev", 6), ("t", "pairs_test", tests))
        for place in range(count)
    ]


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A synthetic store of complete jobs, to read: what it lacks no run could tell."""
    from scripts.synthesise_store import synthesise

    root = tmp_path_factory.mktemp("synthetic") / "results"
    synthesise(root, 60)
    return root


@pytest.fixture
def no_key(tmp_path, monkeypatch):
    """No key, settings or W&B variables of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    places = {"HOME": tmp_path, "USERPROFILE": tmp_path, "NETRC": tmp_path / ".netrc"}
    for name, value in {**places, "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def tuned():
    return tuned_records


@pytest.fixture
def record():
    return make_record


@pytest.fixture
def job():
    return make_job


@pytest.fixture
def many():
    """many(plan): frames of trials. plan: metric -> a list of (before, after), one a prompt, on prompts p0, p1, ...,
    each with a noise of its own, which all metrics start from."""

    def make(plan, **settings):
        records = [
            make_record(f"p{place:02d}", place, metric=metric, before=before, after=after, **settings)
            for metric, outcomes in plan.items()
            for place, (before, after) in enumerate(outcomes)
        ]
        return tidy(records)

    return make
