"""Builds the dashboard of a project as a W&B workspace, from the panels below.

    python scripts/build_dashboard.py --project reno                # saves it; needs a key, prints its address
    python scripts/build_dashboard.py --entity me --print           # shows what it would save; needs no key

It draws the judges and the metrics that the project's runs have. Every key that it draws is one that the tracker logs
(reno/tracking): the history by iteration, the settings as config, and the outcome as summary.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import argparse
import itertools
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reno.config.script import Options, run_script
from reno.letters.output import say, say_page
from reno.spec.errors import BadInput, first_line
from reno.tracking import check_place

NAME = "CLIP vs BLIP: which metric binds"
JUDGES, METRICS = ("oracle",), ("clip", "blip")
"""What is drawn of a project that is not asked, or has no runs yet: those of the embedded models."""
SERIES = "series"
"""The key of a run's config that names its metric and learning rate together."""
RUNS = 1000
"""Most runs that a panel draws; W&B's own default is 10."""
ASKED = 200
"""Runs that are asked for their judges and metrics: the newest."""


@dataclass(frozen=True)
class Drawn:
    """Whose results the panels show."""

    judges: Sequence[str] = JUDGES
    metrics: Sequence[str] = METRICS


def drawn_by(runs: Iterable[Any]) -> Drawn:
    """The judges and metrics that runs have, as wandb.Api gives them; the usual ones where they have none."""
    judges, metrics = set(), set()
    for run in runs:
        judges |= {key.removesuffix(BOUND_AFTER) for key in dict(run.summary_metrics) if key.endswith(BOUND_AFTER)}
        metrics |= {key.removeprefix(LOSS) for key in dict(run.summary_metrics) if key.startswith(LOSS)}
    return Drawn(sorted(judges) or JUDGES, sorted(metrics) or METRICS)


BOUND_AFTER, LOSS = "/bound_share/best", "loss/"
"""Of the summary's keys: the end of a judge's, the beginning of a metric's."""


def workspace(entity: str, project: str, drawn: Drawn, study: str | None = None) -> Any:
    """The workspace, not saved. study: only the runs of this study; None: all of the project's trials."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    trials = [expr.Metric("JobType") != kind for kind in ("report", "job")]
    if study is not None:
        trials.append(expr.Metric("Group") == study)
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME if study is None else f"{NAME}, {study}",
        sections=[
            ws.Section(name="Before and after", panels=_before_and_after(), is_open=True),
            ws.Section(name="Binding before and after", panels=_bars(drawn.judges), is_open=True),
            ws.Section(name="Loss of each metric", panels=_losses(drawn.metrics), is_open=True),
            ws.Section(name="Score, gradient and noise", panels=_curves(), is_open=True),
            ws.Section(name="Images over the iterations", panels=_images(), is_open=True),
            ws.Section(name="Settings and outcome", panels=_parallel(drawn.judges), is_open=True),
        ],
        settings=ws.WorkspaceSettings(x_axis="iteration", max_runs=RUNS),
        runset_settings=ws.RunsetSettings(filters=trials),
    )


def _curve(key: str, title: str, by: str = SERIES) -> Any:
    from wandb_workspaces.reports import v2 as wr

    return wr.LinePlot(
        title=title, x="iteration", y=[key], groupby=wr.Config(by), groupby_aggfunc="mean",
        groupby_rangefunc="stderr", max_runs_to_show=RUNS,
    )  # fmt: skip


def _losses(metrics: Sequence[str]) -> list[Any]:
    """A panel for each metric: each loss is on its metric's own scale."""
    return [_curve(f"{LOSS}{metric}", f"Loss of {metric}, by settings") for metric in metrics]


def _curves() -> list[Any]:
    """Scores are on each metric's own scale: compare values within a metric, only shapes between metrics."""
    return [
        _curve("score", "Score, by metric and learning rate"),
        _curve("grad_norm", "Norm of the gradient"),
        _curve("noise_norm", "Norm of the noise"),
    ]


def _before_and_after() -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    keys = ["before", "after"]
    return [
        wr.MediaBrowser(title="The initial and the best image of every run", media_keys=keys, mode="gallery",
                        gallery_axis="run"),
    ]  # fmt: skip


def _images() -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    return [
        wr.MediaBrowser(title="A run a row, an iteration a column", media_keys=["image"], mode="grid",
                        grid_x_axis="step", grid_y_axis="run"),
        wr.MediaBrowser(title="One iteration of every run", media_keys=["image"], mode="gallery", gallery_axis="run"),
    ]  # fmt: skip


