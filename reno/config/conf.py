"""The folders of the files that a user may choose: conf/, experiments/, and any that `-cd FOLDER` adds."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from yaml import YAMLError

from reno import HOME, PACKAGE
from reno.spec.addresses import copy_folder, is_address
from reno.spec.errors import BadInput, did_you_mean, first_line

OWN = HOME / "conf"
"""The conf/ that comes with the code."""
STUDIES = "experiments"
"""The one group that lies beside conf/, and not in it."""
CHANGING = re.compile(rb"\$\{(?!checkout:\})[^}]*[:$]")
"""In a file: what may stand for another value the next time, as `${oc.env:NAME}` does."""
LONGEST_NAME = 200
"""Letters of a file's name; a longer one is not looked for."""


@dataclass(frozen=True)
class Chosen:
    """The contents of one YAML file, or of one part of a composed configuration, as plain values."""

    values: dict[str, Any]
    references: frozenset[str]
    """Dotted names that some value refers to, as in `${metric.head}`."""
    typed: frozenset[str] = frozenset()
    """Dotted names of the values that were typed, and are not from a file."""
    models_file: str | None = None
    """The file of conf/models that was chosen, by its name."""


@dataclass(frozen=True)
class Conf:
    """The folders in which choices are looked up, in this order."""

    folders: tuple[Path, ...] = (OWN,)

    def options(self, group: str) -> list[str]:
        """The choices of a group: the YAML files of its folder."""
        return sorted({path.stem for folder in self._places(group) for path in folder.glob("*.yaml")})

    def path(self, group: str, file: str) -> Path | None:
        """The first file of that name in a group; None if there is none."""
        if len(file) > LONGEST_NAME:
            return None
        return next((path for folder in self._places(group) if (path := folder / file).is_file()), None)

    def _places(self, group: str) -> list[Path]:
        return [(HOME if group == STUDIES and folder == OWN else folder) / group for folder in self.folders]

    def named(self, knob: str, group: str, name: str) -> Chosen:
        """The contents of <group>/<name>.yaml, with its references resolved. Raises BadInput if the file is not there
        or cannot be read."""
        from omegaconf.errors import OmegaConfBaseException  # slow to import, and --help does not need it

        path = None if "/" in name else self.path(group, f"{name}.yaml")
        if path is None:
            known = self.options(group)
            raise BadInput(f"{knob}={name} is not known; use {', '.join(known) or 'none'}{did_you_mean(name, known)}")
        try:
            text = path.read_bytes()
            found = (_read if CHANGING.search(text) else _read_once)(path, group, text)
        except (OmegaConfBaseException, YAMLError, OSError, ValueError, RecursionError) as error:
            raise BadInput(f"{path} cannot be read ({first_line(error)})") from None
        if not isinstance(found.values, dict):
            raise BadInput(f"{path} must hold keys and values")
        return replace(found, values=deepcopy(found.values))


def _read(path: Path, group: str, text: bytes) -> Chosen:
    """The contents of a file, which may be no mapping. text: what it holds now."""
    from omegaconf import OmegaConf

    register_resolver()
    config = OmegaConf.create({group: OmegaConf.load(path)})
    values = OmegaConf.to_container(config, resolve=True)[group]
    return Chosen(values, references_in(OmegaConf.to_container(config, resolve=False)))


_read_once = lru_cache(maxsize=256)(_read)
"""The same: a job looks into every metric's and judge's file, which takes 0.1 s, and a sweep has many jobs."""


def references_in(values: object) -> frozenset[str]:
    """The dotted names inside the `${...}` of nested plain values; a relative one keeps its leading dot."""
    if isinstance(values, dict):
        return frozenset().union(*map(references_in, values.values()))
    if isinstance(values, list):
        return frozenset().union(*map(references_in, values))
    if not isinstance(values, str):
        return frozenset()
    return frozenset(re.findall(r"\$\{([\w.]+)\}", values))


def register_resolver() -> None:
    """Makes `${checkout:}` in YAML stand for the folder that reno/ is in, and `${folder_of:RESULTS}` for that of a
    store."""
    add_resolver("checkout", lambda: str(PACKAGE.parent))
    add_resolver("folder_of", _folder_of)


def _folder_of(results: object) -> object:
    """The folder of a store; of one at an address, that of its copy. Raises BadInput."""
    return str(copy_folder("results", results)) if is_address(results) else results


def add_resolver(name: str, value: Callable[..., object]) -> None:
    """Makes `${name:}` in YAML stand for what `value` returns, and `${name:text}` for what it returns for a text."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver(name, value, replace=True)
