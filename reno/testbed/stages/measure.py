"""Stage `measure`: what the bench does on the trained models, judged by the oracle.

The bench itself runs (as `python -m reno.run`, in two processes side by side), into `results/` of the build folder, so
that a measurement that was stopped goes on where it stopped. Numbers are read from that store alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reno.prompts import load_prompts, prompt_from_text
from reno.results import Store, Stored
from reno.testbed.stages.loop import save_sheet, tensor_of

METRICS = ("clip", "blip")


@dataclass(frozen=True)
class Setting:
    """Knobs of a job, and at how many of the noises it is run (None: all)."""

    knobs: tuple[str, ...]
    seeds: int | None = None


CONTROL = "best of n"
SETTINGS = {
    "adam 0.05": Setting(("method=reno", "optimizer=adam", "lr=0.05")),
    CONTROL: Setting(("method=best_of_n",)),
    "adam 0.05, regularised": Setting(("method=reno", "optimizer=adam", "lr=0.05", "regularization=0.1"), seeds=1),
    "adam 0.01": Setting(("method=reno", "optimizer=adam", "lr=0.01"), seeds=1),
    "paper": Setting(("method=reno", "optimizer=sgd_nesterov"), seeds=1),
}
"""The report's optimiser at two learning rates, the control at equal images, the noise's norm held, the paper's."""
SETS = ("pairs_test", "triples_test")
FAULTS = ("swapped", "junk", "mixed")
SMOKE = {
    "iterations": 1,
    "prompts": ["a gold bench and a green clock"],
    "sets": ("pairs_test",),
    "seeds": 1,
    "settings": ("adam 0.05", CONTROL),
}


def run(
    build_dir: Path,
    weights: Path,
    iterations: int = 50,
    sets: tuple[str, ...] = SETS,
    seeds: int = 2,
    settings: tuple[str, ...] = tuple(SETTINGS),
    prompts: list[str] | None = None,
) -> dict:
    """Runs and judges every set x metric x setting at `seeds` noises a prompt; `settings` may be some of SETTINGS, and
    `prompts` stands in for the sets' own. Each prompt has noises of its own: a noise decides most of what goes wrong,
    and two for all prompts would say little of others."""
    asked = {name: prompts or [prompt.text for prompt in load_prompts(name)] for name in sets}
    common = [
        f"results={build_dir / 'results'}", "tracking=disabled", "threads=1", "batch_size=8", "evaluators=[oracle]",
        f"models.generator.path={weights / 'generator'}", f"iterations={iterations}",
        *(f"models.checkpoints.{name}.path={weights / name}" for name in ("clip", "blip")), "record=[]",
        f"+models.checkpoints.oracle.path={weights / 'judge'}", "own_noise=true",
    ]  # fmt: skip
    files = [f"prompts={_written(build_dir, name, texts)}" for name, texts in asked.items()]
    wanted = [
        [*common, prompt_file, f"seed={list(range(setting.seeds or seeds))}", f"metric={metric}", *setting.knobs]
        for setting in (SETTINGS[name] for name in settings)
        for prompt_file in files
        for metric in METRICS
    ]
    _run_side_by_side(wanted, build_dir)
    trials = _trials(build_dir / "results", weights)
    tables = {
        name: [
            outcome_row(setting, metric, [t for t in trials.get((setting, metric), []) if _prompt(t) in set(texts)])
            for setting in settings
            for metric in METRICS
        ]
        for name, texts in asked.items()
    }
    gains = {
        name: [gain(trials, setting, metric, texts) for setting in settings if setting != CONTROL for metric in METRICS]
        for name, texts in asked.items()
    }
    for metric in METRICS:
        before_and_after(build_dir / "measure" / f"{metric}.png", trials.get(("adam 0.05", metric), []))
    return {
        "iterations": iterations,
        "seeds": seeds,
        "prompts": {name: len(texts) for name, texts in asked.items()},
        "base": {name: base_rates(weights, texts) for name, texts in asked.items()},
        "outcomes": tables,
        "reno_minus_best_of_n": gains,
        "agreement": agreement(trials),
        "speed": speed(weights, iterations),
    }


def _written(build_dir: Path, name: str, texts: list[str]) -> Path:
    """A file of a set's prompts."""
    path = build_dir / "measure" / "prompts" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def _run_side_by_side(jobs: list[list[str]], build_dir: Path, processes: int = 2) -> None:
    """Runs the jobs in two processes that load the models once each. Raises RuntimeError if a job failed."""
    running = []
    for index in range(processes):
        listed = build_dir / "measure" / f"jobs-{index}.json"
        listed.write_text(json.dumps(jobs[index::processes]), encoding="utf-8")
        script = "import sys; from reno.testbed.stages.measure import run_jobs; sys.exit(run_jobs(sys.argv[1]))"
        running.append(subprocess.Popen([sys.executable, "-c", script, str(listed)]))
    try:
        failed = [process.wait() for process in running]
    except KeyboardInterrupt:
        for process in running:
            process.wait()  # the terminal has interrupted them too
        raise
    if any(failed):
        raise RuntimeError(f"a job ended with status {max(failed)}; see build/*/results/jobs")


