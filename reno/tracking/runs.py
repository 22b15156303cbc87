"""The calls of wandb: runs of trials and of jobs, many open at once, online or offline.

They are made in the process that `apart.py` starts. Online mode needs a key and a server; without either, the runs are
written to disk, for `wandb sync`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reno.spec.errors import typed_line
from reno.tracking import folder
from reno.tracking.names import artifact_name, counted, label
from reno.tracking.shown import caption, for_wandb

if TYPE_CHECKING:
    from reno.tracking import RunCard, TrackingSpec

PROJECT = "reno"
"""The project where neither the knob nor W&B's own settings name one."""

OWN_LIMIT = 0.8  # share of the timeout for W&B's own limits: they end first and give a reason

QUIET = {
    "program": "reno.run",  # else this process's
    "silent": True,
    "console": "off",  # the terminal's output is not part of a trial
    "symlink": False,  # a reader of the folder would take `latest-run` for another run
    "x_disable_stats": True,  # the store has timings and memory
    "x_disable_meta": True,  # the store has the provenance: commit, packages, machine
    "x_save_requirements": False,
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "disable_job_creation": True,
    "stop_fn": lambda: None,  # else stopping one run on the dashboard interrupts the job and all its trials
}

_server_failed = False  # in this process: so that the next job of a sweep does not wait for the same server again


class OpenRun(NamedTuple):
    run: Any
    claim: IO
    card: RunCard


