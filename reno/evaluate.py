"""Judges stored trials again, without optimising: a judge that is new, or has other weights or another threshold.

    python -m reno.evaluate evaluators=blip_vqa results=DIR
    python -m reno.evaluate evaluators=[blip_vqa,detector] models.checkpoints.blip_vqa.path=FOLDER

Each trial's initial and best image are judged as they are stored; neither the generator nor the metric is loaded. A
stored trial is never touched: a judgement is a file of its own, DIR/judgements/<judge>-<identity>/<trial>.json, written
whole or not at all, with the judge's kin, its identity (weights, settings, version) and what it ran on.
`reno.results.Stored.judgements()` reads both places. What a judge of the same identity has judged already is skipped,
so the same command goes on where an interrupted one stopped. A trial that cannot be judged does not stop the others.
Weights & Biases is not told: its runs are of the optimisation.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reno.choices import named, names
from reno.errors import BadInput, did_you_mean, typed_line
from reno.outcome import Outcome
from reno.plan import LocatedEvaluator, locate_evaluator
from reno.prompts import Binding, Prompt
from reno.quiet import quieten_libraries
from reno.results import JUDGED, Store, Stored, read_trial
from reno.spec import EvaluatorSpec, device_name, evaluator_from_config, results_folder, whole_number

KNOBS = {
    "evaluators": (None, "the judges: one, or a list such as [blip_vqa,detector]; files of conf/evaluator"),
    "results": ("results", "the store whose trials are judged"),
    "models": (None, "models.checkpoints.NAME.path=FOLDER (and .revision) for another checkpoint of a judge"),
    "device": ("auto", "auto, cpu, cuda, cuda:N or mps"),
    "batch_size": (8, "trials that are judged side by side"),
    "threads": (None, "CPU threads, or null for torch's own choice"),
    "debug": (False, "show the traceback of an error"),
}
INTERRUPTED = 130
LINE_EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal."""
MOST_REASONS = 10
"""Failures that are printed, of one judge."""


@dataclass(frozen=True)
class Request:
    """What one command is asked to do."""

    judges: tuple[EvaluatorSpec, ...]
    results: Path
    device: str = "auto"
    batch_size: int = 8
    threads: int | None = None


@dataclass
class Judging:
    """One judge and the trials of a store."""

    located: LocatedEvaluator
    missing: list[Stored] = field(default_factory=list)
    """To judge."""
    outcome: Outcome = field(default_factory=Outcome)
    without_bindings: int = 0

    @property
    def name(self) -> str:
        return self.located.spec.name


def evaluate(request: Request, show: Console | None = None) -> list[Judging]:
    """Judges what is missing, judge by judge. Raises BadInput before anything is written if nothing can be judged."""
    show = show or Console(quiet=True)
    located = [locate_evaluator(spec) for spec in request.judges]
    store = Store(request.results)
    trials, damaged = _read(store)
    judgings = [_plan(judge, trials, damaged) for judge in located]
    if not any(judging.missing for judging in judgings):
        return judgings

    from reno.models import load_evaluator
    from reno.reproducibility import choose_device, environment, make_deterministic

    make_deterministic(request.threads)
    device = choose_device(request.device)
    provenance = environment(device)
    for judging in judgings:
        if not judging.missing:
            continue
        judge = load_evaluator(judging.located, device)
        write = _writer(store, judging, judge.kin, provenance)
        try:
            with _Bar(show, judging) as bar:
                for start in range(0, len(judging.missing), request.batch_size):
                    batch = judging.missing[start : start + request.batch_size]
                    _judge_batch(judge, batch, write, judging.outcome)
                    bar.advance(len(batch))
        except KeyboardInterrupt:
            judging.outcome.interrupted = True
            break
    return judgings


def _read(store: Store) -> tuple[list[Stored], dict[str, str]]:
    """The store's trials, and why the damaged ones cannot be read, by id. Raises BadInput if there are none at all."""
    trials, damaged = [], {}
    for folder in sorted(store.trials.iterdir()) if store.trials.is_dir() else ():
        try:
            trials.append(read_trial(folder))
        except BadInput as error:
            damaged[folder.name] = str(error)
    if not trials and not damaged:
        raise BadInput(f"results={store.root} holds no trials; give the folder that reno.run wrote to: results=DIR")
    return trials, damaged


