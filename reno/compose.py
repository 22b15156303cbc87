"""From knobs to a job: conf/ composed with what a user typed, its quotes, and what to say where it cannot be used.

reno.run composes by Hydra's own command, with its sweeps and launchers; what else asks about a job calls `composed`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reno.choices import named, names, register_resolver
from reno.errors import BadInput, did_you_mean, first_line
from reno.help import CONF, knobs, options

if TYPE_CHECKING:
    from reno.spec import JobSpec


def composed(words: list[str]) -> JobSpec:
    """The job of one command's knobs, composed and checked as running it would. Raises BadInput or an error that
    `explain` knows."""
    import hydra

    from reno.spec import job_from_config

    register_resolver()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return job_from_config(values_of(hydra.compose("config", [quoted(word, sweeping=False) for word in words])))


def values_of(config) -> dict[str, Any]:
    """The composed configuration as plain Python values, with the named metrics and judges put in place of their
    names. Raises BadInput for what is not a knob."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=True)
    known = [knob for knob, _, _ in knobs()]
    if unknown := [name for name in values if name not in known]:
        raise BadInput(f"{unknown[0]} is not a knob{did_you_mean(unknown[0], known) or '; --help lists them all'}")
    values["record"] = [named("record", "metric", name) for name in names(values["record"])]
    values["evaluators"] = [named("evaluators", "evaluator", name) for name in names(values["evaluators"])]
    return values


def quoted(word: str, sweeping: bool) -> str:
    """A prompt typed as it is, with commas and quotes in it, in Hydra's quotes. In a sweep a comma separates values, so
    there it stays the user's to quote."""
    name, equals, text = word.partition("=")
    if name != "prompt" or not equals or sweeping or text[:1] in ("[", "'", '"') or text == "null":
        return word
    return "prompt=" + quote(text)


def quote(text: str) -> str:
    """A text as a quoted value of Hydra's override grammar."""
    text = re.sub(r"(\\+)(?='|$)", r"\1\1", text)  # backslashes count only before a quote
    return "'" + text.replace("'", "\\'").replace("${", "\\${") + "'"


def explain(error: Exception) -> str | None:
    """One sentence for what the user did wrong; None for an error that is not the user's."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = options(group)
        return f"{group}={name} is not known; use {', '.join(known)}{did_you_mean(name, known)}"
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read as knob=value; put a value with commas, quotes or brackets in two "
            "pairs of quotes, as in prompt='\"a, b\"'"
        )
    if isinstance(error, HydraException | OmegaConfBaseException):
        text = str(error)
        if match := re.search(r"Ambiguous value for argument '(.*)'", text):
            name, _, value = match.group(1).partition("=")
            listed = f", or write one list: '{name}=[{value}]'" if name in ("prompt", "seed") else ""
            return f"{name} has several values; add -m to sweep over them{listed}"
        if match := re.search(r"Could not (?:override|append to config\.?|delete[^']*) *'?([\w.@/]+)'?", text):
            name = match.group(1).split("@")[0]
            known = [knob for knob, _, _ in knobs()]
            return f"{name} is not a knob{did_you_mean(name, known) or '; --help lists them all'}"
        return first_line(error)
    return None
