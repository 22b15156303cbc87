"""Judges of finished images. A judge is never optimised: what decides binding must not be what was climbed.

A judge is a module here with a function `load`, and a file in conf/evaluator that names it (`kind`). The file's
options are `load`'s keyword arguments beside `device`. A judge of published weights also lists its `checkpoints`;
`load` then gets `name`, the judge's own, and `checkpoints`, each model's folder by its name. A copy of the file with
another threshold is another judge, under another name.

| judge         | after                                | kin  | judges                                       |
| ------------- | ------------------------------------ | ---- | -------------------------------------------- |
| oracle        | the embedded world itself            | none | that world's words and images                |
| blip_vqa      | T2I-CompBench (Huang et al. 2023)    | blip | any words                                    |
| detector      | GenEval (Ghosh et al. 2023)          | clip | colours of the 80 objects of COCO            |
| detector_open | GenEval, with an open vocabulary     | clip | colours of any object                        |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from reno.prompts import Prompt

JUDGING = 1
"""Version of everything that turns an image into judgements. A change that shifts them raises it, so that judgements
made before and after are never taken for each other."""


@dataclass(frozen=True)
class Judgement:
    """What one judge says of one binding in one image. Confidences are in [0, 1]."""

    attribute: str
    object: str
    object_present: bool
    """The object is somewhere in the image."""
    attribute_present: bool
    """The attribute is somewhere in the image, on whatever."""
    bound: bool
    """The object is there and it has the attribute."""
    object_confidence: float
    attribute_confidence: float
    bound_confidence: float


@dataclass(frozen=True)
class Verdict:
    """What one judge says of one image against its prompt."""

    judgements: tuple[Judgement, ...]
    """One per binding of the prompt, in the prompt's order."""
    faults: dict[str, bool]
    """What is wrong with the image as a whole, by name, e.g. swapped, missing, junk, mixed."""
    score: float | None = None
    """One number for the image in [0, 1], where the judge's paper has one."""

    @property
    def bound(self) -> int:
        """How many of the bindings hold."""
        return sum(judgement.bound for judgement in self.judgements)

    def to_json(self) -> dict:
        score = {} if self.score is None else {"score": self.score}
        return {"judgements": [asdict(judgement) for judgement in self.judgements], "faults": self.faults, **score}


class Evaluator(Protocol):
    """A frozen judge. It may also have `check_prompt(prompt)` and `check_size(height, width)` of the images: they raise
    BadInput, before anything runs, for what it cannot judge."""

    name: str
    kin: str
    """The metric it is related to and may therefore favour: `clip`, `blip` or `none`."""

    def judge(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
        """Judges images (B, 3, H, W) in [0, 1] against their B prompts, without a graph."""
        ...
