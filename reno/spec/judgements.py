"""A judge's results for an image: a judgement of each binding, and a verdict on the whole image."""

from __future__ import annotations

import msgspec


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """One judge's judgement of one binding in one image. Confidences are in [0, 1]."""

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
    instead: str | None = None
    """The attribute that the object has in place of the one asked for, if it is there, the binding does not hold and
    the judge can tell; else None, which is not written."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One judge's verdict on one image and its prompt."""

    judgements: tuple[Judgement, ...]
    """One for each binding of the prompt, in the prompt's order."""
    faults: dict[str, bool]
    """Whether the image as a whole has a fault, by the fault's name: swapped, missing, junk, mixed."""
    score: float | None = None
    """The image's score in [0, 1], if the judge's paper defines one; None is not written."""
    correct: bool | None = None
    """Whether the image shows all that GenEval's `include` and `exclude` ask for; None if the prompt has none, or the
    judge does not look. None is not written."""

    @property
    def bound(self) -> int:
        """How many of the bindings hold."""
        return sum(judgement.bound for judgement in self.judgements)

    @property
    def all_bound(self) -> bool:
        """Whether every binding holds."""
        return all(judgement.bound for judgement in self.judgements)
