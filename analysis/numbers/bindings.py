"""What became of each judged binding: right or at fault, before and after; and shares of bindings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.numbers.effects import Level, level
from analysis.numbers.measures import Measure

RIGHT = "right"
FAULTS = ("attribute elsewhere", "attribute missing", "object missing", "both missing")
"""What is wrong with a binding that does not hold. Elsewhere: object and attribute are both there, not on each other.
Object missing: its attribute is there, on something else."""
ABOUT = ["trial", "method", "metric", "families", "settings", "prompt", "seed"]
KEYS = ["trial", "place", "attribute", "object"]
SHARE = Measure("share", "share of bindings", "counted", "among")


def binding_fates(judged: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """One row a binding of these trials that the judge saw before and after.

    judged: the rows of Results.judged of one judge; those of other trials do not count. trials: the rows of a slice.

    Columns: KEYS and ABOUT; was_right and is_right; `was` and `now`, each RIGHT or one of FAULTS; was_instead
    and now_instead, the attribute that an object had in place of its own, empty if the judge does not tell.
    """
    judged = judged[judged["trial"].isin(set(trials["trial"]))]
    before, after = (_of_image(judged[judged["image"] == image]) for image in ("initial", "best"))
    fates = before.rename(columns={"bound": "was_right", "fate": "was", "instead": "was_instead"}).merge(
        after.rename(columns={"bound": "is_right", "fate": "now", "instead": "now_instead"}), on=KEYS
    )
    return fates.merge(trials[ABOUT], on="trial")


def _of_image(judged: pd.DataFrame) -> pd.DataFrame:
    bound, there, shown = (judged[name].to_numpy(bool) for name in ("bound", "object_present", "attribute_present"))
    fate = np.select([bound, there & shown, there, shown], [RIGHT, *FAULTS[:3]], FAULTS[3])
    return judged[[*KEYS, "bound", "instead"]].assign(fate=fate)


def share(fates: pd.DataFrame, counted: pd.Series, among: pd.Series | None = None) -> Level:
    """How many of the bindings in `among` (by default all) are `counted`; of `fates`, the rows that are True.

    Prompts without a binding in `among` do not count. `trials` are those of the other prompts.
    """
    among = pd.Series(True, index=fates.index) if among is None else among
    return level(_by_trial(fates, counted, among), SHARE)


def share_value(fates: pd.DataFrame, counted: pd.Series) -> float:
    """The value of `share` of all bindings, without the interval, which takes most of the time."""
    trials = _by_trial(fates, counted, pd.Series(True, index=fates.index))
    prompts = trials.groupby("prompt")[["counted/best", "among/best"]].mean().to_numpy(float)
    return float(SHARE.of(prompts.mean(axis=0))) if len(prompts) else float("nan")


def _by_trial(fates: pd.DataFrame, counted: pd.Series, among: pd.Series) -> pd.DataFrame:
    """One row a trial, with how many of its bindings are in `among`, and how many of those are counted."""
    parts = fates[["prompt", "seed", "trial"]].assign(**{"counted/best": counted & among, "among/best": among})
    parts = parts[parts["prompt"].isin(set(parts.loc[among, "prompt"]))]
    return parts.groupby(["prompt", "seed", "trial"], as_index=False).sum()
