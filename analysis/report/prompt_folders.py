"""pics/<prompt>/: a prompt's images, and in words what each metric got right and wrong in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from analysis.data import Results
from analysis.numbers.slices import KIN_MARK
from analysis.report.exhibits import Exhibit
from analysis.report.outcomes import BeforeAndAfter, JudgedChanges, in_words
from analysis.text import file_name, listed
from reno.letters.harmless import visible

SEEDS = 4
"""Seeds of a prompt whose images are copied."""


def slug(prompt: str) -> str:
    """A folder's name: the prompt's words, and enough of its hash to tell it from any other."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:48].strip("-")
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{words or 'prompt'}-{digest}"


def write_prompt_folders(results: Results, shown: Sequence[Exhibit], judged: JudgedChanges, folder: Path) -> Path:
    """Writes a folder a prompt; folders of other prompts stay. judged: what the judges say of the trials of `shown`."""
    for prompt, own in groupby(sorted(shown, key=lambda one: (one.prompt, one.models)), key=lambda one: one.prompt):
        several = list(own)
        here = folder / slug(prompt)
        here.mkdir(parents=True, exist_ok=True)
        text = analysis_text(prompt, several, judged) + "".join(_images(results, several, here))
        (here / "analysis.txt").write_bytes(visible(text, keep="\n").encode("utf-8", "backslashreplace"))
    return folder


def _images(results: Results, shown: Sequence[Exhibit], here: Path) -> Iterator[str]:
    """Copies a prompt's images; yields a line for what is not here."""
    if not results.in_folders:
        yield f"\nThe images are in the runs of {results.root}.\n"
        return
    for models, those in groupby(shown, key=lambda one: one.models):
        several = sorted(_once(those), key=lambda one: one.seed)
        if len(several) > SEEDS:
            yield f"\nImages of the first {SEEDS} seeds on {models} are here; the others are in the store.\n"
        for one in several[:SEEDS]:
            yield from _copy(results, one, here, file_name(models))


def _once(shown: Iterable[Exhibit]) -> list[Exhibit]:
    """A prompt that is in two sets has the same trials in both."""
    return list({one.seed: one for one in shown}.values())


def _copy(results: Results, one: Exhibit, here: Path, prefix: str) -> Iterator[str]:
    """Copies the images of one prompt and seed; yields a line for each that could not be copied."""
    stem = f"{prefix}_{one.noise.replace(', ', '_').replace(' ', '')}"
    wanted = [("initial", one.base, f"{stem}_before.png")]
    wanted += [("best", row, f"{stem}_{file_name(metric)}.png") for metric, row in one.trials.items()]
    for image, row, name in wanted:
        data = results.shown(row["trial"], lambda stored, image=image: stored.read(f"{image}.png"))
        if data is None:
            (here / name).unlink(missing_ok=True)  # an earlier report's
            yield f"{name} is not here: the trial's image is damaged or cannot be read.\n"
        else:
            (here / name).write_bytes(data)


def analysis_text(prompt: str, shown: Sequence[Exhibit], judged: JudgedChanges) -> str:
    """What each metric got right and wrong, from the judgements alone."""
    lines = [f"Prompt: {visible(prompt)}"]
    for models, those in groupby(shown, key=lambda one: one.models):
        several = _once(those)
        first = several[0]
        own = judged.get(first.judge, {})
        seeds = "1 seed" if len(several) == 1 else f"{len(several)} seeds"
        judge = f"judged by {first.marked}" if first.judge else "no judge looked at the images"
        lines += ["", f"Generator {models}, {seeds}, {judge}.", ""]
        if first.kin:
            lines += [f"{KIN_MARK} The judge is related to a metric that is shown here, and may favour it.", ""]
        for metric in dict.fromkeys(metric for one in several for metric in one.trials):
            rows = [one.trials[metric] for one in several if metric in one.trials]
            seen = [own[row["trial"]] for row in rows if row["trial"] in own]
            lines += [f"{metric} ({rows[0]['settings'] or rows[0]['method']}): {_summary(seen)}"]
        for one in several:
            lines += [
                "",
                f"{one.noise[:1].upper()}{one.noise[1:]}",
                f"  before: {in_words(own.get(one.base['trial'], BeforeAndAfter()).before)}",
            ]
            for metric, row in one.trials.items():
                said = own.get(row["trial"], BeforeAndAfter())
                lines += [f"  {metric}: {in_words(said.after)}{_moved(said)}"]
    return "\n".join(lines) + "\n"


def _summary(seen: Sequence[BeforeAndAfter]) -> str:
    """Over the seeds: what is right how often, and what is wrong how often."""
    seen = [said for said in seen if said.after]
    if not seen:
        return "not judged."
    right, wrong = [], []
    for place, binding in enumerate(seen[0].after):
        after = [said.after[place] for said in seen]
        count = sum(one.bound for one in after)
        if count:
            right.append(f"the {binding.name} ({count} of {len(after)})")
        faults = {
            f"no {binding.object}": sum(not one.there for one in after),
            f"{binding.attribute} not on the {binding.object} but elsewhere": sum(one.swapped for one in after),
            f"a {binding.object} that is not {binding.attribute}": sum(
                one.there and not one.bound and not one.swapped for one in after
            ),
        }
        wrong += [f"{fault} ({times} of {len(after)})" for fault, times in faults.items() if times]
    return f"right: {listed(right) or 'nothing'}; wrong: {listed(wrong) or 'nothing'}."


def _moved(said: BeforeAndAfter) -> str:
    pairs = list(zip(said.before, said.after, strict=True))
    mended = [f"the {now.name}" for was, now in pairs if now.bound and not was.bound]
    broken = [f"the {now.name}" for was, now in pairs if was.bound and not now.bound]
    parts = [f"{word} {listed(which)}" for word, which in (("mended", mended), ("broke", broken)) if which]
    return f" It {' and '.join(parts)}." if parts else ""
