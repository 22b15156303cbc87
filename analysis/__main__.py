"""The command that makes the report of a store: page, PDF, tables, figures and claims.

    python -m analysis results=RESULTS out=OUT

Under OUT it writes index.html, report.pdf, tables/, figures/, pics/, claims.md and claims.csv.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from reno.config.checks import folder, number, one_of, store_folder
from reno.config.command import run_command
from reno.config.page import Page
from reno.config.words import Words
from reno.letters.output import say, warn
from reno.spec.addresses import named
from reno.spec.errors import BadInput, few
from reno.tracking import MODES, TrackingSpec, check_place

PAGE = Page(
    name="report",
    usage="python -m analysis [results=DIR] [out=DIR] [knob=value ...]",
    purpose="Makes the report of what is stored: a page, a PDF, tables, figures and the claims' verdicts.",
    examples="exit status  0, or 2 where the store has nothing to report or the input cannot be used\n",
    positional=("results", "out"),
    texts=("results", "out", "labels", "readme", "project", "entity"),
)
UNTRACKED = TrackingSpec(mode="disabled")
WRITTEN = {"index.html", "report.pdf", "claims.md", "claims.csv", "tables", "figures", "pics", "wandb"}
"""What lies in a report's folder. wandb: the summary's run, where the trials come from a project."""
MARKS_OF_A_REPORT = {"claims.csv", "tables"}
"""What every report has, and hardly any other folder."""
IMAGES_TIMEOUT = 120
"""Seconds one W&B call may take: the images of a report are many."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the report and answers with the exit status: 0, or 2 if there is nothing to report or OUT cannot be
    written."""
    return run_command(PAGE, arguments, _report)


def _report(words: Words) -> int:
    from reno.config.compose import composed

    values = composed(PAGE, words).values
    one_of("track", values["track"], MODES)
    for place in ("project", "entity"):
        if values[place] is not None:
            check_place(place, values[place])
    tracking = TrackingSpec(values["track"], values["project"], values["entity"], timeout=IMAGES_TIMEOUT)
    readme, labels = (None if values[name] is None else folder(name, values[name]) for name in ("readme", "labels"))
    margin = number("margin", values["margin"], above=0, below=1)
    root, out = store_folder("results", values["results"]), folder("out", values["out"])
    refuse_foreign(out)
    try:
        report(root, out, tracking, readme, labels, margin)
    except OSError as error:
        if error.filename is None:
            raise
        raise BadInput(f"{error.filename} cannot be written ({error.strerror}); give another out=DIR") from error
    return 0


def refuse_foreign(out: Path) -> None:
    """Raises BadInput for a folder that holds anything but a report: hundreds of files would be written among it."""
    try:
        held = set(os.listdir(out))
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInput(f"out={out} cannot be written to ({error.strerror}); give a folder: out=DIR") from None
    if held and not held >= MARKS_OF_A_REPORT and not held <= WRITTEN:
        foreign = min(held - WRITTEN)
        raise BadInput(f"out={out} holds {foreign!r}, and is no report; give a new folder: out=DIR")


def report(
    root: Path,
    out: Path,
    tracking: TrackingSpec = UNTRACKED,
    readme: Path | None = None,
    labels: Path | None = None,
    margin: float | None = None,
) -> None:
    """Writes everything. margin: a difference of shares up to this counts as none; None: the usual one.

    Raises BadInput if the store has no whole trial, if a claim or people's labels cannot be used, or if the README
    lacks its marks."""
    from analysis.claims import claims
    from analysis.claims.written import claims_frame, claims_markdown
    from analysis.data import labelled, load
    from analysis.figures import write_figures
    from analysis.numbers.slices import slices
    from analysis.report import write_report
    from analysis.report.readme import MARKS, write_readme
    from analysis.report.sources import MOST_NAMED
    from analysis.report.summary_run import log_summary_run
    from analysis.report.unasked import unasked
    from analysis.tables import all_tables
    from analysis.tables.files import csv_text, write_table

    if readme:
        MARKS.check(readme)  # before minutes of work
    results = load(root)
    counts = ", ".join(f"{count} {state}" for state, count in results.lacking.items()) or "none missing"
    say(f"{len(results.trials)} trials in {named(root)}; of those planned: {counts}")
    for sentence in few(results.damaged, "of these", MOST_NAMED):
        warn(f"left out: {sentence}")
    if results.damaged and results.in_folders:
        warn(f"{len(results.damaged)} trials, judgements or job records are damaged or cannot be read")
    if labels:
        results = labelled(results, labels)
        for line in results.label_notes:
            say(line)
    cut = slices(results) if margin is None else slices(results, margin)
    tables = list(all_tables(results, cut))
    files = [path for table in tables for path in write_table(table, out / "tables")]
    found = claims(cut)
    (out / "claims.md").write_bytes(claims_markdown(found).encode("utf-8", "backslashreplace"))
    (out / "claims.csv").write_bytes(csv_text(claims_frame(found)).encode("utf-8", "backslashreplace"))
    figures = list(write_figures(results, cut, tables, out / "figures"))
    say(f"{len(files)} files in {out / 'tables'}, {2 * len(figures)} in {out / 'figures'}, and {out / 'claims.md'}")
    page, paper, pics = write_report(results, cut, tables, found, figures, out)
    for claim in found:
        say(f"({claim.key}) {claim.sentence}")
    for one in unasked(results, cut):
        say(f"{one.sentence} {one.command}")
    if readme:
        write_readme(results, cut, tables, found, figures, readme)
        say(f"the answer is in {readme} as well")
    say(f"open {page}; the same on paper: {paper}; each prompt's images, and what the judge says of them: {pics}")
    beside = root if root.is_dir() else out  # with the store's runs, for one `wandb sync`
    kept = {path.relative_to(out).as_posix(): path for path in (*files, out / "claims.csv") if path.suffix == ".csv"}
    for line in log_summary_run(results, tables, figures, found, kept, tracking, beside, warn):
        say(line)
    for sentence in few(list(results.not_shown.values()), "of these", MOST_NAMED):
        warn(f"not shown: {sentence}")


if __name__ == "__main__":
    sys.exit(main())
