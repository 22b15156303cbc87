"""What is on disk is read and written without a change of a byte, and a wrong value is refused by its name."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from typing import Any

import msgspec
import pytest

from reno.spec.errors import BadInput
from reno.spec.prompts import Prompt, Wanted
from reno.store.records import (
    MOST_NESTED,
    SCHEMA,
    JobRecord,
    JobTrial,
    JudgedTrial,
    JudgementRecord,
    Labels,
    TrialRecord,
    read_json,
    record_bytes,
    sealed_bytes,
)
from tests.store.records import GOLDEN, golden

KINDS = {"trial": TrialRecord, "job": JobRecord, "judgement": JudgementRecord}
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))
TRIALS = [name for name in NAMES if name.startswith("trial")]


def kind_of(name):
    return KINDS[name.partition("_")[0]]


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_record_comes_back_byte_for_byte(name):
    path = GOLDEN / f"{name}.json"
    record = kind_of(name).from_json(read_json(path))
    assert record_bytes(record.to_json()) == path.read_bytes()
    assert kind_of(name).from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("trial_clip", ("labels",)), ("trial_clip", ("spec",)), ("trial_clip", ("scores",)),
        ("trial_clip", ("judgements", "oracle", "best", "judgements", 0)), ("trial_clip", ("provenance", "batch")),
        ("trial_clip", ("timings",)), ("job", ("trials", 0)), ("judgement", ("best",)),
    ],
)  # fmt: skip
def test_keys_that_nobody_knows_are_ignored(name, inside):
    """A later version may write more."""
    values = golden(name)
    known = kind_of(name).from_json(values)
    assert kind_of(name).from_json(changed({**values, "of_a_later_version": 1}, (*inside, "more"), [1])) == known


# --- Records of earlier versions --------------------------------------------------------------------------------------


def test_a_trial_with_only_what_the_first_version_wrote_is_read():
    values = golden("trial_clip")
    del values["judgements"], values["finished"], values["files"], values["schema"]
    values["labels"] = {key: values["labels"][key] for key in ("models", "metric", "method")}
    versions, batch = values["provenance"]["versions"], values["provenance"]["batch"]
    mates = [{"id": mate["id"]} for mate in batch["trials"]]
    values["provenance"] = {"versions": versions, "batch": {"size": 4, "place": 1, "trials": mates}}
    record = TrialRecord.from_json(values)
    assert record.schema == SCHEMA
    assert (record.judgements, record.finished, record.files) == ({}, None, {})
    assert (record.labels.prompts, record.labels.study, record.labels.random_weights) == (None, None, False)
    provenance = record.provenance
    assert (provenance.device, provenance.threads, provenance.git) == (None, None, None)
    assert provenance.device_type == "auto"
    written = record.to_json()["provenance"]
    for absent in ("platform", "cpu_capability", "deterministic", "execution", "checkpoints", "generator"):
        assert absent not in written, "a value that nobody recorded must not be written as if it were known"
    assert "cut" not in written["batch"]
    assert written["batch"]["trials"][0] == {"id": mates[0]["id"], "prompt": "", "bindings": [], "seed": 0}


def test_a_judge_without_an_identity_is_read():
    values = golden("trial_clip")
    del values["judgements"]["oracle"]["identity"]
    assert TrialRecord.from_json(values).judgements["oracle"].identity is None


def test_an_execution_that_tells_less_is_read():
    values = golden("trial_clip")
    values["provenance"]["execution"] = {}
    execution = TrialRecord.from_json(values).provenance.execution
    assert (execution.checkpointing, execution.compile, execution.channels_last) == (None, False, False)


def test_a_job_with_only_what_the_first_version_wrote_is_read():
    values = golden("job")
    few = {
        "labels": values["labels"],
        "trials": [{k: t[k] for k in ("id", "prompt", "seed", "state")} for t in values["trials"]],
    }
    job = JobRecord.from_json(few)
    assert (job.group, job.spec, job.command, job.status, job.seconds) == ("", {}, "", None, 0.0)
    assert "claims" not in job.to_json() and "reason" not in job.to_json()["trials"][0]


# --- Wrong values -----------------------------------------------------------------------------------------------------


def paths_of(values: Any, path: tuple = ()) -> list[tuple]:
    """The path of every value that is not a container."""
    if isinstance(values, dict):
        return [found for key, value in values.items() for found in paths_of(value, (*path, key))]
    if isinstance(values, list):
        return [found for place, value in enumerate(values) for found in paths_of(value, (*path, place))]
    return [path]


def changed(values: Any, path: tuple, value: Any) -> Any:
    values = copy.deepcopy(values)
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return values


FREE = {
    "trial": (("spec", "metric"), ("spec", "method"), ("provenance", "generator", "options")),
    "job": (("spec",), ("claims",)),
    "judgement": (("identity",), ("provenance",)),
}
"""Under these, a record holds any JSON values: what decides an outcome is for its module to say."""


def typed_paths(name: str) -> list[tuple]:
    """The paths of the values whose types are fixed."""
    kind = name.partition("_")[0]
    free = [*FREE[kind], *((("judgements", judge, "identity")) for judge in golden(name).get("judgements", {}))]
    return [path for path in paths_of(golden(name)) if not any(path[: len(start)] == start for start in free)]


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_another_type_is_refused_by_name(name):
    """Each typed value in turn is a list that holds a list: no field takes that."""
    values, kind = golden(name), kind_of(name)
    paths = typed_paths(name)
    assert len(paths) > 20
    for path in paths:
        with pytest.raises(ValueError, match=r"- at `") as refused:
            kind.from_json(changed(values, path, [["x"]]))
        assert f"$.{path[0]}" in str(refused.value), path


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("best_iteration",), "3", "Expected `int`, got `str` - at `$.best_iteration`"),
        (("best_iteration",), 3.5, "Expected `int`, got `float` - at `$.best_iteration`"),
        (("spec", "seed"), None, "Expected `int`, got `null` - at `$.spec.seed`"),
        (("spec", "metric"), {}, "Expected `array`, got `object` - at `$.spec.metric`"),
        (("labels", "random_weights"), 1, "Expected `bool`, got `int` - at `$.labels.random_weights`"),
        (("scores", "best", "clip"), "high", "Expected `float | null`, got `str` - at `$.scores.best[...]`"),
        (("bindings", 0, "object"), 4, "Expected `str`, got `int` - at `$.bindings[0].object`"),
        (
            ("judgements", "oracle", "best", "judgements", 1, "bound"),
            "yes",
            "Expected `bool`, got `str` - at `$.judgements[...].best.judgements[1].bound`",
        ),
        (("files", "best.png", "bytes"), "5", "Expected `int`, got `str` - at `$.files[...].bytes`"),
        (("provenance", "batch", "place"), None, "Expected `int`, got `null` - at `$.provenance.batch.place`"),
        (("timings",), [], "Expected `object`, got `array` - at `$.timings`"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(path, value, says):
    with pytest.raises(ValueError) as refused:
        TrialRecord.from_json(changed(golden("trial_clip"), path, value))
    assert str(refused.value) == says


REQUIRED = {
    "trial_clip": [
        ("id",), ("spec",), ("bindings",), ("labels",), ("scores",), ("best_iteration",), ("timings",), ("memory",),
        ("provenance",), ("spec", "algorithm"), ("spec", "generator"), ("spec", "metric"), ("spec", "dtype"),
        ("spec", "method"), ("spec", "prompt"), ("spec", "seed"), ("labels", "models"), ("labels", "metric"),
        ("labels", "method"), ("scores", "initial"), ("scores", "best"), ("scores", "last"),
        ("judgements", "oracle", "kin"), ("judgements", "oracle", "initial"), ("judgements", "oracle", "best"),
        ("timings", "seconds"), ("timings", "batch_seconds"), ("timings", "batch_size"), ("timings", "images"),
        ("memory", "peak_host_bytes"), ("memory", "peak_device_bytes"), ("provenance", "versions"),
        ("provenance", "batch"), ("provenance", "batch", "size"), ("provenance", "batch", "place"),
        ("provenance", "batch", "trials"), ("provenance", "batch", "trials", 0, "id"),
        ("provenance", "git", "commit"), ("provenance", "git", "diff"), ("provenance", "checkpoints", "generator"),
        ("provenance", "checkpoints", "metric"), ("files", "best.png", "bytes"), ("files", "best.png", "sha256"),
        ("bindings", 0, "attribute"), ("judgements", "oracle", "best", "faults"),
    ],
    "job": [("labels",), ("trials",), ("trials", 0, "id"), ("trials", 0, "prompt"), ("trials", 0, "seed"),
            ("trials", 0, "state")],
    "judgement": [("trial",), ("judge",), ("images",), ("kin",), ("identity",), ("initial",), ("best",), ("judged",)],
}  # fmt: skip


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_value_is_named(name):
    for path in REQUIRED[name]:
        values = golden(name)
        inner = values
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        with pytest.raises(ValueError, match=f"missing required field `{path[-1]}`"):
            kind_of(name).from_json(values)


@pytest.mark.parametrize("values", [None, [], "x", 3])
def test_what_is_no_record_at_all_is_refused(values):
    for kind in (TrialRecord, JobRecord, JudgementRecord):
        with pytest.raises(ValueError, match="Expected `object`"):
            kind.from_json(values)


# --- A trial from its record ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRIALS)
def test_a_records_spec_has_the_id_it_was_stored_under(name):
    record = TrialRecord.from_json(golden(name))
    assert record.trial.id == record.id
    assert record.trial.prompt == record.prompt == Prompt(record.spec.prompt, record.bindings)
    assert record.trial.seed == record.spec.seed


@pytest.mark.parametrize("name", TRIALS)
def test_each_batch_mate_has_its_own_prompt_bindings_and_seed(name):
    record = TrialRecord.from_json(golden(name))
    mates = record.provenance.batch.trials
    assert [trial.id for trial in record.batch] == [mate.id for mate in mates]
    assert [trial.prompt.text for trial in record.batch] == [mate.prompt for mate in mates]
    assert [trial.prompt.bindings for trial in record.batch] == [mate.bindings for mate in mates]
    assert [trial.seed for trial in record.batch] == [mate.seed for mate in mates]
    assert record.batch[record.provenance.batch.place] == record.trial


def test_some_golden_batches_have_several_seeds():
    """Else the test above could not tell a mate's seed from the trial's own."""
    seeds = [{trial.seed for trial in TrialRecord.from_json(golden(name)).batch} for name in TRIALS]
    assert sum(len(of_one) > 1 for of_one in seeds) >= 2


def test_a_trial_of_another_version_of_the_algorithm_does_not_run_again():
    values = golden("trial_clip")
    values["spec"]["algorithm"] = 3
    record = TrialRecord.from_json(values)
    for attribute in ("trial", "batch"):
        with pytest.raises(BadInput) as refused:
            getattr(record, attribute)
        assert str(refused.value) == (
            "the trial was made by version 3 of the algorithm and this is version 1; check out the commit named in its "
            "provenance"
        )


def test_a_later_judgement_is_what_a_judge_says_of_the_trial():
    record = JudgementRecord.from_json(golden("judgement"))
    assert record.judged_trial == JudgedTrial(
        kin=record.kin, initial=record.initial, best=record.best, identity=record.identity
    )
    assert record.initial != record.best


# --- Bytes ------------------------------------------------------------------------------------------------------------


def test_bytes_are_json_in_utf8_that_a_person_can_read():
    assert record_bytes({"b": "gölden", "a": [1, None]}) == '{\n "b": "gölden",\n "a": [\n  1,\n  null\n ]\n}'.encode()


def test_a_text_that_is_no_unicode_is_kept(tmp_path):
    """Bytes that are no text reach a command's words as lone surrogates."""
    path = tmp_path / "x.json"
    path.write_bytes(record_bytes({"prompt": "a red \ud800 car"}))
    assert read_json(path) == {"prompt": "a red \ud800 car"}


