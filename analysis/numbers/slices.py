"""Trials cut by generator, prompt set and judge: what every table and figure is made of.

`slices(results)` gives them. The rows of a slice are trials, with a column `{component}/{image}` for each component of
a judgement and `score:{metric}/{image}` for each metric. image is `initial` (before) or `best` (after: the image with
the best score of the optimised metric).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from analysis.data.names import label_of
from analysis.data.results import Results
from analysis.numbers.bindings import binding_fates
from analysis.numbers.measures import COMPONENTS, WHOLE, Measure
from analysis.numbers.stated_claims import StatedClaim, metrics_called, named_metrics, stated_claims
from analysis.numbers.verdicts import MARGIN
from analysis.text import MISSING

NO_JUDGE = ""
KIN_MARK = "†"
CONTROLS = ("decoder_only", "best_of_n", "none")
"""Methods that others are compared with, in the order of tables."""


@dataclass(frozen=True)
class Slice:
    """The trials of one generator on one prompt set, as one judge sees them."""

    models: str
    prompt_set: str
    judge: str
    """NO_JUDGE if no judge looked at these trials."""
    kin: str
    """The metric family that the judge is related to, or `none`."""
    rows: pd.DataFrame
    """TRIAL_COLUMNS, components and scores; a trial that this judge did not see has NaN components."""
    judged: pd.DataFrame
    """Results.judged."""
    absent: pd.DataFrame
    """The rows of Results.absent that belong here."""
    random_weights: bool
    """Some weights are random: no number here says anything about the metrics."""
    stated: tuple[StatedClaim, ...]
    """The claims to decide on these trials."""
    metrics: tuple[str, ...]
    """All metrics of the store in the order of tables; also those that claims name and the store does not have."""
    methods: tuple[str, ...]
    """All methods of the store in the order of tables."""
    margin: float = MARGIN
    """Differences of shares up to this count as none: what is equivalent lies within ± this."""

    @cached_property
    def fates(self) -> pd.DataFrame:
        """What became of each binding: `binding_fates` of these trials."""
        return binding_fates(self.judged[self.judged["judge"] == self.judge], self.rows)

    def is_kin(self, *families: str) -> bool:
        """Whether the judge is related to one of these metrics. families: as in TRIAL_COLUMNS, e.g. `blip clip`."""
        return any(self.kin in names.split() for names in families)

    def marked(self, *families: str) -> str:
        """The judge's name, marked if it is related to one of these metrics."""
        return f"{self.judge or MISSING}{KIN_MARK if self.is_kin(*families) else ''}"

    @property
    def score_measures(self) -> tuple[Measure, ...]:
        """One for each metric that scored these trials, optimised or only recorded."""
        labels = dict.fromkeys(map(label_of, self.metrics))
        names = [name for name in map("score:{}".format, labels) if f"{name}/best" in self.rows]
        there = [name for name in names if self.rows[f"{name}/best"].notna().any()]
        return tuple(Measure(name, f"{name.removeprefix('score:')} score", name, share=False) for name in there)

    def select(self, **wanted: object) -> pd.DataFrame:
        """The rows with these values."""
        keep = pd.Series(True, index=self.rows.index)
        for column, value in wanted.items():
            keep &= self.rows[column] == value
        return self.rows[keep]

    def metrics_of(self, rows: pd.DataFrame) -> list[str]:
        """The metrics that these trials optimised, in the order of tables."""
        return sorted(rows["metric"].unique(), key=self.metrics.index)

    def methods_of(self, rows: pd.DataFrame) -> list[str]:
        return sorted(rows["method"].unique(), key=self.methods.index)

    def configurations(self, rows: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
        """(method, metric, settings, its trials), in the order of tables."""
        groups = {key: part for key, part in rows.groupby(["method", "metric", "settings"])}

        def order(key: tuple[str, str, str]) -> tuple:
            method, metric, settings = key
            numbers = groups[key][["iterations", "lr"]].iloc[0].fillna(0)
            return self.methods.index(method), self.metrics.index(metric), *numbers, settings

        for key in sorted(groups, key=order):
            yield *key, groups[key]


def slices(results: Results, margin: float = MARGIN) -> list[Slice]:
    """Every slice; of one generator and prompt set, first the judges that are related to no metric. Raises BadInput if
    a claim of the store cannot be used. margin: differences of shares up to this count as none."""
    stated = stated_claims(results.claims)
    order = {"stated": stated, "metrics": _metric_order(results, stated), "methods": _method_order(results)}
    order |= {"margin": margin}
    trials = results.trials.drop(columns=["prompt_set", "study"]).merge(_scores_wide(results), on="trial", how="left")
    components = _components(results.judged, results.verdicts)
    places = {judge: place for place, judge in enumerate(results.verdicts["judge"].unique())}
    members = results.members.sort_values("category", ascending=False, kind="stable")  # one that is empty comes last
    members = members.drop_duplicates(["trial", "prompt_set"])
    found = []
    for prompt_set, own in members.groupby("prompt_set"):
        here = trials[trials["trial"].isin(set(own["trial"]))]
        here = here.assign(category=here["trial"].map(own.set_index("trial")["category"]))
        for models, rows in here.groupby("models"):
            absent = results.absent
            absent = absent[(absent["models"] == models) & (absent["prompt_set"] == prompt_set)]
            seen = components[components["trial"].isin(set(rows["trial"]))]
            judges = seen.groupby("judge", sort=False)["kin"].first().to_dict() or {NO_JUDGE: "none"}
            for judge, kin in judges.items():
                said = seen[seen["judge"] == judge].drop(columns=["judge", "kin"])
                joined = rows.merge(said, on="trial", how="left").reset_index(drop=True)
                random = bool(rows["random_weights"].any())
                own = (joined, results.judged, absent, random)
                found.append(Slice(models, str(prompt_set), judge, kin, *own, **order))
    return sorted(found, key=lambda one: (one.models, one.prompt_set, one.kin != "none", places.get(one.judge, 0)))


def families_of(rows: pd.DataFrame) -> str:
    """The metric families that these trials optimised, separated by spaces."""
    return " ".join(sorted({family for names in rows["families"].unique() for family in names.split()}))


def families_by_metric(rows: pd.DataFrame, metrics: Sequence[str]) -> dict[str, str]:
    """The families of each of `metrics` that these trials optimised, in that order."""
    families = rows.groupby("metric")["families"].first()
    return {metric: families[metric] for metric in metrics if metric in families.index}


def _metric_order(results: Results, stated: Sequence[StatedClaim]) -> tuple[str, ...]:
    """As the claims name the metrics, then as they first appear. A name that stands for no metric keeps its place, so
    that colours do not depend on what a store lacks."""
    families = families_by_metric(results.trials, results.metrics)
    named = [metric for name in named_metrics(stated) for metric in metrics_called(name, families) or [name]]
    return tuple(dict.fromkeys([*named, *results.metrics]))


def _method_order(results: Results) -> tuple[str, ...]:
    """ReNO, then others as they first appear, then the controls."""
    return tuple(dict.fromkeys(["reno", *(name for name in results.methods if name not in CONTROLS), *CONTROLS]))


def _scores_wide(results: Results) -> pd.DataFrame:
    """One row a trial, a column `score:{metric}/{image}` for each metric and image."""
    wide = results.scores.pivot_table(index="trial", columns=["metric", "image"], values="score", aggfunc="first")
    wide.columns = [f"score:{metric}/{image}" for metric, image in wide.columns]
    return wide.reset_index()


def _components(judged: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row a trial x judge, with a column `{component}/{image}` for each of COMPONENTS and of WHOLE and both images.
    Those of COMPONENTS are NaN for a prompt without bindings."""
    keys = ["trial", "judge", "kin"]
    whole = verdicts.rename(columns={"score": "judge_score"}).set_index([*keys, "image"])[list(WHOLE)].unstack("image")
    whole.columns = [f"{component}/{image}" for component, image in whole.columns]
    whole = whole.reindex(columns=[f"{component}/{image}" for component in WHOLE for image in ("initial", "best")])
    return whole.reset_index().merge(_of_bindings(judged), on=keys, how="left")


def _of_bindings(judged: pd.DataFrame) -> pd.DataFrame:
    """The part of the components that is of single bindings."""
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
