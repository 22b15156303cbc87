"""The first seven tables on stores small enough to work out by hand, and what all tables have in common."""

from __future__ import annotations

import msgspec
import pandas as pd
import pytest
from msgspec.structs import replace
from scipy.stats import chi2

from analysis.claims import claims_on
from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.tables import all_tables, cells, tables_of
from analysis.tables.broken import broken, broken_trials
from analysis.tables.controls import FRAME as CONTROLS_FRAME
from analysis.tables.controls import at_equal_seconds, controls
from analysis.tables.cost import cost
from analysis.tables.cross import cross_metric
from analysis.tables.files import to_csv, to_latex, to_markdown
from analysis.tables.headline import headline
from analysis.tables.tuned import tuned
from analysis.tables.versus import FRAME, metric_against_metric
from reno.spec.prompts import Binding
from reno.store.records import ExecutionRecord, GitState
from tests.analysis.conftest import tuned_records

RIGHT, WRONG, HALF, APART = ("right",) * 2, ("gone",) * 2, ("right", "gone"), ("swapped",) * 2


def cell_of(results):
    (cell,) = cells(slices(results))
    return cell


def traces(results, trials):
    """Gives results the traces it would read: trial -> (scores, seconds an image)."""
    rows = [
        {"trial": trial, "iteration": k, "loss": 100 - score, "score": score, "seconds": seconds}
        for trial, (scores, seconds) in trials.items()
        for k, score in enumerate(scores)
    ]
    results.__dict__["all_traces"] = pd.DataFrame(rows)
    return results


def test_the_headline_by_hand(many):
    results = many({"clip": [(WRONG, RIGHT)] * 5 + [(RIGHT, RIGHT)] * 2 + [(HALF, APART)] * 1})
    table = headline(cell_of(results))
    row = table.frame.iloc[0]
    assert row["fully_bound_before"] == 2 / 8 and row["fully_bound_after"] == 7 / 8
    assert row["fully_bound_change"] == pytest.approx(5 / 8)
    assert row["bound_before"] == pytest.approx(2.5 / 8) and row["bound_after"] == pytest.approx(7 / 8)
    assert row["objects_before"] == pytest.approx(2.5 / 8) and row["objects_after"] == 1
    assert row["bound_given_present_before"] == 1 and row["bound_given_present_after"] == pytest.approx(7 / 8)
    assert row["swapped_after"] == pytest.approx(1 / 8)
    assert row["score:clip_change"] == pytest.approx(2.0)
    assert row["fully_bound_change_low"] < 5 / 8 < row["fully_bound_change_high"]
    # McNemar: of five prompts that move, all move up. Five are too few for a verdict, whatever the score test says.
    assert row["fully_bound_p"] == pytest.approx(chi2.sf(5, 1)) and row["fully_bound_differing"] == 5
    assert row["fully_bound_verdict"] == "undecided" and row["fully_bound_why"].startswith("only 5 prompts differ")
    assert (row["prompts"], row["seeds"], row["trials"], row["kin"]) == (8, 8, 8, False)
    assert not [name for name in table.frame if "holm" in name]
    assert table.shown["prompts fully bound"].iloc[0] == "0.25 → 0.88" and table.shown["n"].iloc[0] == "8 × 1 own (8)"
    assert table.shown["change"].iloc[0].startswith("+0.62 [") and not table.shown["change"].iloc[0].endswith("*")
    more = headline(cell_of(many({"clip": [(WRONG, RIGHT)] * 6 + [(RIGHT, RIGHT)] * 2})))
    assert more.frame["fully_bound_verdict"].iloc[0] == "better" and more.shown["change"].iloc[0].endswith("*")


def test_no_optimisation_is_shown_and_not_tested(many):
    results = many({"clip": [(WRONG, WRONG)] * 3 + [(RIGHT, RIGHT)] * 4}, method="none")
    row = headline(cell_of(results)).frame.iloc[0]
    assert row["fully_bound_change"] == 0 and pd.isna(row["fully_bound_p"])
    assert row["fully_bound_change_interval"] == "equal" and row["fully_bound_verdict"] == "undecided"
    assert row["fully_bound_after_high"] - row["fully_bound_after_low"] > 0.3


