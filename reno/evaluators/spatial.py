"""How two objects lie to each other: T2I-CompBench's rule for its 2D-spatial prompts (Huang et al., NeurIPS 2023, arXiv
2307.06350, section 4.2), with another detector. It is not the benchmark's official judge.

The rule is that of the benchmark's public code (Karine-Huang/T2I-CompBench, UniDet_eval/2D_spatial_eval.py, commit
6d58bed). A prompt says `A <relation> B`. Of each object the detection with the highest score counts. Let dx and dy be
the shifts between the centres of the two boxes, and IoU their overlap (intersection over union). The place scores

- next to, near, on side of: 1 if |dx| or |dy| is below 150 pixels, else 150 / max(|dx|, |dy|);
- on the left of, on the right of: 0 unless A's centre is on that side and |dx| > |dy|; then 1 if IoU < 0.1, else
  0.1 / IoU. The same for on the top of and on the bottom of, with |dy| > |dx|.

The image scores (a + b) / 4 + place / 2, where a and b are the scores of the two detections. What is below 0.5, and an
image in which one of the objects is not detected, scores 0. As there, pixels are those of an image whose shorter side
is 479 and whose longer side is at most 480.

Scores are not comparable with published ones, because of what differs:

- The official detector is UniDet (RS200), which keeps detections of at least 0.5; transformers cannot read its weights.
  Here an open-vocabulary detector looks for the prompt's own words. Its scores run lower, and `threshold` is the one
  that a detection must exceed. How near its verdicts are to the official ones was not measured.
- The official code takes the first and the last noun that spaCy finds, and looks for a person instead of a girl, boy,
  man or woman. Here the words on both sides of the relation are looked for as they are.
- "on top of" is read as "on the top of"; the official code gives it no place.

`correct` is this project's own: both objects are detected and the place scores 1. A prompt without such a relation,
with the same object on both sides, or with attributes is not judged. The detector's encoders were trained from CLIP's:
the judge may favour images that were optimised against a CLIP.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reno.evaluators import Evaluator
from reno.evaluators.finders import Detection, Finder, ObjectNames, load_finder, read_names
from reno.prompts.words import lexicon
from reno.spec.judgements import Verdict
from reno.spec.prompts import Prompt

NEAR = ("next to", "near", "on side of")
RELATIONS = (*NEAR, "on the left of", "on the right of", "on the top of", "on the bottom of")
NEAR_PIXELS = 150.0
"""Between the centres, along one axis; in an image with sides as SIDES says."""
SIDES = (479, 480)
"""Pixels: of the shorter side, and the most of the longer one (torchvision's Resize(479, max_size=480))."""
MOST_OVERLAP = 0.1
LEAST_SCORE = 0.5

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, pixels."""

_PLACED = re.compile(rf"(?:an?|the)\s+(.+?)\s+({'|'.join(RELATIONS)}|on top of)\s+(?:an?|the)\s+(.+?)\.?", re.I)


@dataclass(frozen=True)
class Place:
    """What a prompt asks for: `object` stands in `relation` to `other`."""

    object: str
    relation: str
    other: str


def place_of(text: str) -> Place | None:
    """The place that a text such as "a bee on the left of a lamp" asks for; None if it is of another form."""
    match = _PLACED.fullmatch(text.strip())
    if match is None:
        return None
    one, relation, other = (words.lower() for words in match.groups())
    if lexicon().function & {*one.split(), *other.split()}:
        return None  # a sentence, as in "a cat is near a sofa"
    if one == other:
        return None  # the official code would compare a box with itself
    return Place(one, "on the top of" if relation == "on top of" else relation, other)


def asks(prompt: Prompt) -> bool:
    """Whether the judge looks at images of this prompt."""
    return not prompt.bindings and place_of(prompt.text) is not None


def place_score(relation: str, one: Box, other: Box) -> float:
    """How well the box of A stands in the relation to the box of B, in [0, 1]."""
    dx, dy = ((other[k] + other[k + 2] - one[k] - one[k + 2]) / 2 for k in (0, 1))
    if relation in NEAR:
        near = min(abs(dx), abs(dy)) < NEAR_PIXELS
        return 1.0 if near else NEAR_PIXELS / max(abs(dx), abs(dy))
    beside = abs(dx) > abs(dy)
    holds = {
        "on the left of": beside and dx > 0,
        "on the right of": beside and dx < 0,
        "on the top of": abs(dy) > abs(dx) and dy > 0,
        "on the bottom of": abs(dy) > abs(dx) and dy < 0,
    }
    if not holds[relation]:
        return 0.0
    overlap = iou(one, other)
    return 1.0 if overlap < MOST_OVERLAP else MOST_OVERLAP / overlap


def iou(one: Box, other: Box) -> float:
    """The boxes' intersection over their union."""
    across, down = (max(0.0, min(one[k + 2], other[k + 2]) - max(one[k], other[k])) for k in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return across * down / (sum(areas) - across * down)


def verdict(place: Place, found: Sequence[Detection], threshold: float, size: tuple[int, int]) -> Verdict:
    """The verdict on one image. found: its detections of any score, highest first; size: its height and width."""
    seen = [one for one in found if one.score > threshold]
    one, other = (next((each for each in seen if each.object == name), None) for name in (place.object, place.other))
    if one is None or other is None:
        return Verdict((), {"missing": True}, score=0.0, correct=False)
    scale = min(SIDES[0] / min(size), SIDES[1] / max(size))
    boxes = [tuple(scale * value for value in each.box) for each in (one, other)]
    placed = place_score(place.relation, *boxes)
    score = (one.score + other.score) / 4 + placed / 2
    return Verdict((), {"missing": False}, score=score if score >= LEAST_SCORE else 0.0, correct=placed == 1.0)


class SpatialJudge(Evaluator):
    kin = "clip"

    def __init__(self, name: str, finder: Finder | ObjectNames, threshold: float):
        self.name, self.finder, self.threshold = name, finder, threshold
        self.device, self.parts = finder.device, finder.parts

    def check_prompt(self, prompt: Prompt) -> None:
        """Raises BadInput for an object that the finder cannot look for."""
        place = place_of(prompt.text) if asks(prompt) else None
        for name in (place.object, place.other) if place else ():
            self.finder.check(name)

    def judge(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
        """Judges images (B, 3, H, W) in [0, 1] against their B prompts, of which `asks` is true."""
        places = [place_of(prompt.text) for prompt in prompts]
        found = self.finder.find(images, [(place.object, place.other) for place in places])
        size = (images.shape[-2], images.shape[-1])
        return [
            verdict(self._named(place), seen, self.threshold, size) for place, seen in zip(places, found, strict=True)
        ]

    def _named(self, place: Place) -> Place:
        """The place, with the names that the finder's detections have."""
        return Place(self.finder.known_as(place.object), place.relation, self.finder.known_as(place.other))


def load(
    name: str,
    checkpoints: dict[str, Path],
    device: torch.device,
    threshold: float = 0.2,
    image_size: int | None = None,
) -> SpatialJudge:
    """checkpoints: the one that finds the objects. threshold: the score that a detection must exceed; image_size:
    pixels of the shorter side of the finder's input, None for its own. Raises BadInput."""
    (folder,) = checkpoints.values()
    return SpatialJudge(name, load_finder(folder, device, image_size), threshold)


def reader(name: str, checkpoints: dict[str, Path], threshold: float = 0.2, **_: object) -> SpatialJudge:
    """What checks prompts, without the weights: it cannot judge. Raises BadInput."""
    (folder,) = checkpoints.values()
    return SpatialJudge(name, read_names(folder), threshold)
