"""The state of a running batch, saved every few iterations, so that a killed job goes on from there.

results/running/<digest>/<images>-<sha256>.safetensors

A batch's folder is named by the digest of what decides its floats: its trials and their places, how many run side by
side, the device, the threads, the versions of the libraries, and how the models run. (A trial's id holds the rest:
weights, dtype, method, version of the algorithm.) A batch of which one of these differs has another folder and begins
anew.

Each file holds what has come since the one before: the models' answers to the method, from which the method is led back
to where it was (reno/methods/_tape.py), and the frames. Its name says how many images there are by then, and what its
bytes are. The noise is compared with the one that was saved before the batch goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensors_bytes

from reno.methods import TermScores
from reno.methods._tape import Answer, Tape
from reno.running.plan import Batch
from reno.running.pool import Models
from reno.running.progress import KeptImages
from reno.running.provenance import Environment
from reno.spec.errors import why_not_written
from reno.spec.trial import digest
from reno.store.staging import write_whole

log = logging.getLogger(__name__)

RUNNING = "running"
"""The folder's name in the store."""
FORMAT = 1
"""Version of what is saved."""
_FILE = re.compile(r"(?P<images>\d{6})-(?P<sha256>[0-9a-f]{64})\.safetensors")
_KEPT = ("initial", "best", "last")


class Astray(Exception):
    """A method was led back to another noise than the one that was saved."""


@dataclass(frozen=True)
class SavedStep:
    """What is saved of one step besides the models' answers."""

    pixels: np.ndarray
    """uint8 (B, H, W, 3)."""
    seconds: float
    full: TermScores | None = None
    """Scores of the full images, if the method saw drafts."""


@dataclass
class Past:
    """What is saved of a batch."""

    answers: list[Answer] = field(default_factory=list)
    steps: list[SavedStep] = field(default_factory=list)
    images: KeptImages = field(default_factory=KeptImages)
    noise: torch.Tensor | None = None
    """(B, C, h, w), of the last step."""


class Save:
    """The saved state of one batch."""

    def __init__(self, folder: Path, batch: Batch, every: int, tell: Callable[[str], None]):
        """every: images between two files. tell: called with a warning for the user."""
        self.folder, self.every, self.tell = folder, every, tell
        self.waiting = {trial.id for trial in batch}
        """The batch's trials that have not ended yet."""
        self._metadata = {"format": str(FORMAT), "trials": json.dumps([trial.id for trial in batch])}
        self._steps: list[SavedStep] = []
        self.past = self._read()
        self.tape = Tape(self.past.answers)

    @property
    def steps(self) -> int:
        """How many steps are saved."""
        return len(self.past.steps)

    def step(self, number: int) -> SavedStep | None:
        """What is saved of the step with this number, from 0; None if the step is new."""
        return self.past.steps[number] if number < len(self.past.steps) else None

    def check(self, number: int, noise: torch.Tensor) -> KeptImages | None:
        """After the last saved step, the images that were kept by then; None after any other. noise: the step's,
        (B, C, h, w). Raises Astray if it is not the one that was saved."""
        if number != len(self.past.steps) - 1:
            return None
        if not np.array_equal(noise.cpu().numpy(), self.past.noise.numpy(), equal_nan=True):
            raise Astray
        images = (getattr(self.past.images, name).to(noise.device) for name in _KEPT)
        return KeptImages(*images)

    def add(self, number: int, noise: torch.Tensor, step: SavedStep, images: KeptImages) -> None:
        """Takes in a new step, and writes a file if it is time. noise: the step's."""
        self._steps.append(step)
        if (number + 1) % self.every:
            return
        try:
            self._write(number + 1, noise, images)
        except OSError as error:
            self.tell(f"a running batch could not be saved ({why_not_written(error)}): if it is killed, it begins anew")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- Files --------------------------------------------------------------------------------------------------------

    def _write(self, images_made: int, noise: torch.Tensor, images: KeptImages) -> None:
        begun = images_made == len(self._steps)
        kept = {name: getattr(images, name) for name in _KEPT if begun or name != "initial"}
        tensors = _of_answers(self.tape.new) | _of_steps(self._steps) | kept | {"noise": noise}
        metadata = self._metadata | {"from": str(images_made - len(self._steps))}
        own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}  # none share memory
        data = tensors_bytes(own, metadata)
        place = self.folder / f"{images_made:06d}-{hashlib.sha256(data).hexdigest()}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(place, data)
        except FileNotFoundError:  # another worker has just removed the empty folder
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(place, data)
        self.tape.new.clear()
        self._steps.clear()

    def _read(self) -> Past:
        """What the files hold, up to the first one that cannot be used; it and those after it are removed."""
        past = Past()
        files = sorted(self.folder.glob("*.safetensors"))
        for place in files:
            try:
                _extend(past, place)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                self.tell(
                    f"{place} cannot be used ({why_not_written(error)}); its batch goes on from image {len(past.steps)}"
                )
                for unusable in files[files.index(place) :]:
                    with contextlib.suppress(OSError):  # a folder, or another user's: it is read no further than here
                        unusable.unlink()
                break
        return past


