"""Turns words such as `metric=blip` into plain values: Hydra composes conf/, and `explain` words its errors.

words = parse(RUN, arguments)
values = composed(RUN, words)              # for commands that do not sweep
values = values_of(config, RUN, settings)  # for a configuration that Hydra composed, in reno.run
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from reno.config.conf import OWN, Chosen, Conf, references_in
from reno.config.overrides import check, parsed
from reno.config.page import RUN, Page
from reno.config.search import prepare_hydra
from reno.config.words import TEXTS, Words, search_path
from reno.spec.errors import BadInput, did_you_mean, first_line, typed_line

PLUGINS = {
    "hydra/launcher": {
        "gpus": "'reno-bench[joblib]'", "joblib": "'reno-bench[joblib]'", "slurm": "'reno-bench[slurm]'",
        "submitit_local": "'reno-bench[slurm]'", "submitit_slurm": "'reno-bench[slurm]'",
        "ray": "'reno-bench[ray]'", "ray_aws": "hydra-ray-launcher", "rq": "hydra-rq-launcher",
    },
    "hydra/sweeper": {
        "optuna": "hydra-optuna-sweeper", "ax": "hydra-ax-sweeper", "nevergrad": "hydra-nevergrad-sweeper",
    },
}  # fmt: skip
"""What pip installs for Hydra's launchers and sweepers, by group and name."""
EXTRAS = {"joblib": "joblib", "submitit": "slurm", "ray": "ray"}
"""The extra that brings a launcher's package, by the middle of the package's name."""


def composed(page: Page, words: Words) -> Chosen:
    """The plain values of one command's knobs. Raises BadInput, or an error that `explain` knows."""
    check(dataclasses.replace(page, sweeps=False), words)
    prepare_hydra()
    try:
        return chosen_by(page, [*search_path(words.conf), *words.knobs])
    except BadInput:
        raise
    except Exception as error:
        raise hydras_own(error, words) from error


def chosen_by(page: Page, knobs: Sequence[str]) -> Chosen:
    """The plain values of knobs as Hydra reads them. Raises BadInput, or an error that `explain` knows."""
    with initialize_config_dir(str(OWN), version_base="1.3"):
        config = compose(page.name, list(knobs), return_hydra_config=True)
    settings = config.hydra
    with open_dict(config):
        del config["hydra"]
    return values_of(config, page, settings)


def hydras_own(error: Exception, words: Words) -> Exception:
    """The error of a Hydra that was given settings of its own, or a user's files: BadInput that names them, unless
    `explain` knows it."""
    typed = [word for word in words.knobs if word.lstrip("+~").startswith(("hydra.", "hydra/"))]
    typed += [f"-cd {folder}" for folder in words.conf.folders[1:]]
    if not typed or explain(error) is not None:
        return error
    return BadInput(f"Hydra cannot use {' '.join(typed)} ({typed_line(error)})")


def values_of(config, page: Page, settings=None) -> Chosen:
    """A composed configuration as plain values. Raises BadInput for a key that is not a knob of the page.

    settings: Hydra's own, which hold the words that were typed and the files that were chosen; None if there are none.
    """
    values = OmegaConf.to_container(config, resolve=True)
    known = page.names()
    if not isinstance(values.get("debug", False), bool):
        raise BadInput(f"debug must be true or false, not {values['debug']!r}")
    if unknown := [name for name in values if name not in known]:
        raise BadInput(f"{unknown[0]} is not a knob{did_you_mean(unknown[0], known) or '; --help lists them all'}")
    if absent := [name for name in known if name not in values]:
        raise BadInput(f"{absent[0]} has no value; leave out ~{absent[0]}")
    references = references_in(OmegaConf.to_container(config, resolve=False))
    if settings is None:
        return Chosen(values, references)
    names = [name for one in map(parsed, settings.overrides.task) for name in _names(one.key_or_group, one.value())]
    return Chosen(values, references, frozenset(names), settings.runtime.choices.get("models"))


def _names(name: str, value: object) -> Iterator[str]:
    """The dotted names that a value sets: a mapping's keys, each with the name before it."""
    if not isinstance(value, dict):
        yield name
        return
    for key, inner in value.items():
        yield from _names(f"{name}.{key}", inner)


