"""The embedded world's own judge: it knows what every object and colour of that world looks like.

`judge: learned` (the default) is a small network, `judge: analytic` an analysis that learned nothing; they are
independent of each other and of every metric. Images must be the world's: 64 x 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from reno.errors import BadInput, did_you_mean
from reno.evaluators import Verdict
from reno.images import to_uint8
from reno.prompts import Prompt
from reno.testbed.judges import Judge, verdict
from reno.testbed.world import SIDE, bindings_of

JUDGES = ("learned", "analytic")


class Oracle:
    kin = "none"

    def __init__(self, name: str, judge: Judge):
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
        found = self._judge.look(to_uint8(images))
        return [verdict(things, bindings_of(prompt)) for things, prompt in zip(found, prompts, strict=True)]


def load(
    device: torch.device | str = "cpu",
    judge: str = "learned",
    name: str = "oracle",
    checkpoints: dict[str, Path] | None = None,
) -> Oracle:
    """The oracle with one of JUDGES; `checkpoints["oracle"]` is the folder of the learned judge's weights where they
    are not those shipped.

    Raises BadInput for another judge's name and for weights that are not there.
    """
    if judge == "learned":
        from reno.testbed.judges import learned

        return Oracle(name, learned.load((checkpoints or {}).get("oracle"), device))
    if judge == "analytic":
        from reno.testbed.judges.analytic import AnalyticJudge

        return Oracle("oracle_analytic", AnalyticJudge())
    raise BadInput(f"judge={judge} is not one of {', '.join(JUDGES)}{did_you_mean(judge, list(JUDGES))}")
