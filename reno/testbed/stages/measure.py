"""Stage `measure`: what the bench does on the trained models, judged by the oracle.

The bench itself runs (`python -m reno.run`, two processes side by side), into `results/` of the build folder, so a
measurement that was stopped goes on where it stopped. Numbers are read from that store alone.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from reno.prompts import load_prompts, prompt_from_text
from reno.results import Store, Stored
from reno.testbed.stages.loop import save_sheet, tensor_of

SETTINGS = {
    "adam 0.05": ["method=reno", "optimizer=adam", "lr=0.05"],
    "best of n": ["method=best_of_n"],
    "adam 0.01": ["method=reno", "optimizer=adam", "lr=0.01"],
    "paper": ["method=reno", "optimizer=sgd_nesterov"],
}
"""The report's optimiser at two learning rates, the paper's, and the control at equal images."""
METRICS = ("clip", "blip", "clip+blip")
SETS = ("pairs_test", "triples_test")
NOISE_SIZE = 8 * 8 * 8
SMOKE = {"iterations": 1, "prompts": ["a gold bench and a green clock"], "sets": ("pairs_test",), "seeds": (0,)}


def run(
    build_dir: Path,
    weights: Path,
    iterations: int = 50,
    sets: tuple[str, ...] = SETS,
    seeds: tuple[int, ...] = (0, 1),
    prompts: list[str] | None = None,
) -> dict:
    """Runs and judges every set x metric x setting; `prompts` stands in for the sets' own where it is given."""
    asked = {name: prompts or [prompt.text for prompt in load_prompts(name)] for name in sets}
    common = [
        f"results={build_dir / 'results'}", "tracking=disabled", "threads=1", "batch_size=8", "evaluators=[oracle]",
        f"models.generator.path={weights / 'generator'}", f"iterations={iterations}", f"seed={list(seeds)}",
        *(f"models.checkpoints.{name}.path={weights / name}" for name in ("clip", "blip")),
    ]  # fmt: skip
    chosen = {name: f"prompts={name}" if prompts is None else f"prompt={prompts}" for name in sets}
    _run_two_by_two(
        [
            [*common, words, f"metric={metric}", *knobs]
            for knobs in SETTINGS.values()
            for words in chosen.values()
            for metric in METRICS
        ]
    )
    trials = _trials(build_dir / "results", weights)
    tables = {
        name: [
            outcome_row(setting, metric, [t for t in trials.get((setting, metric), []) if _prompt(t) in set(texts)])
            for setting in SETTINGS
            for metric in METRICS
        ]
        for name, texts in asked.items()
    }
    numbers = {
        "iterations": iterations, "seeds": len(seeds), "prompts": {name: len(texts) for name, texts in asked.items()},
        "outcomes": tables,
        "reno_minus_best_of_n": {name: [gain(trials, metric, texts) for metric in METRICS]
                                 for name, texts in asked.items()},
        "agreement": agreement(trials, build_dir),
        "speed": speed(build_dir, weights, iterations),
    }  # fmt: skip
    for metric in METRICS[:2]:
        shown = trials.get(("adam 0.05", metric), [])
        before_and_after(build_dir / "measure" / f"{metric}.png", shown)
    return numbers


def _run_two_by_two(jobs: list[list[str]]) -> None:
    """Two processes side by side, each taking the next job when it is done. Raises RuntimeError at a failed one."""
    waiting, running = list(jobs), []
    while waiting or running:
        while waiting and len(running) < 2:
            knobs = waiting.pop(0)
            print(f"measure: {' '.join(knobs[-4:])}", flush=True)
            running.append(subprocess.Popen([sys.executable, "-m", "reno.run", *knobs], stdout=subprocess.DEVNULL))
        time.sleep(0.2)
        for process in [process for process in running if process.poll() is not None]:
            running.remove(process)
            if process.returncode:
                raise RuntimeError(f"reno.run ended with status {process.returncode}")


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
        return "best of n"
    return "paper" if method["optimizer"]["name"] == "sgd" else f"adam {method['lr']:g}"


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
        for fault in ("swapped", "junk", "mixed"):
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


def gain(trials: dict, metric: str, texts: list[str]) -> dict:
    """Fully bound by ReNO (Adam, 0.05) less by best of n, paired on prompt and seed; 95% percentile interval of a
    bootstrap over prompts."""
    outcomes = [
        {(_prompt(t), t.record["spec"]["seed"]): all_bound(t, "best") for t in trials.get((setting, metric), [])}
        for setting in ("adam 0.05", "best of n")
    ]
    by_prompt = defaultdict(list)
    for key in outcomes[0].keys() & outcomes[1].keys():
        if key[0] in set(texts):
            by_prompt[key[0]].append(float(outcomes[0][key]) - float(outcomes[1][key]))
    if not by_prompt:
        return {"metric": metric, "pairs": 0}
    means = np.array([np.mean(by_prompt[text]) for text in sorted(by_prompt)])
    draws = np.random.default_rng(0).choice(means, (10_000, len(means))).mean(1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return {
        "metric": metric, "pairs": sum(map(len, by_prompt.values())), "prompts": len(means),
        "difference": round(float(means.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4),
    }  # fmt: skip


def agreement(trials: dict, build_dir: Path, count: int = 500) -> dict:
    """How often the two judges agree on `bound` over `count` images, half before and half after optimisation."""
    from reno.testbed.judges import agreement as compare

    shown = [trial for (setting, _), some in sorted(trials.items()) if setting == "adam 0.05" for trial in some]
    shown = random.Random(0).sample(shown, min(len(shown), count // 2))
    images = np.stack([trial.image(which) for trial in shown for which in ("initial", "best")])
    prompts = [prompt_from_text(_prompt(trial), "prompt") for trial in shown for _ in range(2)]
    compared = compare(images, prompts)
    return {"images": len(images), **compared}


def speed(build_dir: Path, weights: Path, iterations: int) -> dict:
    """Seconds of a trial, alone and in a batch of four, and of loading everything, on this machine's own threads."""
    script = (
        "import sys, time; from pathlib import Path; from reno.testbed.stages.measure import timed;"
        "print(*timed(Path(sys.argv[1]), int(sys.argv[2])))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, str(weights), str(iterations)], capture_output=True, text=True, check=True
    )
    load, *seconds = map(float, shown.stdout.split()[-5:])
    names = ("clip_alone", "clip_batch_of_4", "blip_alone", "blip_batch_of_4")
    return {"load_seconds": round(load, 2), **{name: round(s, 2) for name, s in zip(names, seconds, strict=True)}}


def timed(weights: Path, iterations: int) -> list[float]:
    """Seconds: loading the generator and both metrics, then a trial alone and in a batch of four by CLIP and by
    BLIP."""
    import torch

    from reno.generators.one_step import OneStepGenerator
    from reno.methods import Problem, load_method
    from reno.metrics import loss_of
    from reno.metrics.blip import BlipMetric
    from reno.metrics.clip import ClipMetric
    from reno.spec import MethodSettings

    place = {"dtype": torch.float32, "device": torch.device("cpu")}
    started = time.perf_counter()
    generator = OneStepGenerator(weights / "generator", variant=None, **place)
    metrics = [ClipMetric(weights / "clip", **place), BlipMetric(weights / "blip", **place)]
    seconds = [time.perf_counter() - started]
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
