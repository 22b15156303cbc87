"""A claim that a report decides, as a study or a file of conf/claim_sets states it.

A claim is a list of parts that all have to hold. A part says that a measure is larger for `a` than for `b`: for one
metric than for another after optimisation, or, for each metric, `after` optimisation than `before`. Or it says that a
measure of one metric's images reaches a level. A claim on after and before is decided for each metric by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from reno.spec.errors import BadInput, did_you_mean, first_line

AFTER, BEFORE = "after", "before"
MEASURES = ("fully_bound", "bound", "objects", "attributes", "bound_given_present", "swapped")
"""What a part may measure: shares of images or of bindings (analysis/numbers/measures.py)."""


class StatedPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One comparison: the measure of `a` minus that of `b` lies above a threshold. Or one level: the measure of `a` is
    at least so much."""

    measure: str
    """A name of MEASURES."""
    a: str
    """A metric, by its label or its family; or `after`."""
    b: str | None = None
    """Another metric; or `before`. None if the part is about the level of `a`."""
    margin: float | None = None
    """How much less of `a` is still enough: the threshold is minus this. > 0."""
    above: float = 0.0
    """The threshold, where there is no margin."""
    at_least: float | None = None
    """The level that `a` has to reach after optimisation, above 0 and below 1."""

    @property
    def threshold(self) -> float:
        if self.at_least is not None:
            return self.at_least
        return self.above if self.margin is None else -self.margin

    @property
    def of_each_metric(self) -> bool:
        """Whether it compares after with before, for each metric."""
        return (self.a, self.b) == (AFTER, BEFORE)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it names."""
        return () if self.of_each_metric else tuple(name for name in (self.a, self.b) if name is not None)

    def fault(self) -> str | None:
        """What is wrong with it; None if nothing is."""
        if self.measure not in MEASURES:
            hint = did_you_mean(self.measure, MEASURES) or f"; it is one of {', '.join(MEASURES)}"
            return f"measure {self.measure!r} is not known{hint}"
        if self.at_least is not None:
            return self._fault_of_level()
        if self.b is None:
            return "a part has b, what a is compared with, or at_least, the level that a has to reach"
        if not self.of_each_metric and {self.a, self.b} & {AFTER, BEFORE}:
            return f"a part compares a: {AFTER} with b: {BEFORE}, or one metric with another"
        if self.a == self.b:
            return f"a and b are both {self.a!r}"
        if self.margin is not None and (not 0 < self.margin < 1 or self.above):
            return "margin must be above 0, below 1, and stand without `above`"
        if not -1 < self.above < 1:
            return f"above must be above -1 and below 1, as a difference of shares is, not {self.above:g}"
        return None

    def _fault_of_level(self) -> str | None:
        if self.b is not None or self.margin is not None or self.above:
            return "at_least is about a alone, after optimisation; leave out b, margin and above"
        if self.a in (AFTER, BEFORE):
            return f"at_least is about one metric; write its name instead of a: {self.a}"
        if not 0 < self.at_least < 1:
            return f"at_least must be above 0 and below 1, not {self.at_least:g}; for example at_least: 0.9"
        return None


class StatedClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim, before it is decided."""

    key: str
    """A short name, unique among the claims."""
    statement: str
    definition: str
    """What it takes for the claim to be supported, in words."""
    parts: tuple[StatedPart, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it names, in the order of its parts."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.metrics))

    @property
    def of_each_metric(self) -> bool:
        """Whether some part is about each metric by itself."""
        return any(part.of_each_metric for part in self.parts)

    def fault(self) -> str | None:
        """What is wrong with it; None if nothing is."""
        if not all(text.strip() for text in (self.key, self.statement, self.definition)):
            return "key, statement and definition must not be empty"
        if not self.parts:
            return "it has no parts"
        if self.of_each_metric and self.metrics:
            return (
                f"parts on {AFTER} and {BEFORE} are decided for each metric; put parts that name a metric into another "
                "claim"
            )
        return next(filter(None, (part.fault() for part in self.parts)), None)


def read_claims(given: Sequence[Any], where: str) -> list[StatedClaim]:
    """Claims from plain values, in their order. Raises BadInput, with the claim's key, if one cannot be used."""
    return [_read_claim(values, number, where) for number, values in enumerate(given, start=1)]


def _read_claim(values: Any, number: int, where: str) -> StatedClaim:
    key = values.get("key", number) if isinstance(values, dict) else number
    try:
        claim = msgspec.convert(values, StatedClaim)
        fault = claim.fault()
    except ValueError as error:
        fault = first_line(error)
    if fault:
        raise BadInput(f"claim {key} of {where} cannot be used: {fault}")
    return claim