class Runs:
    """The runs of one job."""

    def __init__(
        self,
        settings: TrackingSpec,
        results: Path,
        step: Callable[[str], None],  # names the wandb call that follows
        notice: Callable[[str], None],  # takes a warning for the user
    ) -> None:
        self._settings = settings
        self._results = results
        self._step = step
        self._notice = notice
        self._mode = ""  # online, offline or disabled, once connected
        self._found: Any = None  # W&B's own settings: of its environment variables and files
        self._open: dict[str, OpenRun] = {}
        self._offline: dict[Path, int] = {}  # the folder -> runs finished there, offline
        self._online: dict[str, int] = {}  # the project's URL -> runs finished there
        self._to_show_again = 0

    def start(self, card: RunCard) -> None:
        if not self._mode:
            self._connect(self._settings.mode)
        if self._mode == "disabled" or card.id in self._open:
            return
        self._step("opening the folder for W&B")
        claim = folder.claim(self._results, card.id)
        if claim is None:
            return  # another process has this run open and logs it
        try:
            folder.discard(self._results, self._place / "wandb", card.id)
            try:
                run = self._init(card)
            except Exception as error:
                if self._mode == "offline":
                    raise
                self._go_offline(typed_line(error))
                folder.discard(self._results, self._place / "wandb", card.id)
                run = self._init(card)
        except BaseException:
            folder.release(self._results, card.id, claim)
            raise
        self._open[card.id] = OpenRun(run, claim, card)
        self._step("run.define_metric")
        run.define_metric(card.axis)
        run.define_metric("*", step_metric=card.axis)

    def log(self, run_id: str, row: dict[str, Any], pixels: np.ndarray | None) -> None:
        if run_id not in self._open:
            return
        self._step("run.log")
        if pixels is not None:
            import wandb
            from PIL import Image

            # wandb.Image would stretch an array that holds only 0 and 1; it leaves a PIL image as it is.
            image = Image.fromarray(pixels)
            image.save = functools.partial(image.save, compress_level=1)  # less than half the time
            row = {**row, "image": wandb.Image(image, caption=caption(row["iteration"], row.get("score")))}
        self._open[run_id].run.log({name: for_wandb(value) for name, value in row.items()})

    def keep(self, run_id: str, name: str, kind: str, files: dict[str, str]) -> None:
        if run_id not in self._open:
            return
        import wandb

        self._step("run.log_artifact")
        artifact = wandb.Artifact(artifact_name(name), type=kind)
        for inside, path in files.items():
            artifact.add_file(path, name=inside)
        self._open[run_id].run.log_artifact(artifact)

    def finish(self, run_id: str, summary: dict[str, Any], failed: str | None, record: str | None) -> None:
        if run_id not in self._open:
            return
        run, claim, card = self._open.pop(run_id)
        try:
            self._step("run.finish")
            if record is not None:
                _set_record(run, card.config["provenance"], record)
            run.summary.update(summary if failed is None else {**summary, "failed": failed})
            where = self._where(run)
            try:
                run.finish(exit_code=0 if failed is None else 1)
            except TimeoutError:
                if self._mode == "offline":
                    raise
                limit = OWN_LIMIT * self._settings.timeout
                self._go_offline(f"a run was not uploaded in {limit:g} s (a larger tracking.timeout allows more)")
                return
            if failed is None:
                folder.mark_logged(self._results, run_id, where)
        finally:
            folder.release(self._results, run_id, claim)
        if where["mode"] == "online":
            self._online[run.project_url] = self._online.get(run.project_url, 0) + 1
        else:
            place = Path(run.sync_dir).parent
            self._offline[place] = self._offline.get(place, 0) + 1

    def amend(self, run_id: str, summary: dict[str, Any], record: str) -> None:
        """The store has the judgement all the same: a run that cannot be changed is shown again from there."""
        if not self._mode:
            self._connect(self._settings.mode)
        if self._mode == "disabled":
            return
        where = folder.where(self._results, run_id)
        if self._mode != "online" or where.get("mode") != "online":
            folder.forget(self._results, run_id)
            self._to_show_again += 1
            return
        import wandb

        self._step("wandb.init")
        try:
            entity, project = urllib.parse.unquote(where["url"]).split("/")[-4:-2]
            run = wandb.init(
                reinit="create_new", id=run_id, resume="must", project=project, entity=entity, dir=str(self._place),
                mode="online", settings=self._quiet(),
            )  # fmt: skip
            _set_record(run, run.config.get("provenance", {}), record)
            run.summary.update(summary)
            self._step("run.finish")
            run.finish()
        except Exception as error:
            folder.forget(self._results, run_id)
            self._to_show_again += 1
            self._go_offline(typed_line(error))
            return
        self._online[run.project_url] = self._online.get(run.project_url, 0) + 1

    def close(self) -> None:
        """End the runs of interrupted trials, and W&B's service, so that nothing can hang at exit."""
        for run_id in list(self._open):
            self.finish(run_id, {}, failed="interrupted", record=None)
        if self._mode:
            import wandb

            self._step("wandb.teardown")
            wandb.teardown()

    def places(self) -> list[str]:
        """Where the finished runs are, one line for each place."""
        lines = [f"Weights & Biases: {counted(number)} at {url}" for url, number in self._online.items()]
        sync = "wandb" if shutil.which("wandb") else f"{shlex.quote(sys.executable)} -m wandb"
        for path, number in self._offline.items():
            lines.append(
                f"Weights & Biases: {counted(number)} offline in {path}; "
                f"to upload: {sync} sync {shlex.quote(str(path))}"
            )
        if self._to_show_again:
            lines.append(
                f"Weights & Biases: {counted(self._to_show_again)} without the new judgements; the command of the "
                "job, run again, shows them anew"
            )
        return lines

    def abandon(self) -> None:
        """Release every lock, after a call that failed."""
        for run_id, open_run in self._open.items():
            with contextlib.suppress(OSError):  # it would hide why the call failed
                folder.release(self._results, run_id, open_run.claim)
        self._open.clear()

    def _connect(self, mode: str) -> None:
        """Start W&B's service and choose the mode. Never prompts and never contacts the server."""
        self._step("import wandb")
        import wandb

        self._step("wandb.setup")
        chosen = {} if mode == "auto" else {"mode": mode}
        self._found = wandb.setup(wandb.Settings(**QUIET, **chosen)).settings
        self._mode = {"dryrun": "offline"}.get(self._found.mode, self._found.mode)
        if self._mode not in ("offline", "disabled"):
            self._mode = "online"
        if self._mode == "online" and _server_failed:
            self._mode = "offline"
        if self._mode == "online":
            self._step("wandb.login")
            try:
                if not wandb.login(prompt=False, verify=False):
                    self._mode = "offline"
                    if mode == "online":
                        self._notice(
                            "Weights & Biases has no key, this job's runs are kept offline; "
                            "set one with `wandb login` or WANDB_API_KEY"
                        )
            except Exception as error:  # a malformed key
                self._go_offline(typed_line(error))

    @property
    def _place(self) -> Path:
        """The folder in whose wandb/ the runs are written."""
        return Path(os.environ.get("WANDB_DIR") or self._results).expanduser()

    def _quiet(self, **more: Any) -> Any:
        import wandb

        limit = OWN_LIMIT * self._settings.timeout
        return wandb.Settings(**QUIET, **more, init_timeout=limit, finish_timeout=limit, finish_timeout_raises=True)

    def _init(self, card: RunCard) -> Any:
        import wandb

        self._step("wandb.init")
        found = self._found
        tags = {*card.tags, *(self._settings.tags or found.run_tags or ())}
        return wandb.init(
            reinit="create_new",
            id=card.id,
            name=label(f"{found.run_name} · {card.name}" if found.run_name else card.name, 128),
            group=label(card.group, 128),
            job_type=label(card.job_type, 64),
            tags=sorted({named for tag in tags if (named := label(tag, 64))}),
            config=card.config,
            project=self._settings.project or found.project or PROJECT,
            entity=self._settings.entity or found.entity,
            dir=str(self._place),
            mode=self._mode,
            settings=self._quiet(**({"sweep_id": card.sweep} if card.sweep else {})),
        )

    def _go_offline(self, why: str) -> None:
        """Keep the remaining runs offline. Those that are open online are dropped; a later job shows trials again from
        the store.

        The service is restarted, because it treats the id of a run that failed to start as still in use.
        """
        global _server_failed
        import wandb

        _server_failed = True
        self._notice(f"Weights & Biases cannot be used online, runs are kept offline from here on: {why}")
        self.abandon()
        self._step("wandb.teardown")
        wandb.teardown()
        self._connect("offline")

    def _where(self, run: Any) -> dict[str, str | None]:
        if self._mode == "online":
            return {"mode": "online", "url": run.url}
        return {"mode": "offline", "directory": Path(run.sync_dir).name}


def _set_record(run: Any, provenance: dict[str, Any], record: str) -> None:
    run.config.update({"provenance": {**provenance, "record": record}}, allow_val_change=True)
