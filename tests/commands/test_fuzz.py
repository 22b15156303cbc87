"""Every knob of every command with values that nobody should type: an exit status that is documented, and one sentence.

The knobs are those of the commands' pages and of the choices that the pages start with. Nothing is loaded: a run is a
dry run, and what the other commands would compute is replaced by a toy.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import random
import sys
import time
from types import SimpleNamespace

import pytest

import analysis.__main__ as report
from reno import check, convert, evaluate, memory, merge, reproduce, run, status
from reno.config.compose import composed
from reno.config.page import RUN
from reno.config.words import parse
from reno.spec.errors import BadInput
from tests.commands.words_over import over

VALUES = [
    "null", "[]", "{}", "", " ", "1e309", "-1e309", "nan", "-1", "0", "-0.0", "true", "1", "9" * 40, "1e-400", "0x10",
    "~", "~nobody/x", "a/b", "/", ".", "..", "../..", "/dev/null/x", "/proc/x", "a" * 300, "b/" * 3000, "${x}", "${lr}",
    "${oc.env:NOWHERE}", "${", "'", '"', "'a", "a'b", '"a" b', "[a", "a]", "[[a],[b]]", "[null]", "[1,a]", "{a: 1}",
    "{a: {b: [c]}}", "a,b", ",", "a,", "???", "café", "🐶", "a (1)", "a & b; c", "a\nb", "a\tb", "\x1b[31mred", "\x07",
    "\u202etxt", "\ufeffa", "\udce9", "\ud800", "a\0b", "a=b", "==", "%s{0}", "\\", "\\\\'", "clip", "testbed", "auto",
    "http://x/y", "reno.run", "os.path", "-x", "+x", "~x", "1_000", "007", "1e5", "None", "inf",
]  # fmt: skip
SWEEPS = [
    "range(0)", "range(1,3,0)", "range(0,1,nan)", "range(0,inf)", "range(0,9999999999)", "range(3,1)", "choice()",
    "choice(a)", "glob(nothing)", "glob(*)", "interval(0,1)", "sort(2,1)", "shuffle()", "tag(a)", "int(a)", "a,,b",
    "null,1", "[],[]", "'a, b',c", "1,1", "é,à", "str(1)", "range(1,3",
]  # fmt: skip
FILES = [
    "", "null", "[]", "3", "text", "- 1", "{", "a: b: c", "\t- x", "a: !!python/object:os.system x", "? [a]\n: b",
    "1: 2", "{1: {2: 3}}", "name: null", "name: []", "name: {a: b}", "name: x", "name: ${x}", "name: ${name}",
    "defaults: 3", "defaults: [nothere]", "defaults: [{metric: nope}]", "name: x\nkind: null", "name: x\nkind: []",
    "name: x\nkind: os", "name: x\nterms: 3", "name: x\nterms: [3]",
    "name: x\nterms: [{kind: clip, model: clip, weight: .nan}]", "name: x\nterms: [{kind: clip, model: 3}]",
    "name: x\nterms: [{kind: clip}]\ncheckpoints: 3",
    "name: x\nterms: [{kind: clip, model: clip}]\ncheckpoints: {clip: 3}",
    "name: x\ngenerator: null\ncheckpoints: {}",
    "name: x\ngenerator: {kind: stable_diffusion, path: 3}\ncheckpoints: {}", "&a [*a]", "a: &a {b: *a}",
    "\ufeffname: x", "x: 1\nx: 2", "claims: 3", "claims: [3]",
    "claims: [{key: a, statement: b, definition: c, parts: [3]}]", "x" * 100_000, "# @package\nx: 1",
    "# @package a b\nx: 1",
    *("# @package _global_\n" + text for text in (
        "lr: x", "- 1", "nothing: 3", "hydra: 3", "hydra: {sweeper: {params: {lr: 'range(0)'}}}",
        "prompt: \"a\\uD800\"",
        "hydra: {mode: MULTIRUN, sweeper: {params: {lr: 'range(0)'}}}", "results: \"a\\0\"",
        "hydra: {mode: MULTIRUN, sweeper: {params: {lr: 'range(1,2,0)'}}}", "prompt: \"a\\0\"",
        "hydra: {mode: MULTIRUN, sweeper: {params: {nope: '1,2'}}}", "hydra: {mode: MULTIRUN, sweeper: {params: 3}}",
    )), b"\xff\xfe", b"\x00", b"a\x00b: 1",
]  # fmt: skip
"""What a YAML file of a user's own may hold."""
GROUPS = {"evaluator": "evaluators", "experiments": "+experiments", "claim_sets": "claims", "prompt_sets": "prompts"}
"""The knobs that choose a file of a group, where they have another name."""
FLAGS = [
    "-x", "--", "-", "--cfg", "--cfg=x", "--cfg=job", "-c", "--resolve", "--info", "--info=x", "-i", "--package", "-p",
    "--shell-completion", "-sc", "--hydra-help", "--version", "--run", "-r", "--config-name", "-cn=x", "-cp", "-cd",
    "-cd=", "--experimental-rerun=x", "--multirun=1", "--help=1", "-m", "--conf", "=", "=clip", "@=clip",
    "metric@a=clip", "+", "++", "~", "~~", "a b", "é=1", ".=1", "metric.=1", "..", "lr", "lr =1", "hydra=x",
    "hydra.run.dir=", "hydra.nope=1", "hydra/launcher=nope", "hydra/launcher=joblib", "hydra.launcher=x",
    "hydra.mode=x", "hydra.searchpath=[x]",
    "hydra.callbacks.sweep_folder=null", "hydra.sweeper.params.lr=1", "hydra.job_logging=null", "+experiment=report",
    "+experiments=", "+experiments=null", "+experiments=nope", "experiments=report", "+a.b.c=1", "+a/b=1", "+lr=1",
    "\udce9", "prompt=\udce9",
]  # fmt: skip
COMMANDS = {
    "run": (run.main, RUN, ["dry_run=true"]),
    "memory": (memory.main, memory.PAGE, []),
    "evaluate": (evaluate.main, evaluate.PAGE, ["evaluators=oracle_analytic"]),
    "reproduce": (reproduce.main, reproduce.PAGE, ["trial=0"]),
    "check": (check.main, check.PAGE, []),
    "convert": (convert.main, convert.PAGE, ["checkpoint=hpsv2"]),
    "status": (status.main, status.PAGE, []),
    "merge": (merge.main, merge.PAGE, []),
    "analysis": (report.main, report.PAGE, []),
}


