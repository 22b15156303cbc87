"""Loaded models, shared by every job of a process: a sweep over learning rates loads each of them once."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from dataclasses import dataclass
from typing import Any

import torch

from reno.checkpointing import worth_checkpointing
from reno.checkpoints import Located
from reno.errors import BadInput, did_you_mean
from reno.evaluators import Evaluator
from reno.generators.one_step import OneStepGenerator
from reno.metrics import Metric, WeightedSum
from reno.plan import LocatedEvaluator, LocatedMetric, Plan
from reno.spec import Execution

_pool: dict[tuple, Any] = {}


@dataclass(frozen=True)
class Models:
    """Everything a job runs."""

    generator: OneStepGenerator
    metric: Metric
    total_weight: float
    """Sum of the weights of the metric's terms."""
    recorded: dict[str, Metric]
    """Metrics that are only recorded, by name."""
    evaluators: tuple[Evaluator, ...]
    execution: Execution
    """How they are run, with nothing left to choose: checkpointing is True or False."""


def load_models(plan: Plan, device: torch.device) -> Models:
    """Loads, or finds loaded, what a plan needs, and checks that every prompt fits its text encoders. Raises
    BadInput."""
    dtype = getattr(torch, plan.dtype)
    generator = _load_generator(plan.generator, dtype, device)
    metric = _load_metric(plan.metric, dtype, device)
    recorded = {
        located.spec.name: _load_metric(located, dtype, device)
        for located in plan.recorded
        if located.spec.name != plan.metric.spec.name
    }
    evaluators = tuple(load_evaluator(located, device) for located in plan.evaluators)
    for evaluator in evaluators:
        if check := getattr(evaluator, "check_size", None):
            check(*generator.image_size)
    for prompt in plan.job.prompts:
        for reader in (generator, metric, *recorded.values()):
            reader.check_prompt(prompt.text)
        for evaluator in evaluators:
            if check := getattr(evaluator, "check_prompt", None):
                check(prompt)
    total_weight = sum(term.weight for term in plan.metric.spec.terms)
    _make_room(generator, metric)
    execution = _set_execution(plan.job.execution, generator, metric)
    return Models(generator, metric, total_weight, recorded, evaluators, execution)


def _set_execution(asked: Execution, generator: OneStepGenerator, metric: Metric) -> Execution:
    """Has the models run as this job asks: the job before it in this process may have asked otherwise."""
    checkpointing = asked.checkpointing
    if checkpointing is None:
        checkpointing = worth_checkpointing(generator.image_size)
    execution = dataclasses.replace(asked, checkpointing=checkpointing)
    generator.run_as(execution)
    metric.set_checkpointing(checkpointing)
    return execution


def _make_room(generator: OneStepGenerator, metric: Metric) -> None:
    """Has in the device's memory what this job optimises, and nothing that an earlier job of the process left there."""
    for key, loaded in _pool.items():
        if key[0] in ("generator", "metric"):
            loaded.leave()
    generator.bring()
    metric.bring()


def _load_generator(located: Located, dtype: torch.dtype, device: torch.device) -> OneStepGenerator:
    key = ("generator", located.identity, dtype, device)
    if key not in _pool:
        _pool[key] = OneStepGenerator(located.folder, variant=located.variant, dtype=dtype, device=device)
    return _pool[key]


def _load_metric(located: LocatedMetric, dtype: torch.dtype, device: torch.device) -> Metric:
    terms = []
    for term, checkpoint in zip(located.spec.terms, located.checkpoints, strict=True):
        key = ("metric", term.kind, term.head, checkpoint.identity, dtype, device)
        if key not in _pool:
            module = importlib.import_module(f"reno.metrics.{term.kind}")
            _pool[key] = module.load(checkpoint.folder, dtype=dtype, device=device, head=term.head)
        terms.append((term.weight, _pool[key]))
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else WeightedSum(terms)


def load_evaluator(located: LocatedEvaluator, device: torch.device) -> Evaluator:
    """A judge, loaded or found loaded. Raises BadInput, also for an option that its kind does not have."""
    spec = located.spec
    key = ("evaluator", spec.name, json.dumps(located.identity, sort_keys=True), device)
    if key not in _pool:
        load = importlib.import_module(f"reno.evaluators.{spec.kind}").load
        known = [name for name in inspect.signature(load).parameters if name not in ("device", "name", "checkpoints")]
        for option in spec.options:
            if option not in known:
                raise BadInput(
                    f"conf/evaluator/{spec.name}.yaml: {spec.kind} has no option {option!r}; it has "
                    f"{', '.join(known) or 'none'}{did_you_mean(option, known)}"
                )
        folders = {name: checkpoint.folder for name, checkpoint in located.checkpoints.items()}
        mine = {"name": spec.name, "checkpoints": folders} if folders else {}
        _pool[key] = load(device=device, **mine, **spec.options)
    return _pool[key]
