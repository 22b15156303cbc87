"""Turns words such as `metric=blip` into plain values: Hydra composes conf/, and `explain` words its errors.

words = parse(RUN, arguments)
values = composed(RUN, words)              # for commands that do not sweep
values = values_of(config, RUN)            # for a configuration that Hydra composed, in reno.run
"""

from __future__ import annotations

import re

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from reno.config.conf import OWN, Chosen, Conf, references_in
from reno.config.page import RUN, Page
from reno.config.search import prepare_hydra
from reno.config.words import Words, search_path
from reno.spec.errors import BadInput, did_you_mean, first_line


def composed(page: Page, words: Words) -> Chosen:
    """The plain values of one command's knobs. Raises BadInput, or an error that `explain` knows."""
    if words.multirun:
        raise BadInput(f"{page.usage.split(' [')[0]} cannot sweep; leave out -m and give each knob one value")
    if words.flags:
        raise BadInput(f"{words.flags[0]} is not a flag of this command; knobs are typed as knob=value")
    prepare_hydra()
    with initialize_config_dir(str(OWN), version_base="1.3"):
        return values_of(compose(page.name, [*search_path(words.conf), *words.knobs]), page)


def values_of(config, page: Page) -> Chosen:
    """A composed configuration as plain values. Raises BadInput for a key that is not a knob of the page."""
    values = OmegaConf.to_container(config, resolve=True)
    known = page.names()
    if not isinstance(values.get("debug", False), bool):
        raise BadInput(f"debug must be true or false, not {values['debug']!r}")
    if unknown := [name for name in values if name not in known]:
        raise BadInput(f"{unknown[0]} is not a knob{did_you_mean(unknown[0], known) or '; --help lists them all'}")
    if absent := [name for name in known if name not in values]:
        raise BadInput(f"{absent[0]} has no value; leave out ~{absent[0]}")
    return Chosen(values, references_in(OmegaConf.to_container(config, resolve=False)))


def explain(error: Exception, page: Page = RUN, conf: Conf = Conf()) -> str | None:  # noqa: B008 (it is frozen)
    """One sentence for what the user did wrong; None for an error that is not the user's."""
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = conf.options(group) or sorted(error.options or [])
        return f"{group}={name} is not known; use {', '.join(known) or 'none'}{did_you_mean(name, known)}"
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read as knob=value; put a value with commas, quotes or brackets in two "
            "pairs of quotes, as in prompt='\"a, b\"'"
        )
    if isinstance(error, YAMLError | UnicodeDecodeError):
        return f"a YAML file cannot be read: {' '.join(str(error).split())}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _of_hydra(str(error), page) or first_line(error)
    return None


def _of_hydra(text: str, page: Page) -> str | None:
    if match := re.search(r"An item is already at '([\w.]+)'", text):
        return f"{match[1]} is a knob already; leave out the +"
    if match := re.search(r"Ambiguous value for argument '(.*)'\n1\. ", text, re.S):
        name, _, value = match[1].partition("=")
        sweep = "add -m to sweep over them" if page is RUN else "give it one"
        listed = f", or write one list: '{name}=[{value}]'" if name in ("prompt", "seed", *page.lists) else ""
        return f"{name} has several values; {sweep}{listed}"
    if match := re.search(r"Could not (?:override|append to config\.?|delete[^']*) *'?([\w.@/]+)'?", text):
        name, known = match[1].split("@")[0], page.names()
        if name in known:
            return f"{name} cannot be set as a whole here; set one of its keys, as in {name}.KEY=VALUE"
        return f"{name} is not a knob{did_you_mean(name, known) or '; --help lists them all'}"
    return None
