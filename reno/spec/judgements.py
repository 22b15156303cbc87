"""What a judge says of an image: a judgement for each binding, and a verdict on the whole image."""

from __future__ import annotations

import msgspec


class Judgement(msgspec.Struct, frozen=True):
    """What one judge says of one binding in one image. Confidences are in [0, 1]."""

    attribute: str
    object: str
    object_present: bool
    """The object is somewhere in the image."""
    attribute_present: bool
    """The attribute is somewhere in the image, on any object."""
    bound: bool
    """The object is there and has the attribute."""
    object_confidence: float
    attribute_confidence: float
    bound_confidence: float


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one judge says of one image against its prompt."""

    judgements: tuple[Judgement, ...]
    """One for each binding of the prompt, in the prompt's order."""
    faults: dict[str, bool]
    """What is wrong with the image as a whole, by name: swapped, missing, junk, mixed."""
    score: float | None = None
    """One number for the image in [0, 1], where the judge's paper defines one; else it is not written."""

    @property
    def bound(self) -> int:
        """How many of the bindings hold."""
        return sum(judgement.bound for judgement in self.judgements)

    @property
    def all_bound(self) -> bool:
        """Whether every binding holds."""
        return all(judgement.bound for judgement in self.judgements)
