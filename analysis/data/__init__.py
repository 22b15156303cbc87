"""The tidy frames that everything else is made of.

    results = load(Path("results"))          # or load(Path("wandb:entity/project"))
    results.trials      one row a stored trial
    results.judged      one row a binding of an image (initial, best) by a judge
    results.scores      one row a metric's score of an image (initial, best, last)
    results.absent      one row a trial that some job planned and the store lacks, with its state and reason
    results.members     one row a trial of a prompt set
    results.traces(ids) one row an iteration

results.py     the frames' columns, and the images of trials
curves.py      the traces of trials, from their own files or from the index
frames.py      frames from trial records and job records
names.py       readable names for generators, metrics, judges and settings
labels.py      people's labels of images, from a file
from_store.py  the records of a store
index.py       the index of a large store
from_wandb.py  the records of a project of Weights & Biases
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.data.from_store import load_store
from analysis.data.from_wandb import WANDB, load_wandb
from analysis.data.labels import labelled
from analysis.data.results import Results

__all__ = ["Results", "labelled", "load"]

pd.set_option("mode.string_storage", "python")
"""Texts in frames as Python's own: taking rows of pandas' other kind, Arrow's, costs a third of a report's time."""


def load(root: Path) -> Results:
    """Reads the store in `root`, or the project `wandb:entity/project`. Raises BadInput if it has no whole trial."""
    place = str(root)
    return load_wandb(place.removeprefix(WANDB)) if place.startswith(WANDB) else load_store(root)
