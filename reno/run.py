"""The command: config -> job -> exit status. The only file that knows Hydra.

python -m reno.run                                    the report's setting on the embedded models
python -m reno.run -m metric=clip,blip lr=0.01,0.05   a sweep of four jobs
python -m reno.run --help                             every knob
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reno.choices import named, names
from reno.errors import BadInput, did_you_mean
from reno.help import CONF, help_text, knobs, options
from reno.quiet import quieten_libraries

if TYPE_CHECKING:
    from reno.spec import JobSpec

INTERRUPTED = 130
"""Exit status of a command that the user stopped, as a shell has it for SIGINT."""


class SweepFolder:
    """A Hydra callback that remembers where the jobs of a sweep leave their records."""

    latest: Path | None = None

    def on_multirun_start(self, config, **_: Any) -> None:
        SweepFolder.latest = Path(config.hydra.sweep.dir)

    def __getattr__(self, name: str):
        if name.startswith("on_"):
            return lambda *_, **__: None
        raise AttributeError(name)


def main(arguments: list[str] | None = None) -> int:
    """Runs one job, or the jobs of a sweep, and answers with the exit status: 0, 1, 2 or 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(help_text(shutil.get_terminal_size((110, 40)).columns))
        return 0
    debug = "debug=true" in [word.lower() for word in arguments]
    flags = [word for word in arguments if word in ("-m", "--multirun")]  # Hydra wants them before the knobs
    words = [_quoted(word, sweeping=bool(flags)) for word in arguments if word not in flags]
    try:
        return _run_with_hydra([*flags[:1], *words])
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        sentence = explain(error) or _unwritable(error)
        if sentence is None:
            print(f"error: {type(error).__name__}: {error}; add debug=true for the traceback", file=sys.stderr)
            return 1
        print(f"error: {sentence}", file=sys.stderr)
        return 2


def _run_with_hydra(arguments: list[str]) -> int:
    import hydra
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("checkout", lambda: str(CONF.parent), replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting with 1
    SweepFolder.latest = None
    statuses: list[int] = []

    def job(config) -> int:
        statuses.append(run_composed(config))
        return statuses[-1]

    argv, sys.argv = sys.argv, ["reno.run", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
    except SystemExit as stop:  # Hydra's own flags, such as --cfg and --info
        return int(stop.code or 0)
    finally:
        sys.argv = argv
    if not statuses and SweepFolder.latest is not None:  # the jobs ran in other processes, on a cluster say
        records = sorted(SweepFolder.latest.glob("*/job.json"))
        statuses = [json.loads(record.read_text(encoding="utf-8"))["status"] for record in records]
    return max(statuses, default=0)


def run_composed(config) -> int:
    """Runs the job of one composed configuration and answers with its exit status; raises nothing but
    KeyboardInterrupt, so that the other jobs of a sweep go on."""
    from hydra.core.hydra_config import HydraConfig

    context = HydraConfig.get()
    folder = Path(context.runtime.output_dir)
    overrides = tuple(context.overrides.task)
    sweeping = context.mode.name == "MULTIRUN"
    debug = False
    try:
        debug = config.debug is True
        if sweeping:
            print(f"job {context.job.num}: {' '.join(overrides)}")
        status = _run_job(config, folder, overrides, group=folder.parent.name if sweeping else folder.name)
        if status == INTERRUPTED and sweeping:
            raise KeyboardInterrupt  # the user meant the sweep, not one of its jobs
        return status
    except Exception as error:
        if debug:
            traceback.print_exc()
        sentence = explain(error)
        where = f"job {context.job.num}: " if sweeping else ""
        print(
            f"error: {where}{sentence or f'{type(error).__name__}: {error}; add debug=true for the traceback'}",
            file=sys.stderr,
        )
        return 1 if sentence is None else 2
    finally:
        _remove_if_empty(folder)


def _run_job(config, folder: Path, overrides: tuple[str, ...], group: str) -> int:
    from reno.spec import job_from_config

    values = plain_values(config)
    known = [knob for knob, _, _ in knobs()]
    if unknown := [name for name in values if name not in known]:
        raise BadInput(f"{unknown[0]} is not a knob{did_you_mean(unknown[0], known) or '; --help lists them all'}")
    spec = job_from_config(values)
    quieten_libraries()
    from reno.job import run_job

    reference = values["models"].get("reference_seconds")
    return run_job(spec, folder, group=spec.study or group, overrides=overrides, reference=reference).status


def composed(words: list[str]) -> JobSpec:
    """The job of one command's knobs, composed and checked as running it would. Raises BadInput or an error that
    `explain` knows."""
    import hydra
    from omegaconf import OmegaConf

    from reno.spec import job_from_config

    OmegaConf.register_new_resolver("checkout", lambda: str(CONF.parent), replace=True)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return job_from_config(plain_values(hydra.compose("config", [_quoted(word, False) for word in words])))


def plain_values(config) -> dict[str, Any]:
    """The composed configuration as plain Python values, with the named metrics and judges put in place of their
    names."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=True)
    values["record"] = [named("record", "metric", name) for name in names(values["record"])]
    values["evaluators"] = [named("evaluators", "evaluator", name) for name in names(values["evaluators"])]
    return values


def _remove_if_empty(folder: Path) -> None:
    """A job that was refused leaves nothing: Hydra made its folder before the job could look at its input."""
    for empty in (folder, folder.parent, folder.parent.parent):
        try:
            empty.rmdir()
        except OSError:
            return


def _quoted(word: str, sweeping: bool) -> str:
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
        return _first_line(error)
    return None


def _unwritable(error: Exception) -> str | None:
    """The sentence for a folder that Hydra could not make, before any job began."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be written ({error.strerror}); give a results folder that can: results=DIR"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


__all__ = ["main"]

if __name__ == "__main__":
    from reno.run import main as run  # under its real name, so that a launcher can pickle the job

    sys.exit(run())
