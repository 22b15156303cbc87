"""The bench: its arithmetic, its table, what it refuses and keeps, and one part from the command to the files. That it
is quick is not asserted anywhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from benchmarks import setting
from benchmarks.__main__ import main
from benchmarks.apart import Failed, apart
from benchmarks.arithmetic import matrix_rate, tflop_of
from benchmarks.parts import PARTS, loop, measures, speed
from benchmarks.readme import CPU_MARKS, GPU_MARKS, check_readme
from benchmarks.rows import Found, Row, as_csv, markdown, row_from
from benchmarks.setting import PROMPTS, Setting, prompts, setting_from
from benchmarks.timing import MIB, in_turn, off_the_line, ratio
from reno.running.provenance import peak_host_bytes
from reno.spec.errors import BadInput

# --- The arithmetic -----------------------------------------------------------------------------------------


def test_sides_are_measured_in_turn_and_every_other_round_backwards():
    order = []

    def side(name):
        def measured():
            order.append(name)
            return float(len(order))

        return measured

    found = in_turn({name: side(name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"
    assert found == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_what_disturbs_a_whole_round_does_not_move_the_ratio():
    quiet, disturbed = [1.1, 1.1, 1.1], [1.0, 1.0, 1.0]
    assert ratio(quiet, disturbed) == pytest.approx(1.1)
    assert ratio([1.1, 7.7, 1.1], [1.0, 7.0, 1.0]) == pytest.approx(1.1)
    assert ratio([1.1, 9.9, 1.2], [1.0, 1.0, 1.0]) == pytest.approx(1.2)  # a median, not a mean
    with pytest.raises(ValueError):
        ratio([1.0], [1.0, 2.0])


def test_the_distance_from_a_line():
    assert off_the_line([1, 2, 4], [5, 7, 11]) == pytest.approx((2, 0))
    slope, furthest = off_the_line([0, 1, 2], [0, 1, 0])
    assert (slope, furthest) == pytest.approx((0, 2 / 3))  # the line is flat at 1/3
    with pytest.raises(BadInput, match="two different x values"):
        off_the_line([1, 1], [1, 2])


def test_an_iteration_is_what_passes_between_two_gradients():
    """Of two batches of three iterations: the first step of each, its last image and what comes after do not count."""
    clocks = [[10.0, 12.0, 14.0, 99.0, 100.0], [200.0, 203.0, 206.0, 250.0, 251.0]]
    assert loop.seconds_per_iteration(clocks, 3) == pytest.approx((4 + 6) / 4)


def test_the_peak_is_this_processs_own():
    before = peak_host_bytes()
    block = bytearray(b"x") * (before - psutil.Process().memory_info().rss + 64 * MIB)
    assert peak_host_bytes() > before + 48 * MIB
    del block
    assert peak_host_bytes() > before + 48 * MIB


@pytest.mark.slow
def test_the_peak_of_a_launched_process_is_not_its_parents():
    """getrusage begins with the size of the process that started this one."""
    block = bytearray(b"x") * (1024 * MIB)
    assert apart("reno.running.provenance:peak_host_bytes") < len(block) < peak_host_bytes()


def test_the_arithmetic_of_a_call_is_counted():
    """A convolution of 3 x 3 from 2 to 4 channels on 5 x 5, its backward to the input, and a product."""
    image, kernel = torch.ones(1, 2, 5, 5, requires_grad=True), torch.ones(4, 2, 3, 3)
    convolution = 2 * (2 * 3 * 3) * 4 * 5 * 5

    def run():
        torch.autograd.grad(torch.nn.functional.conv2d(image, kernel, padding=1).sum(), image)
        return torch.ones(6, 7) @ torch.ones(7, 8)

    assert tflop_of(run) == pytest.approx((2 * convolution + 2 * 6 * 7 * 8) / 1e12)
    assert matrix_rate(torch.device("cpu"), torch.float32, 64, 1) > 0


def test_a_batchs_seconds_are_those_until_its_last_trial_is_stored(monkeypatch):
    watch = speed.TrialWatch()
    clock = iter([10.0, 12.0, 18.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    watch.batch_begins(None)
    trace = [{"seconds": seconds} for seconds in (9.0, 8.0, 7.0, 0.5, 0.3, 0.4, 6.0)]  # prepared, replayed, the last
    watch.batch_ends(None, SimpleNamespace(trials=[SimpleNamespace(trace=trace)]))
    watch.trial_stored(None), watch.trial_stored(None)
    assert watch.trial_seconds == 4.0 and watch.iteration == 0.4


def test_what_cannot_be_measured_costs_only_its_own_figures():
    asked = speed.Speed(setting.testbed(1, quick=True), speed.EFFORTS["quick"])
    asked.device = torch.device("cpu")

    def fails():
        raise torch.OutOfMemoryError("CUDA out of memory")

    (row,) = asked._while_time("a batch of 16", fails)
    assert row.value is None and row.note == "it ran out of memory"
    asked.deadline = 0.0
    (row,) = asked._while_time("the notebook's loop", lambda: pytest.fail("begun"))
    assert row.note == "the time was up"


# --- The table ----------------------------------------------------------------------------------------------

ROWS = (
    Row("a thing", 1.234567, "s", "another", 2.0, 0.6172835, at_most=0.7),
    Row("too | slow", 1200.0, "s", "another", 1000.0, 1.2, at_most=1.15),
    Row("fast enough", 1.5, "x/s", "one", 1.0, 1.5, at_least=1.3),
    Row("within", 0.95, "GiB", "measured", 1.0, 0.95, at_least=0.9, at_most=1.1),
    Row("below", 0.5, "GiB", "measured", 1.0, 0.5, at_least=0.9, at_most=1.1),
    Row("lacking", None, "s", note="it does not run here"),
)


def test_a_target_is_reached_or_not_or_there_is_none():
    assert [row.reached for row in ROWS] == [True, False, True, True, False, None]
    assert [row.target for row in ROWS] == ["≤ 0.7", "≤ 1.15", "≥ 1.3", "≥ 0.9, ≤ 1.1", "≥ 0.9, ≤ 1.1", ""]


def test_the_table_in_markdown():
    lines = markdown([Found("part", "models", ROWS)]).splitlines()
    assert lines[2] == "| part | models | a thing | 1.23 s | 2 s (another) | 0.617 | ≤ 0.7 | yes |"
    assert lines[3] == "| part | models | too \\| slow | 1,200 s | 1,000 s (another) | 1.200 | ≤ 1.15 | **no** |"
    assert lines[-1] == "| part | models | lacking; it does not run here | not measured |  |  |  |  |"


def test_the_table_in_csv_keeps_every_digit():
    rows = list(csv.DictReader(io.StringIO(as_csv([Found("part", "models", ROWS)]))))
    assert [row["reached"] for row in rows] == ["True", "False", "True", "True", "False", ""]
    assert float(rows[0]["value"]) == 1.234567 and float(rows[0]["ratio"]) == 0.6172835
    assert rows[-1]["value"] == "" and rows[1]["what"] == "too | slow"


def test_a_row_and_a_setting_survive_json():
    for row in ROWS:
        assert row_from(json.loads(json.dumps(vars(row)))) == row
    setting = Setting("name", ("models=testbed",), "quick")
    assert setting_from(json.loads(json.dumps(vars(setting)))) == setting


# --- What it measures on ------------------------------------------------------------------------------------


def test_every_part_knows_what_it_is_for():
    for part in PARTS:
        assert measures(part, "gpu")
        assert measures(part, "testbed") == measures(part, "quick") == (part != "trial")
    assert not measures("batch", "full")  # a CPU is full with one trial


def test_the_prompts_are_distinct_and_of_the_embedded_world():
    from reno.prompts.reader import prompt_from_text
    from reno.testbed.world import COLORS, OBJECTS

    assert len(set(PROMPTS)) == len(PROMPTS) >= 32 and prompts(2) == f"prompt=[{PROMPTS[0]},{PROMPTS[1]}]"
    for text in PROMPTS:
        bindings = prompt_from_text(text, "prompt").bindings
        assert len(bindings) == 2
        assert all(binding.attribute in COLORS and binding.object in OBJECTS for binding in bindings)


# --- The command --------------------------------------------------------------------------------------------

PAGE = f"before\n{CPU_MARKS.begin}\nstale\n{CPU_MARKS.end}\nbetween\n{GPU_MARKS.begin}\nblank\n{GPU_MARKS.end}\nafter\n"


@pytest.mark.slow
def test_one_part_from_the_command_to_the_files_and_kept(tmp_path, monkeypatch, capsys):
    out, page_of_docs = tmp_path / "out", tmp_path / "cost.md"
    page_of_docs.write_text(PAGE, "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["--quick", "--only", "batch", "--out", str(out), "--threads", "1", "--readme", str(page_of_docs)]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert table.count("| batch | testbed, CLIP | images of ") == 2 and table.count("the best here") == 1
    page = (out / "bench.md").read_text("utf-8")
    assert table.strip() in page and "1 thread" in page and "torch" in page and "these figures mean nothing" in page
    (record,) = json.loads((out / "bench.json").read_text())
    one, two = record["rows"]
    assert one["ratio"] == 1 and two["ratio"] == pytest.approx(two["value"] / one["value"])
    assert record["environment"]["threads"] == 1
    assert len((out / "bench.csv").read_text().splitlines()) == 3
    written = page_of_docs.read_text("utf-8")
    assert written.startswith(f"before\n{CPU_MARKS.begin}\n") and table.strip() in written and "stale" not in written
    assert written.endswith(PAGE[PAGE.index(CPU_MARKS.end) :])
    for text in (page, written, (out / "bench.json").read_text(), (out / "bench.csv").read_text()):
        assert str(tmp_path) not in text
    assert not (tmp_path / "cache").exists()  # a quick look teaches batch_size=auto nothing
    monkeypatch.setattr("benchmarks.__main__.apart", lambda *_, **__: pytest.fail("measured again"))
    assert main(words) == 0
    assert "kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "lop"], "did you mean 'loop'"),
        (["--threads", "0"], "argument --threads: must be a whole number, 1 to "),
        (["--readme", "no-such-file.md"], "no-such-file.md cannot be read"),
        (["--out", "/dev/null/x"], "/dev/null/x cannot be written"),
        (["--gpu"], "there is no CUDA GPU here"),
    ],
)
def test_what_cannot_be_used_gets_one_sentence_exit_status_2_and_leaves_nothing(
    words, says, tmp_path, monkeypatch, capsys
):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and not said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--quick", "--gpu"], ["--quick", "--full-size", "models"]])
def test_a_quick_look_is_refused_where_there_is_none(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr().err == "error: --quick is for the embedded models on the CPU; --help lists the options\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", PAGE.replace(CPU_MARKS.begin, ""), PAGE + PAGE])
def test_a_page_without_its_marks_is_refused_and_stays(text, tmp_path, capsys):
    page = tmp_path / "cost.md"
    page.write_text(text, "utf-8")
    assert main(["--readme", str(page), "--out", str(tmp_path / "out")]) == 2
    assert "needs the line" in capsys.readouterr().err
    assert page.read_text("utf-8") == text and not (tmp_path / "out").exists()


@pytest.mark.parametrize("gpu", [False, True])
def test_the_documentation_has_both_marked_parts(gpu):
    check_readme(Path(__file__).parents[2] / "docs" / "cost.md", gpu)


def test_the_help_names_the_page_that_is_written(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "docs/cost.md" in capsys.readouterr().out


def fake_part(answers):
    """What stands for a part's process: answers by part; an exception is raised."""

    def answer(function, *, part, setting):
        found = answers[part]
        if isinstance(found, BaseException):
            raise found
        around = {"device": "cpu", "threads": 1, "git": None}
        around["versions"] = dict.fromkeys(("python", "torch", "diffusers", "transformers"), "1")
        return {"rows": [vars(row) for row in found], "environment": around}

    return answer