def test_failed_and_missing_trials_are_shown_in_their_row_and_said(record, job):
    records = [record(f"p{k}") for k in range(9)]
    states = {7: {"state": "failed", "reason": "nan"}, 8: {"state": "not run"}}
    table = headline(cell_of(tidy(records[:7], [job(records, states)])))
    assert table.frame.loc[0, ["failed", "damaged", "missing"]].tolist() == [1, 0, 1]
    assert table.shown["failed, missing"].tolist() == ["1, 1"]
    assert any("1 failed, 1 missing" in note for note in table.all_notes)


def test_a_kin_judge_is_marked_in_every_table(record):
    records = [
        record(
            f"p{k}", metric=metric, method=method, before=RIGHT, after=HALF, prompts=prompts, judges=(("vqa", "blip"),)
        )
        for k in range(7)
        for metric in ("clip", "blip")
        for method in ("reno", "best_of_n")
        for prompts in (("pairs_dev" if k > 5 else "pairs_test"),)
    ]
    results = tidy(records)
    traces(results, {row.id: ([1.0, 2.0], 1.0) for row in records})
    found = slices(results)
    cell = next(cell for cell in cells(found) if cell[0].prompt_set == "pairs_test")
    for table in tables_of(cell, found, results):
        assert any("vqa is kin to blip" in note for note in table.all_notes), table.name
        if table.empty:
            continue
        for write in (to_markdown, to_latex):
            assert "kin" in write(table)
        if table.name == "cross_metric":
            judged = table.frame[table.frame["scorer"] == "vqa"]
            assert judged["kin"].tolist() == [metric == "blip" for metric in judged["metric"]]
        elif "judge" in table.frame:
            assert "kin" in table.frame and table.frame["kin"].any()
            marked = table.shown["judge"].str.endswith("†")
            if table.name in ("kinds", "words", "instead"):  # a column a metric, one of them a blip
                assert marked.all()
                continue
            expected = table.frame["kin"] & (table.shown["judge"] != "–")
            assert marked.tolist() == expected.tolist(), table.name


def test_clip_against_blip_by_hand_on_an_unbalanced_sweep(many):
    results = many({"clip": [(WRONG, RIGHT)] * 6 + [(WRONG, WRONG)] * 2, "blip": [(WRONG, HALF)] * 7})
    table = metric_against_metric(cell_of(results))
    row = table.frame.set_index("measure").loc["fully_bound"]
    assert (row["a"], row["b"], row["value_a"], row["value_b"]) == ("clip", "blip", pytest.approx(6 / 7), 0)
    assert (row["win"], row["tie"], row["loss"], row["pairs"]) == (6, 1, 0, 7)
    assert (row["unpaired_a"], row["unpaired_b"]) == (1, 0)
    assert row["p"] == pytest.approx(chi2.sf(6, 1)) and row["verdict"] == "better" and row["differing"] == 6
    assert pd.isna(row["d_z"]) and "rank_biserial" not in table.frame and table.frame.columns.tolist() == list(FRAME)
    assert table.shown["p"].iloc[0] == f"{row['p']:.3f}" and table.shown["verdict"].iloc[0] == "better"
    swapped = table.frame.set_index("measure").loc["swapped"]
    assert (swapped["difference"], swapped["p"], swapped["verdict"]) == (0, 1, "undecided")
    assert swapped["difference_high"] == pytest.approx(1.959964**2 / (7 + 1.959964**2), abs=1e-6)
    assert table.shown["verdict"].iloc[5] == "undecided (+45)"  # 52 without a difference would be within the margin
    assert any("unbalanced" in note and "1 of clip and 0 of blip" in note for note in table.notes)
    assert len(table.frame) == 6


def test_metrics_at_different_settings_are_not_compared(record):
    records = [record(f"p{k}", metric="clip", lr=0.01) for k in range(6)]
    records += [record(f"p{k}", metric="blip", lr=0.05) for k in range(6)]
    table = metric_against_metric(cell_of(tidy(records)))
    assert table.frame.empty and "nothing to compare" in table.notes[0]
    assert "nothing to compare" in to_markdown(table)


