"""The command: config -> job -> exit status.

python -m reno.run                                    the report's setting on the embedded models
python -m reno.run -m metric=clip,blip lr=0.01,0.05   a sweep of four jobs
python -m reno.run --help                             every knob
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

from reno.choices import register_resolver
from reno.compose import explain, quoted, values_of
from reno.help import CONF, help_text
from reno.quiet import quieten_libraries

COMMAND = "RENO_COMMAND"
"""The variable in which a job finds what the user typed, in whichever process a launcher runs it; not set where a
launcher hands no variables on."""
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
    words = [quoted(word, sweeping=bool(flags)) for word in arguments if word not in flags]
    try:
        os.environ[COMMAND] = shlex.join(["python", "-m", "reno.run", *arguments])
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

    register_resolver()
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
    sweeping = context.mode.name == "MULTIRUN"
    debug = False
    try:
        debug = config.debug is True
        if sweeping:
            print(f"job {context.job.num}: {' '.join(context.overrides.task)}")
        status = _run_job(config, folder, group=folder.parent.name if sweeping else folder.name)
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


def _run_job(config, folder: Path, group: str) -> int:
    from reno.spec import job_from_config

    values = values_of(config)
    spec = job_from_config(values)
    quieten_libraries()
    from reno.job import run_job

    reference = values["models"].get("reference_seconds")
    command = os.environ.get(COMMAND, "")
    return run_job(spec, folder, group=spec.study or group, command=command, reference=reference).status


def _remove_if_empty(folder: Path) -> None:
    """A job that was refused leaves nothing: Hydra made its folder before the job could look at its input."""
    for empty in (folder, folder.parent, folder.parent.parent):
        try:
            empty.rmdir()
        except OSError:
            return


def _unwritable(error: Exception) -> str | None:
    """The sentence for a folder that Hydra could not make, before any job began."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be written ({error.strerror}); give a results folder that can: results=DIR"
    return None


__all__ = ["main"]

if __name__ == "__main__":
    from reno.run import main as run  # under its real name, so that a launcher can pickle the job

    sys.exit(run())
