"""What a run would refuse only once its models are loaded, found without loading them: a prompt that is too long for a
text encoder, a word that a judge does not know, an image size, an option.

Modules of this project have a `reader`, which needs tokenizers and configurations only. A user's own module without one
is loaded on torch's meta device, whose tensors hold nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

from reno.running.located import LocatedEvaluator, beside
from reno.running.plan import Plan
from reno.running.pool import ModelPool, check_judged, is_optimised
from reno.spec.errors import BadInput, typed_line
from reno.weights.checkpoints import Located
from reno.weights.kinds import module_of
from reno.weights.texts import TooLong

META = torch.device("meta")


class Unloaded:
    """Checks plans. What one job has read is kept for the next."""

    def __init__(self, load_own: bool = True) -> None:
        """load_own: whether a user's own module without a `reader` is loaded on the meta device. A run loads it
        anyway, and checks its prompts then."""
        self._load_own = load_own
        self._pool = ModelPool()
        self._kept: dict[str, Any] = {}
        self.notes: list[str] = []
        """A sentence for each module that could not be asked."""

    def too_long(self, plan: Plan) -> dict[str, list[TooLong]]:
        """By prompt, an error for each text encoder of the generator and the metrics that would cut it. Raises BadInput
        for a prompt that one of them cannot read at all."""
        found: dict[str, list[TooLong]] = {}
        generator = self._generator(plan)
        readers = [generator, *self._terms(plan)]
        for prompt in plan.job.prompts:
            for reader in filter(None, readers):
                try:
                    reader.check_prompt(prompt.text)
                except TooLong as error:
                    error.by_generator = reader is generator
                    found.setdefault(prompt.text, []).append(error)
        return found

    def check_judges(self, plan: Plan) -> None:
        """Raises BadInput, with the sentence of a run, for an image size or a prompt that a judge would refuse."""
        size = getattr(self._generator(plan), "image_size", None)
        for located in plan.evaluators:
            judge = self.judge(located)
            if judge is not None and size:
                judge.check_size(*size)
            if judge is not None:
                check_judged(judge, located.able(plan.job.prompts))

    def _generator(self, plan: Plan) -> Any:
        located = plan.generator
        return self._reader(
            Part(
                f"generator {located.spec.kind}",
                located.module,
                located.checkpoint,
                located.spec.options,
                located.decoder,
                located.parts,
            ),
            lambda: self._pool.generator(located, getattr(torch, plan.dtype), META),
        )

    def _terms(self, plan: Plan) -> Iterator[Any]:
        dtype = getattr(torch, plan.dtype)
        recorded = [located for located in plan.recorded if not is_optimised(located, plan.metric)]
        for located in (plan.metric, *recorded):
            for term, checkpoint in zip(located.spec.terms, located.checkpoints, strict=True):
                module = module_of("metric", term.kind, "reno.metrics")
                yield self._reader(
                    Part(f"metric {term.kind}", module, checkpoint, term.options),
                    lambda term=term, checkpoint=checkpoint: self._pool.term(term, checkpoint, dtype, META),
                )

    def judge(self, located: LocatedEvaluator) -> Any:
        """What checks a judge's prompts and sizes; None if it cannot be asked."""
        spec = located.spec
        return self._reader(
            Part(f"judge {spec.name}", located.module, located.checkpoints, spec.options),
            lambda: self._pool.evaluator(located, META),
            name=spec.name,
        )

    def _reader(self, part: Part, load: Callable[[], Any], **arguments: str) -> Any:
        """What checks prompts for a part; None if it cannot be asked. load: loads it on META."""
        if part.key not in self._kept:
            self._kept[part.key] = self._made(part, load, arguments)
        return self._kept[part.key]

    def _made(self, part: Part, load: Callable[[], Any], arguments: dict[str, str]) -> Any:
        if not all(one.folder.is_dir() for one in part.located):
            return None  # it has to be fetched first
        if hasattr(part.module, "reader"):
            return part.module.reader(**arguments, **part.folders, **part.options)
        if not self._load_own:
            return None
        try:
            return load()
        except BadInput:
            raise
        except Exception as error:  # the module is the user's and may need values
            self.notes.append(f"{part.name} cannot be asked without its weights ({typed_line(error)})")
            return None


@dataclass(frozen=True)
class Part:
    """A generator, a metric's term or a judge."""

    name: str
    module: ModuleType
    checkpoints: Located | dict[str, Located] | None
    options: dict[str, Any]
    decoder: Located | None = None
    """A generator's small decoder."""
    parts: Mapping[str, Located] = field(default_factory=dict)
    """A generator's parts that are from checkpoints of their own."""

    @property
    def located(self) -> list[Located]:
        several = self.checkpoints.values() if isinstance(self.checkpoints, dict) else [self.checkpoints]
        return [one for one in (*several, self.decoder, *self.parts.values()) if one]

    @property
    def folders(self) -> dict[str, Any]:
        """The argument of its `reader` that says where its files are."""
        if isinstance(self.checkpoints, dict):
            return {"checkpoints": {name: one.folder for name, one in self.checkpoints.items()}}
        of_generator = beside(self.decoder.folder if self.decoder else None, self.parts)
        return {"folder": self.checkpoints.folder if self.checkpoints else None, **of_generator}

    @property
    def key(self) -> str:
        return json.dumps([self.name, str(self.folders), self.options], sort_keys=True)