def _plan(judge: LocatedEvaluator, trials: Sequence[Stored], damaged: dict[str, str]) -> Judging:
    judging = Judging(judge, outcome=Outcome(failed=dict(damaged)))
    for trial in trials:
        if not trial.record["bindings"]:
            judging.without_bindings += 1
        elif trial.judged_by(judge.spec.name, judge.identity):
            judging.outcome.skipped.append(trial.id)
        else:
            judging.missing.append(trial)
    return judging


def _writer(store: Store, judging: Judging, kin: str, provenance: dict[str, Any]) -> Callable[[Stored, list], None]:
    def write(trial: Stored, verdicts: list) -> None:
        entry = {
            "kin": kin,
            "identity": judging.located.identity,
            **{which: verdict.to_json() for which, verdict in zip(JUDGED, verdicts, strict=True)},
            "judged": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
            "provenance": provenance,
        }
        store.add_judgement(trial, judging.name, entry)

    return write


def _judge_batch(judge, batch: Sequence[Stored], write: Callable[[Stored, list], None], outcome: Outcome) -> None:
    """Judges trials side by side; where that fails, one by one, to find those that cannot be judged."""
    for together in _alike(batch, outcome):
        try:
            _judge_alike(judge, together, write)
            outcome.done += [trial.id for trial, _ in together]
        except (RuntimeError, ValueError, OSError) as error:
            if len(together) == 1:
                outcome.failed[together[0][0].id] = _reason(error)
                continue
            for one in together:
                try:
                    _judge_alike(judge, [one], write)
                    outcome.done.append(one[0].id)
                except (RuntimeError, ValueError, OSError) as alone:
                    outcome.failed[one[0].id] = _reason(alone)


def _alike(batch: Sequence[Stored], outcome: Outcome) -> Iterator[list[tuple[Stored, np.ndarray]]]:
    """The trials of a batch with their two images, uint8 (2, H, W, 3), by the images' size."""
    groups: dict[tuple, list[tuple[Stored, np.ndarray]]] = {}
    for trial in batch:
        try:
            images = np.stack([_image(trial, which) for which in JUDGED])
        except (ValueError, OSError) as error:
            outcome.failed[trial.id] = _reason(error)
            continue
        groups.setdefault(images.shape, []).append((trial, images))
    yield from groups.values()


def _image(trial: Stored, which: str) -> np.ndarray:
    """An image of a trial. Raises BadInput if it is not the one that was written."""
    from PIL import Image

    data = (trial.folder / f"{which}.png").read_bytes()
    if hashlib.sha256(data).hexdigest() != trial.image_digests()[which]:
        raise BadInput(f"the trial in {trial.folder} is damaged: {which}.png is not what was written")
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _judge_alike(judge, trials: Sequence[tuple[Stored, np.ndarray]], write: Callable[[Stored, list], None]) -> None:
    """Judges trials whose images have one size, all their images in one call, and writes what was said."""
    from reno.images import from_uint8

    prompts = [_prompt(trial) for trial, _ in trials]
    if check := getattr(judge, "check_prompt", None):
        for prompt in prompts:
            check(prompt)
    if check := getattr(judge, "check_size", None):
        check(*trials[0][1].shape[1:3])
    images = from_uint8(np.concatenate([pair for _, pair in trials]))
    verdicts = judge.judge(images, [prompt for prompt in prompts for _ in JUDGED])
    for place, (trial, _) in enumerate(trials):
        write(trial, verdicts[len(JUDGED) * place : len(JUDGED) * (place + 1)])


def _prompt(trial: Stored) -> Prompt:
    bindings = tuple(Binding(**binding) for binding in trial.record["bindings"])
    return Prompt(trial.record["spec"]["prompt"], bindings)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, BadInput) else typed_line(error)


class _Bar:
    """Progress of one judge: a live bar on a terminal, elsewhere a line now and then."""

    def __init__(self, show: Console, judging: Judging):
        self.show, self.judging, self.total = show, judging, len(judging.missing)
        self.done, self.started = 0, time.perf_counter()
        self.told = self.started
        self.bar: Progress | None = None

    def __enter__(self) -> _Bar:
        skipped = len(self.judging.outcome.skipped)
        before = f", {skipped} judged before" if skipped else ""
        self.show.print(f"{self.judging.name}: {self.total} trials to judge{before}")
        if self.show.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Progress(*columns, console=self.show, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("judging", total=self.total)
        return self

    def advance(self, trials: int) -> None:
        self.done += trials
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done)
        elif time.perf_counter() - self.told > LINE_EVERY:
            self.told = time.perf_counter()
            left = (self.told - self.started) * (self.total / self.done - 1)
            self.show.print(f"  {self.done} of {self.total} trials, about {left:.0f} s left")

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()