def run_jobs(listed: str) -> int:
    """Runs the jobs of a JSON file of knobs in turn, as `python -m reno.run` does; the worst status. An interrupt ends
    them."""
    from reno.run import INTERRUPTED, main

    worst = 0
    jobs = json.loads(Path(listed).read_text(encoding="utf-8"))
    for number, knobs in enumerate(jobs, 1):
        with contextlib.redirect_stdout(io.StringIO()):
            status = main(knobs)
        if status == INTERRUPTED:
            return status
        worst = max(worst, status)
        print(f"measure: job {number} of {len(jobs)} of {Path(listed).stem}: {' '.join(knobs[-5:])}", flush=True)
    return worst


def base_rates(weights: Path, texts: list[str], noises: int = 10) -> dict:
    """How often the generator fails from fresh noise, `noises` of them a prompt, by the oracle."""
    import torch

    from reno.evaluators import oracle
    from reno.generators.one_step import OneStepGenerator

    judge = oracle.load(checkpoints={"oracle": weights / "judge"})
    generator = OneStepGenerator(weights / "generator", variant=None, dtype=torch.float32, device=torch.device("cpu"))
    draw, counts = torch.Generator().manual_seed(17), defaultdict(list)
    for text in texts:
        noise = torch.randn(noises, *generator.latent_shape, generator=draw)
        with torch.no_grad():
            images = generator(noise, generator.encode([text] * noises))
        for verdict in judge.judge(images, [prompt_from_text(text, "prompt")] * noises):
            counts["bound"].append(all(judgement.bound for judgement in verdict.judgements))
            counts["there"].append(all(judgement.object_present for judgement in verdict.judgements))
            for fault in FAULTS:
                counts[fault].append(verdict.faults[fault])
    return {"images": len(counts["bound"]), **{name: _share(flags) for name, flags in counts.items()}}


def _trials(results: Path, weights: Path) -> dict[tuple[str, str], list[Stored]]:
    """The stored trials of these weights by (setting, metric)."""
    from reno.checkpoints import locate
    from reno.plan import GENERATOR_PARTS
    from reno.spec import Checkpoint

    generator = locate(Checkpoint(str(weights / "generator")), "generator", GENERATOR_PARTS).identity
    metrics = {locate(Checkpoint(str(weights / name)), name).identity: name for name in ("clip", "blip")}
    found = defaultdict(list)
    for trial in Store(results):
        spec = trial.record["spec"]
        terms = [metrics.get(term["weights"]) for term in spec["metric"]]
        if spec["generator"] == generator and None not in terms:
            found[_setting(spec["method"]), "+".join(terms)].append(trial)
    return found


def _setting(method: dict) -> str:
    if method["name"] == "best_of_n":
        return CONTROL
    if method["optimizer"]["name"] == "sgd":
        return "paper"
    return f"adam {method['lr']:g}" + (", regularised" if method["regularization"] else "")


def _prompt(trial: Stored) -> str:
    return trial.record["spec"]["prompt"]


def all_bound(trial: Stored, which: str) -> bool:
    """Whether the oracle finds every binding in the `initial` or `best` image."""
    return all(j["bound"] for j in trial.record["judgements"]["oracle"][which]["judgements"])


def _all_there(trial: Stored, which: str) -> bool:
    return all(j["object_present"] for j in trial.record["judgements"]["oracle"][which]["judgements"])


def _fault(trial: Stored, which: str, fault: str) -> bool:
    return trial.record["judgements"]["oracle"][which]["faults"][fault]


def outcome_row(setting: str, metric: str, trials: list[Stored]) -> dict:
    """Shares of trials before (the initial image) and after (the best)."""
    row = {"setting": setting, "metric": metric, "trials": len(trials)}
    for when, which in (("before", "initial"), ("after", "best")):
        row[f"bound_{when}"] = _share(all_bound(trial, which) for trial in trials)
        row[f"there_{when}"] = _share(_all_there(trial, which) for trial in trials)
        for fault in FAULTS:
            row[f"{fault}_{when}"] = _share(_fault(trial, which, fault) for trial in trials)
    off = [abs(noise_deviation(trial.noise()["best"])) for trial in trials]
    row["noise_within_3_sd"] = _share(value <= 3 for value in off)
    row["noise_worst_sd"] = max(off, default=None)
    return row


def noise_deviation(noise: np.ndarray) -> float:
    """By how many standard deviations |noise| is off its mean under N(0, I): it is chi-distributed."""
    size = noise.size
    mean = math.sqrt(2) * math.exp(math.lgamma((size + 1) / 2) - math.lgamma(size / 2))
    return float((np.linalg.norm(noise) - mean) / math.sqrt(size - mean**2))


def _share(flags) -> float | None:
    flags = list(flags)
    return round(float(np.mean(flags)), 4) if flags else None


