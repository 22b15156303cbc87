"""The jobs of a command without running them: Hydra composes each, and neither makes a folder nor starts a launcher."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import RunMode

from reno.config.compose import chosen_by
from reno.config.conf import OWN, Chosen, register_resolver
from reno.config.page import RUN
from reno.config.words import Words, search_path
from reno.spec.errors import BadInput

BASIC = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"


def is_dry(words: Words) -> bool:
    """Whether `dry_run=true` was typed."""
    typed = [word for word in words.knobs if re.match(r"\+{0,2}dry_run=", word)]
    return bool(typed) and typed[-1].lower().endswith("=true")


@dataclass(frozen=True)
class Combination:
    """One job of a command."""

    number: int | None
    """Its place in the sweep, from 0; None if the command is no sweep."""
    knobs: tuple[str, ...]
    """As Hydra reads them."""
    _search_path: tuple[str, ...]

    @property
    def typed(self) -> str:
        """The knobs as a user types them."""
        return " ".join(word.lstrip("+") for word in self.knobs if not re.match(r"\+*(hydra[./]|dry_run=)", word))

    def values(self) -> Chosen:
        """The plain values of the job's knobs, composed now. Raises BadInput, or an error that `explain` knows."""
        return chosen_by(RUN, [*self._search_path, *self.knobs])


def combinations(words: Words) -> list[Combination]:
    """The jobs of a command's words, in the order in which a sweep runs them. Raises BadInput, or an error that
    `explain` knows."""
    register_resolver()
    folders = tuple(search_path(words.conf))
    with initialize_config_dir(str(OWN), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        typed = [*folders, *words.knobs]
        whole = hydra.compose_config(RUN.name, typed, RunMode.MULTIRUN, with_log_configuration=False).hydra
        if not words.multirun and whole.mode != RunMode.MULTIRUN:
            return [Combination(None, words.knobs, folders)]
        if whole.sweeper._target_ != BASIC:
            raise BadInput(
                "dry_run=true cannot foresee the jobs of a sweeper that chooses them as it goes; leave out "
                "hydra/sweeper, or dry_run"
            )
        Plugins.instance()._instantiate(whole.launcher)  # a run refuses one that is not installed, or its settings
        knobs = [f"{knob}={values}" for knob, values in (whole.sweeper.params or {}).items()] + [*words.knobs]
        overrides = OverridesParser.create(config_loader=hydra.config_loader).parse_overrides(knobs)
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    return [Combination(number, tuple(knobs), folders) for number, knobs in enumerate(jobs)]
