"""What a judge says of an image, in words, and what became of each binding. A judgement says that a colour is somewhere
else, but not on what, so neither do the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.data import Results
from analysis.text import listed

MENDED, BROKEN, SWAPPED, UNCHANGED, UNJUDGED = "mended", "broken", "swapped", "unchanged", "not judged"
OUTCOMES = (MENDED, BROKEN, SWAPPED, UNCHANGED, UNJUDGED)
MEANINGS = {
    MENDED: "a binding was wrong before and is right after",
    BROKEN: "a binding was right before and is wrong after",
    SWAPPED: "an object and its attribute are both in the image after, but the attribute is on something else",
    UNCHANGED: "no binding was mended or broken",
    UNJUDGED: "no judge looked at it",
}


@dataclass(frozen=True)
class JudgedBinding:
    """One binding of one image."""

    attribute: str
    object: str
    there: bool
    shown: bool
    """The attribute is somewhere in the image."""
    bound: bool

    @property
    def name(self) -> str:
        return f"{self.attribute} {self.object}"

    @property
    def swapped(self) -> bool:
        return self.there and self.shown and not self.bound

    @property
    def sentence(self) -> str:
        if self.bound:
            return f"the {self.object} is {self.attribute}"
        if self.swapped:
            return f"the {self.object} is there and {self.attribute} is in the image, but on something else"
        if self.there:
            return f"the {self.object} is there, but not {self.attribute}, and {self.attribute} is nowhere"
        if self.shown:
            return f"the {self.object} is missing, and {self.attribute} is on something else"
        return f"the {self.object} is missing, and so is {self.attribute}"


@dataclass(frozen=True)
class BeforeAndAfter:
    """What a judge says of one trial, before and after; empty if it did not judge it."""

    before: tuple[JudgedBinding, ...] = ()
    after: tuple[JudgedBinding, ...] = ()

    @property
    def outcomes(self) -> list[str]:
        """Of OUTCOMES, all that apply."""
        if not self.after:
            return [UNJUDGED]
        pairs = list(zip(self.before, self.after, strict=True))
        found = {
            MENDED: any(now.bound and not was.bound for was, now in pairs),
            BROKEN: any(was.bound and not now.bound for was, now in pairs),
            SWAPPED: any(now.swapped for now in self.after),
            UNCHANGED: all(was.bound == now.bound for was, now in pairs),
        }
        return [name for name, holds in found.items() if holds]


JudgedChanges = dict[str, dict[str, BeforeAndAfter]]
"""By judge and trial."""


def judged_changes(results: Results, judge: str, trials: Sequence[str]) -> dict[str, BeforeAndAfter]:
    """What the judge says of each of these trials that it judged."""
    judged = results.judged
    judged = judged[(judged["judge"] == judge) & judged["trial"].isin(set(trials))].sort_values("place", kind="stable")
    columns = ["trial", "image", "attribute", "object", "object_present", "attribute_present", "bound"]
    images: dict[str, dict[str, list[JudgedBinding]]] = {}
    for trial, image, *values in judged[columns].itertuples(index=False, name=None):
        images.setdefault(trial, {"initial": [], "best": []})[image].append(JudgedBinding(*values))
    return {trial: BeforeAndAfter(tuple(own["initial"]), tuple(own["best"])) for trial, own in images.items()}


def in_words(judged: Sequence[JudgedBinding]) -> str:
    """One image in one sentence."""
    swapped = [one for one in judged if one.swapped]
    if len(swapped) == len(judged) > 1:
        things = listed([f"the {one.object}" for one in judged])
        colours = listed([one.attribute for one in judged])
        return f"{things[:1].upper()}{things[1:]} are there and so are {colours}, but none on its own object."
    text = "; ".join(one.sentence for one in judged)
    return f"{text[:1].upper()}{text[1:]}." if text else "Not judged."