def explain(error: Exception, page: Page = RUN, conf: Conf = Conf()) -> str | None:  # noqa: B008 (it is frozen)
    """One sentence for what the user did wrong; None for an error that is not the user's."""
    if isinstance(error, BadInput):
        return str(error)
    if match := re.match(r"BadInput raised while resolving interpolation: (.*)", str(error)):
        return match[1]
    if sentence := _of_launcher(error):
        return sentence
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _of_missing(str(error.missing_cfg_file), error.options or [], page, conf)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read as knob=value; put a value with commas, quotes or brackets in two "
            "pairs of quotes, as in prompt='\"a, b\"'"
        )
    if isinstance(error, YAMLError | UnicodeDecodeError):
        return f"a YAML file cannot be read: {' '.join(str(error).split())}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _of_hydra(error, page) or first_line(error)
    if isinstance(error, OSError) and str(error.filename or "").endswith(".yaml"):
        return f"{error.filename} cannot be read ({error.strerror})"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised from; one may have been raised from itself."""
    yield error
    while error.__cause__ not in (None, error):
        error = error.__cause__
        yield error


def _of_launcher(error: Exception) -> str | None:
    """A launcher of conf/ whose package is not installed."""
    text = " ".join(map(str, _causes(error)))
    match = re.search(r"Unknown plugin class : 'hydra_plugins\.hydra_(\w+?)_launcher\.", text)
    if match is None or match[1] not in EXTRAS:
        return None
    extra = f"'reno-bench[{EXTRAS[match[1]]}]'"
    return f"this launcher needs the package hydra-{match[1]}-launcher; `pip install {extra}` brings it"


def _of_missing(file: str, options: Iterable[str], page: Page, conf: Conf) -> str:
    """A choice that has no file. file: GROUP/NAME; a name may hold slashes."""
    groups = [knob.name for knob in page.knobs() if knob.group]
    group, name = file.rpartition("/")[::2]
    group, name = next(((one, file[len(one) + 1 :]) for one in groups if file.startswith(f"{one}/")), (group, name))
    if group in PLUGINS:
        return _of_plugin(group, name, sorted(options))
    known = conf.options(group) or sorted(options)
    return f"{group}={name} is not known; use {', '.join(known) or 'none'}{did_you_mean(name, known)}"


def _of_plugin(group: str, name: str, installed: Sequence[str]) -> str:
    kind, packages = group.partition("/")[2], PLUGINS[group]
    if name in packages:
        return f"{group}={name} needs a package that is not installed; `pip install {packages[name]}` brings it"
    more = ", ".join(f"{one} ({package})" for one, package in packages.items() if one not in installed)
    return f"{group}={name} is not known; use {', '.join(installed)}, or install the package of another {kind}: {more}"


def _of_hydra(error: Exception, page: Page) -> str | None:
    text = str(error)
    if match := re.match(r"Error merging override (?:\+\+)?(.*)", text):
        reason = error.__cause__ or error.__context__
        why = f" ({first_line(reason)})" if isinstance(reason, OmegaConfBaseException) else ""
        name, _, value = match[1].partition("=")
        keyed = f"; {name} takes keys and values, as in '{name}={{KEY: VALUE}}'" if value[:1] == "[" else ""
        return f"{match[1]} cannot be used here{why}{keyed}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"the value of {error.full_key} cannot be read ({first_line(error)})"
    if match := re.search(r"An item is already at '([\w.]+)'", text):
        return f"{match[1]} is a knob already; leave out the +"
    if match := re.search(r"Ambiguous value for argument '(.*)'\n1\. ", text, re.S):
        name, _, value = match[1].partition("=")
        sweep = "add -m to sweep over them" if page.sweeps else "give it one"
        if name in page.texts or name.rpartition(".")[2] in TEXTS:
            return f"{name} has several values; {sweep}, or quote a comma that belongs to one: {name}='\"a, b\"'"
        listed = f", or write one list: '{name}=[{value}]'" if name in ("prompt", "seed", *page.lists) else ""
        return f"{name.lstrip('+')} has several values; {sweep}{listed}"
    if match := re.search(r"Could not (?:override|append to config\.?|delete[^']*) *'?([\w.@/]+)'?", text):
        name, known = match[1].split("@")[0], page.names()
        if name in known:
            return f"{name} cannot be set as a whole here; set one of its keys, as in {name}.KEY=VALUE"
        return f"{name} is not a knob{did_you_mean(name, known) or '; --help lists them all'}"
    return None