def test_a_file_ends_with_the_digest_of_its_other_bytes(tmp_path):
    given = JudgementRecord.from_json(golden("judgement"))
    plain, data = record_bytes(given.to_json()), sealed_bytes(given)
    assert list(json.loads(data)) == [*json.loads(plain), "sha256"]
    assert json.loads(data)["sha256"] == hashlib.sha256(plain).hexdigest()
    path = tmp_path / "x.json"
    path.write_bytes(data)
    assert read_json(path) == json.loads(plain)
    path.write_bytes(data.replace(b'"kin": "none"', b'"kin": "nine"'))
    with pytest.raises(ValueError, match=r"^it is not what was written$"):
        read_json(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_not_written(value):
    with pytest.raises(ValueError):
        record_bytes({"score": value})


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_not_read(tmp_path, name):
    (tmp_path / "trial.json").write_text(f'{{"score": {name}}}')
    with pytest.raises(ValueError, match=f"^{name} is not a number that JSON has$"):
        read_json(tmp_path / "trial.json")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"{", "it is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"a": "\xff"}', "it is not a text in UTF-8"),
        (b'{"a": 1e999}', "1e999 is larger than any number that can be read"),
        (b'{"a": -1e999}', "-1e999 is larger than any number that can be read"),
        (b'{\n "a": 1,\n "sha256": "\xff"\n}', "it is not what was written"),
    ],
)
def test_a_file_that_is_no_record_says_why(tmp_path, data, says):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(ValueError) as raised:
        read_json(tmp_path / "x.json")
    assert str(raised.value) == says