def test_a_part_that_fails_does_not_stop_the_others_and_an_interrupt_keeps_what_is_done(tmp_path, monkeypatch, capsys):
    row = Row("a thing", 1.0, "s")
    words = ["--only", "loop,batch,sweep", "--out", str(tmp_path)]
    broken = {"loop": [row], "batch": Failed("it ended with exit status 1"), "sweep": KeyboardInterrupt()}
    monkeypatch.setattr("benchmarks.__main__.apart", fake_part(broken))
    assert main(words) == 130
    said = capsys.readouterr().err
    assert "failed: batch, testbed, CLIP: it ended with exit status 1" in said and "goes on where this one" in said
    assert "| loop | testbed, CLIP | a thing |" in (tmp_path / "bench.md").read_text("utf-8")
    monkeypatch.setattr("benchmarks.__main__.apart", fake_part({"batch": Failed("again"), "sweep": [row]}))
    assert main(words) == 1  # loop is kept
    monkeypatch.setattr("benchmarks.__main__.apart", fake_part({"batch": [row]}))
    assert main(words) == 0
    assert [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[-4:]] == [
        "| ---", "| loop", "| batch", "| sweep",
    ]  # fmt: skip


def test_other_threads_are_another_question(tmp_path, monkeypatch):
    asked = []
    answer = fake_part({"loop": [Row("a thing", 1.0, "s")]})
    monkeypatch.setattr(
        "benchmarks.__main__.apart", lambda *words, **named: (asked.append(named), answer(*words, **named))[1]
    )
    for words in ([], [], ["--threads", "1"], ["--threads", "1"], ["--threads", "1", "--again"]):
        assert main(["--only", "loop", "--out", str(tmp_path), *words]) == 0
    assert len(asked) == 3


