"""Benchmark suites: a public list of prompts at one version, with the protocol of its paper."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How a benchmark, or a paper, measures on a suite."""

    name: str
    images: int
    """Images per prompt, each from a noise of its own."""
    judge: str | None
    """Its judge in conf/evaluator, or the one that stands in for it; None if it has none, or none of this project's."""
    measure: str | None
    """What the judge says that is averaged: `score` (Verdict.score), `correct` (Verdict.correct) or `fully_bound`."""
    mean_over: str = "images"
    """`images`: the mean over all images; `categories`: the mean of the categories' means."""
    official: str = ""
    """The protocol's own judge, in words, if `judge` is not it; empty if it is, or if the protocol names none."""


@dataclass(frozen=True)
class Suite:
    """One suite. Its name is BENCHMARK/PART@VERSION."""

    name: str
    protocol: Protocol
    sha256: str | None
    """Of its prompt file; None if no public digest was at hand."""
    category: str = ""
    """Of all its prompts; empty if the file gives each its own, or none."""
    file: str | None = None
    """The prompt file's name in the benchmark's repository; None if the prompts come with this project."""
    path: str | None = None
    """The file's path in that repository."""
    address: str | None = None
    """Where the file can be fetched; None if it cannot."""

    @property
    def benchmark(self) -> str:
        return self.name.split("/")[0]
