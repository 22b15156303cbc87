"""Stage `measure`: what the bench does on the trained models, judged by the oracle.

The bench itself runs, as `python -m reno.run` does, in two processes side by side. It stores its trials in `results/`
of the build folder, so a measurement that was stopped continues where it stopped. All numbers but the base rates, the
judges' agreement and the speed are read from that store.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from reno.config.prompt_sets import load_prompts
from reno.letters.output import say
from reno.methods import settings_of
from reno.prompts.reader import prompt_from_text
from reno.spec.errors import INTERRUPTED
from reno.spec.job import Checkpoint
from reno.spec.judgements import Verdict
from reno.store.store import Store
from reno.store.stored import Stored
from reno.testbed.training.loop import save_sheet, tensor_of
from reno.testbed.training.speed import Speed, speed
from reno.weights.checkpoints import locate

METRICS = ("clip", "blip")
SETS = ("pairs_test", "triples_test")
FAULTS = ("swapped", "junk", "mixed")
WHEN = {"before": "initial", "after": "best"}
"""The judged images of a trial, by what they are called here."""


@dataclass(frozen=True)
class MeasuredSetting:
    """The knobs of a job, and how many noises a prompt gets (None: all)."""

    knobs: tuple[str, ...]
    seeds: int | None = None


CONTROL = "best of n"
SETTINGS = {
    "adam 0.05": MeasuredSetting(("method=reno", "optimizer=adam", "lr=0.05")),
    CONTROL: MeasuredSetting(("method=best_of_n",)),
    "adam 0.05, regularised": MeasuredSetting(
        ("method=reno", "optimizer=adam", "lr=0.05", "regularization=0.1"), seeds=1
    ),
    "adam 0.01": MeasuredSetting(("method=reno", "optimizer=adam", "lr=0.01"), seeds=1),
    "paper": MeasuredSetting(("method=reno", "optimizer=sgd_nesterov"), seeds=1),
}
"""The report's optimiser at two learning rates; the control with equally many images; the report's optimiser with the
norm of the noise held; the paper's setting."""
SMOKE = {
    "iterations": 1,
    "prompts": ["a gold bench and a green clock"],
    "sets": ("pairs_test",),
    "seeds": 1,
    "settings": ("adam 0.05", CONTROL),
}


class BaseRates(msgspec.Struct, kw_only=True):
    """Shares of the generator's images from fresh noise, by the oracle."""

    images: int
    bound: float
    there: float
    swapped: float
    junk: float
    mixed: float


class OutcomeRow(msgspec.Struct, kw_only=True):
    """Shares of the trials of one setting and metric; None without trials."""

    setting: str
    metric: str
    trials: int
    bound_before: float | None
    bound_after: float | None
    there_before: float | None
    there_after: float | None
    swapped_before: float | None
    swapped_after: float | None
    junk_before: float | None
    junk_after: float | None
    mixed_before: float | None
    mixed_after: float | None
    noise_within_3_sd: float | None
    """|best noise| is within 3 standard deviations of its mean under N(0, I)."""
    noise_worst_sd: float | None


class GainRow(msgspec.Struct, kw_only=True):
    """Share fully bound by ReNO minus that by best of n, with its 95% interval; None without pairs."""

    setting: str
    metric: str
    pairs: int
    prompts: int = 0
    difference: float | None = None
    low: float | None = None
    high: float | None = None


class Agreement(msgspec.Struct, kw_only=True):
    """How often the two judges say the same of a binding."""

    images: int
    bound: float
    disagreements: list[int]


class Measurements(msgspec.Struct, kw_only=True):
    """numbers.json of this stage. Dictionaries are by prompt set."""

    iterations: int
    seeds: int
    prompts: dict[str, int]
    base: dict[str, BaseRates]
    outcomes: dict[str, list[OutcomeRow]]
    reno_minus_best_of_n: dict[str, list[GainRow]]
    agreement: Agreement
    speed: Speed


def run(
    build_dir: Path,
    weights: Path,
    iterations: int = 50,
    sets: tuple[str, ...] = SETS,
    seeds: int = 2,
    settings: tuple[str, ...] = tuple(SETTINGS),
    prompts: list[str] | None = None,
) -> dict:
    """Runs and judges every set x metric x setting with `seeds` noises a prompt; answers with Measurements as JSON
    values.

    settings: names from SETTINGS. prompts: replace the sets' own. Each prompt gets its own noises, because the noise
    decides most of what goes wrong, and two noises for all prompts would say little about others.
    """
    asked = {name: prompts or [prompt.text for prompt in load_prompts(name).prompts] for name in sets}
    _run_side_by_side(jobs(build_dir, weights, asked, iterations, seeds, settings), build_dir / "measure")
    trials = trials_of(build_dir / "results", weights)
    for metric in METRICS:
        before_and_after(build_dir / "measure" / f"{metric}.png", trials.get(("adam 0.05", metric), []))
    return msgspec.to_builtins(
        Measurements(
            iterations=iterations,
            seeds=seeds,
            prompts={name: len(texts) for name, texts in asked.items()},
            base={name: base_rates(weights, texts) for name, texts in asked.items()},
            outcomes={
                name: [
                    outcome_row(
                        setting, metric, [t for t in trials.get((setting, metric), []) if prompt_of(t) in texts]
                    )
                    for setting in settings
                    for metric in METRICS
                ]
                for name, texts in asked.items()
            },
            reno_minus_best_of_n={
                name: [
                    gain(trials, setting, metric, texts)
                    for setting in settings
                    if setting != CONTROL
                    for metric in METRICS
                ]
                for name, texts in asked.items()
            },
            agreement=agreement(trials),
            speed=speed(weights, iterations),
        )
    )


