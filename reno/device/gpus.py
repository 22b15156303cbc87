"""Workers of one machine that have a GPU each: which GPUs there are, and which is this process's own."""

from __future__ import annotations

import os
from pathlib import Path

from reno.spec.errors import BadInput

VISIBLE = "CUDA_VISIBLE_DEVICES"
MARK = ".worker-"
"""How the names of the files begin that count a sweep's workers."""

_marks: list[int] = []
"""The open file that is this process's own; the system lets it go when the process ends."""


def has_gpu() -> bool:
    """Whether torch finds a GPU of CUDA's kind on this machine."""
    import torch

    return torch.cuda.device_count() > 0


def count_gpus() -> int:
    """How many GPUs this machine has for a worker each. Raises BadInput if it has none."""
    import torch

    if not (found := torch.cuda.device_count()):
        raise BadInput(
            "hydra/launcher=gpus starts a worker for each GPU, and torch finds none on this machine; for workers on "
            "the CPU give their number, as in hydra.launcher.n_jobs=2 threads=1"
        )
    return found


def take_gpu(folder: Path) -> str | None:
    """Makes one GPU the only one that this process sees, for all of its life: the first that no other worker of the
    sweep has. With more workers than GPUs several share one. Returns its name for CUDA; None if there is none.

    folder: the sweep's. CUDA must not be in use yet."""
    if _marks:
        return os.environ.get(VISIBLE) or None
    place = _take_place(folder)
    gpus = _visible()
    if not gpus:
        return None
    os.environ[VISIBLE] = gpus[place % len(gpus)]
    return os.environ[VISIBLE]


def forget_workers(folder: Path) -> None:
    """Removes the files that counted a sweep's workers."""
    for path in folder.glob(f"{MARK}*"):
        path.unlink(missing_ok=True)


def _take_place(folder: Path) -> int:
    """This process's place among the workers: the first whose file nobody has locked. Workers are of one machine, so a
    lock of the system's is enough, and ends with its process."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    place = 0
    while True:
        handle = os.open(folder / f"{MARK}{place}", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            place += 1
            continue
        _marks.append(handle)
        return place


def _visible() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA takes."""
    typed = os.environ.get(VISIBLE)
    if typed is not None:
        return [name.strip() for name in typed.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
