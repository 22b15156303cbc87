"""Table 12: how far judges agree with each other, and with people's labels if there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pandas as pd

from analysis.data import Results
from analysis.data.labels import PEOPLE, WHOLE_IMAGE
from analysis.numbers.agreement import agreement
from analysis.numbers.slices import Slice
from analysis.tables.columns import bracketed, spread
from analysis.tables.notes import interval_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import MISSING

IMAGES = {"initial": "before", "best": "after"}
QUESTION = ["image", "prompt", "seed", "shown"]
"""What tells images apart; `shown`: the trial, empty for an image before optimisation, which trials share."""
COLUMNS = (
    "a", "b", "of", "image", "answers", "prompts", "agree", "agree_low", "agree_high", "agree_interval", "kappa",
    "kappa_low", "kappa_high", "kappa_interval", "both_yes", "only_a", "only_b", "both_no",
)  # fmt: skip


def judges(cell: Sequence[Slice], results: Results) -> Table:
    """One row a pair of judges x bindings or whole images x before or after."""
    rows, shown = [], []
    of_people = _of_people(cell[0], results)
    bindings = _of_bindings(cell, results, of_people)
    images = _of_images(bindings, of_people)
    for a, b in combinations([*_names(cell), *([PEOPLE] if len(of_people) else [])], 2):
        for of, answers in (("bindings", bindings), ("images", images)):
            for image, part in _pairs(answers, a, b):
                row, line = _row(a, b, of, image, part)
                rows.append(row)
                shown.append(line)
    title = "Agreement between judges"
    if not rows:
        why = "No two judges looked at the same images; `python -m reno.evaluate evaluators=NAME` adds a judge."
        return empty_table(cell, 12, "judges", title, COLUMNS, why)
    notes = [
        "Do two judges say the same of one image: that a binding holds, or that all bindings of the image hold? Kappa: "
        "Cohen's, 1 for full agreement and 0 for what chance would give. Only a: a says yes and b says no. An image "
        "before optimisation counts once, whatever the metric. n: answers (prompts).",
        interval_note([row["agree_interval"] for row in rows]),
        *results.label_notes,
    ]
    return table_of(cell, 12, "judges", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _names(cell: Sequence[Slice]) -> list[str]:
    return [one.judge for one in cell if one.judge]


def _of_bindings(cell: Sequence[Slice], results: Results, of_people: pd.DataFrame) -> pd.DataFrame:
    """QUESTION, place, judge, holds: the answers of judges and people to each binding of each different image."""
    trials = cell[0].rows[["trial", "prompt", "seed", "method"]]
    judged = results.judged[results.judged["judge"].isin(_names(cell))]
    judged = judged[["trial", "judge", "image", "place", "bound"]].merge(trials, on="trial")
    judged = judged[(judged["image"] == "initial") | (judged["method"] != "none")]
    shown = judged["trial"].where(judged["image"] == "best", "")
    judged = judged.assign(shown=shown).rename(columns={"bound": "holds"})
    answers = pd.concat([judged, of_people[of_people["place"] != WHOLE_IMAGE]])
    answers = answers[[*QUESTION, "place", "judge", "holds"]].astype({"holds": bool})
    return answers.drop_duplicates([*QUESTION, "place", "judge"])


def _of_images(bindings: pd.DataFrame, of_people: pd.DataFrame) -> pd.DataFrame:
    """QUESTION, judge, holds: whether all bindings of an image hold, as people say or as the answers to them imply. Who
    did not answer all of them says nothing."""
    asked = bindings.groupby(QUESTION)["place"].nunique().rename("asked")
    found = bindings.groupby([*QUESTION, "judge"])["holds"].agg(["all", "size"]).reset_index().merge(asked, on=QUESTION)
    implied = found[found["size"] == found["asked"]].rename(columns={"all": "holds"})
    answers = pd.concat([of_people[of_people["place"] == WHOLE_IMAGE], implied])[[*QUESTION, "judge", "holds"]]
    return answers.drop_duplicates([*QUESTION, "judge"])


def _of_people(one: Slice, results: Results) -> pd.DataFrame:
    """People's answers on images of this cell, in the same columns."""
    people = results.people[results.people["models"] == one.models]
    before = people[people["shown"] == ""].merge(one.rows[["prompt", "seed"]].drop_duplicates(), on=["prompt", "seed"])
    after = people[people["shown"].isin(set(one.rows["trial"]))]
    return pd.concat([before, after]).assign(judge=PEOPLE)


def _pairs(answers: pd.DataFrame, a: str, b: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """For before and after, the questions that both answered, with their answers as `a` and `b`."""
    keys = [name for name in (*QUESTION, "place") if name in answers]
    sides = [answers[answers["judge"] == name].drop(columns="judge") for name in (a, b)]
    both = sides[0].merge(sides[1], on=keys, suffixes=("|a", "|b")).rename(columns={"holds|a": "a", "holds|b": "b"})
    for image in IMAGES:
        part = both[both["image"] == image]
        if len(part):
            yield image, part


def _row(a: str, b: str, of: str, image: str, answers: pd.DataFrame) -> tuple[dict, dict[str, str]]:
    found = agreement(answers)
    row = {
        "a": a,
        "b": b,
        "of": of,
        "image": image,
        "answers": found.count,
        "prompts": found.prompts,
        **spread("agree", found.share),
        **spread("kappa", found.kappa),
        "both_yes": found.both,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "both_no": found.neither,
    }
    line = {
        "judges": f"{a} vs {b}",
        "of": f"{of} {IMAGES[image]}",
        "n": f"{found.count} ({found.prompts})",
        "agree [95%]": bracketed(found.share, signed=False),
        "kappa [95%]": MISSING if pd.isna(found.kappa.value) else bracketed(found.kappa, signed=False),
        "only a": str(found.only_a),
        "only b": str(found.only_b),
    }
    return row, line