def tuned_store(record, blip_dev=0.05):
    """clip is best at lr 0.05 on dev, where it is bad on test; blip at `blip_dev`."""
    records = []
    for metric, best in (("clip", 0.05), ("blip", blip_dev)):
        for lr in (0.01, 0.05):
            dev = RIGHT if lr == best else WRONG
            test = HALF if lr == best else RIGHT
            records += [record(f"d{k}", metric=metric, lr=lr, after=dev, prompts="pairs_dev") for k in range(4)]
            records += [
                record(f"t{k}", metric=metric, lr=lr, after=test if metric == "clip" else RIGHT) for k in range(8)
            ]
    return tidy(records)


def test_settings_are_chosen_on_dev_prompts_and_reported_on_test_prompts(record):
    found = slices(tuned_store(record, blip_dev=0.01))
    cell = next(cell for cell in cells(found) if cell[0].prompt_set == "pairs_test")
    table = tuned(cell, found)
    clip, blip = table.frame[table.frame["row"] == "after − before"].to_dict("records")
    assert (clip["settings_a"], clip["dev_a"], clip["value_a"]) == (
        "50 it., lr 0.05",
        1.0,
        0.0,
    )  # not the test's own best
    assert (blip["settings_a"], blip["value_a"]) == ("50 it., lr 0.01", 1.0)
    apart = table.frame[table.frame["measure"] == "bound"].iloc[0]
    assert (apart["row"], apart["difference"]) == ("clip − blip", pytest.approx(-0.5))
    dev = next(cell for cell in cells(found) if cell[0].prompt_set == "pairs_dev")
    assert "dev prompts themselves" in tuned(dev, found).notes[0]


def test_settings_are_compared_on_the_dev_pairs_that_all_have(record):
    """lr 0.05 was run on the easy dev prompt only, where all do well."""
    records = [record("easy", lr=0.01, prompts="x_dev"), record("hard", lr=0.01, after=WRONG, prompts="x_dev")]
    records += [record("easy", lr=0.05, prompts="x_dev")]
    records += [record(f"t{k}", lr=lr, prompts="x_test") for k in range(6) for lr in (0.01, 0.05)]
    found = slices(tidy(records))
    cell = next(cell for cell in cells(found) if cell[0].prompt_set == "x_test")
    row = tuned(cell, found).frame.iloc[0]
    assert row["settings_a"] == "50 it., lr 0.01" and row["dev_a"] == 1.0  # a tie goes to the smaller lr


def test_without_dev_prompts_nothing_is_chosen(many):
    cell = cell_of(many({"clip": [(WRONG, RIGHT)] * 6}))
    table = tuned(cell, cell)
    assert table.frame.empty and "no prompt set named *_dev" in table.notes[0]


def test_gains_across_metrics_by_hand(record):
    def scores(own, other, start):
        before, after = {"clip": start, "blip": start}, {"clip": start + own, "blip": start + other}
        return {"initial": before, "best": after, "last": after}

    records = [record(f"p{k}", metric="clip", scores=scores(6.0, 1.0, float(k))) for k in range(7)]
    table = cross_metric(cell_of(tidy(records)))
    gains = table.frame.set_index("scorer")
    sd = pd.Series(range(7)).std()
    assert gains.loc["clip", "gain"] == 6 and gains.loc["blip", "gain"] == 1
    assert gains.loc["clip", "gain_in_sd"] == pytest.approx(6 / sd)
    assert gains.loc["oracle", "gain"] == 1.0 and gains.loc["oracle", "scorer_is"] == "judge"
    assert set(table.shown.columns) == {
        "method",
        "metric",
        "settings",
        "blip (metric)",
        "clip (metric)",
        "oracle (judge)",
        "n",
    }


