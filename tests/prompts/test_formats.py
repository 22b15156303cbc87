"""Prompt files as people have them."""

from __future__ import annotations

import json

import pytest

from reno.prompts.formats import read_prompt_file
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt, Wanted

CAR, BOWL = Binding("red", "car"), Binding("blue", "bowl")


@pytest.fixture
def read(tmp_path):
    """read(name, content): the PromptFile of a file with this content (text or bytes)."""

    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_prompt_file(path)

    return make


def texts(found):
    return [prompt.text for prompt in found.prompts]


def test_lines_end_at_newlines_only_and_a_mark_or_a_carriage_return_is_no_part_of_a_prompt(read):
    assert texts(read("a.txt", b"\xef\xbb\xbfa red car\r\n\r\na\xe2\x80\xa8b\x0bc\n")) == ["a red car", "a\u2028b\x0bc"]
    assert texts(read("a.jsonl", '\ufeff{"prompt": "a\u2028b"}\r\n{"prompt": "c"}\n')) == ["a\u2028b", "c"]


def test_a_comment_begins_with_a_hash_and_a_space_and_is_counted(read):
    found = read("a.txt", "# about\n#sunset over a bench\n#1 pencil\n#\n")
    assert texts(found) == ["#sunset over a bench", "#1 pencil"] and found.notes == ("2 comment lines left out",)


def test_a_text_that_is_there_twice_counts_once_and_is_told(read):
    found = read("a.txt", "a red car\na dog\na red car\n")
    assert texts(found) == ["a red car", "a dog"]
    assert found.notes == ("1 line repeats an earlier prompt: a text counts once",)
    with pytest.raises(BadInput, match="'a red car' is there twice, with different bindings"):
        read("a.jsonl", '{"prompt": "a red car"}\n{"prompt": "a red car", "bindings": []}\n')


@pytest.mark.parametrize(
    "bindings",
    [
        [["red", "car"], ["blue", "bowl"]],
        [{"attribute": "red", "object": "car"}, {"object": "bowl", "attribute": "blue"}],
    ],
)
def test_bindings_are_pairs_or_objects(read, bindings):
    found = read("a.jsonl", json.dumps({"prompt": "two things", "bindings": bindings}))
    assert found.prompts == (Prompt("two things", (CAR, BOWL)),)


@pytest.mark.parametrize("entry", [{"bindings": None}, {}])
def test_without_bindings_they_are_read_from_the_text_and_an_empty_list_has_none(read, entry):
    text = "a red car and a blue bowl"
    assert read("a.jsonl", json.dumps({"prompt": text, **entry})).prompts[0].bindings == (CAR, BOWL)
    assert read("a.jsonl", json.dumps({"prompt": text, "bindings": []})).prompts[0].bindings == ()