# --- Running the bench ------------------------------------------------------------------------------------------------


def jobs(
    build_dir: Path, weights: Path, asked: dict[str, list[str]], iterations: int, seeds: int, settings: Sequence[str]
) -> list[list[str]]:
    """The knobs of each job. Writes each set's prompts to a file."""
    common = [
        f"results={build_dir / 'results'}", "tracking=disabled", "threads=1", "batch_size=8", "evaluators=[oracle]",
        f"models.generator.path={weights / 'generator'}", f"iterations={iterations}",
        *(f"models.checkpoints.{name}.path={weights / name}" for name in METRICS), "record=[]",
        f"+models.checkpoints.oracle.path={weights / 'judge'}", "own_noise=true",
    ]  # fmt: skip
    folder = build_dir / "measure" / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in asked.items():
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return [
        [
            *common,
            f"prompts={folder / f'{name}.txt'}",
            f"seed={list(range(SETTINGS[setting].seeds or seeds))}",
            f"metric={metric}",
            *SETTINGS[setting].knobs,
        ]
        for setting in settings
        for name in asked
        for metric in METRICS
    ]


def _run_side_by_side(wanted: list[list[str]], folder: Path, processes: int = 2) -> None:
    """Runs the jobs in two processes, each of which loads the models once. Raises RuntimeError if a job failed."""
    running = []
    for index in range(processes):
        listed = folder / f"jobs-{index}.json"
        listed.write_text(json.dumps(wanted[index::processes]), encoding="utf-8")
        script = "import sys; from reno.testbed.training.measure import run_jobs; sys.exit(run_jobs(sys.argv[1]))"
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
    """Runs the jobs of a JSON file of knobs one after the other, as `python -m reno.run` does. Answers with the highest
    exit status. An interrupt ends them."""
    from reno.run import main

    worst = 0
    wanted = json.loads(Path(listed).read_text(encoding="utf-8"))
    for number, knobs in enumerate(wanted, 1):
        with contextlib.redirect_stdout(io.StringIO()):
            status = main(knobs)
        if status == INTERRUPTED:
            return status
        worst = max(worst, status)
        say(f"measure: job {number} of {len(wanted)} of {Path(listed).stem}: {' '.join(knobs[-5:])}")
    return worst


# --- Reading its store ------------------------------------------------------------------------------------------------

Trials = dict[tuple[str, str], list[Stored]]
"""Trials by (setting, metric)."""


def trials_of(results: Path, weights: Path) -> Trials:
    """The stored trials that used these weights."""
    from reno.generators.stable_diffusion import FOLDERS

    generator = locate(Checkpoint(str(weights / "generator")), "generator", FOLDERS).identity
    metrics = {locate(Checkpoint(str(weights / name)), name).identity: name for name in METRICS}
    found = defaultdict(list)
    for trial in Store(results).whole():
        spec = trial.record.spec
        names = [metrics.get(term.get("weights")) for term in spec.metric]
        if spec.generator == generator and None not in names:
            found[setting_of(trial), "+".join(names)].append(trial)
    return found


def setting_of(trial: Stored) -> str:
    """The name of a trial's setting, as in SETTINGS."""
    method = settings_of(trial.record.spec.method)
    if method.method == "best_of_n":
        return CONTROL
    if method.optimizer == "sgd":
        return "paper"
    return f"adam {method.lr:g}" + (", regularised" if method.regularization else "")


def prompt_of(trial: Stored) -> str:
    return trial.record.spec.prompt


def verdict_of(trial: Stored, which: str) -> Verdict:
    """The oracle's verdict on the `initial` or `best` image."""
    return getattr(trial.record.judgements["oracle"], which)


def all_there(verdict: Verdict) -> bool:
    return all(judgement.object_present for judgement in verdict.judgements)


SHARES: dict[str, Callable[[Verdict], bool]] = {
    "bound": lambda verdict: verdict.all_bound,
    "there": all_there,
    **{fault: (lambda verdict, fault=fault: verdict.faults[fault]) for fault in FAULTS},
}
"""What is counted of verdicts, by name."""


