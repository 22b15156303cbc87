"""Writes a results store of made-up trials with known effects, to try the analysis on.

    python scripts/synthesise_store.py results-10k --trials 10000
    python scripts/synthesise_store.py results-equal --truth equal --prompts 400 --seeds 1 --own-noise

The store has the format of reno.store; only its labels say `synthetic`. Nothing is optimised: each trial's outcome is
drawn at random from `Truth`, and its images are drawn scenes that show the outcome. Files with the same content are
written once and hard-linked into the trials that share them.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import hashlib
import itertools
import math
import os
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from reno.config.prompt_sets import load_prompts
from reno.config.script import Options, a_path, run_script, whole
from reno.letters.output import say
from reno.spec.errors import BadInput
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding, Prompt
from reno.spec.trial import TrialSpec, own_seed
from reno.store.files import TRACE_COLUMNS, TraceRow, encode_frames, encode_noise, encode_png, encode_trace
from reno.store.records import (
    DONE,
    FAILED,
    BatchMate,
    BatchRecord,
    FileEntry,
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
    sealed_bytes,
)
from reno.store.store import Store, write_job_record
from reno.testbed.render import render
from reno.testbed.world import COLORS, OBJECTS, Scene, Thing

MODELS = "synthetic"
METRICS = ("clip", "blip")
SCORES = {"clip": (22.0, 1.5, 9.0), "blip": (-1.0, 2.0, 7.0)}
"""By metric: mean and standard deviation of the initial score, and what optimising gains in the end."""

Outcome = tuple[tuple[bool, bool, bool], ...]
"""Of each binding in an image: the object is there, the attribute is there, they are together."""


@dataclass(frozen=True)
class Odds:
    """Probabilities of one binding in the best image of a metric."""

    object: float = 0.85
    """That the object is there."""
    attribute: float = 0.9
    """That the attribute is somewhere."""
    bound: float = 0.5
    """That they are together, if both are there."""


@dataclass(frozen=True)
class Truth:
    """The effects that the made-up trials have."""

    before: Odds = Odds(0.80, 0.85, 0.45)
    after: dict[str, Odds] = field(
        default_factory=lambda: {"clip": Odds(0.95, 0.92, 0.60), "blip": Odds(0.94, 0.97, 0.75)}
    )
    """By optimised metric, at its best setting."""
    best_of_n: float = 0.4
    """Share of the way from `before` to `after` that best of n reaches."""
    prompt_spread: float = 1.0
    """Standard deviation of a prompt's difficulty, in log-odds: how strongly the seeds of a prompt agree."""
    judge_error: float = 0.05
    """How often the second judge, which is kin to BLIP, is wrong."""
    failures: float = 0.004
    """Share of trials that fail."""
    alike: bool = False
    """Every metric ends at the same images, those that CLIP ends at."""
    noise_spread: float = 0.0
    """Standard deviation of what a noise adds to all prompts' log-odds with one metric."""


TRUTHS = {
    "study": Truth(),
    "equal": Truth(alike=True),
    "ten_points": Truth(
        before=Odds(1.0, 1.0, 0.5),
        after={"clip": Odds(1.0, 1.0, 0.8), "blip": Odds(1.0, 1.0, 0.735)},
        prompt_spread=0.0,
    ),
}
"""By name: as a study might find; no difference at all; CLIP binds 10 prompts of 100 more, 0.64 against 0.54."""


@dataclass(frozen=True)
class Configuration:
    """A metric and a method."""

    metric: str
    method: dict[str, Any]
    """As in a trial's identity."""

    @property
    def reach(self) -> float:
        """Share of its metric's best effect that this setting reaches, in [0, 1]."""
        if self.method["name"] != "reno":
            return 1.0
        lr, iterations = self.method["lr"], self.method["iterations"]
        good = {"clip": 0.05, "blip": 0.01}.get(self.metric, 0.05)
        return (1.0 if lr == good else 0.6) * (1.0 if iterations >= 50 else 0.75)


