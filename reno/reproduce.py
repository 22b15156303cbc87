"""Runs a stored trial again, from its own record, and says whether the same came out.

    python -m reno.reproduce TRIAL [--results DIR] [--device DEVICE]

TRIAL is an id, the start of one, or the trial's folder. The trial runs beside the batch-mates it first ran beside and
with as many threads. On the same machine and versions it is bit-identical: exit status 0. Otherwise the largest
differences are reported, with the versions that differ: exit status 1. Nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reno.errors import BadInput
from reno.quiet import quieten_libraries
from reno.results import TRACE_COLUMNS, Store, Stored, read_trial
from reno.spec import Checkpoint, Execution, JobSpec, MethodSettings, MetricSpec, MetricTerm, TrialSpec


@dataclass(frozen=True)
class Comparison:
    """What a second run made of a trial."""

    columns: dict[str, float]
    """Largest absolute difference of each column of the trace but `seconds`."""
    levels: int
    """Largest difference of a pixel of the initial or best image, in its 256 levels."""
    noise: float
    """Largest absolute difference of the initial or best noise."""
    surroundings: list[str]
    """What differs around the two runs: versions, device, threads, code."""

    @property
    def identical(self) -> bool:
        return not any(self.columns.values()) and self.levels == 0 and self.noise == 0


def reproduce(stored: Stored, device: str | None = None) -> Comparison:
    """Runs a stored trial again. device: where, instead of where it first ran. Raises BadInput if its checkpoints are
    not the ones it was made with any more."""
    if damage := stored.damage():
        raise BadInput(f"the trial in {stored.folder} is damaged: {damage}; there is nothing to compare with")
    provenance = stored.record["provenance"]
    trial = TrialSpec.from_record(stored.record["spec"], stored.record["bindings"])
    job = _job_of(stored, trial, device or provenance["device_type"])

    from reno.batch import run_batch
    from reno.models import load_models
    from reno.plan import make_plan
    from reno.reproducibility import choose_device, environment, make_deterministic

    plan = make_plan(job)
    _check_weights(plan, trial)
    make_deterministic(provenance["threads"])
    models = load_models(plan, choose_device(job.device))
    batch = [
        TrialSpec.from_record(
            {**stored.record["spec"], "prompt": mate["prompt"], "seed": mate["seed"]}, mate["bindings"]
        )
        for mate in provenance["batch"]["trials"]
    ]
    *_, run = run_batch(batch, job.settings, job.metric.name, models)
    again = run.trials[provenance["batch"]["place"]]
    if again.failure:
        raise BadInput(f"the trial failed this time: {again.failure}")
    return _compare(stored, again, _differences(provenance, environment(models.generator.device)))


def _job_of(stored: Stored, trial: TrialSpec, device: str) -> JobSpec:
    """The job that a trial's record describes, without recorded metrics and judges: they decide nothing."""
    record, provenance = stored.record, stored.record["provenance"]
    origins = provenance["checkpoints"]
    terms = tuple(
        MetricTerm(term["kind"], origin["model"], _checkpoint(origin), term["weight"], term["head"])
        for term, origin in zip(trial.metric, origins["metric"], strict=True)
    )
    return JobSpec(
        prompts=(trial.prompt,),
        prompt_set=None,
        seeds=(trial.seed,),
        own_noise=False,
        models=record["labels"]["models"],
        generator=_checkpoint(origins["generator"]),
        metric=MetricSpec(record["labels"]["metric"], terms),
        recorded=(),
        evaluators=(),
        settings=MethodSettings.from_identity(trial.method),
        batch_size=provenance["batch"]["size"],
        device=device,
        dtype=trial.dtype,
        threads=provenance["threads"],
        results=stored.folder.parent.parent,
        study=None,
        tracking={},
        dry_run=False,
        execution=Execution(**provenance.get("execution", {"checkpointing": False})),  # older trials had no choice
    )


