"""The log of a job: job.log in its folder (a listener)."""

from __future__ import annotations

import logging

from reno.letters.harmless import visible
from reno.running.listeners import Listener, RunningJob
from reno.running.outcome import Outcome


class HarmlessFormatter(logging.Formatter):
    """A formatter whose lines drive no terminal: `cat job.log` is safe whatever a prompt holds."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n\t")


class JobLog(Listener):
    """Writes this process's log and Python's warnings to job.log while the job runs."""

    def __init__(self) -> None:
        self.handler: logging.FileHandler | None = None

    def job_begins(self, job: RunningJob) -> None:
        self.handler = logging.FileHandler(job.folder / "job.log", encoding="utf-8", errors="backslashreplace")
        self.handler.setFormatter(HarmlessFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        self.level = root.level
        root.addHandler(self.handler)
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)

    def warned(self, message: str) -> None:
        logging.getLogger("reno").warning(message)

    def job_ends(self, outcome: Outcome) -> None:
        if self.handler is None:
            return
        root = logging.getLogger()
        logging.captureWarnings(False)
        root.setLevel(self.level)
        root.removeHandler(self.handler)
        self.handler.close()
