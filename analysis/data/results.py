"""What was read from a store or from Weights & Biases: tidy pandas frames, and the traces and images behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd

from analysis.data.curves import TRACED, PartCurves, traces
from reno.spec.errors import BadInput, reason
from reno.store.stored import Stored, read_trial, whole

T = TypeVar("T")

TYPED = "typed"
"""The prompt set of prompts that were typed on the command line."""

SETTINGS = (
    "iterations", "lr", "regularization", "grad_clip", "optimizer", "options", "dtype", "algorithm",
)  # fmt: skip
"""What, besides the metric, distinguishes two configurations of one method."""

TRIAL_COLUMNS = (
    "trial", "models", "prompt_set", "study", "metric", "families", "method", "settings", *SETTINGS, "prompt",
    "category", "bindings", "asked", "seed", "generator", "random_weights", "best_iteration", "score_initial",
    "score_best", "score_last", "cut", "seconds", "images", "batch_size", "checkpointed", "peak_host_bytes",
    "peak_device_bytes", "device", "commit", "finished",
)  # fmt: skip
JUDGED_COLUMNS = (
    "trial", "judge", "kin", "identity", "image", "place", "attribute", "object", "object_present", "attribute_present",
    "bound", "object_confidence", "attribute_confidence", "bound_confidence", "instead", "faults",
)  # fmt: skip
VERDICT_COLUMNS = ("trial", "judge", "kin", "image", "correct", "score")
SCORE_COLUMNS = ("trial", "image", "metric", "score")
PEOPLE_COLUMNS = ("models", "prompt", "seed", "image", "shown", "place", "holds")
MEMBER_COLUMNS = ("trial", "prompt_set", "study", "category")
ABSENT_COLUMNS = (
    "trial", "models", "prompt_set", "study", "metric", "method", "settings", "prompt", "seed", "state", "reason",
)  # fmt: skip
ABSENT_STATES = ("failed", "damaged", "missing")


@dataclass(frozen=True)
class Results:
    """A results store, read.

    Nothing is dropped silently: a trial that cannot be read has a sentence in `damaged`, and a row in `absent` if a job
    planned it."""

    root: Path
    trials: pd.DataFrame
    """TRIAL_COLUMNS, one row a stored trial. `metric` and `models` are the record's labels, with a suffix where one
    label stands for different weights. `settings` is a readable name for SETTINGS. `families` are the kinds of the
    metric's terms, separated by spaces. `bindings` is how many the prompt asks for, and `asked` their names."""
    judged: pd.DataFrame
    """JUDGED_COLUMNS, one row a binding x image (initial, best) x judge. `place` is the binding's place in the prompt,
    from 0; confidences are in [0, 1]. `instead` is the attribute that the object has in place of the one asked for; it
    is empty if the judge does not tell. `faults` names what is wrong with the whole image, separated by spaces.
    `identity` is the start of the digest of the judge's weights, settings and version. A judge with several identities
    on one generator counts as several judges; `judge` then has the identity as a suffix."""
    verdicts: pd.DataFrame
    """VERDICT_COLUMNS, one row an image (initial, best) x judge. `correct` (1 or 0) is the judge's word on the whole
    image, by its benchmark's rule, and `score` its score in [0, 1]; NaN if it gives none."""
    scores: pd.DataFrame
    """SCORE_COLUMNS, one row a metric that scored an image (initial, best, last). `metric` is the record's label."""
    members: pd.DataFrame
    """MEMBER_COLUMNS, one row a stored trial x prompt set x study. A trial is stored once and may be in several;
    its category may be another in each."""
    absent: pd.DataFrame
    """ABSENT_COLUMNS, one row a planned trial x prompt set that the store lacks. `state` is one of ABSENT_STATES;
    `settings` is None if the job's record does not have them."""
    damaged: tuple[str, ...]
    """A sentence for each trial, each later judgement and each job record that is damaged or cannot be read."""
    commands: tuple[str, ...]
    """The commands whose jobs filled the store, in the order they ran."""
    metrics: tuple[str, ...]
    """Metrics in the order in which they first appear: those of `trials` and `absent`, then those that only scored."""
    methods: tuple[str, ...]
    """Methods in the order in which they first appear."""
    claims: tuple[dict[str, Any], ...] = ()
    """The claims that the jobs name, as job.json has them."""
    people: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(PEOPLE_COLUMNS)))
    """PEOPLE_COLUMNS, one row a binding or a whole image (`place` is -1) that people labelled: whether it `holds`.
    `shown` is the trial; it is empty for an image before optimisation, which all trials of a prompt and seed share."""
    labels: Path | None = None
    """The file of people's labels."""
    label_notes: tuple[str, ...] = ()
    """What became of the rows of the file with people's labels, one sentence each."""
    indexed: tuple[PartCurves, ...] = ()
    """The curves that the store's index had when these results were read."""
    not_shown: dict[str, str] = field(default_factory=dict)
    """A sentence for each trial with an image that was to be shown and is not what was written; `shown` fills it."""
    in_folders: ClassVar[bool] = True
    """Each trial is a folder with all of its images. If not, each image is a request to a server."""

    @property
    def lacking(self) -> dict[str, int]:
        """How many planned trials the store lacks, by state, the most frequent first. A trial of several prompt sets
        counts once."""
        return self.absent.drop_duplicates("trial")["state"].value_counts().to_dict()

    def folder(self, trial: str) -> Path:
        return self.root / "trials" / trial

    def stored(self, trial: str) -> Stored:
        """The trial, with its record, images and frames. Raises BadInput if it is damaged."""
        return whole(read_trial(self.folder(trial)))

    def shown(self, trial: str, read: Callable[[Any], T]) -> T | None:
        """What `read` makes of the trial's images; None if they cannot be read, which `not_shown` then says."""
        try:
            return read(self.stored(trial))
        except (BadInput, OSError, ValueError, KeyError) as error:
            if self.in_folders:
                self.not_shown.setdefault(trial, reason(error))
            return None

    def traces(self, trials: Iterable[str], columns: Sequence[str] = TRACED) -> pd.DataFrame:
        """One row an iteration of each trial, with the column `trial` and these columns of the trace.

        A trace that cannot be read, or lacks one of these columns, is left out; the frame's attribute `unread` names
        such trials. What the index has is given as it was when these results were read."""
        return traces(self.folder, list(trials), list(columns), self.indexed)

    @cached_property
    def all_traces(self) -> pd.DataFrame:
        """The traces of every trial, read once."""
        return self.traces(self.trials["trial"])
