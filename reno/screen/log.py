"""The log of a job: job.log in its folder (a listener)."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from reno.letters.harmless import visible
from reno.running.listeners import Listener, RunningJob
from reno.running.outcome import Outcome
from reno.spec.errors import why_not_written


class LogFile(logging.FileHandler):
    """A log file that loses lines in silence where it cannot be written, as on a full disk. Python's own handler prints
    a traceback for each of them."""

    def __init__(self, path: Path):
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self.failure: str | None = None
        """Why a line was lost."""
        try:
            self.stream = self._open()
        except OSError as error:
            self.failure = why_not_written(error)

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        self.failure = why_not_written(error)

    def close(self) -> None:
        try:
            super().close()  # writes what is left
        except OSError as error:
            self.failure = why_not_written(error)


class HarmlessFormatter(logging.Formatter):
    """A formatter whose lines drive no terminal: `cat job.log` is safe whatever a prompt holds."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n\t")


class JobLog(Listener):
    """Writes this process's log and Python's warnings to job.log while the job runs."""

    def __init__(self) -> None:
        self.file: LogFile | None = None

    def job_begins(self, job: RunningJob) -> None:
        self.file, self.warn = LogFile(job.folder / "job.log"), job.warn
        self.file.setFormatter(HarmlessFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        self.level = root.level
        root.addHandler(self.file)
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)

    def warned(self, message: str) -> None:
        if self.file is not None:  # else Python prints it, beside the screen
            logging.getLogger("reno").warning(message)

    def job_ends(self, outcome: Outcome) -> None:
        if self.file is None:
            return
        file, self.file = self.file, None
        root = logging.getLogger()
        logging.captureWarnings(False)
        root.setLevel(self.level)
        root.removeHandler(file)
        file.close()
        if file.failure:
            self.warn(f"job.log lacks lines that could not be written ({file.failure})")
