"""Trial records made by hand, as the job writes them, and the frames they become."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.load import tidy
from scripts.synthesise_store import synthesise

ADAM = {"name": "adam", "betas": [0.9, 0.999], "eps": 1e-8}
RIGHT, SWAPPED, PLAIN, GONE = "right", "swapped", "plain", "gone"
"""A binding that holds; both there, apart; object there, attribute nowhere; neither there."""
STATES = {RIGHT: (True, True, True), SWAPPED: (True, True, False), PLAIN: (True, False, False), GONE: (False,) * 3}


def verdict(states):
    judgements = [
        {
            "attribute": f"color{place}", "object": f"thing{place}", "object_present": there,
            "attribute_present": shown, "bound": bound, "object_confidence": 0.9, "attribute_confidence": 0.8,
            "bound_confidence": 0.7,
        }
        for place, (there, shown, bound) in enumerate(STATES[state] for state in states)
    ]  # fmt: skip
    return {"judgements": judgements, "faults": {"swapped": SWAPPED in states, "junk": False}}


def make_record(
    prompt="a red car and a blue cup", seed=0, metric="clip", method="reno", before=(GONE, GONE), after=(RIGHT, RIGHT),
    *, lr=0.01, iterations=50, prompts="pairs_test", models="sd_turbo", judges=(("oracle", "none"),), scores=None,
    seconds=2.0, terms=None, generator="g", random_weights=False, study="s",
):  # fmt: skip
    """trial.json, but for files. before and after: a state a binding."""
    identity = {"name": method}
    if method != "none":
        identity["iterations"] = iterations
    if method in ("reno", "decoder_only"):
        identity |= {"lr": lr, "regularization": 0.0, "grad_clip": None, "optimizer": ADAM}
    kinds = {"clip+blip": ("clip", "blip")}.get(metric, (metric.split("_")[0],))
    terms = terms or [{"kind": kind, "head": None, "weight": 1.0, "weights": f"w-{metric}-{kind}"} for kind in kinds]
    parts = (prompt, seed, metric, method, lr, iterations, models, generator, str(terms))
    trial = "-".join(str(part) for part in parts) if method == "reno" else "-".join(map(str, (*parts[:4], iterations)))
    scores = scores or {which: {metric: value} for which, value in (("initial", 1.0), ("best", 3.0), ("last", 2.0))}
    return {
        "id": trial,
        "spec": {
            "algorithm": 1, "generator": generator, "metric": terms, "dtype": "float32", "method": identity,
            "prompt": prompt, "seed": seed,
        },
        "bindings": [{"attribute": f"color{k}", "object": f"thing{k}"} for k in range(len(before))],
        "labels": {
            "models": models, "metric": metric, "method": method, "prompts": prompts, "study": study,
            "random_weights": random_weights,
        },
        "scores": scores,
        "best_iteration": 0 if method == "none" else iterations,
        "judgements": {
            name: {"kin": kin, "initial": verdict(before), "best": verdict(after)} for name, kin in judges
        },
        "timings": {
            "seconds": seconds, "batch_seconds": seconds, "batch_size": 1,
            "images": 1 if method == "none" else iterations + 1,
        },
        "memory": {"peak_host_bytes": 10**9, "peak_device_bytes": None},
        "finished": "2026-01-01T00:00:00+00:00",
        "provenance": {"device": "cpu (test)", "git": {"commit": "abc", "diff": None}},
    }  # fmt: skip


def make_job(records, states=None, command="python -m reno.run"):
    """job.json of the trials of one configuration; states by place, else done."""
    first = records[0]
    return {
        "labels": first["labels"],
        "spec": {key: value for key, value in first["spec"].items() if key not in ("prompt", "seed")},
        "command": command,
        "trials": [
            {
                "id": r["id"],
                "prompt": r["spec"]["prompt"],
                "seed": r["spec"]["seed"],
                **(states or {}).get(k, {"state": "done"}),
            }
            for k, r in enumerate(records)
        ],
    }


def tuned_records(tests):
    """clip is right at lr 0.01 only, blip at 0.05 only, on 6 dev prompts and on `tests` others."""
    right, wrong = (RIGHT,) * 2, (GONE,) * 2
    return [
        make_record(f"{letter}{place}", metric=metric, lr=lr, after=right if lr == good else wrong, prompts=prompts)
        for metric, good in (("clip", 0.01), ("blip", 0.05))
        for lr in (0.01, 0.05)
        for letter, prompts, count in (("d", "pairs_dev", 6), ("t", "pairs_test", tests))
        for place in range(count)
    ]


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A synthetic store of complete jobs, to read: what it lacks no run could tell."""
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
    """many(plan): frames of trials. plan: metric -> a list of (before, after), one a prompt, on prompts p0, p1, ..."""

    def make(plan, **settings):
        records = [
            make_record(f"p{place:02d}", metric=metric, before=before, after=after, **settings)
            for metric, outcomes in plan.items()
            for place, (before, after) in enumerate(outcomes)
        ]
        return tidy(records)

    return make
