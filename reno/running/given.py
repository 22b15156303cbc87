"""Pictures that were made elsewhere, as trials of a store: judges and tables then take them as any other trial.

Two layouts of folders are known:

    GenEval         FOLDER/00000/metadata.jsonl, one JSON object with the prompt, and FOLDER/00000/samples/0000.png
    T2I-CompBench   FOLDER/{prompt}_{number}.png, or the same in FOLDER/samples

Such a trial has one image, which is both its initial and its best image. The SHA-256 of its pixels is part of its
identity, its method is `given`, and it optimised nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import UNSET
from PIL import Image

from reno.prompts.formats import read_prompt_file
from reno.prompts.reader import prompt_from_text
from reno.running.provenance import environment, peak_host_bytes
from reno.spec.errors import BadInput, typed_line
from reno.spec.prompts import Prompt
from reno.spec.trial import ALGORITHM, digest
from reno.store.records import (
    BatchMate,
    BatchRecord,
    Labels,
    Memory,
    Provenance,
    Scores,
    Timings,
    TrialIdentity,
    TrialRecord,
)
from reno.store.store import Finished, Store
from reno.store.stored import Stored

METHOD = "given"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
METADATA = "metadata.jsonl"
NUMBERED = re.compile(r"(.*)_(\d+)", re.S)


@dataclass(frozen=True)
class Picture:
    """A picture of a prompt. number: its place among the prompt's pictures, as its file says."""

    path: Path
    prompt: Prompt
    number: int


def find_pictures(folder: Path, prompts: Sequence[Prompt] = ()) -> list[Picture]:
    """The pictures of a folder in one of the two layouts. prompts: those that a suite allows, with their bindings and
    categories; empty: any. Raises BadInput."""
    if not folder.is_dir():
        raise BadInput(f"images={folder} is not a folder; give one in GenEval's or T2I-CompBench's layout")
    found = list(_of_geneval(folder)) or list(_of_compbench(folder))
    if not found:
        raise BadInput(
            f"images={folder} holds no pictures in a known layout: GenEval's (00000/{METADATA} and "
            "00000/samples/0000.png) or T2I-CompBench's (a red car_000000.png)"
        )
    if not prompts:
        return found
    known = {prompt.text: prompt for prompt in prompts}
    for picture in found:
        if picture.prompt.text not in known:
            raise BadInput(f"{picture.path}: {picture.prompt.text!r} is not a prompt of the suite; leave suite out, or "
                           "move the picture")  # fmt: skip
    return [Picture(one.path, known[one.prompt.text], one.number) for one in found]


def _of_geneval(folder: Path) -> Iterator[Picture]:
    for metadata in sorted(folder.glob(f"*/{METADATA}")):
        prompts = read_prompt_file(metadata).prompts
        if len(prompts) != 1:
            raise BadInput(f"{metadata} holds {len(prompts)} prompts; a folder of GenEval's has one")
        for path in _files(metadata.parent / "samples"):
            if not path.stem.isdecimal():
                raise BadInput(f"{path} has no number as its name; GenEval calls its pictures 0000.png, 0001.png, ...")
            yield Picture(path, prompts[0], int(path.stem))


def _of_compbench(folder: Path) -> Iterator[Picture]:
    inner = folder / "samples"
    for path in _files(inner if inner.is_dir() else folder):
        match = NUMBERED.fullmatch(path.stem)
        if match is None:
            raise BadInput(f"{path} is not named PROMPT_NUMBER{path.suffix}, as T2I-CompBench does; rename it")
        yield Picture(path, prompt_from_text(match[1], str(path)), int(match[2]))


def _files(folder: Path) -> list[Path]:
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in there if path.suffix.lower() in SUFFIXES and path.is_file())


def store_pictures(pictures: Sequence[Picture], store: Store, name: str, prompt_set: str | None) -> tuple[int, int]:
    """Stores the pictures that are not stored yet. name: of the generator that made them, for tables. Returns how many
    were stored now and before. Raises BadInput if a picture cannot be read."""
    import torch

    new = []
    for picture in pictures:  # each is read before one is stored
        identity = _identity(picture, _pixels(picture.path), name)
        there = store.find(digest(identity.to_json()))
        if isinstance(there, Stored) and there.record.prompt != picture.prompt:
            raise BadInput(
                f"{picture.path} is stored in {store.root} with other bindings or another category; give another "
                "results=DIR"
            )
        if there is None:
            new.append((picture, identity))
    store.prepare()
    surroundings = environment(torch.device("cpu"))
    for picture, identity in new:
        trial = digest(identity.to_json())
        mate = BatchMate(id=trial, prompt=picture.prompt.text, bindings=picture.prompt.bindings, seed=picture.number)
        record = TrialRecord(
            id=trial,
            spec=identity,
            bindings=picture.prompt.bindings,
            category=picture.prompt.category or UNSET,
            wanted=picture.prompt.wanted or UNSET,
            unwanted=picture.prompt.unwanted or UNSET,
            labels=Labels(models=name, metric="none", method=METHOD, prompts=prompt_set),
            scores=Scores(initial={}, best={}, last={}),
            best_iteration=0,
            timings=Timings(seconds=0.0, batch_seconds=0.0, batch_size=1, images=1),
            memory=Memory(peak_host_bytes=peak_host_bytes(), peak_device_bytes=None),
            finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            provenance=Provenance(**vars(surroundings), batch=BatchRecord(size=1, place=0, trials=(mate,))),
        )
        row = dict.fromkeys(("loss", "score", "regularizer", "grad_norm", "noise_norm"), None)
        none = np.zeros((0, 0, 0), np.float32)
        store.commit(
            Finished(record, [{"iteration": 0, **row, "seconds": 0.0}], [_pixels(picture.path)], 0, none, none)
        )
    return len(new), len(pictures) - len(new)


def _identity(picture: Picture, pixels: np.ndarray, name: str) -> TrialIdentity:
    return TrialIdentity(
        algorithm=ALGORITHM,
        generator=f"pictures:{name}",
        metric=(),
        dtype="uint8",
        method={"name": METHOD},
        prompt=picture.prompt.text,
        seed=picture.number,
        picture=hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
    )


def _pixels(path: Path) -> np.ndarray:
    """uint8 (H, W, 3). Raises BadInput."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as a picture ({typed_line(error)}); replace it") from None
