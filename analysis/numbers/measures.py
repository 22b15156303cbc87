"""What is measured of one image: from a judge's word on its bindings, or from a metric's score."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.numbers.statistics import Of, mean, ratio

COMPONENTS = ("fully", "bound", "objects", "attributes", "carried", "swapped")
"""Of one judged image, in [0, 1]: all bindings hold (0 or 1); then the share of bindings that hold; whose object is
there; whose attribute is there, on anything; whose object is there and has the attribute; whose object and attribute
are both there, but not on each other."""


WHOLE = ("correct", "judge_score")
"""Of one image, in [0, 1]: the judge's word on all of it by its benchmark's rule (0 or 1), and the judge's score. NaN
if the judge gives none."""


@dataclass(frozen=True)
class Measure:
    """A quantity of one judged image, or of a metric's score."""

    name: str
    title: str
    numerator: str
    """A component; the columns of a slice are `{component}/{image}`."""
    denominator: str | None = None
    """The component that it is a share of; None: of all images."""
    better: int = 1
    """+1 if higher is better, -1 if lower is."""
    share: bool = True
    """In [0, 1]; a metric's score is not."""

    def columns(self, image: str) -> list[str]:
        parts = [self.numerator] if self.denominator is None else [self.numerator, self.denominator]
        return [f"{part}/{image}" for part in parts]

    @property
    def of(self) -> Of:
        return mean if self.denominator is None else ratio


MEASURES = (
    Measure("fully_bound", "prompts fully bound", "fully"),
    Measure("bound", "bindings that hold", "bound"),
    Measure("objects", "objects there", "objects"),
    Measure("attributes", "attributes there", "attributes"),
    Measure("bound_given_present", "bound, of objects there", "carried", "objects"),
    Measure("swapped", "both there, not together", "swapped", better=-1),
)
"""`fully_bound` is the share of images with every binding right. `objects` and `attributes` are recalls; the attribute
may be on anything. `bound_given_present` is the share of the objects that are there that have their attribute.
`swapped` is the share of bindings whose object and attribute are both in the image and not on each other."""
BY_NAME = {measure.name: measure for measure in MEASURES}
FULLY_BOUND = BY_NAME["fully_bound"]
CORRECT = Measure("correct", "correct images", "correct")
"""GenEval's score: the share of images that show all that their prompt asks for."""
JUDGE_SCORE = Measure("judge_score", "judge's score", "judge_score")
"""T2I-CompBench's score, where the judge is blip_vqa."""