def test_controls_at_equal_images_and_at_equal_seconds(record):
    records = []
    for k in range(6):
        records.append(record(f"p{k}", iterations=50, after=RIGHT, seconds=4.0))
        records.append(record(f"p{k}", method="best_of_n", iterations=50, after=HALF, seconds=2.0))
        records.append(record(f"p{k}", method="best_of_n", iterations=110, after=RIGHT, seconds=4.4))
        records.append(record(f"p{k}", method="none", before=WRONG, after=WRONG, seconds=0.1))
    results = tidy(records)
    traces(results, {row.id: ([1.0, 2.0, 3.0], row.timings.seconds / 3) for row in records})
    table = controls(cell_of(results), results)
    values = table.frame[table.frame["measure"] == "bound"].set_index("control")
    assert values["control_value"].to_dict() == {
        "no optimisation": 0.0, "best of 51, equal images": 0.5, "best of 111, equal compute and seconds": 1.0,
    }  # fmt: skip
    assert values.loc["best of 111, equal compute and seconds", "seconds_ratio"] == pytest.approx(1.1)
    assert values["compute_ratio"].tolist() == pytest.approx([1 / 101, 51 / 101, 111 / 101])  # 2 x 50 steps, and 1
    assert table.frame.columns.tolist() == list(CONTROLS_FRAME)
    assert not table.frame.duplicated(["metric", "settings", "control", "measure"]).any()
    two = (("oracle", "none"), ("vqa", "blip"))
    judged = tidy([replace(row, judgements=record(judges=two).judgements) for row in records])
    judged.__dict__["all_traces"] = results.all_traces
    measured = controls(cell_of(judged), judged).frame.groupby("judge")["measure"].value_counts()
    assert measured["oracle", "score_at_equal_seconds"] == 1 and "score_at_equal_seconds" not in measured["vqa"]
    assert any("Not run here: decoder_only" in note for note in table.notes)
    short = tidy([row for row in records if row.spec.method.get("iterations") != 110])
    short.__dict__["all_traces"] = results.all_traces
    nearest = controls(cell_of(short), short)
    assert set(nearest.frame["control"]) == {"no optimisation", "best of 51, equal images"}
    assert any(
        note.startswith("No stored best of n has equal compute (n about 101) or equal") for note in nearest.notes
    )
    budgeted = nearest.frame[nearest.frame["measure"] == "score_at_equal_seconds"]
    assert budgeted["control"].tolist() == ["best of 51, equal images"]  # the traces are cut at equal seconds


def test_at_equal_seconds_both_are_cut_at_the_end_of_the_shorter(record):
    slow, quick = record("p0", seconds=8.0), record("p0", method="best_of_n", seconds=4.0)
    results = tidy([slow, quick])
    traces(results, {slow.id: ([1.0, 5.0, 6.0, 9.0], 2.0), quick.id: ([1.0, 7.0, 3.0, 4.0], 1.0)})
    (one,) = slices(results)
    a, b = at_equal_seconds(one.select(method="reno"), one.select(method="best_of_n"), results)
    assert a["budgeted/best"].tolist() == [5.0]  # two images in four seconds
    assert b["budgeted/best"].tolist() == [7.0]


def test_what_broke_is_counted_and_named(many):
    results = many({"clip": [(RIGHT, ("right", "swapped")), (HALF, RIGHT), (RIGHT, WRONG), *[(WRONG, WRONG)] * 4]})
    cell = cell_of(results)
    row = broken(cell).frame.iloc[0]
    assert (row["right_before"], row["broken_count"], row["wrong_before"], row["mended_count"]) == (5, 3, 9, 1)
    assert row["broken"] == pytest.approx(3 / 5) and row["mended"] == pytest.approx(1 / 9)
    assert row[["prompts_right_before", "prompts_wrong_before", "prompts"]].tolist() == [3, 5, 7]
    assert (row["broken_interval"], row["mended_interval"]) == ("none", "none")  # over too few prompts that had one
    named = broken_trials(cell).frame
    assert named[["prompt", "object", "now"]].to_numpy().tolist() == [
        ["p00", "thing1", "attribute elsewhere"], ["p02", "thing0", "both missing"], ["p02", "thing1", "both missing"],
    ]  # fmt: skip
    assert set(named["trial"]) < set(results.trials["trial"])


def test_cost_by_hand(record):
    records = [record(f"p{k}", iterations=49, seconds=seconds) for k, seconds in enumerate((1.0, 2.0, 7.0))]
    row = cost(cell_of(tidy(records))).frame.iloc[0]
    assert (row["seconds_median"], row["images_per_second"], row["peak_host_bytes"]) == (2.0, 15.0, 1e9)
    assert pd.isna(row["peak_device_bytes"])


@pytest.mark.filterwarnings("error")
def test_a_store_without_judges_or_with_a_single_trial_still_has_every_table(record):
    for records in ([record(judges=())], [record()], [record(method="none")], [record(before=(), after=())]):
        results = tidy(records)
        traces(results, {row.id: ([1.0, 3.0], 1.0) for row in records})
        tables = list(all_tables(results, slices(results)))
        assert [table.number for table in tables] == [*range(1, 8), *range(10, 19)]
        for table in tables:
            assert to_markdown(table) and to_latex(table) and "," in to_csv(table).splitlines()[0]


