"""What is sent to Weights & Biases for a trial: its card when it starts, its summary when it ends."""

from __future__ import annotations

import json

import msgspec

from reno.letters.harmless import visible
from reno.running.plan import Plan
from reno.running.recording import labels_of
from reno.spec.trial import TrialSpec
from reno.store.records import Provenance, TrialRecord
from reno.tracking import TrialCard


def card_of(trial: TrialSpec, plan: Plan, group: str, provenance: Provenance) -> TrialCard:
    """A trial's card: the complete spec and provenance as the run's config."""
    job = plan.job
    return TrialCard(
        id=trial.id,
        name=f"{visible(trial.prompt.text)[:60]} · seed {trial.seed} · {job.metric.name}",
        group=group,
        job_type=job.metric.name,
        config={
            **trial.identity,
            "bindings": msgspec.to_builtins(trial.prompt.bindings),
            "labels": labels_of(plan).to_json(),
            "series": series_of(trial, job.metric.name),
            **({"claims": list(job.claims)} if job.claims else {}),
            "provenance": provenance.to_json(),
        },
        tags=tuple(tag for tag in (job.models, job.settings.method, job.study) if tag),
    )


def series_of(trial: TrialSpec, metric: str) -> str:
    """The runs that a dashboard draws as one line, `clip, lr 0.01`: a panel of W&B can group runs by only one key."""
    method = trial.method
    name = "" if method["name"] == "reno" else f", {method['name']}"
    lr = f", lr {method['lr']:g}" if "lr" in method else ""
    return f"{metric}{name}{lr}" + "".join(f", {key} {value}" for key, value in method.get("options", {}).items())


def summary_values(record: TrialRecord) -> dict[str, float | int | bool | str | None]:
    """A trial's outcome as flat values: `score/clip/best`, `oracle/bound/best`, ...

    `record` is trial.json as a text, without the parts that the run's config has; analysis/data reads it. It is a text,
    since W&B would make a column of each leaf of a nested value and round some of the numbers.
    """
    kept = {name: value for name, value in record.to_json().items() if name not in ("schema", "files", "provenance")}
    values: dict[str, float | int | bool | str | None] = {
        "record": json.dumps(kept, separators=(",", ":")),
        "best_iteration": record.best_iteration,
        "seconds": record.timings.seconds,
    }
    for which, scores in msgspec.structs.asdict(record.scores).items():
        values |= {f"score/{metric}/{which}": score for metric, score in scores.items()}
    for judge, judged in record.judgements.items():
        for which, verdict in (("initial", judged.initial), ("best", judged.best)):
            values[f"{judge}/bound/{which}"] = verdict.bound
            values[f"{judge}/all_bound/{which}"] = verdict.all_bound
            values |= {f"{judge}/{fault}/{which}": there for fault, there in verdict.faults.items()}
            if verdict.score is not None:
                values[f"{judge}/score/{which}"] = verdict.score
    return values
