"""The pictures of a sweep on one sheet: a row a prompt and noise; before, then each job's best image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reno.letters.fonts import Fonts, of_this_machine
from reno.screen.contact_sheet import BAD, FAINT, GAP, GOOD, INK, Sheet, picture_of, resized
from reno.spec.trial import noise_name
from reno.store.stored import Stored

SIDE = 160  # pixels of a picture
UNDER = 20  # pixels of text under a picture
ABOVE = 24  # pixels of a row's prompt above its pictures
MOST_ROWS, MOST_JOBS = 12, 6

Noise = tuple[str, int]
"""A prompt and a seed."""


def draw_sweep_sheet(
    jobs: Mapping[str, Mapping[Noise, Stored]], judge: str | None, path: Path, fonts: Fonts | None = None
) -> Path | None:
    """Draws the first MOST_ROWS noises that all of the first MOST_JOBS jobs have to a PNG at `path`, whole or not at
    all; None if they share none. jobs: the trials of each job by its name. judge: whose word is under each picture.
    Raises OSError."""
    names = list(jobs)[:MOST_JOBS]
    rows = [noise for noise in jobs[names[0]] if all(noise in jobs[name] for name in names)]
    if not rows:
        return None
    shown = rows[:MOST_ROWS]
    height = SIDE + UNDER + ABOVE + GAP
    block = (len(names) + 1) * (SIDE + GAP) + GAP
    blocks = 2 if len(shown) > 3 else 1  # rows stand in two blocks side by side
    deep = -(-len(shown) // blocks)
    top = 10 + 24 + 18 * (1 + max(len(_lines(name)) for name in names))
    sheet = Sheet(max(blocks * block, 640), top + deep * height, fonts or of_this_machine())
    labels = jobs[names[0]][shown[0]].record.labels
    hidden = [f"{len(shown)} of {len(rows)} prompts and noises"] * (len(rows) > len(shown))
    hidden += [f"{len(names)} of {len(jobs)} jobs"] * (len(jobs) > len(names))
    random = ["the weights are random: the images mean nothing"] * labels.random_weights
    sheet.write(GAP, 10, " · ".join([labels.models, *hidden, *random]), INK, 18)
    for left in (GAP + place * block for place in range(blocks)):
        for column, heading in enumerate(["before", *names]):
            for line, text in enumerate(_lines(heading)):
                (part,) = sheet.lines(text, 13, SIDE + GAP - 4, most=1)
                sheet.write(left + column * (SIDE + GAP), 40 + 17 * line, part, INK, 13)
    for place, noise in enumerate(shown):
        trials = [jobs[name][noise] for name in names]
        corner = GAP + place // deep * block, top + place % deep * height
        _draw_row(sheet, trials, noise, judge, corner, block - 2 * GAP)
    sheet.save(path)
    return path


def _lines(name: str) -> list[str]:
    """A job's name, a line a part."""
    return name.split(" · ")


def _draw_row(
    sheet: Sheet, trials: Sequence[Stored], noise: Noise, judge: str | None, corner: tuple[int, int], width: int
) -> None:
    first, top = corner
    (line,) = sheet.lines(f"{noise[0]} · {noise_name(*noise)}", 14, width, most=1)
    sheet.write(first, top, line, INK, 14)
    for column, (trial, which) in enumerate([(trials[0], "initial"), *((trial, "best") for trial in trials)]):
        left = first + column * (SIDE + GAP)
        sheet.image.paste(resized(picture_of(trial, which), SIDE), (left, top + ABOVE))
        said = trial.judgements().get(judge) if judge else None
        if said and trial.record.bindings:
            right, of = getattr(said, which).bound, len(trial.record.bindings)
            colour = GOOD if right == of else BAD if right == 0 else FAINT
            sheet.write(left, top + ABOVE + SIDE + 2, f"{right} of {of} right", colour, 13)