def gain(trials: dict, setting: str, metric: str, texts: list[str]) -> dict:
    """Fully bound by ReNO at a setting less by best of n, paired on prompt and seed; 95% percentile interval of a
    bootstrap over prompts."""
    outcomes = [
        {(_prompt(t), t.record["spec"]["seed"]): all_bound(t, "best") for t in trials.get((which, metric), [])}
        for which in (setting, CONTROL)
    ]
    by_prompt = defaultdict(list)
    for key in outcomes[0].keys() & outcomes[1].keys():
        if key[0] in set(texts):
            by_prompt[key[0]].append(float(outcomes[0][key]) - float(outcomes[1][key]))
    if not by_prompt:
        return {"setting": setting, "metric": metric, "pairs": 0}
    means = np.array([np.mean(by_prompt[text]) for text in sorted(by_prompt)])
    draws = np.random.default_rng(0).choice(means, (10_000, len(means))).mean(1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return {
        "setting": setting, "metric": metric, "pairs": sum(map(len, by_prompt.values())), "prompts": len(means),
        "difference": round(float(means.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4),
    }  # fmt: skip


def agreement(trials: dict, count: int = 500) -> dict:
    """How often the two judges agree on `bound` over `count` images, half before and half after optimisation."""
    from reno.testbed.judges import agreement as compare

    shown = [trial for (setting, _), some in sorted(trials.items()) if setting == "adam 0.05" for trial in some]
    shown = random.Random(0).sample(shown, min(len(shown), count // 2))
    images = np.stack([trial.image(which) for trial in shown for which in ("initial", "best")])
    prompts = [prompt_from_text(_prompt(trial), "prompt") for trial in shown for _ in range(2)]
    compared = compare(images, prompts)
    return {"images": len(images), **compared}


def speed(weights: Path, iterations: int) -> dict:
    """Seconds of a trial, alone and in a batch of four, and of loading everything, on this machine's own threads."""
    script = (
        "import sys, time; from pathlib import Path; from reno.testbed.stages.measure import timed;"
        "print(*timed(Path(sys.argv[1]), int(sys.argv[2])))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, str(weights), str(iterations)], capture_output=True, text=True, check=True
    )
    threads, first_load, load, *seconds = map(float, shown.stdout.split()[-7:])
    names = ("clip_alone", "clip_batch_of_4", "blip_alone", "blip_batch_of_4")
    return {
        "threads": int(threads),
        "first_load_seconds": round(first_load, 2),
        "load_seconds": round(load, 2),
        **{name: round(s, 2) for name, s in zip(names, seconds, strict=True)},
    }


def timed(weights: Path, iterations: int) -> list[float]:
    """CPU threads; seconds of loading the generator and both metrics, first with the import of the libraries that they
    ask for and then without; of a trial alone and in a batch of four, by CLIP and by BLIP."""
    import torch

    from reno.generators.one_step import OneStepGenerator
    from reno.methods import Problem, load_method
    from reno.metrics import loss_of
    from reno.metrics.blip import BlipMetric
    from reno.metrics.clip import ClipMetric
    from reno.spec import MethodSettings

    place = {"dtype": torch.float32, "device": torch.device("cpu")}
    seconds: list[float] = [torch.get_num_threads()]
    for _ in range(2):
        started = time.perf_counter()
        generator = OneStepGenerator(weights / "generator", variant=None, **place)
        metrics = [ClipMetric(weights / "clip", **place), BlipMetric(weights / "blip", **place)]
        seconds.append(time.perf_counter() - started)
    settings = MethodSettings("reno", iterations, 0.05, 0.0, None, "adam", {"betas": [0.9, 0.999], "eps": 1e-8})
    for metric in metrics:
        for batch in (1, 4):
            texts = ["a gold bench and a green clock"] * batch
            embeddings, encoded = generator.encode(texts), metric.encode(texts)
            problem = Problem(
                noise=torch.randn(batch, *generator.latent_shape),
                draw=None,
                generate=lambda noise, embeddings=embeddings: generator(noise, embeddings),
                decode=generator.decode,
                score=lambda images, metric=metric, encoded=encoded: metric(images, encoded),
                loss=loss_of,
            )
            started = time.perf_counter()
            for _ in load_method("reno")(problem, settings):
                pass
            seconds.append((time.perf_counter() - started) / batch)
    return seconds


def before_and_after(path: Path, trials: list[Stored], count: int = 40) -> None:
    """A sheet of `count` prompts: a row of initial images above a row of best ones, ten to a row."""
    by_prompt = {_prompt(trial): trial for trial in trials}
    shown = [by_prompt[text] for text in sorted(by_prompt)][:count]
    rows = []
    for start in range(0, len(shown), 10):
        some = shown[start : start + 10]
        for which in ("initial", "best"):
            images = [trial.image(which) for trial in some]
            blank = [np.full_like(images[0], 255)] * (10 - len(some))
            rows.append(tensor_of([*images, *blank]))
    if rows:
        save_sheet(path, rows)