# --- The command ------------------------------------------------------------------------------------------------------


def request_from_words(words: Sequence[str]) -> Request:
    """What the words `knob=value` ask for. Raises BadInput."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for word in words:
        knob = word.partition("=")[0].partition(".")[0]
        if "=" not in word:
            raise BadInput(f"{word!r} is not a knob=value; for example evaluators=blip_vqa")
        if knob not in KNOBS:
            raise BadInput(f"{knob} is not a knob{did_you_mean(knob, list(KNOBS))}; there are {', '.join(KNOBS)}")
    try:
        given = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise BadInput(f"{' '.join(words)} cannot be read as knob=value ({str(error).splitlines()[0]})") from None
    values = {knob: given.get(knob, default) for knob, (default, _) in KNOBS.items()}
    if isinstance(values["evaluators"], str):
        values["evaluators"] = [name.strip() for name in values["evaluators"].split(",")]
    chosen = [named("evaluators", "evaluator", name) for name in names(values["evaluators"])]
    if not chosen:
        raise BadInput("evaluators names no judge; for example evaluators=blip_vqa")
    checkpoints = _checkpoints(values["models"], chosen)
    return Request(
        tuple(evaluator_from_config(judge, checkpoints) for judge in chosen),
        results_folder(values["results"]),
        device_name(values["device"]),
        whole_number("batch_size", values["batch_size"], at_least=1),
        None if values["threads"] is None else whole_number("threads", values["threads"], at_least=1),
    )


def _checkpoints(models: object, chosen: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was given of models.checkpoints, with an empty entry for every other model of the chosen judges."""
    known = [name for judge in chosen for name in judge.get("checkpoints", {})]
    given = models.get("checkpoints") if isinstance(models, dict) and set(models) == {"checkpoints"} else None
    if models is not None and not (isinstance(given, dict) and all(isinstance(one, dict) for one in given.values())):
        raise BadInput(
            "models takes only models.checkpoints.NAME.path=FOLDER and models.checkpoints.NAME.revision=NAME"
        )
    for name, checkpoint in (given or {}).items():
        if name not in known:
            judges = ", ".join(str(judge["name"]) for judge in chosen)
            raise BadInput(
                f"models.checkpoints.{name} is no model of {judges}{did_you_mean(name, known)}; "
                f"there are {', '.join(known) or 'none'}"
            )
        if foreign := sorted(set(checkpoint) - {"path", "revision"}):
            raise BadInput(f"models.checkpoints.{name} has no {foreign[0]!r}; it has path and revision")
    return {name: (given or {}).get(name, {}) for name in known}


def help_text() -> str:
    lines = [f"{name:<11} {'' if default is None else default!s:<8} {text}" for name, (default, text) in KNOBS.items()]
    return "\n".join(
        [__doc__ or "", *lines, "", "exit status  0 all is judged, 1 some failed, 2 bad input, 130 stopped"]
    )


def main(arguments: list[str] | None = None) -> int:
    """Judges what the words ask for, and answers with the exit status: 0, 1, 2 or 130."""
    words = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(words):
        print(help_text())
        return 0
    quieten_libraries()
    show = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    debug = "debug=true" in [word.lower() for word in words]
    try:
        request = request_from_words(words)
        judgings = evaluate(request, show)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return INTERRUPTED
    except BadInput as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return 2
    for judging in judgings:
        _report(judging, show)
    show.print(f"judgements     {request.results / 'judgements'}")
    return max(judging.outcome.status for judging in judgings)


def _report(judging: Judging, show: Console) -> None:
    outcome = judging.outcome
    for number, (trial_id, reason) in enumerate(outcome.failed.items()):
        if number == MOST_REASONS:
            print(f"... and {len(outcome.failed) - MOST_REASONS} more failed", file=sys.stderr)
            break
        print(f"failed: {trial_id[:12]}: {reason}", file=sys.stderr)
    parts = [f"{len(outcome.done)} trials judged", f"{len(outcome.skipped)} judged before"]
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    if judging.without_bindings:
        parts.append(f"{judging.without_bindings} have no bindings to judge")
    left = len(judging.missing) - len(outcome.done) - len(set(outcome.failed) & {t.id for t in judging.missing})
    if left:
        parts.append(f"{left} left; the same command goes on with them")
    show.print(f"{judging.name}: {', '.join(parts)}")


if __name__ == "__main__":
    sys.exit(main())