def test_every_table_has_a_number_of_its_own_and_they_are_in_order(record):
    records = [msgspec.structs.replace(record(), category="color")]
    results = traces(tidy(records), {})
    numbers = [table.number for table in all_tables(results, slices(results))]
    assert numbers == sorted(set(numbers))


def test_an_empty_table_is_one_line_and_a_csv_with_the_header_of_a_full_one(record):
    full = tidy(
        [
            record(prompt, metric=metric, method=method, before=RIGHT, after=HALF, prompts=prompts)
            for prompt, prompts in (("d", "pairs_dev"), ("t", "pairs_test"))
            for metric in ("clip", "blip")
            for method in ("reno", "none")
        ]
    )
    traces(full, {trial: ([1.0, 3.0], 1.0) for trial in full.trials["trial"]})
    cut = slices(full)
    headers = {table.name: list(table.frame.columns) for table in all_tables(full, cut) if not table.empty}
    bare = tidy([record(judges=(), method="none", scores={"initial": {}, "best": {}, "last": {}})])
    empty = [table for table in all_tables(bare, slices(bare)) if table.empty]
    assert {"versus", "tuned", "cross_metric", "controls", "broken", "broken_trials"} <= {table.name for table in empty}
    for table in empty:
        (header,) = to_csv(table).splitlines()
        assert header.split(",") == headers.get(table.name, list(table.frame.columns)), table.name
        assert len(to_markdown(table).splitlines()) == len(to_latex(table).splitlines()) == 1
        assert table.notes[0].split()[0] in to_markdown(table) and table.title in to_markdown(table)


def test_random_weights_are_said_in_every_table(record):
    results = tidy([record(random_weights=True)])
    traces(results, {row: ([1.0, 3.0], 1.0) for row in results.trials["trial"]})
    for table in all_tables(results, slices(results)):
        assert any("random" in note for note in table.all_notes), table.name


def test_few_shared_noises_are_said_and_three_get_an_interval_over_them(record):
    def table_of(seeds):
        records = [
            record(
                f"p{k}", seed, metric, after=RIGHT if (7 * k + 5 * seed + k * seed) % 4 or metric == "blip" else WRONG
            )
            for k in range(9)
            for seed in range(seeds)
            for metric in ("clip", "blip")
        ]
        return metric_against_metric(cell_of(tidy(records)))

    for seeds, words in ((1, "from one noise"), (2, "the same 2 noises"), (3, "the same 3 noises")):
        table = table_of(seeds)
        assert sum(words in note for note in table.all_notes) == 1
        row = table.frame.set_index("measure").loc["fully_bound"]
        assert row["difference_low"] < row["difference"] < row["difference_high"]
        if seeds < 3:
            assert row["over"] == "prompts" and row["verdict"] == "undecided"
            assert "nothing can be said of other noises; give at least 3 seeds" in row["why"]
        else:
            assert row["over"] == "prompts and noises"
            assert any("Intervals are 95% over prompts and noises" in note for note in table.notes)


def own_noise_store(record, prompts=9, seeds=2):
    """Two metrics and no optimisation, on noises that each prompt has of its own."""
    configured = (("clip", "reno"), ("blip", "reno"), ("clip", "none"))
    records = [
        record(f"p{k}", 1000 * k + seed, metric, method, after=RIGHT if (k + seed) % 3 and metric == "blip" else WRONG)
        for k in range(prompts)
        for seed in range(seeds)
        for metric, method in configured
    ]
    results = tidy(records)
    return traces(results, {row.id: ([1.0, 2.0], 1.0) for row in records})


