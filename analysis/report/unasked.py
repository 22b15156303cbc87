"""The judges that did not look at all images, and the commands that ask them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.data import Results
from analysis.data.names import label_of
from analysis.numbers.slices import Slice
from analysis.report.words import of_prompts
from analysis.tables import cells
from reno.spec.addresses import named

OF_THE_TESTBED = ("oracle", "oracle_analytic")
"""Judges of conf/evaluator that know the embedded world, and no other."""
OF_PHOTOGRAPHS = ("blip_vqa", "detector", "detector_open")
"""Judges of conf/evaluator that know real objects."""
OR_SAYS = "or says why it cannot judge them:"
"""A judge may not know a prompt's words. No record says so; the command that asks it does."""
MADE_UP = "synthetic"
"""The generator of a store whose images nobody made: no judge can see anything in them."""


@dataclass(frozen=True)
class Unasked:
    """What no judge, or not every judge, has looked at."""

    sentence: str
    command: str


def unasked(results: Results, slices: Sequence[Slice]) -> list[Unasked]:
    """One for each generator and prompt set without any judge; one for each judge that missed some trials; one for each
    generator with judges that saw nothing of it. None if the images are not in folders, where no judge can go."""
    if not results.in_folders:
        return []
    found = []
    asked: dict[str, set[str]] = {}
    for cell in cells(slices):
        first = cell[0]
        models = label_of(first.models)
        known = asked.setdefault(models, set())
        known |= {label_of(one.judge) for one in cell if one.judge}
        prompts = of_prompts(first.prompt_set, first.rows["prompt"].nunique())
        if not first.judge and models != MADE_UP:
            said = f"No judge looked at the images of {first.models}, {prompts}. This asks one, {OR_SAYS}"
            found.append(Unasked(said, _command(_judges_of(models)[0], results)))
            known.add(_judges_of(models)[0])
        for one in cell:
            missed = int((one.rows["fully/best"].isna() & (one.rows["bindings"] > 0)).sum()) if one.judge else 0
            if missed and one.judge == label_of(one.judge):
                said = f"{one.judge} has not judged {missed} of {len(one.rows)} trials of {first.models}, {prompts}."
                found.append(Unasked(f"{said} This asks it, {OR_SAYS}", _command(one.judge, results)))
    for models, known in asked.items():
        others = [judge for judge in _judges_of(models) if judge not in known] if models != MADE_UP else []
        if others:
            more = f" ({', '.join(others[1:])} too)" if others[1:] else ""
            said = f"Another judge can look at the images of {models}: {others[0]}{more}. This asks it, {OR_SAYS}"
            found.append(Unasked(said, _command(others[0], results)))
    return found


def _judges_of(models: str) -> tuple[str, ...]:
    return OF_THE_TESTBED if models == "testbed" else OF_PHOTOGRAPHS


def _command(judge: str, results: Results) -> str:
    return shlex.join(["python", "-m", "reno.evaluate", f"evaluators={judge}", f"results={named(results.root)}"])
