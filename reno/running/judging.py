"""Judging stored trials, without optimising: by a new judge, or by one with other weights or another threshold.

Each trial's initial and best image are judged as they are stored. A trial's folder is never changed: each judgement is
written to its own file, whole or not at all.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch

from reno.device.choice import choose_device, make_deterministic
from reno.evaluators import Evaluator, checked_verdicts, not_finite
from reno.running.located import LocatedEvaluator, locate_evaluator
from reno.running.outcome import Outcome
from reno.running.pool import ModelPool
from reno.running.provenance import environment
from reno.spec.errors import BadInput, reason
from reno.spec.job import EvaluatorSpec
from reno.spec.judgements import Verdict
from reno.spec.prompts import Prompt
from reno.store.files import FILES
from reno.store.records import JUDGED, JudgedTrial, JudgementRecord
from reno.store.store import Store
from reno.store.stored import UNREADABLE, Damaged, Stored, checked
from reno.weights.images import from_uint8

BESIDE_IMAGES = tuple(name for name in FILES if name.removesuffix(".png") not in JUDGED)
"""The files of a trial without the images that judges see."""
Pair: TypeAlias = tuple[Stored, np.ndarray]
"""A trial, and its initial and best image, uint8 (2, H, W, 3)."""


@dataclass(frozen=True)
class Request:
    """The judges, the store and the options of one command."""

    judges: tuple[EvaluatorSpec, ...]
    results: Path
    device: str = "auto"
    batch_size: int = 8
    """Trials that are judged side by side."""
    threads: int | None = None
    images: Path | None = None
    """Pictures made elsewhere, to be stored first (reno/running/given.py)."""
    name: str = "given"
    """What made them."""
    prompts: tuple[Prompt, ...] = ()
    """Those that they may show; empty: any."""
    prompt_set: str | None = None


@dataclass
class Judging:
    """One judge and the trials of a store."""

    located: LocatedEvaluator
    waiting: list[Stored] = field(default_factory=list)
    """The trials that this judge, with this identity, has not judged."""
    outcome: Outcome = field(default_factory=Outcome)
    verdicts: list[tuple[Verdict, Verdict]] = field(default_factory=list)
    """Of the initial and of the best image of each trial that it has judged, now or before."""
    nothing_to_judge: int = 0
    damaged: list[Damaged] = field(default_factory=list)
    """Its damaged judgements. Their trials are judged again."""

    @property
    def name(self) -> str:
        return self.located.spec.name


def plan_judgings(request: Request, store: Store) -> list[Judging]:
    """The trials that each judge has to judge. Raises BadInput if the store holds no trials or cannot be read."""
    found = list(store)
    if not found:
        raise BadInput(f"results={store.name} holds no trials; give the folder that reno.run wrote to: results=DIR")
    return [_plan(locate_evaluator(spec), found) for spec in request.judges]


def _plan(judge: LocatedEvaluator, found: Sequence[Stored | Damaged]) -> Judging:
    judging = Judging(judge)
    for one in found:
        if isinstance(one, Damaged):
            judging.outcome.failed[one.trial] = one.sentence
        elif not judge.asks(one.record.prompt):
            judging.nothing_to_judge += 1
        else:
            said = one.judgement_by(judge.spec.name, judge.identity)
            if isinstance(said, JudgedTrial):
                judging.outcome.skipped.append(one.id)
                judging.verdicts.append((said.initial, said.best))
            elif isinstance(said, Damaged) and said.state == UNREADABLE:
                judging.outcome.failed[one.id] = said.sentence
            else:
                judging.waiting.append(one)
                judging.damaged += [said] if said else []
    return judging


def judge_all(
    request: Request, judgings: Sequence[Judging], pool: ModelPool, tell: Callable[[Judging, int], None]
) -> None:
    """Judges the waiting trials, one judge after the other. A trial that cannot be judged does not stop the others.

    tell: called with the judge and how many of its trials are judged or failed, before the first batch and after each.
    """
    if not any(judging.waiting for judging in judgings):
        return
    make_deterministic(request.threads)
    device = choose_device(request.device)
    store = Store(request.results)
    store.prepare()
    provenance = msgspec.to_builtins(environment(device))
    for judging in judgings:
        if not judging.waiting:
            continue
        judge = pool.evaluator(judging.located, device)
        bench = _Bench(judge, judging, store, provenance)
        try:
            with judge.on_device():
                tell(judging, 0)
                for start in range(0, len(judging.waiting), request.batch_size):
                    batch = judging.waiting[start : start + request.batch_size]
                    bench.judge(batch)
                    store.send(at_once=False)
                    tell(judging, start + len(batch))
        except KeyboardInterrupt:
            judging.outcome.interrupted = True
            return


@dataclass(frozen=True)
class _Bench:
    """A loaded judge, its trials and the store for its judgements."""

    evaluator: Evaluator
    judging: Judging
    store: Store
    provenance: dict[str, Any]

    def judge(self, batch: Sequence[Stored]) -> None:
        """Judges trials side by side. If that fails, judges them one by one, to find those that cannot be judged."""
        outcome = self.judging.outcome
        for together in self._of_one_size(batch):
            try:
                self._judge_together(together)
                outcome.done += [trial.id for trial, _ in together]
            except (Exception, SystemExit) as error:  # whatever a judge raises, the others are judged
                if len(together) == 1:
                    outcome.failed[together[0][0].id] = reason(error)
                    continue
                for trial, _ in together:
                    self.judge([trial])

    def _of_one_size(self, batch: Sequence[Stored]) -> Iterator[list[Pair]]:
        """The trials of a batch with their images, in groups of one image size."""
        groups: dict[tuple[int, ...], list[Pair]] = {}
        for trial in checked(batch, BESIDE_IMAGES):  # the images are checked as they are read
            if isinstance(trial, Damaged):
                self.judging.outcome.failed[trial.trial] = trial.sentence
                continue
            try:
                images = np.stack([trial.image(which) for which in JUDGED])
            except (ValueError, OSError) as error:
                self.judging.outcome.failed[trial.id] = reason(error)
                continue
            groups.setdefault(images.shape, []).append((trial, images))
        yield from groups.values()

    def _judge_together(self, trials: Sequence[Pair]) -> None:
        """Judges trials whose images have the same size, in one call, and writes the judgements."""
        prompts = [trial.record.prompt for trial, _ in trials]
        for prompt in prompts:
            self.evaluator.check_prompt(prompt)
        self.evaluator.check_size(*trials[0][1].shape[1:3])
        images: torch.Tensor = from_uint8(np.concatenate([pair for _, pair in trials]))
        verdicts = checked_verdicts(self.evaluator, images, [prompt for prompt in prompts for _ in JUDGED])
        if odd := [sentence for verdict in verdicts if (sentence := not_finite(self.evaluator, verdict))]:
            raise ValueError(odd[0])
        for place, (trial, _) in enumerate(trials):
            initial, best = verdicts[len(JUDGED) * place : len(JUDGED) * (place + 1)]
            self._write(trial, initial, best)
            self.judging.verdicts.append((initial, best))

    def _write(self, trial: Stored, initial: Verdict, best: Verdict) -> None:
        self.store.add_judgement(
            JudgementRecord(
                trial=trial.id,
                judge=self.judging.name,
                images=trial.image_digests(),
                kin=self.evaluator.kin,
                identity=self.judging.located.identity,
                initial=initial,
                best=best,
                judged=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
                provenance=self.provenance,
            )
        )