class Unsaved:
    """In place of a Save, for a batch that is not saved."""

    tape = None
    steps = 0

    def step(self, number: int) -> None: ...

    def check(self, number: int, noise: torch.Tensor) -> None: ...

    def add(self, number: int, noise: torch.Tensor, step: SavedStep, images: KeptImages) -> None: ...

    def remove(self) -> None: ...


UNSAVED = Unsaved()


def _of_answers(answers: Sequence[Answer]) -> dict[str, torch.Tensor]:
    graded = [answer for answer in answers if answer.slope is not None]
    whole = {name: torch.stack([getattr(one, name) for one in answers]) for name in ("total", "terms", "lost")}
    with_gradient = {name: torch.stack([getattr(one, name) for one in graded]) for name in ("slope", "scale") if graded}
    return whole | with_gradient | {"graded": torch.tensor([answer.slope is not None for answer in answers])}


def _of_steps(steps: Sequence[SavedStep]) -> dict[str, torch.Tensor]:
    found = {
        "pixels": torch.from_numpy(np.stack([step.pixels for step in steps])),
        "seconds": torch.tensor([step.seconds for step in steps], dtype=torch.float64),
    }
    if steps[0].full:
        found |= {
            f"full_{name}": torch.stack([getattr(one.full, name) for one in steps]) for name in ("total", "terms")
        }
    return found


def _extend(past: Past, place: Path) -> None:
    """Adds what a file holds. One of a second worker, which ran the batch because a lease ended too early, adds
    nothing. Raises ValueError if its bytes are not those that were written, or if it does not follow on what is
    there."""
    name = _FILE.fullmatch(place.name)
    if name and int(name["images"]) <= len(past.steps):
        return
    data = place.read_bytes()
    if name is None or hashlib.sha256(data).hexdigest() != name["sha256"]:
        raise ValueError("its bytes are not those that were written")
    header = _header(place)
    if header.get("format") != str(FORMAT) or header.get("from") != str(len(past.steps)):
        raise ValueError("it does not follow on the file before it")
    tensors = load_tensors(data)
    graded = iter(zip(tensors["slope"], tensors["scale"], strict=True)) if "slope" in tensors else iter(())
    answers = zip(tensors["total"], tensors["terms"], tensors["lost"], tensors["graded"].tolist(), strict=True)
    past.answers += [Answer(*answer, *(next(graded) if has else ())) for *answer, has in answers]
    fulls = [None] * len(tensors["seconds"])
    if "full_total" in tensors:
        fulls = [TermScores(*pair) for pair in zip(tensors["full_total"], tensors["full_terms"], strict=True)]
    steps = zip(tensors["pixels"].numpy(), tensors["seconds"].tolist(), fulls, strict=True)
    past.steps += [SavedStep(*step) for step in steps]
    past.images = KeptImages(*(tensors.get(name, past.images.initial) for name in _KEPT))
    past.noise = tensors["noise"]


def _header(place: Path) -> dict[str, str]:
    with safe_open(place, "pt") as opened:
        return opened.metadata() or {}


class Saves:
    """The running batches of one store."""

    def __init__(self, root: Path, every: int | None, tell: Callable[[str], None]):
        """every: as for a Save; None: nothing is saved. tell: called with a warning for the user."""
        self.root, self.every, self._tell = root / RUNNING, every, tell
        self._told: set[str] = set()
        self._open: list[Save] = []

    def of(self, batch: Batch, shape: int, models: Models, surroundings: Environment) -> Save | Unsaved:
        """The saved state of a batch that is about to run. shape: as for run_batch."""
        if self.every is None:
            return UNSAVED
        name = digest(_what_decides(batch, shape, models, surroundings))
        save = Save(self.root / name, batch, self.every, self._tell_once)
        self._open = [one for one in self._open if one.folder != save.folder] + [save]
        return save

    def ended(self, trial: str) -> None:
        """A trial is stored, or has failed by itself. A batch of which all have ended has its saved state removed."""
        for save in self._open:
            save.waiting.discard(trial)
            if not save.waiting:
                save.remove()
        self._open = [save for save in self._open if save.waiting]

    def clear(self, trials: Path) -> None:
        """Removes the saved states of batches of which all trials are stored, and folders with nothing in them. trials:
        the store's folder of trials."""
        for folder in _folders(self.root):
            with contextlib.suppress(OSError, ValueError, KeyError, StopIteration, SafetensorError):
                if not any(folder.iterdir()):
                    folder.rmdir()
                elif all((trials / one).is_dir() for one in _trials_of(folder)):
                    shutil.rmtree(folder)
        with contextlib.suppress(OSError):
            self.root.rmdir()

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._tell(sentence)


def _what_decides(batch: Batch, shape: int, models: Models, surroundings: Environment) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "trials": [trial.id for trial in batch],
        "shape": max(shape, len(batch)),
        "device": surroundings.device,
        "threads": surroundings.threads,
        "cpu_capability": surroundings.cpu_capability,
        "versions": {name: one for name, one in surroundings.versions.items() if name != "wandb"},
        "deterministic": surroundings.deterministic,
        "execution": dataclasses.asdict(models.execution),
    }


def _trials_of(folder: Path) -> Iterable[str]:
    """The ids of the trials of a saved batch, from the head of its first file."""
    return json.loads(_header(next(folder.glob("*.safetensors")))["trials"])


def _folders(root: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        yield from [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
