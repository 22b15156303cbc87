"""People's labels: which rows are of which image, and what a file must not be."""

from __future__ import annotations

import json

import msgspec
import pytest

from analysis.data.frames import tidy
from analysis.data.labels import WHOLE_IMAGE, labelled
from reno.spec.errors import BadInput


@pytest.fixture
def results(record):
    configured = (("clip", 0.01), ("clip", 0.05), ("blip", 0.01))
    records = [record(f"p{k}", metric=metric, lr=lr) for k in range(2) for metric, lr in configured]
    return tidy([msgspec.structs.replace(one, id=f"{place:012x}") for place, one in enumerate(records, 0xABC000)])


@pytest.fixture
def read(results, tmp_path):
    def make(text, name="labels.csv"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return labelled(results, path)

    return make


def trial_of(results, **wanted):
    trials = results.trials
    for name, value in wanted.items():
        trials = trials[trials[name] == value]
    (trial,) = trials["trial"]
    return trial


def test_rows_are_of_bindings_and_of_whole_images(read, results):
    trial = trial_of(results, prompt="p1", metric="blip")
    rows = (f"{trial},best,color1 thing1,no", f"{trial},best,,yes", f"{trial},initial,Color0 Thing0,1")
    found = read("\n".join(["trial,image,binding,holds", *rows]))
    assert found.people.to_numpy().tolist() == [
        ["sd_turbo", "p1", 0, "best", trial, WHOLE_IMAGE, True],
        ["sd_turbo", "p1", 0, "best", trial, 1, False],
        ["sd_turbo", "p1", 0, "initial", "", 0, True],
    ]
    assert found.label_notes == ("People's labels: 3 answers to 3 questions, counted by majority.",)


def test_prompt_and_seed_name_an_image_before_and_with_more_columns_one_after(read, results):
    found = read("prompt\tseed\timage\tholds\np0\t0\tinitial\tyes\n", "labels.TSV").people
    assert found[["prompt", "shown"]].to_numpy().tolist() == [["p0", ""]]
    lines = [
        {"prompt": "p0", "seed": 0, "metric": "clip", "settings": "50 it., lr 0.05", "image": "best", "holds": False}
    ]
    found = read("\n".join(map(json.dumps, lines)), "labels.jsonl").people
    assert found["shown"].tolist() == [trial_of(results, prompt="p0", settings="50 it., lr 0.05")]
    with pytest.raises(
        BadInput, match=r"line 2 is of 2 trials; tell them apart with the column trial, or with more of"
    ):
        read("prompt,seed,metric,image,holds\np0,0,clip,best,yes\n")


def test_an_id_may_be_in_capitals_and_a_seed_as_a_spreadsheet_writes_it(read, results):
    trial = trial_of(results, prompt="p1", metric="blip")
    assert read(f"trial,image,holds\n{trial.upper()},best,yes\n").people["shown"].tolist() == [trial]
    assert read("prompt,seed,image,holds\np0,0.0,initial,yes\n").people["prompt"].tolist() == ["p0"]
    with pytest.raises(BadInput, match=r"line 1 has the key 'trial' twice; leave one of them out"):
        read('{"trial": "000000abc000", "Trial": "000000abc001", "image": "best", "holds": true}', "labels.jsonl")


def test_several_answers_count_by_majority_and_ties_and_unknown_rows_are_counted(read, results):
    trial = trial_of(results, prompt="p0", metric="blip")
    rows = [f"{trial},best,{holds},{rater}" for holds, rater in (("yes", "ann"), ("no", "ben"), ("yes", "cid"))]
    rows += [f"{trial},initial,{holds},{rater}" for holds, rater in (("yes", "ann"), ("no", "ben"))]
    rows += ["ffffffffffff,best,yes,ann"]
    found = read("trial,image,holds,rater\n" + "\n".join(rows))
    assert found.people[["image", "holds"]].to_numpy().tolist() == [["best", True]]
    assert found.label_notes == (
        "People's labels: 6 answers by 3 raters to 2 questions, counted by majority.",
        "Left out, because as many say yes as no: 1 of these questions.",
        "Left out, because they are of no image or binding here: 1 of the 6 rows of labels.",
    )


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("trial,image,hold\n", "a.csv", "has no row"),
        ("", "a.csv", "has no row"),
        ("trial,image,hold\nffffffff,best,yes\n", "a.csv", "line 2: 'hold' is not a column of labels; did you mean"),
        ("trial,image,holds\nffff,best,yes\n", "a.csv", "trial=ffff is too short"),
        ("trial,image,holds\nffffffff,last,yes\n", "a.csv", "image is last; write initial or best"),
        ("trial,image,holds\nffffffff,best,\n", "a.csv", "holds is empty; write yes or no"),
        ("prompt,image,holds\np0,best,yes\n", "a.csv", "does not say which trial it is of"),
        ("trial,image,holds\nffffffff,best\n", "a.csv", "line 2 has 2 cells and the header 3"),
        ("trial,trial,holds\nffffffff,best,yes\n", "a.csv", "the column 'trial' twice"),
        ("trial,image,holds\nffffffff,best,yes\n", "a.csv", "none of its 1 rows is of an image in results"),
        ("trial,image,holds\nffffffff,best,yes\n", "a.xlsx", "is none of .csv, .tsv and .jsonl"),
        ("[1]\n", "a.jsonl", "line 1 is not a JSON object such as"),
        ('{"trial": ["x"]}\n', "a.jsonl", "line 1 is not a JSON object such as"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_sentence(read, text, name, words):
    with pytest.raises(BadInput) as error:
        read(text, name)
    assert words in str(error.value) and "\n" not in str(error.value) and name in str(error.value)


def test_one_rater_answers_a_question_once(read, results):
    trial = trial_of(results, prompt="p0", metric="blip")
    with pytest.raises(BadInput, match=r"line 3: ann answers the same question as in .*line 2; leave one out"):
        read(f"trial,image,holds,rater\n{trial},best,yes,ann\n{trial},best,no,ann\n")


def test_a_file_that_is_no_text_or_not_there(results, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    for name, words in (("a.csv", "is not a text in UTF-8"), ("b.csv", "cannot be read")):
        with pytest.raises(BadInput, match=words):
            labelled(results, tmp_path / name)
