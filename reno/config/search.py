"""Where Hydra searches for choices: conf/, experiments/, which lies beside conf/ and is one group of choices, and a
user's own folders."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from reno import HOME
from reno.config.conf import OWN, STUDIES, register_resolver


class ConfSource(FileConfigSource):
    """conf/. The jobs of a sweep are composed of the same files: each is parsed once, while its text stays."""

    @staticmethod
    def scheme() -> str:
        return "conf"

    def load_config(self, config_path: str) -> ConfigResult:
        file = Path(self.path, self._normalize_file_name(config_path))
        return deepcopy(_parsed(self.provider, self.path, config_path, file.read_bytes()))  # Hydra changes what it gets


@lru_cache(maxsize=256)
def _parsed(provider: str, folder: str, config_path: str, text: bytes) -> ConfigResult:
    """A file of a folder as Hydra reads it. text: what it holds now."""
    return FileConfigSource.load_config(ConfSource(provider, folder), config_path)


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
    """Makes Hydra search experiments/ after conf/ and before a user's own folders."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for place in search_path.get_path():
            if place.provider == "main":
                place.path = f"{ConfSource.scheme()}://{OWN}"
        search_path.append("reno", f"{StudySource.scheme()}://{HOME}")


def prepare_hydra() -> None:
    """Makes known to Hydra what conf/ does not say: experiments/, and `${checkout:}`. Call it before Hydra starts."""
    register_resolver()
    for plugin in (ConfSource, StudySource, SearchesStudies):
        Plugins.instance().register(plugin)
