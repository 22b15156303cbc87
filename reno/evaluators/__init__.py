"""Judges of finished images. A judge is never optimised: the model that judges binding must not be the optimised one.

A judge is one module here, with

    load(name, *, checkpoints, device, **options) -> Evaluator    # checkpoints: each model's folder, by its name

    reader(name, *, checkpoints, **options)    # optional: what has its check_prompt and check_size, without its
                                               # weights; a dry run asks it
    asks(prompt) -> bool                       # optional: Evaluator.asks, for a judge that looks for something else

and one file in conf/evaluator that gives its kind, checkpoints and options. `kind:` in that file may be the dotted path
of a module elsewhere. A copy of the file with another threshold is another judge, under another name.

| judge            | after                             | kin  | judges                                       |
| ---------------- | --------------------------------- | ---- | -------------------------------------------- |
| oracle           | the embedded world itself         | none | that world's words and images                |
| blip_vqa         | T2I-CompBench (Huang et al. 2023) | blip | any words                                    |
| detector         | GenEval (Ghosh et al. 2023)       | clip | colours of the 80 objects of COCO            |
| detector_open    | GenEval, with an open vocabulary  | clip | colours of any object                        |
| detector_spatial | T2I-CompBench's 2D-spatial rule   | clip | how two objects lie to each other            |
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import msgspec
import torch

from reno.device.residence import bring, send_away
from reno.spec.judgements import Verdict
from reno.spec.prompts import Prompt

JUDGING = 1
"""Version of the code that turns an image into judgements. Raise it with every change that shifts judgements, so that
those from before and after the change are never mixed."""


class Evaluator:
    """The base class of judges. A subclass needs `judge`."""

    name: str
    kin: str = "none"
    """The metric family that it is related to and may favour: the kind of a metric, or `none`."""
    device: torch.device = torch.device("cpu")
    parts: tuple[torch.nn.Module, ...] = ()
    """The modules that are on the device only while it judges. What is not listed stays where `load` put it."""

    @staticmethod
    def asks(prompt: Prompt) -> bool:
        """Whether the prompt asks for something that it looks for. Images of other prompts are not judged."""
        return prompt.asks

    def check_prompt(self, prompt: Prompt) -> None:
        """Raises BadInput, before anything runs, if it cannot judge the prompt's bindings."""

    def check_size(self, height: int, width: int) -> None:
        """Raises BadInput, before anything runs, if it cannot judge images of this size."""

    def judge(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
        """Judges images (B, 3, H, W) in [0, 1] against their B prompts, without a graph."""
        raise TypeError(f"{type(self).__name__} has no judge(images, prompts)")

    def bring(self) -> None:
        """Moves its modules to the device."""
        bring(self.device, self.parts)

    def leave(self) -> None:
        """Moves its modules to host memory, until the next `bring`."""
        send_away(self.device, self.parts)

    @contextlib.contextmanager
    def on_device(self) -> Iterator[None]:
        """A context in which it can judge. Before and after, its weights take no memory of a GPU."""
        try:
            self.bring()
            yield
        finally:
            self.leave()

    def work_hardest(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> None:
        """Does as much as `judge` does at most with such images, to foretell its memory. A judge whose work depends on
        what it sees overrides this: when memory is foretold, images hold nothing."""
        self.judge(images, prompts)


def checked_verdicts(evaluator: Evaluator, images: torch.Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
    """The judge's verdicts on images (B, 3, H, W). Raises ValueError if they are not one Verdict per image, with one
    Judgement of the right types per binding, in the prompt's order."""
    verdicts = evaluator.judge(images, prompts)
    if not isinstance(verdicts, list) or len(verdicts) != len(prompts):
        raise ValueError(f"the judge {evaluator.name} has to return a list of {len(prompts)} verdicts, one per image")
    for verdict, prompt in zip(verdicts, prompts, strict=True):
        if not isinstance(verdict, Verdict):
            raise ValueError(f"the judge {evaluator.name} returned a {type(verdict).__name__} and not a Verdict")
        try:
            msgspec.convert(msgspec.to_builtins(verdict), Verdict)
        except (msgspec.ValidationError, TypeError) as error:
            raise ValueError(f"the judge {evaluator.name} returned a verdict with a wrong value: {error}") from None
        said = [(judgement.attribute, judgement.object) for judgement in verdict.judgements]
        if said != [(binding.attribute, binding.object) for binding in prompt.bindings]:
            raise ValueError(f"the judge {evaluator.name} judged {said}, which are not the prompt's bindings")
    return verdicts


def not_finite(evaluator: Evaluator, verdict: Verdict) -> str | None:
    """A sentence if a number of the verdict is not finite, which no record can hold; else None."""
    numbers = {"score": verdict.score or 0.0}
    for judgement in verdict.judgements:
        owner = f"{judgement.attribute} {judgement.object}"
        values = msgspec.structs.asdict(judgement)
        numbers |= {f"{name} of {owner}": values[name] for name in values if name.endswith("_confidence")}
    for name, value in numbers.items():
        if not math.isfinite(value):
            return f"the judge {evaluator.name} gave {value} as {name}; it has to be a finite number"
    return None
