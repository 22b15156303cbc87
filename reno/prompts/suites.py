"""A suite's prompt file: in the user's folder, in the cache, or at its public address. Its SHA-256 is compared with the
one that the suite was defined with."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import reno
from reno.prompts.formats import PromptFile, read_prompt_file
from reno.spec.errors import BadInput, typed_line
from reno.spec.suites import Suite

MOST_BYTES = 20 << 20
"""A larger answer is no list of prompts."""
TIMEOUT = 20.0
"""Seconds that a server may stay silent."""


def cache_folder() -> Path:
    """Where fetched files are kept."""
    return reno.cache_folder() / "suites"


@dataclass(frozen=True)
class SuiteFiles:
    """Where the files of suites are."""

    folder: Path | None
    """The user's copies of the public repositories, or of their files; None: files are fetched."""

    def read(self, suite: Suite) -> tuple[PromptFile, Suite]:
        """The suite's prompts, and the suite with the SHA-256 of the file that was read. Raises BadInput."""
        place = self._place(suite)
        digest = check_digest(suite, place)
        found = read_prompt_file(place)
        notes = [f"the prompts of {suite.name} are those of {place}"]
        if suite.sha256 is None:
            notes.append(f"no published digest of {suite.name} is known; this file's SHA-256 is {digest}")
        return PromptFile(found.prompts, (*notes, *found.notes)), replace(suite, sha256=digest)

    def _place(self, suite: Suite) -> Path:
        if self.folder is None:
            return self._fetched(suite)
        if not self.folder.is_dir():
            raise BadInput(f"suites={self.folder} is not a folder; give the one that holds your copies of benchmarks")
        roots = [self.folder, self.folder / suite.benchmark]
        if suite.address and suite.address.count("/") > 4:
            roots.append(self.folder / suite.address.split("/")[4])  # the repository's own name
        places = [root / path for root in roots for path in dict.fromkeys((suite.path, suite.file))]
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            raise BadInput(
                f"suites={self.folder} does not hold {suite.file}, the prompts of {suite.name}; copy it there"
                + (f" from {suite.address}" if suite.address else "")
            )
        return there

    def _fetched(self, suite: Suite) -> Path:
        """The file in the cache, after fetching it if it is not there yet."""
        remedy = f"put {suite.file} into a folder and give suites=FOLDER"
        if suite.address is None:
            raise BadInput(f"the prompts of {suite.name} cannot be fetched; {remedy}")
        place = cache_folder() / suite.benchmark / suite.name.split("/")[1] / str(suite.file)
        if place.is_file():
            return place
        try:
            with urllib.request.urlopen(suite.address, timeout=TIMEOUT) as answer:
                content, promised = answer.read(MOST_BYTES + 1), answer.headers.get("Content-Length")
            if len(content) > MOST_BYTES:
                raise ValueError(f"it has more than {MOST_BYTES >> 20} MB")
            if promised is not None and str(len(content)) != promised:
                raise ValueError(f"{len(content)} of {promised} bytes came")
            if suite.sha256 not in (None, hashlib.sha256(content).hexdigest()):
                raise ValueError("what came is not the file that the suite was defined with")
            place.parent.mkdir(parents=True, exist_ok=True)
            part = tempfile.NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False)  # noqa: SIM115
            try:
                with part:
                    part.write(content)
                os.replace(part.name, place)
            finally:
                Path(part.name).unlink(missing_ok=True)
        except (OSError, ValueError, HTTPException) as error:  # a failed request is an OSError too
            raise BadInput(
                f"the prompts of {suite.name} cannot be fetched from {suite.address} ({typed_line(error)}); {remedy}"
            ) from None
        return place


def check_digest(suite: Suite, place: Path) -> str:
    """The SHA-256 of a suite's file. Raises BadInput if it cannot be read, or is not the one that the suite was defined
    with."""
    try:
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"{place} cannot be read ({error.strerror})") from None
    if suite.sha256 not in (None, digest):
        kept = place.is_relative_to(cache_folder())
        remedy = f"remove {place}, and it is fetched again" if kept else (
            f"take {suite.address or 'the published file'}, or give your own list as prompts={place}"
        )  # fmt: skip
        raise BadInput(
            f"{place} is not the file of {suite.name}: its SHA-256 is {digest[:12]}… and not {suite.sha256[:12]}…; "
            f"{remedy}"
        )
    return digest