def _bars(judges: Sequence[str]) -> list[Any]:
    """Means over runs: the share of a prompt's bindings that hold, and the share of images in which all hold."""
    from wandb_workspaces.reports import v2 as wr

    named = (("bound_share", "Share of bindings that hold"), ("fully_bound", "Share of images with all bindings right"))
    return [
        wr.BarPlot(
            title=f"{title}, by {judge}",
            metrics=[f"{judge}/{key}/initial", f"{judge}/{key}/best"],
            groupby=wr.Config(SERIES), groupby_aggfunc="mean", groupby_rangefunc="stderr", max_runs_to_show=RUNS,
        )
        for judge in judges
        for key, title in named
    ]  # fmt: skip


def _parallel(judges: Sequence[str]) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    def column(metric: Any, name: str, **more: bool) -> Any:
        return wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=name, **more)

    return [
        wr.ParallelCoordinatesPlot(
            title=f"Learning rate, iterations and binding, by {judge}",
            columns=[
                column(wr.Config("metric"), "metric"),
                column(wr.Config("lr"), "learning rate", log=True),
                column(wr.Config("iterations"), "iterations"),
                column(wr.SummaryMetric(f"{judge}/bound_share/initial"), "bound before"),
                column(wr.SummaryMetric(f"{judge}/bound_share/best"), "bound after"),
            ],
        )
        for judge in judges
    ]


def spec_json(built: Any) -> str:
    """The JSON that `save` would send."""
    return built._to_model().spec.model_dump_json(by_alias=True, exclude_none=True, indent=1)


def main(arguments: list[str] | None = None) -> int:
    """Saves or shows the dashboard. Exit status 0, or 2 with one sentence if it cannot be saved."""
    return run_script(lambda: _build(arguments))


def _build(arguments: Sequence[str] | None) -> int:
    parser = Options(description="Build the W&B dashboard of a project.")
    parser.add_argument(
        "--project",
        default=os.environ.get("WANDB_PROJECT") or "reno",
        help="the project (default: WANDB_PROJECT, else reno)",
    )
    parser.add_argument(
        "--entity",
        default=os.environ.get("WANDB_ENTITY") or None,
        help="its user or team (default: WANDB_ENTITY, else the key's own)",
    )
    parser.add_argument("--study", help="only the runs of this study")
    parser.add_argument(
        "--judges",
        nargs="+",
        metavar="JUDGE",
        help=f"whose judgements to draw (default: those in the project; with --print {' '.join(JUDGES)})",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="METRIC",
        help=f"whose losses to draw (default: all in the project; with --print {' '.join(METRICS)})",
    )
    parser.add_argument("--print", action="store_true", dest="only_print", help="show what would be saved, as JSON")
    options = parser.parse_args(arguments)
    check_place("--project", options.project)
    if options.entity is not None:
        check_place("--entity", options.entity)
    for name in (options.study, *(options.judges or ()), *(options.metrics or ())):
        if name is not None and not name.strip():
            raise BadInput("--study, --judges and --metrics need names that are not empty; leave them out for all")
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        raise BadInput(
            "the dashboard needs wandb-workspaces; `pip install 'reno-bench[dashboard]'` installs it"
        ) from None
    if options.only_print:
        drawn = Drawn(options.judges or JUDGES, options.metrics or METRICS)
        say_page(spec_json(workspace(options.entity or "me", options.project, drawn, options.study)))
        return 0
    return _save(options)


def _newest(api: Any, path: str) -> list[Any]:
    """Some of the newest runs of a project; none if there is no such project yet."""
    try:
        return list(itertools.islice(api.runs(path, order="-created_at", per_page=ASKED, lazy=False), ASKED))
    except ValueError:  # wandb's error for a project that is not there
        return []


def _save(options: argparse.Namespace) -> int:
    import wandb

    try:
        if not wandb.login(prompt=False, verify=False):
            raise BadInput(
                "saving the dashboard needs a Weights & Biases key, which `wandb login` or WANDB_API_KEY gives, "
                "and W&B online: WANDB_MODE must not be offline"
            )
        api = wandb.Api(timeout=30)
        entity = options.entity or api.default_entity
        if not entity:
            raise BadInput("the key has no default entity; name one with --entity")
        found = drawn_by(_newest(api, f"{entity}/{options.project}"))
        drawn = Drawn(options.judges or found.judges, options.metrics or found.metrics)
        built = workspace(entity, options.project, drawn, options.study)
        built.save()
    except BadInput:
        raise
    except Exception as error:  # whatever the client, the network or the server raise
        raise BadInput(f"the dashboard could not be saved to {options.project}: {first_line(error)}") from error
    say(f"The dashboard is at {built.url}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
