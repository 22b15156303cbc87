"""Writes a results store of made-up trials with known effects, to try the analysis on.

    python scripts/synthesise_store.py results-10k --trials 10000

The store has the exact format of reno.results, so that whatever reads it cannot tell; only its labels say
`synthetic`. Nothing is optimised: each trial's outcome is drawn from `Truth`, and its images are drawn scenes that
show it. Data files are written once for each distinct content and hard-linked into the trials that share them.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import math
import os
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reno.prompts import Prompt, load_prompts
from reno.results import SCHEMA, TRACE_COLUMNS, Store, encode_frames, encode_png, record_bytes
from reno.spec import TrialSpec, as_json
from reno.testbed.render import render
from reno.testbed.world import Background, Scene, Thing

MODELS = "synthetic"
METRICS = ("clip", "blip")
WORDS = {"clip": (22.0, 1.5, 9.0), "blip": (-1.0, 2.0, 7.0)}
"""Each metric's score at the start (mean, standard deviation), and what optimising it gains in the end."""


@dataclass(frozen=True)
class Odds:
    """Probabilities of one binding in the best image of a metric."""

    object: float = 0.85
    """The object is there."""
    attribute: float = 0.9
    """The attribute is somewhere."""
    bound: float = 0.5
    """They are together, if both are there."""


@dataclass(frozen=True)
class Truth:
    """What the made-up trials show, before any noise."""

    before: Odds = Odds(0.80, 0.85, 0.45)
    after: dict[str, Odds] = field(
        default_factory=lambda: {"clip": Odds(0.95, 0.92, 0.60), "blip": Odds(0.94, 0.97, 0.75)}
    )
    """By optimised metric, at its best setting."""
    best_of_n: float = 0.4
    """How far best-of-n gets from `before` to `after`."""
    prompt_spread: float = 1.0
    """Standard deviation of a prompt's difficulty, in log-odds: how strongly the seeds of a prompt agree."""
    judge_error: float = 0.05
    """How often the second judge, kin to BLIP, says the opposite."""
    failures: float = 0.004
    """Share of trials that fail."""


@dataclass(frozen=True)
class Configuration:
    metric: str
    method: dict
    """As a trial's identity has it."""

    @property
    def reach(self) -> float:
        """How much of the way to its metric's best effect this setting goes, in [0, 1]."""
        if self.method["name"] != "reno":
            return 1.0
        lr, iterations = self.method["lr"], self.method["iterations"]
        good = {"clip": 0.05, "blip": 0.01}.get(self.metric, 0.05)
        return (1.0 if lr == good else 0.6) * (1.0 if iterations >= 50 else 0.75)


def configurations(
    metrics: Sequence[str] = METRICS, lrs: Sequence[float] = (0.01, 0.05), iterations: Sequence[int] = (25, 50)
) -> list[Configuration]:
    """Those of the study clip_vs_blip."""
    adam = {"name": "adam", "betas": [0.9, 0.999], "eps": 1e-8}
    found = []
    for metric in metrics:
        for lr, count in itertools.product(lrs, iterations):
            settings = {"lr": lr, "regularization": 0.0, "grad_clip": None, "optimizer": adam}
            found.append(Configuration(metric, {"name": "reno", "iterations": count, **settings}))
        found += [Configuration(metric, {"name": "best_of_n", "iterations": count}) for count in iterations]
        found.append(Configuration(metric, {"name": "none"}))
    return found


