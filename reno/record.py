"""What is written down of a trial and of a job: trial.json, the tracker's card and summary, job.json.

Nothing here decides an outcome; `reno.spec` says what does.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reno.outcome import Outcome
from reno.plan import Plan
from reno.results import record_bytes
from reno.spec import TrialSpec, as_json
from reno.tracking import TrialCard

if TYPE_CHECKING:
    from reno.batch import BatchRun, Progress
    from reno.batch_size import Choice


def trial_record(progress: Progress, run: BatchRun, plan: Plan, provenance: dict[str, Any]) -> dict[str, Any]:
    """trial.json, but for what the store adds."""
    from reno.batch import peak_host_bytes

    trial = progress.trial
    identities = {located.spec.name: located.identity for located in plan.evaluators}
    judgements = {name: {**said, "identity": identities.get(name)} for name, said in progress.judgements.items()}
    return {
        "id": trial.id,
        "spec": trial.identity,
        "bindings": [as_json(binding) for binding in trial.prompt.bindings],
        "labels": labels_of(plan),
        "scores": progress.scores,
        "best_iteration": progress.best,
        "judgements": judgements,
        "timings": {
            "seconds": run.seconds / len(run.trials),
            "batch_seconds": run.seconds,
            "batch_size": len(run.trials),
            "images": len(progress.frames),
        },
        "memory": {"peak_host_bytes": peak_host_bytes(), "peak_device_bytes": run.device_bytes},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "provenance": provenance,
    }


def provenance_of(
    plan: Plan, batch: tuple[TrialSpec, ...], trial: TrialSpec, cut: Choice, surroundings: dict[str, Any]
) -> dict[str, Any]:
    """What can shift floats besides the spec, and where the weights came from."""
    metric_terms = zip(plan.metric.spec.terms, plan.metric.checkpoints, strict=True)
    return {
        **surroundings,
        "device_type": plan.job.device,
        "checkpoints": {
            "generator": _origin(plan.generator),
            "metric": [{"model": term.model, **_origin(located)} for term, located in metric_terms],
        },
        "batch": {
            "size": len(batch),
            "place": batch.index(trial),
            "cut": as_json(cut),
            "trials": [
                {
                    "id": mate.id,
                    "prompt": mate.prompt.text,
                    "bindings": [as_json(binding) for binding in mate.prompt.bindings],
                    "seed": mate.seed,
                }
                for mate in batch
            ],
        },
    }


def _origin(located) -> dict[str, Any]:
    return {
        "source": located.source,
        "commit": located.commit,
        "variant": located.variant,
        "identity": located.identity,
    }


def labels_of(plan: Plan) -> dict[str, Any]:
    """Readable names for what the identity holds as digests. They decide nothing."""
    job = plan.job
    return {
        "models": job.models,
        "metric": job.metric.name,
        "method": job.settings.method,
        "prompts": job.prompt_set,
        "study": job.study,
        "random_weights": plan.random,
    }


def card_of(trial: TrialSpec, plan: Plan, group: str, provenance: dict[str, Any]) -> TrialCard:
    job = plan.job
    spec = {**trial.identity, "bindings": [as_json(binding) for binding in trial.prompt.bindings]}
    return TrialCard(
        id=trial.id,
        name=f"{trial.prompt.text[:60]} · seed {trial.seed} · {job.metric.name}",
        group=group,
        job_type=job.metric.name,
        config={
            **spec,
            "labels": labels_of(plan),
            "series": series_of(trial, job.metric.name),
            "provenance": provenance,
        },
        tags=tuple(tag for tag in (job.models, job.settings.method, job.study) if tag),
    )


def series_of(trial: TrialSpec, metric: str) -> str:
    """What a dashboard draws as one line, `clip, lr 0.01`: a panel of W&B can group runs by one key and not by two."""
    method = trial.method
    if method["name"] == "reno":
        return f"{metric}, lr {method['lr']:g}"
    return f"{metric}, {method['name']}" + (f", lr {method['lr']:g}" if "lr" in method else "")


def summary_values(record: dict[str, Any]) -> dict[str, float | int | bool | str]:
    """A trial's outcome as flat values, for a tracker's summary: `score/clip/best`, `oracle/bound/best`, ...

    `record` is trial.json as a text, without what the run's config holds: analysis/from_wandb.py reads it. A text,
    since W&B would make a column of each leaf of a nested value, and write some numbers anew.
    """
    kept = {name: value for name, value in record.items() if name not in ("schema", "files", "provenance")}
    values: dict[str, float | int | bool | str] = {
        "record": json.dumps(kept, separators=(",", ":")),
        "best_iteration": record["best_iteration"],
        "seconds": record["timings"]["seconds"],
    }
    for which, scores in record["scores"].items():
        values |= {f"score/{metric}/{which}": score for metric, score in scores.items()}
    for judge, judged in record["judgements"].items():
        for which in ("initial", "best"):
            bound = [judgement["bound"] for judgement in judged[which]["judgements"]]
            values[f"{judge}/bound/{which}"] = sum(bound)
            values[f"{judge}/all_bound/{which}"] = all(bound)
            values |= {f"{judge}/{fault}/{which}": there for fault, there in judged[which]["faults"].items()}
            if "score" in judged[which]:
                values[f"{judge}/score/{which}"] = judged[which]["score"]
    return values


def write_job_record(folder: Path, plan: Plan, outcome: Outcome, group: str, command: str, seconds: float) -> None:
    """job.json: what was asked, which trials that is, and how each ended. Also the code's uncommitted changes, if
    any."""
    state = (
        dict.fromkeys(outcome.skipped, "stored before")
        | dict.fromkeys(outcome.done, "done")
        | dict.fromkeys(outcome.failed, "failed")
    )
    record = {
        "group": group,
        "labels": labels_of(plan),
        "spec": {key: value for key, value in plan.trials[0].identity.items() if key not in ("prompt", "seed")},
        "command": command,
        "status": outcome.status,
        "seconds": round(seconds, 3),
        "trials": [
            {
                "id": trial.id,
                "prompt": trial.prompt.text,
                "seed": trial.seed,
                "state": state.get(trial.id, "not run"),
                **({"reason": outcome.failed[trial.id]} if trial.id in outcome.failed else {}),
            }
            for trial in plan.trials
        ],
    }
    part = folder / "job.json.part"
    part.write_bytes(record_bytes(record))
    part.replace(folder / "job.json")
    if "torch" in sys.modules and outcome.done:
        from reno.reproducibility import git_diff

        if diff := git_diff():
            (folder / "changes.patch").write_bytes(diff)
