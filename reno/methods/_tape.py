"""What the models said of each noise that a method showed them, so that a batch that was killed goes on where it was.

A method is a function of its problem: the same answers lead it to the same noise. So to bring a method back to an
iteration, it is run again from the start and is given the answers that were written down, which takes no model. Its
random numbers are drawn again, its optimiser moves again, and all is as it was, to the last bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Answer:
    """What the models said of one noise of each of B trials."""

    total: torch.Tensor
    """(B,), the score that is optimised."""
    terms: torch.Tensor
    """(B, T), the score of each of the metric's terms."""
    lost: torch.Tensor
    """(B,), whether the image has values that are not finite."""
    slope: torch.Tensor | None = None
    """(B, C, h, w), the gradient of the loss at the noise; None if it was not asked for."""
    scale: torch.Tensor | None = None
    """(B,), the factors of the losses afterwards; None without a gradient."""

    def blank(self) -> torch.Tensor:
        """Images (B, 3, 1, 1) in place of those that are not there any more; NaN where one was not finite."""
        blank = torch.zeros(len(self.lost), 3, 1, 1, device=self.lost.device)
        blank[self.lost] = float("nan")
        return blank

    def on(self, device: torch.device) -> Answer:
        """A copy on a device."""
        return Answer(
            *(
                None if value is None else value.detach().to(device, copy=True)
                for value in (self.total, self.terms, self.lost, self.slope, self.scale)
            )
        )


class Tape:
    """The answers of one batch, in the order in which they were given."""

    def __init__(self, past: Iterable[Answer] = ()):
        self._past = deque(past)
        self.new: list[Answer] = []
        """Those of this process, on the CPU, for who writes them down and then empties the list."""

    def next(self, device: torch.device) -> Answer | None:
        """The next answer from the past; None if the models have to be asked."""
        return self._past.popleft().on(device) if self._past else None

    def add(self, images: torch.Tensor, *answer: torch.Tensor) -> None:
        """Writes an answer down: its images (B, 3, H, W), then `total`, `terms` and, with a gradient, `slope` and
        `scale`."""
        total, terms, *graded = answer
        lost = ~images.flatten(1).isfinite().all(dim=1)
        self.new.append(Answer(total, terms, lost, *graded).on(torch.device("cpu")))