def synthesise(
    root: Path,
    trials: int = 10_000,
    *,
    prompts: dict[str, Sequence[Prompt]] | None = None,
    configured: Sequence[Configuration] | None = None,
    truth: Truth | None = None,
    seeds: int | None = None,
    seed: int = 0,
    judges: bool = True,
) -> int:
    """Writes at most `trials` trials and the records of the jobs that would have made them; answers how many.

    prompts: by the name of their set; the named sets of clip_vs_blip if None. seeds: a prompt has; as many as it
    takes if None.
    """
    prompts = prompts or {name: load_prompts(name) for name in ("pairs_dev", "pairs_test", "triples_test")}
    configured = configured or configurations()
    each = len(configured) * sum(len(texts) for texts in prompts.values())
    seeds = seeds or -(-trials // each)
    store = Store(root)
    store.prepare()
    writer = _Writer(store, random.Random(seed), np.random.default_rng(seed), truth or Truth(), judges)
    writer.difficulty = {prompt.text: float(writer.numbers.normal()) for texts in prompts.values() for prompt in texts}
    left = trials
    for number, ((name, texts), configuration) in enumerate(itertools.product(prompts.items(), configured)):
        planned = list(itertools.islice(itertools.product(texts, range(seeds)), left))
        left -= len(planned)
        if planned:
            writer.job(root / "jobs" / "2026-01-01_00-00-00-000000" / str(number), name, configuration, planned)
    shutil.rmtree(writer.pool)
    return writer.written


class _Writer:
    def __init__(self, store: Store, chance: random.Random, numbers: np.random.Generator, truth: Truth, judges: bool):
        self.store, self.chance, self.numbers, self.truth, self.judges = store, chance, numbers, truth, judges
        self.difficulty: dict[str, float] = {}
        self.written = 0
        self.pool = store.staging / "pool"
        self.pool.mkdir(exist_ok=True)
        self.kept: dict[tuple, tuple[Path, dict]] = {}

    def job(self, folder: Path, prompt_set: str, configuration: Configuration, planned) -> None:
        labels = {
            "models": MODELS,
            "metric": configuration.metric,
            "method": configuration.method["name"],
            "prompts": prompt_set,
            "study": "clip_vs_blip",
            "random_weights": False,
        }
        entries, spec = [], None
        for prompt, seed in planned:
            spec = TrialSpec(
                prompt, seed, "synthetic-generator", _terms(configuration.metric), "float32", configuration.method
            )
            failed = self.chance.random() < self.truth.failures
            if not failed:
                self.trial(spec, configuration, labels)
            state = {"state": "failed", "reason": "the gradient is not finite"} if failed else {"state": "done"}
            entries.append({"id": spec.id, "prompt": prompt.text, "seed": seed, **state})
        record = {
            "group": "clip_vs_blip",
            "labels": labels,
            "spec": {key: value for key, value in spec.identity.items() if key not in ("prompt", "seed")},
            "command": f"python scripts/synthesise_store.py {self.store.root}",
            "status": int(any(entry["state"] == "failed" for entry in entries)),
            "seconds": 1.0,
            "trials": entries,
        }
        folder.mkdir(parents=True)
        (folder / "job.json").write_bytes(record_bytes(record))

    def trial(self, spec: TrialSpec, configuration: Configuration, labels: dict) -> None:
        before = self.outcome(self.truth.before, spec, "start")
        after = self.after(spec, configuration, before)
        count = 1 if configuration.method["name"] == "none" else configuration.method["iterations"] + 1
        best, trace, scores = self.trace(configuration, spec, count, sum(o[2] for o in after) / len(after))
        if best == 0:
            after = before
        files = {
            "trace.parquet": self.file(None, lambda: _parquet(trace)),
            "initial.png": self.file(("png", spec.prompt, before), lambda: encode_png(_picture(spec.prompt, before))),
            "best.png": self.file(("png", spec.prompt, after), lambda: encode_png(_picture(spec.prompt, after))),
            "frames.webp": self.file(
                ("webp", spec.prompt, before, after, best, count),
                lambda: encode_frames(
                    [_picture(spec.prompt, before)] * best + [_picture(spec.prompt, after)] * (count - best)
                ),
            ),
            "noise.safetensors": self.file(("noise",), _noise),
        }
        record = {
            "schema": SCHEMA,
            "id": spec.id,
            "spec": spec.identity,
            "bindings": [as_json(binding) for binding in spec.prompt.bindings],
            "labels": labels,
            "scores": scores,
            "best_iteration": best,
            "judgements": self.verdicts(spec, before, after) if self.judges else {},
            "timings": _timings(configuration, trace),
            "memory": {"peak_host_bytes": 900_000_000 + 1000 * self.written, "peak_device_bytes": None},
            "finished": "2026-01-01T00:00:00+00:00",
            "provenance": {
                "versions": {"python": "3.11"}, "device": "none (synthetic)", "threads": 1, "git": None,
                "batch": {"size": 1, "place": 0, "trials": [{"id": spec.id}]},
            },
            "files": {name: entry for name, (_, entry) in files.items()},
        }  # fmt: skip
        folder = self.store.trials / spec.id
        folder.mkdir()
        for name, (path, _) in files.items():
            os.link(path, folder / name)
        (folder / "trial.json").write_bytes(record_bytes(record))
        self.written += 1

    def file(self, key: tuple | None, make) -> tuple[Path, dict]:
        """The pool's file of that content, made once a key; and what a record says of it."""
        if key is not None and key in self.kept:
            return self.kept[key]
        data = make()
        path = self.pool / ("once" if key is None else str(len(self.kept)))
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        made = path, {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if key is not None:
            self.kept[key] = made
        return made

    def outcome(self, odds: Odds, spec: TrialSpec, salt: str) -> tuple[tuple[bool, bool, bool], ...]:
        """Of each binding: object there, attribute there, together. The same for the same seed, prompt and salt."""
        chance = _chance(f"{spec.prompt.text}|{spec.seed}|{salt}")
        shift = self.truth.prompt_spread * self.difficulty[spec.prompt.text]
        found = []
        for _ in spec.prompt.bindings:
            there, shown, together = (
                chance.random() < _shifted(p, shift) for p in (odds.object, odds.attribute, odds.bound)
            )
            found.append((there, shown, there and shown and together))
        return tuple(found)

    def after(self, spec: TrialSpec, configuration: Configuration, before):
        """Optimised, the outcome is drawn anew with probability `reach`, else it stays."""
        name = configuration.method["name"]
        if name == "none":
            return before
        chance = _chance(f"{spec.prompt.text}|{spec.seed}|{configuration.metric}|{name}|reach")
        reach = configuration.reach if name == "reno" else self.truth.best_of_n
        if chance.random() >= reach:
            return before
        return self.outcome(self.truth.after[configuration.metric], spec, f"{configuration.metric}|{name}")

    def trace(self, configuration: Configuration, spec: TrialSpec, count: int, quality: float):
        """The best iteration, a trace of `count` rows and the scores it leads to."""
        start = _chance(f"{spec.prompt.text}|{spec.seed}")
        middle, spread, gain = WORDS[configuration.metric]
        own = middle + spread * start.gauss(0, 1)
        steps = np.arange(count)
        noise = self.numbers.normal(0, 0.15, count)
        noise[0] = 0
        if configuration.method["name"] == "best_of_n":
            score = own + np.where(steps > 0, self.numbers.normal(0, spread, count), 0)
        else:
            rate = configuration.method.get("lr", 0.01) / 0.05 * 0.12 + 0.02
            score = own + gain * (0.6 + 0.4 * quality) * (1 - np.exp(-rate * steps)) + noise
        score = np.round(score, 6)
        best = int(score.argmax())
        seconds = 0.02 if configuration.method["name"] == "reno" else 0.008
        trace = {
            "iteration": steps, "loss": 100 - score, "score": score, "regularizer": np.zeros(count),
            "grad_norm": np.full(count, 1.0), "noise_norm": np.full(count, 22.6),
            "seconds": np.full(count, seconds) * (1 + 0.2 * self.numbers.random(count)),
        }  # fmt: skip
        places = {"initial": 0, "best": best, "last": count - 1}
        scores = {which: {configuration.metric: float(score[place])} for which, place in places.items()}
        for other in (metric for metric in METRICS if metric != configuration.metric):
            middle, spread, gain = WORDS[other]
            base = middle + spread * start.gauss(0, 1)
            for which, share in (("initial", 0.0), ("best", 0.25), ("last", 0.2)):
                climbed = share * gain * quality * (configuration.method["name"] != "none")
                scores[which][other] = round(base + climbed, 6)
        return best, trace, scores

    def verdicts(self, spec: TrialSpec, before, after) -> dict:
        exact = {
            "kin": "none",
            "initial": _verdict(spec.prompt, before),
            "best": _verdict(spec.prompt, after),
        }
        first = self.misjudged(spec, before)
        again = first if after is before else self.misjudged(spec, after)  # one image has one verdict
        unsure = {"kin": "blip", "initial": first, "best": again}
        return {"oracle": exact, "blip_vqa": unsure}

    def misjudged(self, spec: TrialSpec, outcome) -> dict:
        wrong = self.truth.judge_error
        flipped = []
        for there, shown, together in outcome:
            there, shown = (value ^ (self.chance.random() < wrong) for value in (there, shown))
            flipped.append((there, shown, there and shown and together ^ (self.chance.random() < wrong)))
        return _verdict(spec.prompt, tuple(flipped))


def _chance(of: str) -> random.Random:
    """The same numbers for the same text, whatever it holds."""
    return random.Random(of.encode("utf-8", "surrogatepass"))


def _shifted(probability: float, shift: float) -> float:
    """The probability after a shift of its log-odds; 0 and 1 stay."""
    if probability in (0.0, 1.0):
        return probability
    return 1 / (1 + (1 - probability) / probability * math.exp(-shift))


def _terms(metric: str) -> tuple[dict, ...]:
    head = "itm" if metric.startswith("blip") else None
    return ({"kind": metric.split("_")[0], "head": head, "weight": 1.0, "weights": f"synthetic-{metric}"},)


def _timings(configuration: Configuration, trace: dict) -> dict:
    seconds = float(trace["seconds"].sum())
    return {"seconds": seconds, "batch_seconds": seconds, "batch_size": 1, "images": len(trace["seconds"])}


def _verdict(prompt: Prompt, outcome) -> dict:
    judgements = [
        {
            "attribute": binding.attribute,
            "object": binding.object,
            "object_present": there,
            "attribute_present": shown,
            "bound": together,
            "object_confidence": float(there),
            "attribute_confidence": float(shown),
            "bound_confidence": float(together),
        }
        for binding, (there, shown, together) in zip(prompt.bindings, outcome, strict=True)
    ]
    faults = {
        "missing": not all(there for there, _, _ in outcome),
        "swapped": any(there and shown and not together for there, shown, together in outcome),
    }
    return {"judgements": judgements, "faults": faults}


def _picture(prompt: Prompt, outcome) -> np.ndarray:
    """A scene that shows the outcome: objects that are there, in their colour or in the next binding's."""
    colors = [binding.attribute for binding in prompt.bindings]
    count = len(prompt.bindings)
    things = []
    for place, (binding, (there, _, together)) in enumerate(zip(prompt.bindings, outcome, strict=True)):
        if there:
            color = binding.attribute if together else colors[(place + 1) % count]
            things.append(Thing(color, binding.object, (place + 0.5) / count, 0.5, 0.9 / count))
    return render(Scene(tuple(things), Background()))


def _parquet(trace: dict) -> bytes:
    import io

    import pyarrow
    from pyarrow import parquet

    fields = [(name, pyarrow.int64() if name == "iteration" else pyarrow.float64()) for name in TRACE_COLUMNS]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table({name: trace[name] for name in TRACE_COLUMNS}, pyarrow.schema(fields)), buffer)
    return buffer.getvalue()


def _noise() -> bytes:
    from safetensors.numpy import save

    noise = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    return save({"initial": noise, "best": noise})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write a results store of made-up trials with known effects.")
    parser.add_argument("out", type=Path, help="the results folder to make; must not hold trials yet")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.trials < 1 or (options.out / "trials").exists():
        print(f"error: give a new folder and one trial or more; {options.out} is there already", file=sys.stderr)
        return 2
    print(f"{synthesise(options.out, options.trials, seed=options.seed)} trials in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