DEEP, TOO_DEEP = MOST_NESTED, MOST_NESTED + 1


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_a_file_as_deep_as_allowed_is_read_and_a_deeper_one_is_refused(tmp_path, opened, closed):
    """A text of brackets hides the depth from the quick count, so that the exact one decides."""
    path = tmp_path / "x.json"
    for text in ("3", '"]}[{"', '"\\"[["'):
        path.write_text(opened * DEEP + text + closed * DEEP)
        assert read_json(path)
        path.write_text(opened * TOO_DEEP + text + closed * TOO_DEEP)
        with pytest.raises(ValueError, match=f"^it has more than {MOST_NESTED} lists or objects inside one another$"):
            read_json(path)


def test_many_lists_beside_one_another_are_not_deep(tmp_path):
    (tmp_path / "x.json").write_text("[" + ", ".join(['[["["]]'] * 3 * MOST_NESTED) + "]")
    assert len(read_json(tmp_path / "x.json")) == 3 * MOST_NESTED


def test_optional_values_are_written_only_where_they_are_known():
    trial = JobTrial(id="a", prompt="b", seed=1, state="done")
    labels = Labels(models="m", metric="c", method="reno")
    assert json.loads(record_bytes(JobRecord(labels=labels, trials=(trial,)).to_json())) == {
        "group": "", "spec": {}, "command": "", "status": None, "seconds": 0.0,
        "labels": {
            "models": "m", "metric": "c", "method": "reno", "prompts": None, "study": None, "random_weights": False,
        },
        "trials": [{"id": "a", "prompt": "b", "seed": 1, "state": "done"}],
    }  # fmt: skip