def test_noises_of_each_prompts_own_are_said_and_no_caution_is(record):
    results = own_noise_store(record)
    found = slices(results)
    cell = cell_of(results)
    for table in tables_of(cell, found, results):
        said = " ".join(table.all_notes)
        assert said.count("Each prompt has its own noises (2 a prompt): intervals and tests over prompts") == 1
        assert "All prompts start from" not in said and "seeds (" not in said, table.name
        if "n" in table.shown:
            assert set(table.shown["n"]) <= {"9 × 2 own (18)", "9 × 2 own (36)"}, table.name
    table = metric_against_metric(cell)
    assert set(table.frame["over"]) == {"prompts"}
    assert table.frame.set_index("measure").loc["fully_bound", ["pairs", "seeds"]].tolist() == [18, 18]
    control = controls(cell, results).frame.query("metric == 'blip' and measure == 'fully_bound'").iloc[0]
    assert (control["control"], control["pairs"], control["unpaired_reno"]) == ("no optimisation", 18, 0)
    claim = next(claim for claim in claims_on(found[0]) if claim.key == "b")
    (part,) = claim.parts
    assert "9 prompts with 2 noises of their own each, 18 pairs" in part.sentence
    assert not any("All prompts start from" in caution for caution in claim.cautions)


def test_noises_of_which_some_are_shared_are_counted_as_seeds(record):
    records = [
        record(f"p{k}", seed, metric) for k in range(8) for seed in (0, 1, 2, 100 + k) for metric in ("clip", "blip")
    ]
    table = metric_against_metric(cell_of(tidy(records)))
    assert set(table.frame["over"]) == {"prompts and noises"} and set(table.shown["n"]) == {"8 × 11 (32)"}


def test_what_was_mixed_is_said_once_and_checkpointing_counts_three_passes_a_step(record):
    """Devices, batch sizes and commits that differ are a caution, and equal compute is counted from how ReNO ran."""

    def made(k, **fields):
        one = record(f"p{k}", k, iterations=10)
        return replace(one, provenance=replace(one.provenance, **fields))

    alike = cell_of(tidy([made(k) for k in range(6)]))
    assert not any("Caution" in note for note in headline(alike).all_notes)
    records = [made(k, device="cuda" if k else "cpu", git=GitState(commit=f"c{k % 3}", diff=None)) for k in range(6)]
    said = [note for note in headline(cell_of(tidy(records))).all_notes if "Caution" in note]
    assert said == [
        "Caution: these trials were made with 3 commits of the code and 2 devices; a difference between two rows may "
        "come from that."
    ]
    records = [made(k, execution=ExecutionRecord(checkpointing=True)) for k in range(6)]
    records += [record(f"p{k}", k, method="best_of_n", iterations=30) for k in range(6)]
    results = traces(tidy(records), {row.id: ([1.0, 2.0], 1.0) for row in records})
    table = controls(cell_of(results), results)
    assert table.frame["compute_ratio"].iloc[0] == 31 / 31 and "equal compute" in table.frame["control"].iloc[0]


def test_recurring_bindings_are_counted_and_said(record):
    """Each of nine bindings stands in two prompts."""
    records = [
        replace(
            record(f"p{k}", k, metric, after=RIGHT if k % 2 else WRONG),
            bindings=(Binding(f"color{k}", "car"), Binding(f"color{(k + 1) % 9}", "car")),
        )
        for k in range(9)
        for metric in ("clip", "blip")
    ]
    table = metric_against_metric(cell_of(tidy(records)))
    assert set(table.frame["over"]) == {"prompts and bindings"}
    assert any("The 9 prompts ask for 9 different bindings, each in 2 prompts" in note for note in table.accounting)


def test_a_table_without_rows_has_the_header_of_one_with_rows(record):
    """One line on the page, and a CSV that a program can read."""
    results = tidy([record(method="none")])
    traces(results, {row: ([1.0], 1.0) for row in results.trials["trial"]})
    (cell,) = cells(slices(results))
    empty = [metric_against_metric(cell), tuned(cell, ()), cross_metric(cell), controls(cell, results)]
    for table in empty:
        assert table.frame.empty and table.shown.empty and len(table.notes) == 1, table.name
        assert to_csv(table).startswith(",".join(table.frame.columns[:3]))
    records = tuned_records(8)
    found = slices(traces(tidy(records), {row.id: ([1.0, 2.0], 1.0) for row in records}))
    full = next(cell for cell in cells(found) if cell[0].prompt_set == "pairs_test")
    assert tuned(full, found).frame.columns.tolist() == empty[1].frame.columns.tolist()
    assert cross_metric(full).frame.columns.tolist() == empty[2].frame.columns.tolist()
