"""`workers=N`: one job is run by N jobs of a sweep with the same trials. They claim batches one by one, so that nothing
is cut beforehand and a quick worker runs more of them. And the launchers that would start no job."""

from __future__ import annotations

import dataclasses
import os
import re

from reno.config.checks import whole_number
from reno.config.words import Words
from reno.device.gpus import count_gpus, has_gpu
from reno.spec.errors import BadInput

WORKERS = "workers"
MOST = 4096


def spread(words: Words, dry: bool = False) -> Words:
    """The words with each job as often as `workers` says, as a sweep. Raises BadInput. dry: each job once."""
    typed = [word for word in words.knobs if _name(word) == WORKERS]
    if not typed:
        return words
    number = _number(typed[-1].partition("=")[2], words)
    if number == 1:
        return words
    launcher = _launcher(words)
    if launcher in (None, "basic"):
        raise BadInput(
            f"workers={number} needs a launcher that runs jobs side by side: add hydra/launcher=gpus, slurm, ray or "
            "submitit_local; or type the same command several times"
        )
    knobs = [word for word in words.knobs if _name(word) != WORKERS]
    return dataclasses.replace(
        words, knobs=(*knobs, f"{WORKERS}={','.join([str(number)] * (1 if dry else number))}"), multirun=True
    )


def check_launcher(words: Words) -> None:
    """Raises BadInput for a launcher that would start nothing. (A study may be a sweep by itself.)"""
    launcher = _launcher(words)
    if launcher and not words.multirun and not any(word.startswith("+experiments=") for word in words.knobs):
        raise BadInput(
            f"hydra/launcher={launcher} starts the jobs of a sweep, and this is one job; type -m with it, or workers=N "
            "for N jobs that share its trials, or leave it out"
        )
    settings = {_name(word): word.partition("=")[2] for word in words.knobs}
    if launcher == "ray" and not os.environ.get("RAY_ADDRESS"):
        elsewhere = {"hydra.launcher.ray.remote.num_gpus", "hydra.launcher.ray.init.address"} & set(settings)
        if not elsewhere and not has_gpu():
            raise BadInput(
                "hydra/launcher=ray gives each job a GPU, and torch finds none on this machine: its jobs would wait "
                "for ever; for jobs on the CPU type hydra.launcher.ray.remote.num_gpus=0 threads=1"
            )
    if re.fullmatch(r"[+-]?0+", none := settings.get("hydra.launcher.n_jobs", "")):
        raise BadInput(f"hydra.launcher.n_jobs={none} starts no worker; give 1 or more, or -1 for one a CPU core")


def check_workers(value: object, typed: bool) -> None:
    """Raises BadInput for a number of workers that a file sets: the jobs are made from what is typed."""
    if not typed and value != 1:
        raise BadInput(f"workers={value} is set by a file, which starts no workers; type it: workers={value}")
    if value != "auto":
        whole_number(WORKERS, value, at_least=1, below=MOST + 1)


def _number(value: str, words: Words) -> int:
    if value == "auto":
        if _launcher(words) != "gpus":
            raise BadInput(
                "workers=auto is one for each GPU of this machine: add hydra/launcher=gpus, or give a number"
            )
        jobs = [word.partition("=")[2] for word in words.knobs if _name(word) == "hydra.launcher.n_jobs"]
        value = str(count_gpus()) if not jobs or jobs[-1] == "-1" else jobs[-1]
    try:
        number = int(value)
    except ValueError:
        raise BadInput(f"workers must be one whole number or auto, not {value!r}") from None
    return whole_number(WORKERS, number, at_least=1, below=MOST + 1)


def _launcher(words: Words) -> str | None:
    chosen = [word.partition("=")[2] for word in words.knobs if _name(word) == "hydra/launcher"]
    return chosen[-1] if chosen else None


def _name(word: str) -> str:
    return re.sub(r"^\+{0,2}", "", word.partition("=")[0])