def _checkpoint(origin: dict[str, Any]) -> Checkpoint:
    return Checkpoint(origin["source"], origin["commit"], origin["variant"])


def _check_weights(plan, trial: TrialSpec) -> None:
    """Raises BadInput if a checkpoint holds other weights now."""
    pairs = [(plan.generator, trial.generator)]
    pairs += [(located, term["weights"]) for located, term in zip(plan.metric.checkpoints, trial.metric, strict=True)]
    for located, identity in pairs:
        if located.identity != identity:
            raise BadInput(
                f"{located.source} now holds other weights ({located.identity}) than the trial was made with "
                f"({identity}); "
                "put those back, or make the trial anew with reno.run"
            )


def _compare(stored: Stored, again, surroundings: list[str]) -> Comparison:
    trace = stored.trace()
    columns = {}
    for name in TRACE_COLUMNS:
        if name in ("iteration", "seconds"):
            continue
        before = trace[name].to_numpy(dtype=float)
        after = np.array([row[name] for row in again.trace], dtype=float)
        unlike = np.isnan(before) != np.isnan(after)
        columns[name] = float("inf") if unlike.any() else float(np.nanmax(np.abs(before - after), initial=0.0))
    images = (("initial", again.frames[0]), ("best", again.frames[again.best]))
    levels = max(int(np.abs(stored.image(which).astype(int) - pixels).max()) for which, pixels in images)
    noise = stored.noise()
    apart = max(
        float(np.abs(noise["initial"] - again.initial_noise).max()),
        float(np.abs(noise["best"] - again.best_noise).max()),
    )
    return Comparison(columns, levels, apart, surroundings)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for each thing around a run that is not as it was."""
    lines = []
    for key in now:
        if key == "versions":
            for package in now[key]:
                then = before[key].get(package)
                if then != now[key][package]:
                    lines.append(f"{package} {then} then, {now[key][package]} now")
        elif key == "git":
            lines += _code_differences(before[key], now[key])
        elif before.get(key) != now[key]:
            lines.append(f"{key} {before.get(key)} then, {now[key]} now")
    return lines


def _code_differences(before: dict[str, Any] | None, now: dict[str, Any] | None) -> list[str]:
    if before == now:
        return []
    described = [_described(git) for git in (before, now)]
    return [f"code {described[0]} then, {described[1]} now"]


def _described(git: dict[str, Any] | None) -> str:
    if git is None:
        return "outside a checkout"
    return git["commit"][:12] + (" with changes" if git["diff"] else "")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m reno.reproduce", description="Run a stored trial again and compare."
    )
    parser.add_argument("trial", help="the trial's id, the start of it, or its folder")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the store (default: results)")
    parser.add_argument("--device", help="where to run it (default: where it first ran)")
    options = parser.parse_args(arguments)
    quieten_libraries()
    try:
        stored = _stored(options.trial, options.results)
        print(
            f"running {stored.id[:12]} again: {stored.record['spec']['prompt']!r}, seed {stored.record['spec']['seed']}"
        )
        comparison = reproduce(stored, options.device)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if comparison.identical:
        print(f"identical: {len(stored.trace())} iterations, both images and both noises agree to the last bit")
    else:
        print("not identical; largest absolute differences:")
        for name, value in comparison.columns.items():
            print(f"  {name:<12} {value:.3g}")
        print(f"  {'pixels':<12} {comparison.levels} of 255 levels")
        print(f"  {'noise':<12} {comparison.noise:.3g}")
    for line in comparison.surroundings:
        print(f"differs: {line}")
    return 0 if comparison.identical else 1


def _stored(trial: str, results: Path) -> Stored:
    """The trial in a folder of its own name, or of that id in the store."""
    folder = Path(trial)
    return read_trial(folder.resolve()) if (folder / "trial.json").exists() else Store(results).match(trial)


if __name__ == "__main__":
    sys.exit(main())
