"""What judges and metrics say of each trial, before and after, as numbers that can be averaged.

`slices(results)` is what every table and figure is made of: one generator, one prompt set, one judge. Its rows are
trials, with a column `{component}/{image}` for each component of a judgement and `score:{metric}/{image}` for each
metric, image being `initial` (before) or `best` (after: the image with the best score of the optimised metric).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.load import Results
from analysis.statistics import Of, mean, ratio

NO_JUDGE = ""
KIN_MARK = "†"

COMPONENTS = ("fully", "bound", "objects", "attributes", "carried", "swapped")
"""Of one judged image, in [0, 1]: all bindings hold (0 or 1); the share of bindings that hold, whose object is
there, whose attribute is there on whatever, whose object is there and has the attribute, and whose object and
attribute are both there but not on each other."""


@dataclass(frozen=True)
class Measure:
    """A quantity of one judged image, or of a metric's score."""

    name: str
    title: str
    numerator: str
    denominator: str | None = None
    """The component it is a share of; None: of all images."""
    better: int = 1
    """+1 if higher is better, -1 if lower is."""
    share: bool = True
    """In [0, 1]; a metric's score is not."""

    def columns(self, image: str) -> list[str]:
        parts = [self.numerator] if self.denominator is None else [self.numerator, self.denominator]
        return [f"{part}/{image}" for part in parts]

    @property
    def of(self) -> Of:
        return mean if self.denominator is None else ratio


MEASURES = (
    Measure("fully_bound", "prompts fully bound", "fully"),
    Measure("bound", "bindings that hold", "bound"),
    Measure("objects", "objects there", "objects"),
    Measure("attributes", "attributes there", "attributes"),
    Measure("bound_given_present", "bound, of objects there", "carried", "objects"),
    Measure("swapped", "both there, not together", "swapped", better=-1),
)
"""`fully_bound` is the share of images with every binding right; `objects` and `attributes` are recalls (the
attribute may be on anything); `bound_given_present` is binding given that the object is there; `swapped` is the
share of bindings whose object and attribute are both in the image and not on each other."""
BY_NAME = {measure.name: measure for measure in MEASURES}


@dataclass(frozen=True)
class Slice:
    """The trials of one generator on one prompt set, as one judge sees them."""

    models: str
    prompt_set: str
    judge: str
    """NO_JUDGE where no judge looked at these trials."""
    kin: str
    """The metric family the judge is related to: clip, blip or none."""
    rows: pd.DataFrame
    """TRIAL_COLUMNS, components and scores; a trial that this judge did not see has NaN components."""
    absent: pd.DataFrame
    """The rows of Results.absent that belong here."""
    random_weights: bool
    """Some weights are random: no number here says anything about the metrics."""

    def is_kin(self, *families: str) -> bool:
        """Whether the judge is related to one of these metrics. families: as TRIAL_COLUMNS has them, e.g. `blip
        clip`."""
        return any(self.kin in names.split() for names in families)

    def marked(self, *families: str) -> str:
        """The judge's name, marked if it is kin to one of these metrics."""
        return f"{self.judge or 'no judge'}{KIN_MARK if self.is_kin(*families) else ''}"

    @property
    def score_measures(self) -> tuple[Measure, ...]:
        """One a metric that scored these trials, optimised or only recorded."""
        suffix = "/best"
        names = sorted(
            column.removesuffix(suffix)
            for column in self.rows.columns
            if column.startswith("score:") and column.endswith(suffix) and self.rows[column].notna().any()
        )
        return tuple(Measure(name, f"{name[6:]} score", name, share=False) for name in names)

    def select(self, **wanted: object) -> pd.DataFrame:
        """The rows with these values."""
        keep = pd.Series(True, index=self.rows.index)
        for column, value in wanted.items():
            keep &= self.rows[column] == value
        return self.rows[keep]


def slices(results: Results) -> list[Slice]:
    """Every slice, judges that are kin to no metric first."""
    trials = results.trials.drop(columns=["prompt_set", "study"]).merge(_scores_wide(results), on="trial", how="left")
    components = _components(results.judged)
    members = results.members[["trial", "prompt_set"]].drop_duplicates()
    found = []
    for prompt_set, ids in members.groupby("prompt_set")["trial"]:
        here = trials[trials["trial"].isin(set(ids))]
        for models, rows in here.groupby("models"):
            absent = results.absent
            absent = absent[(absent["models"] == models) & (absent["prompt_set"] == prompt_set)]
            seen = components[components["trial"].isin(set(rows["trial"]))]
            judges = sorted(seen.groupby("judge")["kin"].first().items(), key=lambda item: (item[1] != "none", item[0]))
            for judge, kin in judges or [(NO_JUDGE, "none")]:
                own = seen[seen["judge"] == judge].drop(columns=["judge", "kin"])
                joined = rows.merge(own, on="trial", how="left").reset_index(drop=True)
                random = bool(rows["random_weights"].any())
                found.append(Slice(models, str(prompt_set), judge, kin, joined, absent, random))
    return sorted(found, key=lambda one: (one.models, one.prompt_set, one.kin != "none", one.judge))


def _scores_wide(results: Results) -> pd.DataFrame:
    """One row a trial, a column `score:{metric}/{image}` for each metric and image."""
    wide = results.scores.pivot_table(index="trial", columns=["metric", "image"], values="score", aggfunc="first")
    wide.columns = [f"score:{metric}/{image}" for metric, image in wide.columns]
    return wide.reset_index()


def _components(judged: pd.DataFrame) -> pd.DataFrame:
    """One row a trial x judge, with a column `{component}/{image}` for each of COMPONENTS and both images."""
    there, shown, bound = judged["object_present"], judged["attribute_present"], judged["bound"]
    parts = judged[["trial", "judge", "kin", "image"]].assign(
        bound=bound, objects=there, attributes=shown, carried=bound & there, swapped=there & shown & ~bound
    )
    keys = ["trial", "judge", "kin", "image"]
    numbers = parts.astype({name: float for name in COMPONENTS if name != "fully"}).groupby(keys, sort=False)
    images = numbers.mean()
    images["fully"] = (images["bound"] == 1).astype(float)
    wide = images[list(COMPONENTS)].unstack("image")
    wide.columns = [f"{component}/{image}" for component, image in wide.columns]
    wide = wide.reindex(columns=[f"{component}/{image}" for component in COMPONENTS for image in ("initial", "best")])
    return wide.reset_index()


def all_columns(measures: tuple[Measure, ...], *images: str) -> list[str]:
    """Every column these measures need, once."""
    return list(dict.fromkeys(column for image in images for m in measures for column in m.columns(image)))
