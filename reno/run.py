"""The command that runs a job, or the jobs of a sweep.

python -m reno.run                                    the report's setting on the embedded models
python -m reno.run -m metric=clip,blip lr=0.01,0.05   a sweep of four jobs
python -m reno.run --help                             every knob
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while
    from reno import end_on_interrupt

    end_on_interrupt()

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reno import was_interrupted
from reno.config.command import run_command, warn_of
from reno.config.conf import OWN, Conf
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.programs import as_called
from reno.config.sweep import (
    SCREEN,
    SweepFolder,
    begin_status,
    end_status,
    remove_if_empty,
    said_elsewhere,
    screen,
    worst_status,
)
from reno.config.words import Words, search_path
from reno.device.gpus import forget_workers, take_gpu
from reno.letters.output import say, warn
from reno.screen.quiet import quieten_libraries
from reno.spec.errors import INTERRUPTED, BadInput, disk_is_full, typed_line
from reno.spec.job import JobSpec

if TYPE_CHECKING:
    from reno.running.ending import Ending

COMMAND = "RENO_COMMAND"
"""The environment variable with the command that the user typed. A job reads it in the process that a launcher starts;
it is not set if the launcher does not pass the environment on."""
LONGEST_COMMAND = 100_000
"""Letters of that variable; Linux takes 128 KiB."""

_kept: list[Any] = []
"""The loaded models and the text encoders' limits, shared by the jobs of this process; made when the first job needs
them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one job, or the jobs of a sweep. Returns the exit status: 0, 1, 2 or 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    typed = f"{as_called('python -m reno.run')} {shlex.join(arguments)}".rstrip()
    # What an environment cannot hold is refused later; a longer value would let no other process start.
    os.environ[COMMAND] = typed.encode("utf-8", "replace").decode().replace("\0", "?")[:LONGEST_COMMAND]
    return run_command(RUN, arguments, _run)


def _run(words: Words) -> int:
    from reno.config.combinations import is_dry
    from reno.config.conf import add_resolver
    from reno.config.workers import spread
    from reno.device.gpus import count_gpus

    add_resolver("gpus", count_gpus)  # for hydra/launcher=gpus
    dry = is_dry(words) and not words.flags
    words = spread(words, dry)
    return _dry_run(words) if dry else _run_with_hydra(words)


def _run_with_hydra(words: Words) -> int:
    import hydra

    from reno.config.compose import hydras_own
    from reno.config.overrides import check
    from reno.config.search import prepare_hydra
    from reno.config.workers import check_launcher

    check(RUN, words)
    check_launcher(words)
    prepare_hydra()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting with 1
    os.environ[SCREEN] = screen()
    SweepFolder.latest = SweepFolder.there = None
    statuses: list[int] = []

    def job(config) -> int:
        statuses.append(run_composed(config))
        return statuses[-1]

    flags = ["-m"] * words.multirun + [*words.flags]
    argv, sys.argv = sys.argv, ["reno.run", *search_path(words.conf), *words.knobs, *flags]
    try:
        hydra.main(version_base="1.3", config_path=str(OWN), config_name="config")(job)()
    except SystemExit as stop:  # Hydra's own flags, such as --cfg and --info
        return int(stop.code or 0)
    except OSError as error:
        if not disk_is_full(error) and (error.filename is None or str(error.filename).endswith(".yaml")):
            raise hydras_own(error, words) from error
        raise BadInput(
            f"{error.filename or 'the results folder'} cannot be written ({error.strerror}); give another results "
            "folder: results=DIR"
        ) from error
    except Exception as error:
        raise hydras_own(error, words) from error
    finally:
        sys.argv = argv
        left = 0
        if SweepFolder.latest is not None:
            forget_workers(SweepFolder.latest)
            for line in said_elsewhere(SweepFolder.latest):
                warn(line)
            left = worst_status(SweepFolder.latest)
    if SweepFolder.latest is not None:
        from reno.screen.sweep import show_sweep

        show_sweep(SweepFolder.latest, fewest=2 if statuses else 1)
    if SweepFolder.latest is not None and left is None and not statuses:
        raise BadInput("no job of the sweep ran: its knobs give no combination, or its launcher started none")
    if left == INTERRUPTED and not statuses:
        raise KeyboardInterrupt  # a job of a launcher was told to end
    return max(statuses, default=left or 0)  # empty if a launcher ran the jobs in other processes


def run_composed(config) -> int:
    """Runs the job of one composed configuration. Returns its exit status. Raises only KeyboardInterrupt, so that the
    other jobs of a sweep go on."""
    from hydra.core.hydra_config import HydraConfig

    from reno.running.ending import ends_when_told

    context = HydraConfig.get()
    folder = Path(context.runtime.output_dir)
    sweeping = context.mode.name == "MULTIRUN"
    alone = not sweeping or context.runtime.choices.get("hydra/launcher") == "basic"
    if sweeping:
        begin_status(folder)
    with ends_when_told() as ending:
        status, said = _run_context(config, context, folder, sweeping, ending)
    if status == INTERRUPTED:
        ending.queue_again()  # and then never comes back; the status stays that of a running job
    if sweeping:
        end_status(folder, status, said)
    else:
        remove_if_empty(folder)  # a job that was refused: Hydra made it before the job could check its input
    if status == INTERRUPTED and said and alone:
        raise KeyboardInterrupt  # Ctrl-C stops the whole sweep. A launcher's other jobs go on.
    return status