def outcome_row(setting: str, metric: str, trials: list[Stored]) -> OutcomeRow:
    """Shares of trials before (the initial image) and after (the best)."""
    shares = {
        f"{name}_{when}": _share(counts(verdict_of(trial, which)) for trial in trials)
        for when, which in WHEN.items()
        for name, counts in SHARES.items()
    }
    off = [abs(noise_deviation(trial.noise()["best"])) for trial in trials]
    within = _share(value <= 3 for value in off)
    return OutcomeRow(
        setting=setting, metric=metric, trials=len(trials), **shares, noise_within_3_sd=within,
        noise_worst_sd=max(off, default=None),
    )  # fmt: skip


def noise_deviation(noise: np.ndarray) -> float:
    """By how many standard deviations |noise| differs from its mean under N(0, I), where it is chi-distributed."""
    size = noise.size
    mean = math.sqrt(2) * math.exp(math.lgamma((size + 1) / 2) - math.lgamma(size / 2))
    return float((np.linalg.norm(noise) - mean) / math.sqrt(size - mean**2))


def _share(flags: Iterable[bool]) -> float | None:
    flags = list(flags)
    return round(float(np.mean(flags)), 4) if flags else None


def gain(trials: Trials, setting: str, metric: str, texts: list[str]) -> GainRow:
    """Share fully bound by ReNO at a setting minus that by best of n, paired on prompt and seed; 95% percentile
    interval of a bootstrap over prompts."""
    reno, other = (
        {(prompt_of(t), t.record.spec.seed): verdict_of(t, "best").all_bound for t in trials.get((which, metric), [])}
        for which in (setting, CONTROL)
    )
    by_prompt = defaultdict(list)
    for prompt, seed in reno.keys() & other.keys():
        if prompt in texts:
            by_prompt[prompt].append(float(reno[prompt, seed]) - float(other[prompt, seed]))
    if not by_prompt:
        return GainRow(setting=setting, metric=metric, pairs=0)
    means = np.array([np.mean(by_prompt[text]) for text in sorted(by_prompt)])
    draws = np.random.default_rng(0).choice(means, (10_000, len(means))).mean(1)
    low, high = (round(float(end), 4) for end in np.quantile(draws, (0.025, 0.975)))
    return GainRow(
        setting=setting, metric=metric, pairs=sum(map(len, by_prompt.values())), prompts=len(means),
        difference=round(float(means.mean()), 4), low=low, high=high,
    )  # fmt: skip


def before_and_after(path: Path, trials: list[Stored], count: int = 40) -> None:
    """A sheet of `count` prompts: a row of initial images above a row of best ones, ten to a row."""
    by_prompt = {prompt_of(trial): trial for trial in trials}
    shown = [by_prompt[text] for text in sorted(by_prompt)][:count]
    rows = []
    for start in range(0, len(shown), 10):
        some = shown[start : start + 10]
        for which in WHEN.values():
            images = [trial.image(which) for trial in some]
            blank = [np.full_like(images[0], 255)] * (10 - len(some))
            rows.append(tensor_of([*images, *blank]))
    if rows:
        save_sheet(path, rows)


# --- What the store does not say --------------------------------------------------------------------------------------


def agreement(trials: Trials, count: int = 500) -> Agreement:
    """How often the two judges agree on `bound` over `count` images, half before and half after optimisation."""
    from reno.testbed.judges import agreement as compare

    shown = [trial for (setting, _), some in sorted(trials.items()) if setting == "adam 0.05" for trial in some]
    shown = random.Random(0).sample(shown, min(len(shown), count // 2))
    images = np.stack([trial.image(which) for trial in shown for which in WHEN.values()])
    prompts = [prompt_from_text(prompt_of(trial), "prompt") for trial in shown for _ in WHEN]
    share, disagreements = compare(images, prompts)
    return Agreement(images=len(images), bound=share, disagreements=disagreements)


def base_rates(weights: Path, texts: list[str], noises: int = 10) -> BaseRates:
    """How often the generator fails from fresh noise, `noises` of them a prompt, by the oracle."""
    import torch

    from reno.generators.stable_diffusion import StableDiffusion
    from reno.testbed.judges import oracle

    judge = oracle.load(checkpoints={"oracle": weights / "judge"})
    generator = StableDiffusion(weights / "generator", variant=None, dtype=torch.float32, device=torch.device("cpu"))
    draw, verdicts = torch.Generator().manual_seed(17), []
    for text in texts:
        noise = torch.randn(noises, *generator.latent_shape, generator=draw)
        with torch.no_grad():
            images = generator(noise, generator.encode([text] * noises))
        verdicts += judge.judge(images, [prompt_from_text(text, "prompt")] * noises)
    shares = {name: _share(map(counts, verdicts)) for name, counts in SHARES.items()}
    return BaseRates(images=len(verdicts), **shares)
