"""Choices that a user makes by name, several at once: each name is a file of a folder of conf/."""

from __future__ import annotations

from typing import Any

from reno.errors import BadInput, did_you_mean
from reno.help import CONF, options


def register_resolver() -> None:
    """Has OmegaConf know `${checkout:}`, the folder that conf/ is in."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("checkout", lambda: str(CONF.parent), replace=True)


def names(value: object) -> list[str]:
    """The names in a knob's value: one, a list, or none."""
    listed = value if isinstance(value, list) else [value]
    return [str(name) for name in listed if name not in (None, "none")]


def named(knob: str, group: str, name: str) -> dict[str, Any]:
    """The contents of conf/<group>/<name>.yaml, resolved as if it were chosen. Raises BadInput if there is none."""
    from omegaconf import OmegaConf

    known = options(group)
    if name not in known:
        raise BadInput(f"{knob}={name} is not known; use {', '.join(known) or 'none'}{did_you_mean(name, known)}")
    register_resolver()
    config = OmegaConf.create({group: OmegaConf.load(CONF / group / f"{name}.yaml")})
    return OmegaConf.to_container(config, resolve=True)[group]