@pytest.mark.parametrize(
    "bindings",
    [
        "red car",
        [["red"]],
        [["red", ""]],
        [["red", 3]],
        ["ab"],
        [{"attribute": "red"}],
        [{"object": "car", "color": "red"}],
        {},
        5,
    ],
)
def test_other_bindings_are_refused_with_their_line(read, bindings):
    with pytest.raises(
        BadInput, match=r"line 2.*(is not a binding; write|must be a list such as) \[\[\"red\", "
    ) as refused:
        read("a.jsonl", '{"prompt": "x"}\n' + json.dumps({"prompt": "y", "bindings": bindings}))
    assert '[["red", "car"]] or [{"attribute": "red", "object": "car"}]' in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"prompt": "x", "bindngs": []}', "'bindngs' is not a key of a prompt; did you mean "),
        ("a.jsonl", "[1]", "line 1 is not a JSON object such as"),
        ("a.jsonl", "{", "line 1 is not a JSON object such as"),
        ("a.jsonl", '{"id": 1}', "line 1 has no prompt"),
        ("a.json", "3", "is not a JSON array of prompts"),
        ("a.json", "[", "line 1 is not a JSON object such as"),
        ("a.jsonl", "[" * 100_000, "line 1 is not a JSON object such as"),
        ("a.jsonl", '{"prompt": ""}', "line 1 is empty"),
        ("a.jsonl", '{"prompt": 3}', "line 1 must be a text, not 3"),
        ("a.jsonl", '{"prompt": "a\\ud800"}', "line 1 holds half of a character, which cannot be stored"),
        ("a.jsonl", '{"prompt": "a", "bindings": [["\\ud800", "b"]]}', "line 1: a binding holds half of a character"),
        (
            "a.txt",
            "id,prompt,seed\n1,a red car,0\n",
            "looks like a table, with the header 'id,prompt,seed'; name it .csv",
        ),
        ("a.txt", "Prompt\tCategory\na teapot\tObjects\n", "name it .tsv"),
        ("a.csv", "id,seed\n1,2\n", "has no column named prompt; its columns are 'id', 'seed'"),
        (
            "a.csv",
            "prompt,seed\na red car, a bowl,2\n",
            "line 2 has 3 cells and the header has 2; quote cells that hold a comma",
        ),
        ("a.tsv", "prompt\tseed\n\na\tb\tc\n", "line 3 has 3 cells and the header has 2; quote cells that hold a tab"),
        ("a.csv", "prompt,include\na,b\n", "a.csv has a column 'include', which a table cannot hold"),
        ("a.csv", "prompt,exclude\na,b\n", "a.csv has a column 'exclude', which a table cannot hold"),
        ("a.csv", "prompt,category\n,x\n", "a.csv, line 2"),
        ("a.json", '["a", ""]', "a.json, entry 2 is empty"),
        ("a.jsonl", '{"prompt": "x", "answer": 1}', "'answer' is not a key of a prompt"),
        ("a.jsonl", '{"prompt": "x", "categry": 1}', "did you mean 'category'?; the keys are prompt, prompts, "),
        ("a.jsonl", '{"prompt": "x", "category": 1}', "a.jsonl, line 1: the category must be a text"),
        ("a.csv", "prompt;seed\na red car; a bowl;2\n", "the header has 2; quote cells that hold a semicolon"),
        ("a.txt", "prompt;seed\na red car;2\n", "looks like a table, with the header 'prompt;seed'; name it .csv"),
        ("a.csv", "", "is empty"),
        ("a.csv", 'prompt\n"a red" car\n', "a.csv cannot be read as a table ("),
        ("a.txt", b"a red car\n\xff\n", "line 2 is not UTF-8"),
        ("a.txt", "# only\n", "holds no prompt"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place_and_the_remedy(read, name, content, says):
    with pytest.raises(BadInput) as caught:
        read(name, content)
    assert says in str(caught.value)


def test_tables_have_a_header_whose_prompt_column_is_told(read):
    found = read("a.csv", 'id,prompt,Category\n1,"a red car, a blue bowl",x\n2,"a ""stop"" sign",y\n')
    assert [(p.text, p.category) for p in found.prompts] == [("a red car, a blue bowl", "x"), ('a "stop" sign', "y")]
    assert found.notes == ("prompts are in the column 'prompt'",)
    table = 'Prompt\tCategory\n"G I G" painted\tArt\n"all of it"\tArt\n'
    assert texts(read("a.tsv", table)) == ['"G I G" painted', "all of it"]
    assert texts(read("b.csv", "Prompts,Category\na dog,Colors\n")) == ["a dog"]  # as DrawBench has it
    found = read("c.csv", '\nid;Prompt;category\n1;a red car, a blue bowl;x\n2;"a dog; a cat";y\n')
    assert [(one.text, one.category) for one in found.prompts] == [
        ("a red car, a blue bowl", "x"),
        ("a dog; a cat", "y"),
    ]
    assert found.notes == ("prompts are in the column 'Prompt'; semicolons separate its cells",)
    assert texts(read("d.csv", "prompt\na dog; a cat\n")) == ["a dog; a cat"]
    assert texts(read("f.csv", 'Prompt;n\n"a, prompt, b";1\n')) == ["a, prompt, b"]  # the header alone tells
    assert texts(read("g.csv", '"id";"prompt"\n1;a dog\n')) == ["a dog"]
    assert texts(read("h.csv", "Xprompt,a;prompt\n1;a dog\n")) == ["a dog"]  # and the prompts' name is whole
    assert texts(read("e.csv", "prompt;what a good image shows\na dog;a dog\n")) == ["a dog"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('"a ""stop"" sign"', 'a "stop" sign'),
        ('"a" and "b"', '"a" and "b"'),
        ('"a "stop" sign"', '"a "stop" sign"'),
        ('"', '"'),
        ('""""', '"'),
        ("a 'car'", "a 'car'"),
        ("a shirt of size X", "a shirt of size X"),
    ],
)
def test_a_cell_between_tabs_is_quoted_as_a_whole_or_not_at_all(read, cell, text):
    assert texts(read("a.tsv", f"id\tprompt\r\n1\t{cell}\r\n")) == [text]


