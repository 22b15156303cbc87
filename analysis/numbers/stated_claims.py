"""The claims that are to be decided: data, from conf/claim_sets or from the study that ran the jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from reno import HOME
from reno.spec.claims import AFTER, BEFORE, StatedClaim, StatedPart, read_claims
from reno.spec.errors import BadInput, first_line

__all__ = [
    "AFTER",
    "BEFORE",
    "StatedClaim",
    "StatedPart",
    "metrics_called",
    "named_metrics",
    "stated_claims",
]

DEFAULT = HOME / "conf" / "claim_sets" / "clip_vs_blip.yaml"


def stated_claims(given: Sequence[Any] = (), default: Path = DEFAULT) -> tuple[StatedClaim, ...]:
    """The claims that the store's jobs give, of several with one key the first; if they give none, those of the default
    file. Raises BadInput if one cannot be used."""
    if given:
        return _by_key(given, "the store's jobs")
    try:
        values = yaml.safe_load(default.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"the claims in {default} cannot be read ({first_line(error)})") from None
    if not isinstance(values, list) or not values:
        raise BadInput(f"{default} must be a list of claims, each with key, statement, definition and parts")
    return _by_key(values, str(default))


def named_metrics(claims: Iterable[StatedClaim]) -> tuple[str, ...]:
    """The metrics that claims name, in the order of the claims."""
    return tuple(dict.fromkeys(name for claim in claims for name in claim.metrics))


def metrics_called(name: str, families: Mapping[str, str]) -> list[str]:
    """The metrics that a claim may mean by `name`: the one of that label, else those of that family alone.

    families: by metric, the families of its terms, separated by spaces."""
    return [name] if name in families else [metric for metric, family in families.items() if family == name]


def _by_key(given: Sequence[Any], where: str) -> tuple[StatedClaim, ...]:
    found: dict[str, StatedClaim] = {}
    for claim in read_claims(given, where):
        found.setdefault(claim.key, claim)
    return tuple(found.values())
