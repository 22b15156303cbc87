"""The embedded world's own judge: it knows what every object and colour of that world looks like.

`judge: learned` (the default) is a small network. `judge: analytic` analyses the pixels and has learned nothing. They
are independent of each other and of every metric. Images must be the world's: 64 x 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch

from reno.evaluators import Evaluator
from reno.spec.errors import BadInput, did_you_mean
from reno.spec.judgements import Verdict
from reno.spec.prompts import Prompt
from reno.testbed.judges import WorldJudge, verdict
from reno.testbed.world import SIDE, bindings_of
from reno.weights.images import to_uint8

Way = Literal["learned", "analytic"]


class Oracle(Evaluator):
    kin = "none"

    def __init__(self, name: str, judge: WorldJudge | None):
        self.name, self._judge = name, judge

    def check_prompt(self, prompt: Prompt) -> None:
        """Raises BadInput naming a word that the world does not know."""
        bindings_of(prompt)

    def check_size(self, height: int, width: int) -> None:
        """Raises BadInput for images that are not the world's."""
        if (height, width) != (SIDE, SIDE):
            raise BadInput(
                f"the oracle judges only the testbed's images, {SIDE} x {SIDE} pixels, and these are {width} x "
                f"{height}; use models=testbed, or evaluators=[]"
            )

    def judge(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
        """Judges images (B, 3, 64, 64) in [0, 1] against their B prompts. Raises BadInput for other sizes and for
        words that the world does not know."""
        self.check_size(*images.shape[2:])
        seen = self._judge.look(to_uint8(images))
        return [verdict(things, bindings_of(prompt)) for things, prompt in zip(seen, prompts, strict=True)]


def load(
    name: str = "oracle",
    *,
    checkpoints: dict[str, Path] | None = None,
    device: torch.device | str = "cpu",
    judge: Way = "learned",
) -> Oracle:
    """The oracle under a name of its own. `checkpoints["oracle"]` is the folder of the learned judge's weights; by
    default those shipped.

    Raises BadInput for an unknown `judge` and for weights that are not there.
    """
    if judge not in get_args(Way):
        raise BadInput(f"judge={judge} is not one of {', '.join(get_args(Way))}{did_you_mean(judge, get_args(Way))}")
    if judge == "learned":
        from reno.testbed.judges import learned

        return Oracle(name, learned.load((checkpoints or {}).get("oracle"), device))
    from reno.testbed.judges.analytic import AnalyticJudge

    return Oracle(name, AnalyticJudge())


def reader(name: str, **_: object) -> Oracle:
    """What checks prompts and sizes, without the weights: it cannot judge."""
    return Oracle(name, None)