def test_a_cell_between_commas_may_hold_a_line_break_and_keeps_it(read):
    assert texts(read("a.csv", b'prompt,id\r\n"a red\r\ncar",1\r\n')) == ["a red\r\ncar"]


def test_between_tabs_an_empty_cell_at_the_end_of_a_row_counts(read):
    for empty in ("", '""'):
        found = read("a.tsv", f"prompt\tcategory\r\na dog\t{empty}\r\n")
        assert [(prompt.text, prompt.category) for prompt in found.prompts] == [("a dog", "")]


def test_genevals_metadata_says_what_is_wanted_and_its_colours_are_the_bindings(read):
    dog = {"class": "dog", "count": 1, "color": "blue", "position": ["left of", 0]}
    row = {"tag": "position", "include": [{"class": "red car", "count": 2}, dog], "prompt": "a photo"}
    row["exclude"] = [{"class": "dog", "count": 2}]
    (prompt,) = read("evaluation_metadata.jsonl", json.dumps(row)).prompts
    assert prompt == Prompt(
        "a photo", (Binding("blue", "dog"),), "position",
        (Wanted("red car", 2), Wanted("dog", 1, "blue", ("left of", 0))), (Wanted("dog", 2),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("include", "says"),
    [
        ([{"color": "red"}], "line 1: include is not as GenEval writes it"),
        (3, "include is not as GenEval writes it"),
        (["car"], "include is not as GenEval writes it"),
        ([{"class": "car", "count": 0}], "include is not as GenEval writes it"),
        ([{"class": "car", "count": 10**20}], "include is not as GenEval writes it"),
        ([{"class": "car", "colour": "red"}], "include is not as GenEval writes it"),
        ([{"class": "car", "color": ""}], "include is not as GenEval writes it"),
        ([{"class": "car", "position": ["left of", 0]}], "the place of an earlier object from 0, not ['left of', 0]"),
        ([{"class": "car"}, {"class": "dog", "position": ["beside", 0]}], "position must be one of left of, right of"),
        ([{"class": "\ud800"}], "half of a character"),
        ([{"class": "car", "color": "\ud800"}], "half of a character"),
        ([{"color": "red"}], '[{"class": "car", "count": 1, "color": "red"}]: Object missing required field `class`'),
    ],
)
def test_odd_metadata_is_refused(read, include, says):
    with pytest.raises(BadInput) as refused:
        read("a.jsonl", json.dumps({"prompt": "x", "include": include}))
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_category_is_a_text_and_a_list_gives_its_first(read):
    assert read("a.jsonl", '{"prompt": "x", "categories": ["food", "art"]}').prompts[0].category == "food"
    with pytest.raises(BadInput, match="the category must be a text, not 3"):
        read("a.jsonl", '{"prompt": "x", "category": 3}')


def test_annotations_with_a_question_a_row_give_each_prompt_once(read):
    rows = [{"id": "1", "caption": "a red car", "question": q, "choices": [], "answer": "yes"} for q in ("a?", "b?")]
    assert texts(read("tifa.json", json.dumps(rows))) == ["a red car"]


def test_a_json_array_of_texts_or_an_object_of_objects(read):
    assert texts(read("a.jsonl", '# mine\n{"prompt": "a red car"}\n')) == ["a red car"]
    assert texts(read("a.json", '["a red car", {"caption": "a dog"}]')) == ["a red car", "a dog"]
    assert texts(read("a.json", '{"1": {"prompt": "a red car"}}')) == ["a red car"]
    assert texts(read("a.json", '{"prompt": "a red car"}')) == ["a red car"]
    assert texts(read("a.json", '{"prompt": "a red car"}\n\n{"prompt": "a dog"}\n')) == ["a red car", "a dog"]


def test_a_folder_holds_a_prompt_a_file(tmp_path):
    for name, text in (("b.txt", "a dog\n"), ("a.txt", "a red car")):
        (tmp_path / name).write_text(text)
    assert texts(read_prompt_file(tmp_path)) == ["a red car", "a dog"]
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match=r"is a folder without \.txt files"):
        read_prompt_file(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.jsonl",
            '{"prompt": "x", "exclude": [{"class": "car", "color": "red"}]}',
            "exclude has a class and a count only",
        ),
        ("a.jsonl", '{"prompt": "x", "caption": "y"}', "has prompt and caption with different texts"),
        ("a.jsonl", '{"prompt": "x", "prompt": "y"}', "line 1 has the key 'prompt' twice"),
        ("a.json", '[{"prompt": "x", "prompt": "y"}]', "has the key 'prompt' twice"),
        ("a.csv", "prompt,bindings\na red car,blue bowl\n", "has a column 'bindings', which a table cannot hold"),
        ("a.txt", "a red car\0", "holds a NUL"),
        ("a.txt", "a red car\ra blue bowl\r", "end in a carriage return alone"),
    ],
)
def test_what_would_be_lost_or_misread_is_refused(read, name, content, says):
    with pytest.raises(BadInput) as refused:
        read(name, content)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_prompt_under_two_categories_is_told_and_two_marks_are_no_text(read):
    found = read("a.jsonl", '{"prompt": "x", "category": "a"}\n{"prompt": "x", "category": "b"}\n')
    assert found.prompts[0].category == "a"
    assert found.notes[-1] == "1 of them under another category: the first one counts"
    assert texts(read("a.txt", "\ufeff\ufeffa red car\n")) == ["a red car"]