def configurations(
    metrics: Sequence[str] = METRICS, lrs: Sequence[float] = (0.01, 0.05), iterations: Sequence[int] = (25, 50)
) -> list[Configuration]:
    """The configurations of the study clip_vs_blip."""
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
    own_noise: bool = False,
) -> int:
    """Writes at most `trials` trials and the records of the jobs that would have made them. Answers how many trials.

    prompts: by the name of their set; by default the sets of clip_vs_blip. seeds: seeds of each prompt; by default as
    many as are needed. own_noise: each prompt has noises of its own.
    """
    prompts = prompts or {name: load_prompts(name).prompts for name in ("pairs_dev", "pairs_test", "triples_test")}
    configured = configured or configurations()
    each = len(configured) * sum(len(texts) for texts in prompts.values())
    seeds = seeds or -(-trials // each)
    store = Store(root)
    store.prepare()
    numbers = np.random.default_rng(seed)
    difficulty = {prompt.text: float(numbers.normal()) for texts in prompts.values() for prompt in texts}
    writer = _Writer(store, random.Random(seed), numbers, truth or Truth(), difficulty, judges)
    left = trials
    for number, ((name, texts), configuration) in enumerate(itertools.product(prompts.items(), configured)):
        pairs = itertools.product(texts, range(seeds))
        pairs = ((prompt, own_seed(prompt.text, number)) if own_noise else (prompt, number) for prompt, number in pairs)
        planned = list(itertools.islice(pairs, left))
        left -= len(planned)
        if planned:
            writer.job(root / "jobs" / "2026-01-01_00-00-00-000000" / str(number), name, configuration, planned)
    shutil.rmtree(writer.pool)
    return writer.written


class _Writer:
    def __init__(
        self,
        store: Store,
        chance: random.Random,
        numbers: np.random.Generator,
        truth: Truth,
        difficulty: dict[str, float],
        judges: bool,
    ):
        """difficulty: of each prompt, N(0, 1). judges: whether trials have judgements."""
        self.store, self.chance, self.numbers, self.truth, self.judges = store, chance, numbers, truth, judges
        self.difficulty = difficulty
        self.written = 0
        self.pool = store.staging / "pool"
        self.pool.mkdir(exist_ok=True)
        self.kept: dict[tuple, tuple[Path, FileEntry]] = {}

    def job(self, folder: Path, prompt_set: str, configuration: Configuration, planned) -> None:
        """Writes a job's trials and its record. planned: (prompt, seed) of each trial."""
        labels = Labels(
            models=MODELS,
            metric=configuration.metric,
            method=configuration.method["name"],
            prompts=prompt_set,
            study="clip_vs_blip",
        )
        entries: list[JobTrial] = []
        for prompt, seed in planned:
            spec = TrialSpec(
                prompt, seed, "synthetic-generator", _terms(configuration.metric), "float32", configuration.method
            )
            failed = self.chance.random() < self.truth.failures
            if failed:
                state = {"state": FAILED, "reason": "the gradient is not finite"}
            else:
                self.trial(spec, configuration, labels)
                state = {"state": DONE}
            entries.append(JobTrial(id=spec.id, prompt=prompt.text, seed=seed, **state))
        record = JobRecord(
            group="clip_vs_blip",
            labels=labels,
            spec={key: value for key, value in spec.identity.items() if key not in ("prompt", "seed")},
            command=f"python scripts/synthesise_store.py {self.store.root}",
            status=int(any(entry.state == FAILED for entry in entries)),
            seconds=1.0,
            trials=tuple(entries),
        )
        folder.mkdir(parents=True)
        write_job_record(folder, record)

    def trial(self, spec: TrialSpec, configuration: Configuration, labels: Labels) -> None:
        """Writes one trial, whose files are links into the pool."""
        before = self.outcome(self.truth.before, spec, "start")
        after = self.after(spec, configuration, before)
        count = 1 if configuration.method["name"] == "none" else configuration.method["iterations"] + 1
        best, trace, scores = self.trace(configuration, spec, count, sum(o[2] for o in after) / len(after))
        if best == 0:
            after = before
        files = {
            "trace.parquet": self.file(None, lambda: encode_trace(trace)),
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
        itself = BatchMate(id=spec.id, prompt=spec.prompt.text, bindings=spec.prompt.bindings, seed=spec.seed)
        seconds = float(np.sum([row["seconds"] for row in trace]))
        record = TrialRecord(
            id=spec.id,
            spec=TrialIdentity.from_json(spec.identity),
            bindings=spec.prompt.bindings,
            labels=labels,
            scores=Scores(**scores),
            best_iteration=best,
            judgements=self.judgements(spec, before, after) if self.judges else {},
            timings=Timings(seconds=seconds, batch_seconds=seconds, batch_size=1, images=len(trace)),
            memory=Memory(peak_host_bytes=900_000_000 + 1000 * self.written, peak_device_bytes=None),
            finished="2026-01-01T00:00:00+00:00",
            provenance=Provenance(
                versions={"python": "3.11"},
                device="none (synthetic)",
                threads=1,
                batch=BatchRecord(size=1, place=0, trials=(itself,)),
            ),
            files={name: entry for name, (_, entry) in files.items()},
        )
        folder = self.store.trials / spec.id
        folder.mkdir()
        for name, (path, _) in files.items():
            os.link(path, folder / name)
        (folder / "trial.json").write_bytes(sealed_bytes(record))
        self.written += 1

    def file(self, key: tuple | None, make: Callable[[], bytes]) -> tuple[Path, FileEntry]:
        """A file of the pool and its entry in a record. The content of a key is made once; None: made anew."""
        if key is not None and key in self.kept:
            return self.kept[key]
        data = make()
        path = self.pool / ("once" if key is None else str(len(self.kept)))
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        made = path, FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        if key is not None:
            self.kept[key] = made
        return made

    def outcome(self, odds: Odds, spec: TrialSpec, salt: str, moved: float = 0.0) -> Outcome:
        """A random outcome; the same for the same seed, prompt and salt. moved: what is added to all log-odds."""
        chance = _chance(f"{spec.prompt.text}|{spec.seed}|{salt}")
        shift = self.truth.prompt_spread * self.difficulty[spec.prompt.text] + moved
        found = []
        for _ in spec.prompt.bindings:
            there, shown, together = (
                chance.random() < _shifted(p, shift) for p in (odds.object, odds.attribute, odds.bound)
            )
            found.append((there, shown, there and shown and together))
        return tuple(found)

    def after(self, spec: TrialSpec, configuration: Configuration, before: Outcome) -> Outcome:
        """The outcome after optimisation: drawn anew with the probability that the method reaches, else as before."""
        name = configuration.method["name"]
        if name == "none":
            return before
        if self.truth.alike:
            configuration = replace(configuration, metric=METRICS[0])
        chance = _chance(f"{spec.prompt.text}|{spec.seed}|{configuration.metric}|{name}|reach")
        reach = configuration.reach if name == "reno" else self.truth.best_of_n
        if chance.random() >= reach:
            return before
        moved = self.truth.noise_spread * _chance(f"{spec.seed}|{configuration.metric}").gauss(0, 1)
        return self.outcome(self.truth.after[configuration.metric], spec, f"{configuration.metric}|{name}", moved)

    def trace(
        self, configuration: Configuration, spec: TrialSpec, count: int, quality: float
    ) -> tuple[int, list[TraceRow], dict[str, dict[str, float]]]:
        """The best iteration, a trace of `count` rows, and the scores by image and metric. quality: share of bindings
        that hold in the best image."""
        start = _chance(f"{spec.prompt.text}|{spec.seed}")
        middle, spread, gain = SCORES[configuration.metric]
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
        columns = {
            "iteration": steps, "loss": 100 - score, "score": score, "regularizer": np.zeros(count),
            "grad_norm": np.full(count, 1.0), "noise_norm": np.full(count, 22.6),
            "seconds": np.full(count, seconds) * (1 + 0.2 * self.numbers.random(count)),
        }  # fmt: skip
        rows = zip(*(columns[name].tolist() for name in TRACE_COLUMNS), strict=True)
        trace = [dict(zip(TRACE_COLUMNS, row, strict=True)) for row in rows]
        places = {"initial": 0, "best": best, "last": count - 1}
        scores = {which: {configuration.metric: float(score[place])} for which, place in places.items()}
        for other in (metric for metric in METRICS if metric != configuration.metric):
            middle, spread, gain = SCORES[other]
            base = middle + spread * start.gauss(0, 1)
            for which, share in (("initial", 0.0), ("best", 0.25), ("last", 0.2)):
                climbed = share * gain * quality * (configuration.method["name"] != "none")
                scores[which][other] = round(base + climbed, 6)
        return best, trace, scores

    def judgements(self, spec: TrialSpec, before: Outcome, after: Outcome) -> dict[str, JudgedTrial]:
        """What the oracle, which is always right, and blip_vqa, which is not, say of both images."""
        first = self.misjudged(spec, before)
        again = first if after is before else self.misjudged(spec, after)  # one image has one verdict
        exact = [_verdict(spec.prompt, outcome) for outcome in (before, after)]
        return {
            "oracle": JudgedTrial(kin="none", initial=exact[0], best=exact[1]),
            "blip_vqa": JudgedTrial(kin="blip", initial=first, best=again),
        }

    def misjudged(self, spec: TrialSpec, outcome: Outcome) -> Verdict:
        """A verdict with errors."""
        wrong = self.truth.judge_error
        flipped = []
        for there, shown, together in outcome:
            there, shown = (value ^ (self.chance.random() < wrong) for value in (there, shown))
            flipped.append((there, shown, there and shown and together ^ (self.chance.random() < wrong)))
        return _verdict(spec.prompt, tuple(flipped))


def made_up_pairs(count: int) -> list[Prompt]:
    """So many prompts of two of the testbed's objects in two of its colours, the same ones each time."""
    chance = random.Random(0)
    found: dict[str, Prompt] = {}
    while len(found) < count:
        bindings = tuple(map(Binding, chance.sample(COLORS, 2), chance.sample(OBJECTS, 2)))
        text = " and ".join(f"a {one.attribute} {one.object}" for one in bindings)
        found[text] = Prompt(text, bindings)
    return list(found.values())


def _chance(of: str) -> random.Random:
    """Random numbers that depend on a text alone; it may hold any characters."""
    return random.Random(of.encode("utf-8", "surrogatepass"))


def _shifted(probability: float, shift: float) -> float:
    """The probability after its log-odds are shifted; 0 and 1 stay."""
    if probability in (0.0, 1.0):
        return probability
    return 1 / (1 + (1 - probability) / probability * math.exp(-shift))


def _terms(metric: str) -> tuple[dict, ...]:
    head = "itm" if metric.startswith("blip") else None
    return ({"kind": metric.split("_")[0], "head": head, "weight": 1.0, "weights": f"synthetic-{metric}"},)


def _verdict(prompt: Prompt, outcome: Outcome) -> Verdict:
    judgements = tuple(
        Judgement(
            attribute=binding.attribute,
            object=binding.object,
            object_present=there,
            attribute_present=shown,
            bound=together,
            object_confidence=float(there),
            attribute_confidence=float(shown),
            bound_confidence=float(together),
        )
        for binding, (there, shown, together) in zip(prompt.bindings, outcome, strict=True)
    )
    faults = {
        "missing": not all(there for there, _, _ in outcome),
        "swapped": any(there and shown and not together for there, shown, together in outcome),
    }
    return Verdict(judgements, faults)


def _picture(prompt: Prompt, outcome: Outcome) -> np.ndarray:
    """A drawn scene that shows the outcome: the objects that are there, in their own or the next binding's colour."""
    colors = [binding.attribute for binding in prompt.bindings]
    count = len(prompt.bindings)
    things = []
    for place, (binding, (there, _, together)) in enumerate(zip(prompt.bindings, outcome, strict=True)):
        if there:
            color = binding.attribute if together else colors[(place + 1) % count]
            things.append(Thing(color, binding.object, (place + 0.5) / count, 0.5, 0.9 / count))
    return render(Scene(tuple(things)))


def _noise() -> bytes:
    noise = np.random.default_rng(0).normal(size=(8, 8, 8))
    return encode_noise(noise, noise)


def main(arguments: list[str] | None = None) -> int:
    """Writes the store. Exit status 0, or 2 with one sentence if the arguments cannot be used."""
    return run_script(lambda: _write(arguments), "interrupted; remove the folder before you start again")


def _write(arguments: list[str] | None) -> int:
    parser = Options(description="Write a results store of made-up trials with known effects.")
    parser.add_argument("out", type=a_path, help="the results folder to make; must not hold trials yet")
    parser.add_argument("--trials", type=whole(1), default=10_000)
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--truth", choices=tuple(TRUTHS), default="study", help="the effects that the trials have")
    parser.add_argument("--prompts", type=whole(1), help="so many made-up pairs, instead of the study's prompt sets")
    parser.add_argument("--seeds", type=whole(1), help="of each prompt; by default as many as --trials needs")
    parser.add_argument("--own-noise", action="store_true", help="each prompt has noises of its own")
    options = parser.parse_args(arguments)
    if (options.out / "trials").exists():
        raise BadInput(f"give a new folder; {options.out} holds trials already")
    most = len(COLORS) * (len(COLORS) - 1) * len(OBJECTS) * (len(OBJECTS) - 1)
    if options.prompts and options.prompts > most:
        raise BadInput(f"--prompts {options.prompts} is more than the {most} pairs that there are; give fewer")
    written = synthesise(
        options.out, options.trials, seed=options.seed, truth=TRUTHS[options.truth], seeds=options.seeds,
        prompts={"pairs_made_up": made_up_pairs(options.prompts)} if options.prompts else None,
        own_noise=options.own_noise,
    )  # fmt: skip
    say(f"{written} trials in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