def inner(where: str, value: object) -> list[str]:
    """The dotted names of everything inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [name for key, one in items for name in (f"{where}.{key}", *inner(f"{where}.{key}", one))]


@functools.cache
def knobs_of(page) -> list[str]:
    """Every knob of a page, and those inside its choices."""
    values = composed(page, parse(page, [])).values
    return [name for knob in page.names() for name in (knob, *inner(knob, values[knob]))]


def words_for(command: str) -> list[list[str]]:
    """All the words to try on a command, one list for each call."""
    page = COMMANDS[command][1]
    knobs = knobs_of(page)
    found = [[f"{knob}={value}"] for knob in knobs for value in VALUES if (knob, value) != ("debug", "true")]
    found += [[f"{prefix}{knob}={value}"] for prefix in ("+", "++") for knob in knobs for value in ("null", "[]", "a")]
    found += [[f"~{knob}"] for knob in knobs] + [[word] for word in FLAGS]
    if page.sweeps:
        found += [["-m", f"{knob}={value}"] for knob in page.names() if knob != "dry_run" for value in SWEEPS]
    return found


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """An empty folder to work in, and no work: what each command would compute ends at once."""
    from reno.running import judging, reproducing
    from reno.running.checking import checking
    from reno.running.fit import prediction
    from reno.screen import fit

    def nothing(*_, **__):
        raise BadInput("a toy has nothing to report")

    monkeypatch.setattr(prediction, "predictions", nothing)
    monkeypatch.setattr(fit, "show_predictions", nothing)
    monkeypatch.setattr(judging, "judge_all", nothing)
    monkeypatch.setattr(checking, "check_all", nothing)
    monkeypatch.setattr(reproducing, "reproduce", lambda *_: SimpleNamespace(identical=True, surroundings=[]))
    monkeypatch.setattr("analysis.data.load", nothing)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fault_of(command: str, words: list[str], capsys) -> str | None:
    """What is wrong with a command's answer; None if nothing is."""
    main, page, before = COMMANDS[command]
    if any(word.startswith(("/", ".")) or (not word.startswith(("-", "~", "+")) and "=" not in word) for word in words):
        # it fills the first place
        before = [word for word in before if not word.startswith(f"{(*page.positional, '')[0]}=")]
    argv, log = list(sys.argv), logging.getLogger()
    level, handlers = log.level, list(log.handlers)
    try:
        status = main(over(before, *words))
    except BaseException as error:
        return f"raised {error!r}"[:300]
    finally:  # Hydra's verbose and job_logging are for the whole process, which a command has to itself
        log.setLevel(level)
        log.handlers[:] = handlers
    said = capsys.readouterr()
    if sys.argv != argv or not os.path.isdir("."):
        return "changed the process"
    if status not in (0, 1, 2, 130) or "Traceback" in said.out + said.err or "add debug=true" in said.err:
        return f"status {status}: {said.err[-300:]!r}"
    lines = [line for line in said.err.splitlines() if not line.startswith("note: ")]  # a dry run's, of what it lacks
    if status == 0 and lines:
        return f"status 0 with {said.err[:300]!r}"
    sentences = [line for line in lines if not line.startswith("error: job ")]
    if len(sentences) > 1 or not all(letter.isprintable() for line in sentences for letter in line):
        return f"more than a sentence: {said.err[:300]!r}"
    return "a refusal without a sentence" if status == 2 and not said.err else None


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_knob_of_any_command_can_be_given_a_value_that_ends_in_an_error_of_python(command, toys, capsys):
    tried, found, began = words_for(command), [], time.perf_counter()
    if command == "run":  # memory has the same knobs, and composes them without Hydra's main
        tried = [words for place, words in enumerate(tried) if place % 4 == 0 or words[0] in FLAGS or len(words) > 1]
    for words in tried:
        if fault := fault_of(command, words, capsys):
            found.append(f"{words!r}"[:200] + f": {fault}")
    with capsys.disabled():
        seconds = time.perf_counter() - began
        print(f"\n{command}: {len(tried)} calls, {len(found)} faults, {seconds / len(tried):.2f} s each")
        print("\n".join(found[:400]))
    assert not found
    assert list(toys.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("group", ["metric", "models", "method", "optimizer", "tracking", *GROUPS])
def test_no_file_of_a_users_own_ends_in_an_error_of_python(group, toys, capsys):
    suffix = "jsonl" if group == "prompt_sets" else "yaml"
    place, found = toys / "own" / group / f"mine.{suffix}", []
    place.parent.mkdir(parents=True)
    for text in FILES:
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        if fault := fault_of("run", ["-cd", "own", f"{GROUPS.get(group, group)}=mine"], capsys):
            found.append(f"{text[:100]!r}: {fault}")
    assert not found
    assert [str(path.relative_to(toys)) for path in toys.rglob("*") if path.is_file()] == [f"own/{group}/mine.{suffix}"]


def test_a_few_of_the_nasty_values_of_every_command_get_a_sentence(toys, capsys):
    chance = random.Random(17)
    calls = [(command, words) for command in COMMANDS for words in chance.sample(words_for(command), 2)]
    assert {
        f"{command} {words}": fault for command, words in calls if (fault := fault_of(command, words, capsys))
    } == {}


def test_the_nasty_values_reach_every_knob():
    for command, (_, page, _) in COMMANDS.items():
        first = set(itertools.chain.from_iterable(words_for(command)))
        assert all(f"{knob}=null" in first for knob in page.names())
        assert command not in ("run", "memory") or {"models.generator.path=null", "metric.terms.0.weight=null"} <= first
