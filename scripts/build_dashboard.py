"""Builds the dashboard of a project as a W&B workspace, from the panels below.

    python scripts/build_dashboard.py --project reno                # saves it; needs a key, prints its address
    python scripts/build_dashboard.py --entity me --print           # shows what it would save; needs no key

Every key that it draws is one that the tracker logs (reno/tracking): the history by iteration, the trial's spec as
config, and `{judge}/bound/{image}` in the summary.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from reno.config.script import Options, run_script
from reno.letters.output import say, say_page
from reno.spec.errors import BadInput, first_line
from reno.tracking import check_place

NAME = "CLIP vs BLIP: which metric binds"
JUDGES = ("oracle", "blip_vqa", "detector", "detector_open")
SERIES = "series"
"""The key of a run's config that names its metric and learning rate together."""
RUNS = 1000
"""Most runs that a panel draws; W&B's own default is 10."""


def workspace(entity: str, project: str, judges: Sequence[str] = JUDGES, study: str | None = None) -> Any:
    """The workspace, not saved. study: only the runs of this study; None: all of the project's trials."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    trials = [expr.Metric("JobType") != "report"]
    if study is not None:
        trials.append(expr.Metric("Group") == study)
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME if study is None else f"{NAME}, {study}",
        sections=[
            ws.Section(name="Loss by metric and learning rate", panels=_curves(), is_open=True),
            ws.Section(name="Images over the iterations", panels=_images(), is_open=True),
            ws.Section(name="Binding before and after", panels=_bars(judges), is_open=True),
            ws.Section(name="Settings and outcome", panels=_parallel(judges), is_open=True),
        ],
        settings=ws.WorkspaceSettings(x_axis="iteration", max_runs=RUNS),
        runset_settings=ws.RunsetSettings(filters=trials),
    )


def _curves() -> list[Any]:
    """Loss and score are on each metric's own scale: compare values within a metric, only shapes between metrics."""
    from wandb_workspaces.reports import v2 as wr

    def curve(key: str, title: str, by: str) -> Any:
        return wr.LinePlot(
            title=title, x="iteration", y=[key], groupby=wr.Config(by), groupby_aggfunc="mean",
            groupby_rangefunc="stderr", max_runs_to_show=RUNS,
        )  # fmt: skip

    return [
        curve("loss", "Loss, by metric and learning rate", SERIES),
        curve("score", "Score, by metric and learning rate", SERIES),
        curve("loss", "Loss, by metric", "labels.metric"),
        curve("loss", "Loss, by learning rate", "method.lr"),
        curve("grad_norm", "Norm of the gradient", SERIES),
        curve("noise_norm", "Norm of the noise", SERIES),
    ]


def _images() -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    return [
        wr.MediaBrowser(title="A run a row, an iteration a column", media_keys=["image"], mode="grid",
                        grid_x_axis="step", grid_y_axis="run"),
        wr.MediaBrowser(title="One iteration of every run", media_keys=["image"], mode="gallery", gallery_axis="run"),
    ]  # fmt: skip


def _bars(judges: Sequence[str]) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    return [
        wr.BarPlot(
            title=f"Bindings that hold in an image, by {judge}",
            metrics=[f"{judge}/bound/initial", f"{judge}/bound/best"],
            groupby=wr.Config(SERIES), groupby_aggfunc="mean", groupby_rangefunc="stderr", max_runs_to_show=RUNS,
        )
        for judge in judges
    ]  # fmt: skip


def _parallel(judges: Sequence[str]) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    def column(metric: Any, name: str, **more: bool) -> Any:
        return wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=name, **more)

    return [
        wr.ParallelCoordinatesPlot(
            title=f"Learning rate, iterations and binding, by {judge}",
            columns=[
                column(wr.Config("labels.metric"), "metric"),
                column(wr.Config("method.lr"), "learning rate", log=True),
                column(wr.Config("method.iterations"), "iterations"),
                column(wr.SummaryMetric(f"{judge}/bound/initial"), "bound before"),
                column(wr.SummaryMetric(f"{judge}/bound/best"), "bound after"),
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
    parser.add_argument("--project", default="reno", help="the project (default: reno)")
    parser.add_argument("--entity", help="its user or team (default: the key's own)")
    parser.add_argument("--study", help="only the runs of this study")
    parser.add_argument("--judges", nargs="+", default=JUDGES, metavar="JUDGE",
                        help=f"whose judgements to draw (default: {' '.join(JUDGES)})")  # fmt: skip
    parser.add_argument("--print", action="store_true", dest="only_print", help="show what would be saved, as JSON")
    options = parser.parse_args(arguments)
    check_place("--project", options.project)
    if options.entity is not None:
        check_place("--entity", options.entity)
    for name in (options.study, *options.judges):
        if name is not None and not name.strip():
            raise BadInput("--study and --judges need names that are not empty; leave them out for all")
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        raise BadInput(
            "the dashboard needs wandb-workspaces; `pip install 'reno-bench[dashboard]'` installs it"
        ) from None
    if options.only_print:
        say_page(spec_json(workspace(options.entity or "me", options.project, options.judges, options.study)))
        return 0
    return _save(options)


def _save(options: argparse.Namespace) -> int:
    import wandb

    try:
        if not wandb.login(prompt=False, verify=False):
            raise BadInput(
                "saving the dashboard needs a Weights & Biases key, which `wandb login` or WANDB_API_KEY gives, "
                "and W&B online: WANDB_MODE must not be offline"
            )
        entity = options.entity or wandb.Api(timeout=30).default_entity
        if not entity:
            raise BadInput("the key has no default entity; name one with --entity")
        built = workspace(entity, options.project, options.judges, options.study)
        built.save()
    except BadInput:
        raise
    except Exception as error:  # whatever the client, the network or the server raise
        raise BadInput(f"the dashboard could not be saved to {options.project}: {first_line(error)}") from error
    say(f"The dashboard is at {built.url}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
