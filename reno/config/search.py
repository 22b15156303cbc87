"""Where Hydra searches for choices besides conf/: experiments/, which lies beside conf/ and is one group of choices."""

from __future__ import annotations

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from reno import HOME
from reno.config.conf import STUDIES, register_resolver


class StudySource(FileConfigSource):
    """Of the folder that holds experiments/, that folder alone. Hydra takes any other folder that it sees for a group:
    with results/ as one, results=DIR would no longer set a knob."""

    @staticmethod
    def scheme() -> str:
        return "studies"

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", STUDIES) and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return config_path.startswith(f"{STUDIES}/") and super().is_config(config_path)


class SearchesStudies(SearchPathPlugin):
    """Makes Hydra search there, after conf/ and before a user's own folders."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("reno", f"{StudySource.scheme()}://{HOME}")


def prepare_hydra() -> None:
    """Makes known to Hydra what conf/ does not say: experiments/, and `${checkout:}`. Call it before Hydra starts."""
    register_resolver()
    for plugin in (StudySource, SearchesStudies):
        Plugins.instance().register(plugin)
