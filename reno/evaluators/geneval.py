"""GenEval's verdict on one image: whether the detections show all that the prompt asks for (Ghosh et al., NeurIPS 2023,
arXiv 2310.11513, section 3 and its public code).

Every requirement of `wanted` has to hold, in their order, and none of `unwanted`:

- count: at least so many detections of the class above the threshold (0.3; 0.9 for prompts of the task `counting`). Its
  `count` detections with the highest scores are looked at further;
- colour: each of them has this colour;
- place: each of them lies so from each of the requirement's that it refers to. Let d be the difference of the boxes'
  centres. Each coordinate is moved towards 0 by 0.1 of the sum of the boxes' sides, and divided by |d|. What is beyond
  0.5 names the relations: x left of and right of, y above and below. A requirement that did not hold is no reference;
- `unwanted`: fewer detections of the class than its count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from reno.spec.prompts import Prompt, Wanted

THRESHOLD, COUNTING_THRESHOLD = 0.3, 0.9
MOST = 16
"""The most detections that count of one class."""
MARGIN = 0.1
"""Of the sum of two boxes' sides: a smaller shift names no relation."""
DIRECTION = 0.5
OVERLAP = 1e-3
"""Pixels: what is left of both coordinates of a shift that names no relation."""

Box = tuple[float, float, float, float]


class Boxed(Protocol):
    """A detection."""

    object: str
    score: float
    box: Box


Colored = Callable[[Boxed], str]
"""The colour of a detection."""


def threshold_of(prompt: Prompt) -> float:
    """The score that a detection has to exceed."""
    return COUNTING_THRESHOLD if prompt.category == "counting" else THRESHOLD


def correct(prompt: Prompt, found: Sequence[Boxed], color_of: Colored) -> bool:
    """Whether the image is correct. found: its detections, of any class and score; color_of: gives one of GenEval's ten
    colours."""
    least = threshold_of(prompt)
    by_class: dict[str, list[Boxed]] = {}
    for detection in sorted(found, key=lambda one: -one.score):
        kept = by_class.setdefault(detection.object, [])
        if detection.score > least and len(kept) < MOST:
            kept.append(detection)
    return _includes_all(prompt.wanted, by_class, color_of) and all(
        len(by_class.get(each.object, [])) < each.count for each in prompt.unwanted
    )


def _includes_all(wanted: Sequence[Wanted], by_class: Mapping[str, list[Boxed]], color_of: Colored) -> bool:
    shown: list[list[Boxed]] = []
    for each in wanted:
        own = by_class.get(each.object, [])[: each.count]
        if len(own) < each.count:
            return False
        if each.color is not None and any(color_of(one) != each.color for one in own):
            return False
        if each.position is not None:
            relation, reference = each.position
            if not all(relation in relations(one.box, other.box) for one in own for other in shown[reference]):
                return False
        shown.append(own)
    return True


def relations(box: Box, other: Box) -> set[str]:
    """How a box lies from another: left of, right of, above, below; none if they are too near."""
    shifts = [(box[k] + box[k + 2] - other[k] - other[k + 2]) / 2 for k in (0, 1)]
    sides = [abs(box[k + 2] - box[k]) + abs(other[k + 2] - other[k]) for k in (0, 1)]
    kept = [math.copysign(max(abs(d) - MARGIN * s, 0.0), d) for d, s in zip(shifts, sides, strict=True)]
    if all(abs(value) < OVERLAP for value in kept):
        return set()
    x, y = (value / math.hypot(*shifts) for value in kept)
    named = {"left of": x < -DIRECTION, "right of": x > DIRECTION, "above": y < -DIRECTION, "below": y > DIRECTION}
    return {name for name, holds in named.items() if holds}
