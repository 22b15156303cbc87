"""The command that predicts a job's memory: its peak, which cards have enough, and the largest batch on each.

    python -m reno.memory models=sd_turbo metric=blip_large dtype=float16 batch_size=1

It takes every knob of reno.run. The job runs on tensors without values: no GPU and no weights are needed.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import dataclasses
import sys
from collections.abc import Sequence

from reno.config.command import run_command
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import Words
from reno.letters.output import warn
from reno.screen.quiet import quieten_libraries

PAGE = dataclasses.replace(
    RUN,
    sweeps=False,
    resumes=False,
    usage="python -m reno.memory [-cd FOLDER] [knob=value ...]",
    purpose=(
        "Predicts the memory of a job: its peak, which common cards have enough, and the largest batch on each. "
        "Neither a GPU nor the weights are needed: the architectures of published checkpoints are known, and from a "
        "folder only the configurations are read. `device=auto` means a GPU. The knobs are those of reno.run."
    ),
    examples="exit status  0, or 2 if the input cannot be used\n",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the prediction. Returns the exit status: 0, or 2 if the input cannot be used."""
    return run_command(PAGE, arguments, _predict)


def _predict(words: Words) -> int:
    from reno.config.compose import composed

    job = job_from_config(composed(PAGE, words), words.conf)
    quieten_libraries()
    from reno.running.fit.prediction import predictions
    from reno.screen.fit import show_predictions

    if sys.stderr and sys.stderr.isatty():
        warn("The job is tried on tensors without values, which can take a minute ...")
    show_predictions(job, predictions(job, "cuda" if job.device == "auto" else job.device.partition(":")[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