def _run_context(config, context, folder: Path, sweeping: bool, ending: Ending) -> tuple[int, str]:
    """The job's exit status, and what its user should read if the job printed it somewhere else."""
    from reno.config.compose import explain, values_of

    conf, number = _conf_of(context), f"job {context.job.num}: " if sweeping else ""
    stopped = f"{number}interrupted; the same command goes on where this one stopped"
    try:
        if sweeping and context.runtime.choices.get("hydra/launcher") == "gpus":
            take_gpu(Path(context.sweep.dir))
        if sweeping:
            say(f"{number}{' '.join(word.lstrip('+') for word in context.overrides.task)}")
        job = job_from_config(values_of(config, RUN, context), conf)
        status = _run_job(job, folder, folder.parent.name if sweeping else folder.name, sweeping)
    except KeyboardInterrupt:
        return INTERRUPTED, stopped
    except (Exception, SystemExit) as error:  # a module of the user's may end the process; it must not end the sweep
        if was_interrupted() or ending.told:
            return INTERRUPTED, stopped
        sentence = explain(error, RUN, conf)
        return warn_of(error, sentence, number, config.get("debug") is True), (
            f"error: {number}{sentence or typed_line(error)}"
        )
    if status == INTERRUPTED:
        return status, stopped if sweeping else ""  # the screen has said it
    return status, f"{number}trials failed; {folder / 'job.log'} says why" if status == 1 else ""


def _conf_of(context) -> Conf:
    """conf/ and the user's own folders, as Hydra found them: a process of a launcher cannot read the command line."""
    sources = [source.path for source in context.runtime.config_sources if source.schema == "file"]
    folders = [Path(path) for path in sources if Path(path).resolve() != OWN.resolve()]
    return Conf((OWN, *folders))


def _run_job(job: JobSpec, folder: Path, group: str, sweeping: bool) -> int:
    quieten_libraries()
    from reno.running.forecast import Foresight
    from reno.running.long_prompts import fit_prompts
    from reno.running.plan import make_plan
    from reno.running.pool import ModelPool
    from reno.running.runner import Runner
    from reno.running.sending import Sending
    from reno.running.unable import spare_judges
    from reno.running.unloaded import Unloaded
    from reno.screen.forecast import ForecastScreen
    from reno.screen.log import JobLog
    from reno.screen.screen import Screen
    from reno.store.store import Store
    from reno.tracking import TrackingSpec
    from reno.tracking.listener import Tracking
    from reno.tracking.surroundings import check_sweep

    tracking = TrackingSpec.from_knobs(job.tracking)
    check_sweep(tracking, sweeping)
    if job.dry_run:
        # A file of choices said so; what is typed never comes here.
        _foresee(job, Foresight(), Unloaded(), ForecastScreen(sweeping=False), sweeping)
        return 0
    if not _kept:
        _kept.extend([ModelPool(), Unloaded(load_own=False)])
    pool, unloaded = _kept
    plan, store = make_plan(job), Store(job.results)
    plan = spare_judges(fit_prompts(plan, unloaded.too_long(plan)), unloaded)
    listeners = [Sending(store), JobLog(), Screen(), Tracking(tracking)]
    command = os.environ.get(COMMAND, "")
    runner = Runner(plan, store, pool, listeners, folder=folder, group=job.study or group, command=command)
    return runner.run().status


def _dry_run(words: Words) -> int:
    """Shows what the jobs of a command would run, and refuses what they would refuse. Loads no weights, makes no folder
    and starts no launcher. Returns the exit status."""
    from reno.config.combinations import combinations
    from reno.config.compose import explain, hydras_own
    from reno.config.overrides import check
    from reno.config.search import prepare_hydra
    from reno.config.workers import check_launcher

    check(RUN, words)
    check_launcher(words)
    prepare_hydra()
    quieten_libraries()
    from reno.running.forecast import Foresight
    from reno.running.unloaded import Unloaded
    from reno.screen.forecast import ForecastScreen

    seen, unloaded, statuses, number = Foresight(), Unloaded(), [0], None
    try:
        jobs = combinations(words)
    except Exception as error:
        raise hydras_own(error, words) from error
    if not jobs:
        raise BadInput("no job of the sweep would run: its knobs give no combination")
    forecasts = ForecastScreen(sweeping=jobs[0].number is not None)
    for job in jobs:
        number = job.number
        if number is not None:
            say(f"job {number}: {job.typed}")
        try:
            _foresee(job_from_config(job.values(), words.conf), seen, unloaded, forecasts, number is not None)
        except Exception as error:
            error = hydras_own(error, words)
            if number is None:
                raise error from None
            statuses.append(warn_of(error, explain(error, RUN, words.conf), f"job {number}: ", words.debug))
    if number is not None:
        forecasts.total(seen, refused=len(statuses) - 1)
    for note in unloaded.notes:
        say(f"note: {note}")
    return max(statuses)


def _foresee(job, seen, unloaded, forecasts, sweeping: bool) -> None:
    """Shows what one job would run. Raises BadInput for what it would refuse."""
    from reno.running.long_prompts import fit_prompts
    from reno.running.plan import make_plan
    from reno.running.unable import spare_judges
    from reno.tracking import TrackingSpec
    from reno.tracking.surroundings import check_sweep
    from reno.weights.checkpoints import foresee

    check_sweep(TrackingSpec.from_knobs(job.tracking), sweeping)
    plan = make_plan(job, foresee)
    plan = spare_judges(fit_prompts(plan, unloaded.too_long(plan)), unloaded)
    found = seen.look(plan)
    if len(found.finished) < len(plan.trials):  # else a run loads nothing either
        unloaded.check_judges(plan)
    seen.add(found)
    forecasts.show(found)


__all__ = ["main"]

if __name__ == "__main__":
    from reno.run import main as run  # under its real name, so that a launcher can pickle the job

    sys.exit(run())