def test_a_record_says_what_genevals_prompt_wants():
    wanted = (Wanted("car", 2), Wanted("dog", 1, "blue", ("left of", 0)))
    plain = TrialRecord.from_json(golden("trial_whole"))
    assert not {"category", "wanted", "unwanted"} & plain.to_json().keys()
    one = msgspec.structs.replace(plain, category="position", wanted=wanted, unwanted=(Wanted("dog", 2),))
    prompt = TrialRecord.from_json(json.loads(json.dumps(one.to_json()))).prompt
    assert (prompt.category, prompt.wanted, prompt.unwanted) == ("position", wanted, (Wanted("dog", 2),))


@pytest.mark.parametrize(
    "value",
    [0.1, 1e-300, 1.7976931348623157e308, -0.0, 5e-324, 2**63 - 1, -(2**63), 2**70, 12345678901234567890123, 1, 1.0,
     None, True, "\u2028 🐶 \x00 \"quoted\" \\", "\udc80 half", {"a": [1, {"b": []}]}],
)  # fmt: skip
def test_a_sealed_file_is_read_as_json_reads_it(tmp_path, value):
    plain = record_bytes({"value": value})
    sealed = plain.removesuffix(b"\n}") + f',\n "sha256": "{hashlib.sha256(plain).hexdigest()}"\n}}'.encode()
    (tmp_path / "x.json").write_bytes(sealed)
    read = read_json(tmp_path / "x.json")["value"]
    assert repr(read) == repr(json.loads(plain.decode("utf-8", "surrogatepass"))["value"])
