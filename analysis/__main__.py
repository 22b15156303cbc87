"""python -m analysis RESULTS OUT: index.html, report.pdf, tables/, figures/, pics/ and claims.md under OUT, from the
store in RESULTS."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reno.spec.errors import BadInput
from reno.tracking import TrackingSpec

UNTRACKED = TrackingSpec(mode="disabled")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 if the store has nothing to report or OUT cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description="The report of a store: page, PDF, tables, figures."
    )
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("results"),
        help="the store (default: results), or a project of Weights & Biases: wandb:ENTITY/PROJECT",
    )  # fmt: skip
    parser.add_argument("out", type=Path, nargs="?", default=Path("report"), help="where to write (default: report)")
    parser.add_argument(
        "--track", default="disabled", metavar="MODE",
        help="log tables and figures as a run of Weights & Biases: auto, offline, online or disabled (default)",
    )  # fmt: skip
    parser.add_argument("--project", default="reno", help="the project of that run (default: reno)")
    parser.add_argument("--entity", help="its user or team (default: the key's own)")
    parser.add_argument(
        "--readme", type=Path, metavar="FILE", help="also write the answer between the marks of this README"
    )
    options = parser.parse_args(arguments)
    try:
        tracking = TrackingSpec(options.track, options.project, options.entity, timeout=120)  # images are many
        report(options.results, options.out, tracking, options.readme)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename} cannot be written ({error.strerror}); give another OUT=DIR", file=sys.stderr)
        return 2
    return 0


def report(root: Path, out: Path, tracking: TrackingSpec = UNTRACKED, readme: Path | None = None) -> None:
    """Writes everything. Raises BadInput if the store has no whole trial, if a claim cannot be used, or if the README
    lacks its marks."""
    from analysis.claims import claims, claims_frame, claims_markdown
    from analysis.data import load
    from analysis.figures import write_figures
    from analysis.numbers.slices import slices
    from analysis.report import write_report
    from analysis.report.readme import MARKS, write_readme
    from analysis.report.summary_run import log_summary_run
    from analysis.tables import all_tables
    from analysis.tables.files import write_table

    if readme:
        MARKS.check(readme)  # before minutes of work
    results = load(root)
    counts = ", ".join(f"{count} {state}" for state, count in results.lacking.items()) or "none missing"
    print(f"{len(results.trials)} trials in {root}; of those planned: {counts}")
    for sentence in results.damaged:
        print(f"left out: {sentence}", file=sys.stderr)
    cut = slices(results)
    tables = list(all_tables(results, cut))
    files = [path for table in tables for path in write_table(table, out / "tables")]
    found = claims(cut)
    (out / "claims.md").write_bytes(claims_markdown(found).encode("utf-8", "replace"))
    table = claims_frame(found).to_csv(index=False, lineterminator="\n")
    (out / "claims.csv").write_bytes(table.encode("utf-8", "replace"))
    figures = list(write_figures(results, cut, tables, out / "figures"))
    print(f"{len(files)} files in {out / 'tables'}, {2 * len(figures)} in {out / 'figures'}, and {out / 'claims.md'}")
    page, paper, pics = write_report(results, cut, tables, found, figures, out)
    for claim in found:
        print(f"({claim.key}) {claim.sentence}")
    if readme:
        write_readme(results, cut, tables, found, figures, readme)
        print(f"the answer is in {readme} as well")
    print(f"{pics} has the images in words; on paper: {paper}; open {page}")
    beside = root if root.is_dir() else out  # with the store's runs, for one `wandb sync`
    for line in log_summary_run(results, tables, figures, found, tracking, beside, _warn):
        print(line)


def _warn(sentence: str) -> None:
    print(sentence, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