def test_a_call_in_a_process_of_its_own_answers_and_fails_as_here():
    assert apart("benchmarks.timing:ratio", values=[3.0], baseline=[2.0]) == 1.5
    with pytest.raises(BadInput, match="two different x values"):
        apart("benchmarks.timing:off_the_line", x=[1, 1], y=[1, 2])
    with pytest.raises(Failed, match="exit status 1"):
        apart("benchmarks.timing:ratio", values=[3.0], baseline=[])


# --- The parts ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("batch", "trial")])
def test_every_part_runs(part, tmp_path):
    out = tmp_path / "out"
    assert main(["--quick", "--only", part, "--out", str(out), "--threads", "1"]) == 0
    (record,) = json.loads((out / "bench.json").read_text())
    assert record["rows"] and all(row["value"] is not None for row in record["rows"])
    assert all(row["value"] >= 0 for row in record["rows"] if "growth" not in row["what"])


@pytest.mark.slow
def test_the_notebooks_loop_and_ours_do_the_same():
    """They are compared, so they have to do the same work: from one noise, the same losses step by step."""
    import torch

    from benchmarks.parts.notebook import notebook
    from reno.running.batch import run_batch
    from reno.running.plan import make_plan
    from reno.running.pool import ModelPool

    words = ("models=testbed", "device=cpu", "threads=1")
    setting = Setting("testbed", words, "quick")
    job = setting.job(prompts(1), "seed=0", "own_noise=false", "iterations=2")
    plan = make_plan(job)
    *_, done = run_batch(plan.trials, job.settings, "clip", ModelPool().load(plan, torch.device("cpu")))
    found = notebook(vars(setting), trials=1, iterations=3)
    ours = [row["loss"] for row in done.trials[0].trace]
    assert found["losses"] == pytest.approx(ours, rel=1e-3)
