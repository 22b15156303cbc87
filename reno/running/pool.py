"""Loaded models, shared by the jobs of a process: a sweep over learning rates loads each of them once."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from reno.device.checkpointing import worth_checkpointing
from reno.evaluators import Evaluator
from reno.generators import Generator
from reno.metrics import Metric, WeightedSum
from reno.running.located import LocatedEvaluator, LocatedGenerator, LocatedMetric
from reno.running.plan import Plan
from reno.spec.errors import BadInput
from reno.spec.job import Execution, MetricTerm
from reno.spec.prompts import Prompt
from reno.weights.checkpoints import Located
from reno.weights.embeddings import Embeddings, key_of
from reno.weights.kinds import module_of, options_of
from reno.weights.texts import shortened


@dataclass(frozen=True)
class Models:
    """The loaded models of a job."""

    generator: Generator
    metric: WeightedSum
    recorded: dict[str, WeightedSum]
    """Metrics that are only recorded, by name."""
    evaluators: tuple[Evaluator, ...]
    execution: Execution
    """How they run; nothing is left open here, so checkpointing is True or False, never None."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why they run so, by knob, for each that the job left open."""

    def run_as(self, execution: Execution, reasons: dict[str, str] | None = None) -> Models:
        """The same models, which from now on run so, in every job: an earlier job of this process may have set it
        otherwise."""
        self.generator.run_as(execution)
        self.metric.set_checkpointing(bool(execution.checkpointing))
        return dataclasses.replace(self, execution=execution, reasons=reasons or {})


class ModelPool:
    """The models that a process has loaded."""

    def __init__(self) -> None:
        self._optimised: dict[tuple, Generator | Metric] = {}
        self._judges: dict[tuple, Evaluator] = {}
        self._embeddings: dict[tuple, Embeddings] = {}

    def load(self, plan: Plan, device: torch.device) -> Models:
        """The plan's models, loaded now or by an earlier job. Checks that every prompt fits the text encoders. Raises
        BadInput."""
        dtype = getattr(torch, plan.dtype)
        self._read_prompts(plan, dtype, device)
        generator = self.generator(plan.generator, dtype, device)
        metric = self._metric(plan.metric, dtype, device)
        recorded = {
            located.spec.name: self._metric(located, dtype, device)
            for located in plan.recorded
            if not is_optimised(located, plan.metric)
        }
        evaluators = tuple(self.evaluator(located, device) for located in plan.evaluators)
        for evaluator in evaluators:
            evaluator.check_size(*generator.image_size)
        for prompt in plan.job.prompts:
            for reader in () if prompt.cut else (generator, metric, *recorded.values()):
                reader.check_prompt(prompt.text)
        for located, evaluator in zip(plan.evaluators, evaluators, strict=True):
            check_judged(evaluator, located.able(plan.job.prompts))
        self._make_room(generator, metric)
        execution = _closed(plan.job.execution, generator.image_size)
        return Models(generator, metric, recorded, evaluators, execution).run_as(execution)

    def evaluator(self, located: LocatedEvaluator, device: torch.device, leave: bool = True) -> Evaluator:
        """A judge, loaded now or by an earlier job. It judges within its `on_device`. Raises BadInput.

        leave: whether its weights leave the device once they are loaded."""
        spec = located.spec
        key = (spec.name, json.dumps(located.identity, sort_keys=True), device)
        if key not in self._judges:
            folders = {name: checkpoint.folder for name, checkpoint in located.checkpoints.items()}
            load = located.module.load
            loaded = load(spec.name, checkpoints=folders, device=device, **spec.options)
            self._judges[key] = _of_class(loaded, Evaluator, f"evaluator {spec.name}")
            if leave:
                self._judges[key].leave()
        self._judges[key].asks = located.asks  # the plan's word: another job may ask it of other prompts
        return self._judges[key]

    def generator(self, located: LocatedGenerator, dtype: torch.dtype, device: torch.device) -> Generator:
        """A generator, loaded now or by an earlier job. Raises BadInput."""
        key = ("generator", located.identity, dtype, device)
        if key not in self._optimised:
            checkpoint = located.checkpoint
            where = {"folder": checkpoint.folder, "variant": checkpoint.variant} if checkpoint else _NOWHERE
            options: dict[str, Any] = located.spec.options
            encoding = {"embeddings": found} if (found := self.embeddings(located, dtype, device)) else {}
            beside = located.beside | encoding
            loaded = located.module.load(**where, dtype=dtype, device=device, **beside, **options)
            self._optimised[key] = _of_class(loaded, Generator, f"generator {located.spec.kind}")
        return self._optimised[key]

    def embeddings(self, located: LocatedGenerator, dtype: torch.dtype, device: torch.device) -> Embeddings | None:
        """What encodes prompts for a generator whose text encoders are let go; None for any other."""
        load = getattr(located.module, "text_encoders", None)
        if load is None or located.checkpoint is None:
            return None
        key = (located.identity, dtype, device)
        if key not in self._embeddings:
            folder, variant = located.checkpoint.folder, located.checkpoint.variant
            taken = options_of(load, ("folder", "variant", "dtype", "device")) or {}
            options = {name: value for name, value in located.spec.options.items() if name in taken}
            decided = key_of(folder, located.module.TEXT_FOLDERS, variant, dtype, device, **options)
            encoder = functools.partial(load, folder, variant=variant, dtype=dtype, device=device, **options)
            self._embeddings[key] = Embeddings(encoder, decided, device)
        return self._embeddings[key]

    def _read_prompts(self, plan: Plan, dtype: torch.dtype, device: torch.device) -> None:
        """Encodes the plan's prompts by text encoders that are let go before the generator is loaded, so that both need
        not fit into memory at once. What an earlier job left on the device leaves it first."""
        embeddings = self.embeddings(plan.generator, dtype, device)
        if embeddings is None or not (missing := embeddings.missing(prompt.text for prompt in plan.job.prompts)):
            return
        for loaded in self._optimised.values():
            loaded.leave()
        embeddings.read(missing)

    def _metric(self, located: LocatedMetric, dtype: torch.dtype, device: torch.device) -> WeightedSum:
        pairs = list(zip(located.spec.terms, located.checkpoints, strict=True))
        return WeightedSum(
            names=_distinct_names(located.spec.terms),
            terms=tuple(self.term(term, checkpoint, dtype, device) for term, checkpoint in pairs),
            weights=tuple(term.weight for term, _ in pairs),
        )

    def term(self, term: MetricTerm, checkpoint: Located | None, dtype: torch.dtype, device: torch.device) -> Metric:
        """A metric's term, loaded now or by an earlier job. Raises BadInput."""
        identity = checkpoint.identity if checkpoint else None
        key = ("metric", term.kind, json.dumps(term.options, sort_keys=True), identity, dtype, device)
        if key not in self._optimised:
            load = module_of("metric", term.kind, "reno.metrics").load
            folder = checkpoint.folder if checkpoint else None
            loaded = load(folder, dtype=dtype, device=device, **term.options)
            self._optimised[key] = _of_class(loaded, Metric, f"metric {term.kind}")
        return self._optimised[key]

    def _make_room(self, generator: Generator, metric: WeightedSum) -> None:
        """Keeps only this job's generator and optimised metric on the device; other models go to host memory."""
        for loaded in self._optimised.values():
            loaded.leave()
        generator.bring()
        metric.bring()


