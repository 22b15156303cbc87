"""Every figure is drawn, the same each time, whatever the prompts hold and however little there is."""

from __future__ import annotations

import warnings

import pytest
from matplotlib import pyplot as plt
from PIL import Image

from analysis.__main__ import main
from analysis.data import load
from analysis.data.frames import tidy
from analysis.figures import CAPTIONS, figures_of, write_figures
from analysis.figures.comparisons import before_after, cost_quality, cross_matrix, settings, wins
from analysis.figures.curves import band, by_prompt, score_against_judge
from analysis.figures.style import FAINT, INK, MARKERS, legend_above, method_markers, metric_colors, panels, style
from analysis.numbers.slices import slices
from analysis.numbers.statistics import FEWEST_PROMPTS
from analysis.tables import cells, cross_metric, metric_against_metric
from reno.config.prompt_sets import load_prompts
from reno.spec.prompts import Binding, Prompt
from scripts.synthesise_store import Truth, configurations, synthesise

BINDINGS = (Binding("red", "car"), Binding("blue", "cup"))

CONFIGURED = [c for c in configurations(iterations=(5, 8)) if c.method["name"] == "reno"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store on disk of eight prompts, some of them hostile."""
    texts = ["$x_1^2$ & {", "<script>", "🐶 \\frac{a}{b}", "a\nb", "p4", "p5", "p6", "a long prompt " * 12]
    root = tmp_path_factory.mktemp("figures") / "results"
    prompts = {"test": [Prompt(text, BINDINGS) for text in texts]}
    synthesise(root, 200, prompts=prompts, configured=CONFIGURED, truth=Truth(failures=0), seeds=1)
    return root


def drawn_of(cut):
    """The tables that figures are drawn from."""
    return [table(cell) for cell in cells(cut) for table in (metric_against_metric, cross_metric)]


@pytest.fixture(scope="module")
def read(store):
    results = load(store)
    cut = slices(results)
    return results, cut, drawn_of(cut)


@pytest.mark.slow
def test_every_figure_is_written_twice_the_same_without_a_warning(read, tmp_path):
    results, cut, tables = read
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = list(write_figures(results, cut[:1], tables, tmp_path / "one"))
    assert {figure.name for figure in figures} == set(CAPTIONS)
    for figure in figures:
        assert figure.pdf.read_bytes().startswith(b"%PDF")
        with Image.open(figure.png) as image:
            assert image.width >= 600 and len(image.convert("RGB").getcolors(1 << 20)) > 10
    (again,) = [f for f in write_figures(results, cut[:1], tables, tmp_path / "two") if f.name == "wins"]
    (first,) = [f for f in figures if f.name == "wins"]
    assert again.pdf.read_bytes() == first.pdf.read_bytes() and again.png.read_bytes() == first.png.read_bytes()
    assert not plt.get_fignums()


def test_curves_are_means_over_prompts_with_a_band_around_them(read):
    results, cut, _ = read
    trials = cut[0].select(method="reno", metric="clip", iterations=8.0, lr=0.05)
    table = by_prompt(trials, results, "score")
    assert table.shape == (8, 9)
    first = results.traces([trials["trial"].iloc[0]])["score"]
    assert table.loc[trials["prompt"].iloc[0]].tolist() == first.tolist()
    mean, low, high = band(table)
    assert (low <= mean).all() and (mean <= high).all() and (low[1:] < high[1:]).all()
    assert (by_prompt(trials, results, "score", best_so_far=True).diff(axis="columns").iloc[:, 1:] >= 0).all(axis=None)


def test_the_judge_has_a_mark_at_each_budget_and_none_between(read):
    results, cut, _ = read
    with style():
        figure = score_against_judge(cut[0], results).canvas
    below = figure.axes[1]
    marked = {round(x) for line in below.lines if line.get_marker() == "o" for x in line.get_xdata()}
    assert marked <= {0, 1, 5, 6, 8, 9}  # metrics are set apart by a little
    plt.close(figure)


def test_win_bars_hold_the_counts_of_the_table(read):
    _, cut, _ = read
    (cell,) = cells(cut)
    table = metric_against_metric(cell)
    with style():
        figure = wins(cell[0], table).canvas
    assert cell[0].judge == "oracle"
    rows = table.frame[(table.frame["judge"] == "oracle") & (table.frame["method"] == "reno")]
    total = rows[rows["measure"] == "fully_bound"][["win", "tie", "loss"]].sum()
    widths = [container[-1].get_width() for container in figure.axes[0].containers]
    assert widths == pytest.approx((total / total.sum()).tolist())
    plt.close(figure)


def test_the_matrix_shows_each_metric_by_each(read):
    _, cut, _ = read
    (cell,) = cells(cut)
    with style():
        figure = cross_matrix(cross_metric(cell)).canvas
    axis = figure.axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["clip", "blip"]
    assert [tick.get_text().split("\n")[0] for tick in axis.get_xticklabels()] == ["clip", "blip", "oracle", "blip_vqa"]
    plt.close(figure)


def test_a_share_has_an_axis_from_0_to_1_and_its_legend_covers_no_mark(read):
    results, cut, tables = read
    draw = figures_of(cut[:1], results, tables)
    for name in ("settings", "before_after", "cost_quality", "score_against_judge"):
        with style():
            figure = draw[name, "oracle"]().canvas
        figure.canvas.draw()
        axes = figure.axes
        assert axes[-1].get_ylim() == pytest.approx((-0.03, 1.03)), name
        for legend in figure.legends:
            assert not any(legend.get_window_extent().overlaps(axis.get_window_extent()) for axis in axes), name
        assert not any(axis.get_legend() for axis in axes), name
        plt.close(figure)


@pytest.mark.parametrize("seconds", [(4.6, 6.8), (0.2, 3.0), (2.0, 2.0), (1.0, 900.0)])
def test_the_axis_of_seconds_has_several_labels(seconds, record):
    records = [
        record(f"p{k}", metric=m, seconds=s) for k in range(3) for m, s in zip(("clip", "blip"), seconds, strict=True)
    ]
    with style():
        figure = cost_quality(slices(tidy(records))[0]).canvas
    figure.canvas.draw()
    (axis,) = figure.axes
    low, high = axis.get_xlim()
    shown = [t for t in axis.xaxis.get_major_ticks() if low <= t.get_loc() <= high and t.label1.get_text()]
    assert len(shown) >= 3
    plt.close(figure)


def test_many_methods_have_a_panel_a_metric_and_a_legend_that_is_whole(record):
    """One image without a search takes no time to speak of, and does not make the axis of seconds logarithmic."""
    methods = {"reno": 1.0, "reno_warm": 0.9, "halving": 0.8, "zero_order": 0.5, "best_of_n": 0.4, "none": 0.01}
    records = [
        record(f"p{k}", metric=metric, method=method, seconds=seconds)
        for k in range(2) for metric in ("clip", "blip") for method, seconds in methods.items()
    ]  # fmt: skip
    with style():
        figure = cost_quality(slices(tidy(records))[0]).canvas
    figure.canvas.draw()
    assert [axis.get_title() for axis in figure.axes] == ["optimising clip", "optimising blip"]
    assert all(axis.get_xscale() == "linear" and axis.get_xlim()[0] == 0 for axis in figure.axes)
    (legend,) = figure.legends
    handles = legend.legend_handles
    assert [handle.get_label() for handle in handles] == list(methods)
    assert len({(handle.get_color(), handle.get_marker()) for handle in handles}) == len(methods)
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert not any(box.overlaps(axis.get_window_extent()) for axis in figure.axes)
    plt.close(figure)


def test_four_metrics_have_two_lines_of_panels_and_a_mark_of_one_image_is_seen_on_any_axis(record):
    methods = {"reno": 9.0, "reno_warm": 0.9, "halving": 0.8, "zero_order": 0.5, "of_ones_own" * 5: 0.4, "none": 0.01}
    records = [
        record(f"p{k}", metric=metric, method=method, seconds=seconds)
        for k in range(2) for metric in ("clip", "blip", "hpsv2") for method, seconds in methods.items()
    ]  # fmt: skip
    with style():
        figure = cost_quality(slices(tidy(records))[0]).canvas
    figure.canvas.draw()
    assert len(figure.axes) == 3 and len({round(axis.get_position().y0, 3) for axis in figure.axes}) == 2
    for axis in figure.axes:
        low, high = axis.get_xlim()
        assert axis.get_xscale() == "log" and low < 0.01 and high > 9
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert not any(box.overlaps(axis.get_tightbbox()) for axis in figure.axes)
    plt.close(figure)


def test_a_legend_above_has_as_many_columns_as_fit():
    from matplotlib.lines import Line2D

    for letters, columns in ((3, 4), (6, 3), (10, 2), (30, 1)):
        with style():
            figure, _ = panels(1, 2.4)
            legend_above(figure, [Line2D([], [], label="m" * letters) for _ in range(5)])
        (legend,) = figure.legends
        assert legend._ncols == columns
        assert columns == 1 or legend.get_window_extent().width <= figure.bbox.width
        plt.close(figure)


def test_up_and_down_have_no_colour_of_another_metric(read):
    _, cut, _ = read
    colors = metric_colors(cut[0].metrics)
    with style():
        figure = before_after(cut[0]).canvas
    for axis, metric in zip(figure.axes, ("clip", "blip"), strict=True):
        assert {line.get_color() for line in axis.lines} <= {colors[metric], FAINT, INK}
        for line in axis.lines[:-1]:
            assert (line.get_linestyle() == ":") == (line.get_ydata()[1] < line.get_ydata()[0])
    plt.close(figure)


def test_figures_of_little_are_left_out_and_not_broken(record):
    """No judge; a single trial; no ReNO at all. A contact sheet says where an image cannot be read."""
    import pandas as pd

    for records in ([record(judges=())], [record()], [record(method="none")]):
        results = tidy(records)
        rows = [
            {"trial": r.id, "iteration": k, "loss": 1.0, "score": 1.0, "seconds": 1.0} for r in records for k in (0, 1)
        ]
        results.__dict__["all_traces"] = pd.DataFrame(rows)
        cut = slices(results)
        for draw in figures_of(cut, results, drawn_of(cut)).values():
            with style():
                if (drawing := draw()) is not None:
                    drawing.canvas.canvas.draw()
                    plt.close(drawing.canvas)


def test_a_note_promises_no_intervals_where_there_are_none(record):
    def notes_of(prompts):
        records = [record(f"prompt {k}", metric=metric) for k in range(prompts) for metric in ("clip", "blip")]
        (one,) = slices(tidy(records))
        with style():
            drawings = [settings(one), cost_quality(one)]
        for drawing in drawings:
            plt.close(drawing.canvas)
        return [drawing.note for drawing in drawings]

    assert all("95% intervals over prompts" in note for note in notes_of(FEWEST_PROMPTS))
    assert all("There are no error bars" in note for note in notes_of(FEWEST_PROMPTS - 1))


def test_colours_and_marks_follow_the_order_of_the_store_and_all_differ():
    colors = metric_colors(["clip", "blip", "clip+blip", "blip_itc", "clip_vit_h"])
    assert (colors["clip"], colors["blip"]) == ("#0072B2", "#D55E00") and len(set(colors.values())) == 5
    markers = method_markers(["reno", "tiny_walk", "long_walk", "none"])
    assert len(set(markers.values())) == len(MARKERS) + 2


def test_a_metric_that_claims_name_keeps_its_colour_where_the_other_was_not_run(record):
    (one,) = slices(tidy([record(metric="blip")]))
    assert metric_colors(one.metrics)["blip"] == "#D55E00"


def test_the_command_writes_tables_and_claims_and_answers_an_empty_store_in_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("analysis.figures.write_figures", lambda *_: iter(()))
    small = tmp_path / "small"
    synthesise(small, 4, configured=CONFIGURED[:1], prompts={"test": load_prompts("report").prompts})
    assert main([str(small), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "claims.md").read_text().startswith("# Claims")
    assert len(list((tmp_path / "out" / "tables").iterdir())) == 16 * 3
    assert "(b) “CLIP beats BLIP overall”: undecided (" in capsys.readouterr().out
    assert main([str(small), str(tmp_path / "none"), f"labels={tmp_path / 'labels.csv'}"]) == 2
    assert "labels.csv cannot be read" in capsys.readouterr().err and not (tmp_path / "none").exists()
    assert main([str(tmp_path / "nothing"), str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no folder")
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").touch()
    assert main([str(small), str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
