"""The cases at the top of the report as pictures: before, then by each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from analysis.data import Results
from analysis.figures.style import PALETTE
from analysis.report.opening import Case
from analysis.report.outcomes import BeforeAndAfter, JudgedBinding, JudgedChanges, in_words
from analysis.report.thumbnails import data_uri, enlarged

MOST_METRICS = 4
"""Metrics beside the image before; more would be too small to see."""
SIDE = 256
"""Pixels of a picture's longer side. Smaller images are enlarged smoothly, so that no single pixel stands out."""


@dataclass(frozen=True)
class Picture:
    """One image and what is said of it."""

    title: str
    """`before`, or the optimised metric."""
    settings: str
    color: int | None
    """The metric's place in the palette; None for the image before."""
    image: Image.Image | None
    """None if it cannot be read."""
    right: str
    """`1 of 2 right`; empty if no judge looked."""
    wrong: str
    """`wrong: gold heart`, the bindings that do not hold; empty if all do, or no judge looked."""
    whole: bool
    """Every binding is right."""
    words: str
    """What the judge says, in one sentence."""

    @property
    def uri(self) -> str:
        return data_uri(self.image) if self.image else ""


@dataclass(frozen=True)
class Strip:
    """One case."""

    title: str
    prompt: str
    seed: int
    pictures: tuple[Picture, ...]


def strip_of(results: Results, case: Case, judged: JudgedChanges) -> Strip:
    """The case's pictures; of more than MOST_METRICS metrics, the first."""
    one = case.exhibit
    said = judged.get(one.judge, {})
    before = said.get(one.base["trial"], BeforeAndAfter()).before
    pictures = [_picture(results, one.base["trial"], "initial", before, title="before", settings="", color=None)]
    for metric, row in list(one.trials.items())[:MOST_METRICS]:
        after = said.get(row["trial"], BeforeAndAfter()).after
        color = one.places[metric] % len(PALETTE)
        settings = row["settings"] or row["method"]
        pictures.append(_picture(results, row["trial"], "best", after, title=metric, settings=settings, color=color))
    return Strip(case.title, one.prompt, one.seed, tuple(pictures))


def _picture(
    results: Results, trial: str, image: str, said: Sequence[JudgedBinding], *, title: str, settings: str,
    color: int | None,
) -> Picture:  # fmt: skip
    right = sum(one.bound for one in said)
    return Picture(
        title=title,
        settings=settings,
        color=color,
        image=results.shown(trial, lambda stored: enlarged(Image.fromarray(stored.image(image)), SIDE)),
        right=f"{right} of {len(said)} right" if said else "",
        wrong=f"wrong: {', '.join(one.name for one in said if not one.bound)}" if right < len(said) else "",
        whole=bool(said) and right == len(said),
        words=in_words(said),
    )