def _of_class(loaded: Any, base: type, owner: str) -> Any:
    """What a `load` returned. Raises BadInput if it is not of the room's base class."""
    if not isinstance(loaded, base):
        where = f"{base.__module__}.{base.__name__}"
        raise BadInput(f"{owner}: load returned a {type(loaded).__name__}; it has to return a subclass of {where}")
    return loaded


_NOWHERE = {"folder": None, "variant": None}


def check_judged(evaluator: Evaluator, prompts: Sequence[Prompt]) -> None:
    """Raises BadInput, which lists them all with the reasons, if the judge cannot judge some of the prompts."""
    refused: list[tuple[Prompt, str]] = []
    for prompt in prompts:
        try:
            evaluator.check_prompt(prompt)
        except BadInput as error:
            refused.append((prompt, str(error)))
    if len(refused) == 1:
        ((prompt, why),) = refused
        place = f" ({prompt.where})" if prompt.where else ""
        raise BadInput(
            f"the judge {evaluator.name} cannot judge the prompt {prompt.text!r}{place}: {why}; change "
            "the prompt, or run without a judge: evaluators=[]"
        )
    if refused:
        raise BadInput(
            f"the judge {evaluator.name} cannot judge {len(refused)} of {len(prompts)} prompts; change them, or run "
            "without a judge: evaluators=[]",
            [f"{prompt.where or repr(shortened(prompt.text))}: {why}" for prompt, why in refused],
        )


def is_optimised(recorded: LocatedMetric, optimised: LocatedMetric) -> bool:
    """Whether a recorded metric is the optimised one. Raises BadInput if it only has the same name."""
    if recorded.spec.name != optimised.spec.name:
        return False
    if recorded.identity != optimised.identity:
        raise BadInput(
            f"record={recorded.spec.name} is another metric than the optimised one of the same name (other weights or "
            "checkpoints), so their scores could not be told apart; leave it out of record"
        )
    return True


def _distinct_names(terms: tuple[MetricTerm, ...]) -> tuple[str, ...]:
    """The terms' names. A repeated name gets its place among the terms, counted from 1: clip, clip2."""
    names = [term.name for term in terms]
    return tuple(name if names.index(name) == place else f"{name}{place + 1}" for place, name in enumerate(names))


def _closed(asked: Execution, image_size: tuple[int, int]) -> Execution:
    """How models run as they are loaded, with the least memory where the job leaves it open. The memory that is free
    once they are loaded decides (reno/running/execution.py)."""
    checkpointing = worth_checkpointing(image_size) if asked.checkpointing is None else asked.checkpointing
    return dataclasses.replace(asked, checkpointing=checkpointing, compile=bool(asked.compile))
