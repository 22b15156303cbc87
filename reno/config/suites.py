"""The suites of conf/benchmarks: from `suite=t2i_compbench/color_val@1` to its prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from reno.config.checks import folder
from reno.config.conf import Conf
from reno.config.prompt_sets import load_prompts, prompt_set_path
from reno.prompts.formats import PromptFile
from reno.prompts.geneval import geneval_prompts
from reno.prompts.suites import SuiteFiles, check_digest
from reno.spec.errors import BadInput, did_you_mean, first_line
from reno.spec.suites import Protocol, Suite

GROUP = "benchmarks"
EXAMPLE = "suite=t2i_compbench/color_val@1"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A suite in its benchmark's YAML."""

    version: int
    protocol: Protocol
    sha256: str | None
    category: str = ""
    file: str | None = None
    """A file of the benchmark's repository."""
    commit: str | None = None
    prompts: str | None = None
    """Else a prompt set of conf/prompt_sets."""
    rule: str | None = None
    """Else a rule of this project: geneval."""


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of conf/benchmarks."""

    suites: dict[str, Entry]
    source: str | None = None
    """The address of a file, with {commit} and {path}."""
    folder: str = ""
    """The folder of its files in its repository."""


@dataclass(frozen=True)
class Chosen:
    """A suite and what its YAML says of where its prompts are."""

    suite: Suite
    entry: Entry


def suite_named(name: object, conf: Conf) -> Chosen:
    """The suite of a name: BENCHMARK/PART@VERSION, without @VERSION the one version that there is, without PART the
    benchmark's only one. Raises BadInput."""
    if not isinstance(name, str) or not name.strip():
        raise BadInput(f"suite must name a suite, not {name!r}; for example {EXAMPLE}")
    path, at, version = name.partition("@")
    benchmark, slash, part = path.partition("/")
    known = _benchmark(benchmark, conf)
    if not slash and len(known.suites) == 1:
        (part,) = known.suites
    if part not in known.suites:
        raise BadInput(f"suite={name} is not known; {benchmark} has {', '.join(known.suites)}"
                       f"{did_you_mean(part, known.suites)}")  # fmt: skip
    entry = known.suites[part]
    if at and version != str(entry.version):
        raise BadInput(f"suite={name}: {path} has version {entry.version} only; use suite={path}@{entry.version}")
    return Chosen(_suite(f"{benchmark}/{part}@{entry.version}", entry, known), entry)


def suite_names(conf: Conf) -> list[str]:
    """The names of all suites."""
    return [
        f"{benchmark}/{part}@{entry.version}"
        for benchmark in conf.options(GROUP)
        for part, entry in _benchmark(benchmark, conf).suites.items()
    ]


def asked_suite(values: dict[str, Any], conf: Conf) -> tuple[PromptFile, Suite] | None:
    """The prompts and the suite of the knobs `suite` and `suites`; None if no suite is asked for. Raises BadInput."""
    if values["suite"] is not None:
        copies = None if values["suites"] is None else folder("suites", values["suites"])
        return suite_prompts(values["suite"], copies, conf)
    if values["suites"] is not None:
        raise BadInput("suites is the folder of suites' files, and no suite is asked for; add suite=NAME")
    return None


def suite_prompts(name: object, copies: Path | None, conf: Conf) -> tuple[PromptFile, Suite]:
    """A suite's prompts, each with its category. copies: the folder of the user's own; None: a file is
    fetched. Raises BadInput."""
    chosen = suite_named(name, conf)
    suite, entry = chosen.suite, chosen.entry
    if entry.file is None and copies is not None:
        raise BadInput(f"the prompts of {suite.name} come with this program; leave suites={copies} out")
    if entry.rule is not None:
        found = PromptFile(geneval_prompts(), ("GenEval's prompts are drawn by its rule",))
    elif entry.prompts is not None:
        found = load_prompts(entry.prompts, conf)
        check_digest(suite, prompt_set_path(entry.prompts, conf))
    else:
        found, suite = SuiteFiles(copies).read(suite)
    if suite.category:
        found = PromptFile(tuple(replace(one, category=suite.category) for one in found.prompts), found.notes)
    return found, suite


def _benchmark(name: str, conf: Conf) -> Benchmark:
    known = conf.options(GROUP)
    if name not in known:
        raise BadInput(f"suite={name} is not known; use one of {', '.join(known)}{did_you_mean(name, known)}, for "
                       f"example {EXAMPLE}")  # fmt: skip
    values: dict[str, Any] = conf.named("suite", GROUP, name).values
    try:
        benchmark = msgspec.convert(values, Benchmark)
        for part, entry in benchmark.suites.items():
            if sum(each is not None for each in (entry.file, entry.prompts, entry.rule)) != 1:
                raise ValueError(f"{part} needs one of file, prompts and rule")
            if entry.rule not in (None, "geneval"):
                raise ValueError(f"{part}: rule {entry.rule} is not known; the only one is geneval")
            protocol = entry.protocol
            if protocol.images < 1:
                raise ValueError(f"{part}: the protocol's images must be 1 or more, not {protocol.images}")
            for name, value, allowed in (
                ("judge", protocol.judge, [None, *conf.options("evaluator")]),
                ("measure", protocol.measure, [None, "score", "correct", "fully_bound"]),
                ("mean_over", protocol.mean_over, ["images", "categories"]),
            ):
                if value not in allowed:
                    raise ValueError(f"{part}: the protocol's {name} {value!r} is not one of {allowed}")
            _suite(part, entry, benchmark)
        if not benchmark.suites:
            raise ValueError("it has no suites")
    except ValueError as error:  # msgspec's ValidationError is one
        raise BadInput(f"{conf.path(GROUP, f'{name}.yaml')} is no benchmark: {first_line(error)}") from None
    return benchmark


def _suite(name: str, entry: Entry, benchmark: Benchmark) -> Suite:
    path = "/".join(part for part in (benchmark.folder, entry.file) if part) if entry.file else None
    address = None
    if path and benchmark.source and entry.commit:
        address = benchmark.source.replace("{commit}", entry.commit).replace("{path}", path)
        if any(letter in address for letter in "{} ") or not address.startswith(("https://", "http://")):
            raise ValueError(f"source must be an address with {{commit}} and {{path}} in it, not {benchmark.source!r}")
    return Suite(name, entry.protocol, entry.sha256, entry.category, entry.file, path, address)