# --- Where a prompt stands, and small files ---------------------------------------------------------------------------


def test_each_prompt_says_where_it_stands(read, tmp_path):
    lines = read("a.txt", "# about\n\na red car\na dog\n").prompts
    assert [one.where for one in lines] == [f"{tmp_path / 'a.txt'}, line {number}" for number in (3, 4)]
    objects = read("a.json", '{"prompt": "a red car"}\n{"prompt": "a dog"}\n').prompts
    assert [one.where for one in objects] == [f"{tmp_path / 'a.json'}, line {number}" for number in (1, 2)]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "1.txt").write_text("a red car")
    assert read_prompt_file(tmp_path / "folder").prompts[0].where == str(tmp_path / "folder" / "1.txt")


def test_notes_count_in_the_singular_and_in_the_plural(read):
    assert read("a.txt", "# one\na red car\n").notes == ("1 comment line left out",)
    assert read("a.txt", "a dog\n" * 3).notes == ("2 lines repeat an earlier prompt: a text counts once",)
    assert read("a.txt", "a dog\n" * 4).notes == ("3 lines repeat an earlier prompt: a text counts once",)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", '"id";"Prompt"\n1;a red car\n', ("'Prompt'; semicolons separate its cells", "a red car")),
        ("a.csv", "note, short;prompt\nx;a red car\n", ("'prompt'; semicolons separate its cells", "a red car")),
        ("a.csv", 'id,text\n1,"x;prompt;y"\n', ("'text'", "x;prompt;y")),
        ("a.csv", "prompt\na red car\n", ("'prompt'", "a red car")),
        ("a.tsv", "prompt,id\tprompt\nx\ta red car\n", ("'prompt'", "a red car")),
        ("a.tsv", "prompt\tid\r\na red car\tX\r\n", ("'prompt'", "a red car")),
        ("a.tsv", "id\tprompt\r\n1\ta red X\r\n", ("'prompt'", "a red X")),
    ],
)
def test_the_mark_between_cells_is_that_of_the_header_alone(read, name, content, expected):
    column, text = expected
    found = read(name, content)
    assert found.notes == (f"prompts are in the column {column}",) and texts(found) == [text]


def test_a_text_file_is_a_table_only_by_a_header_of_short_names(read):
    for header in ('"id";"prompt"', "it,prompt text,prompt"):
        with pytest.raises(BadInput, match="looks like a table"):
            read("a.txt", f"{header}\n1;a red car\n")
    for line in (
        "prompt",
        "red car, blue cup",
        "a red car, a blue cup",
        "one two three,prompt",
        "Xylophones, marks and Xs",
    ):
        assert texts(read("a.txt", f"{line}\na dog\n")) == [line, "a dog"]


def test_what_is_cut_off_at_the_beginning_of_a_file_is_its_mark_alone(read, tmp_path):
    assert texts(read("a.txt", "\ufeffXylophones")) == ["Xylophones"]
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    with pytest.raises(BadInput, match=r"cannot read .*gone\.txt \(No such file or directory\); give a UTF-8 file"):
        read_prompt_file(tmp_path / "gone.txt")


def test_a_quoted_cell_that_is_empty_is_empty(read):
    with pytest.raises(BadInput, match="line 2"):
        read("a.tsv", 'prompt\tid\n""\t1\n')
