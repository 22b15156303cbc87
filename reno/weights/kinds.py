"""Modules by name: a kind is a module of this program, or the dotted path of a user's own."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

from reno.spec.errors import BadInput, did_you_mean, typed_line


def module_of(what: str, kind: str, room: str) -> ModuleType:
    """The module that a kind names: `room`.kind, or `kind` itself if it has a dot.

    what: method, metric, generator or evaluator, for the error. Raises BadInput if there is no such module or it cannot
    be imported.
    """
    path = kind if "." in kind else f"{room}.{kind}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not (path == error.name or path.startswith(f"{error.name}.")):
            raise BadInput(f"{what} {kind} cannot be imported: it needs {error.name}, which is not installed") from None
    except (Exception, SystemExit) as error:  # the module may be the user's and raise any error
        raise BadInput(f"{what} {kind} cannot be imported ({typed_line(error)}); correct {path}") from error
    else:
        needed = "steps" if what == "method" else "load"
        if not callable(getattr(module, needed, None)):
            raise BadInput(f"{what} kind {kind!r}: the module {path} has no function {needed}")
        return module
    if "." in kind and not kind.startswith("reno."):
        top = kind.partition(".")[0]
        raise BadInput(
            f"{what} kind {kind!r}: Python finds no module {path} from here; run the command in the folder that "
            f"holds {top}/, or add that folder to PYTHONPATH"
        )
    known = kinds(room)
    raise BadInput(
        f"{what} kind {kind!r} is not a module; use {', '.join(known)} or the dotted path of your own module"
        f"{did_you_mean(kind, known)}"
    )


def kinds(room: str) -> list[str]:
    """The modules of a room. One whose name begins with an underscore is no kind: the others share it."""
    names = [module.name for module in pkgutil.iter_modules(importlib.import_module(room).__path__)]
    return sorted(name for name in names if not name.startswith("_"))


def short_kind(kind: str) -> str:
    """A kind's name in an identity: the last part for this program's own modules, the whole path for others."""
    return kind.rpartition(".")[2] if kind.startswith("reno.") else kind


def check_options(owner: str, options: dict[str, Any], load: Callable, besides: Collection[str]) -> None:
    """Raises BadInput if `load` does not take one of the options, or not with that value.

    owner: whose options they are, for the error. besides: arguments of `load` that are not options. Values are checked
    where `load` annotates an argument as a Literal.
    """
    known = options_of(load, besides)
    if known is None:
        return
    for option, value in options.items():
        if option not in known:
            raise BadInput(
                f"{owner} has no option {option!r}; it has {', '.join(known) or 'none'}{did_you_mean(option, known)}"
            )
        allowed = get_args(known[option]) if get_origin(known[option]) is Literal else ()
        if allowed and value not in allowed:
            raise BadInput(
                f"{owner}: {option}={value} is not known; use {' or '.join(map(str, allowed))}"
                f"{did_you_mean(value, allowed)}"
            )


def options_of(load: Callable, besides: Collection[str]) -> dict[str, Any] | None:
    """The options that `load` takes, each with its annotation; None if it takes any.

    besides: arguments of `load` that are not options."""
    parameters = _parameters(load)
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name: parameter.annotation for parameter in parameters if parameter.name not in besides}


def _parameters(load: Callable) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(load, eval_str=True).parameters.values())
    except NameError:  # an annotation that is imported for type checkers only
        return list(inspect.signature(load).parameters.values())
