"""Calls a function in a new process: its peak memory is then its own, and it leaves nothing behind for the next call.

python -m benchmarks.apart MODULE:FUNCTION ARGUMENTS.json ANSWER.json
"""

from __future__ import annotations

if __name__ == "__main__":  # while the imports below take their time; the bench itself says that it was interrupted
    import os
    import signal

    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import importlib
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from reno.screen.quiet import quieten_libraries
from reno.spec.errors import INTERRUPTED, BadInput

ROOT = Path(__file__).resolve().parent.parent
UNUSABLE = 2
"""Exit status of a call that raised BadInput; its sentence is the answer."""


class Failed(Exception):
    """A call in a new process failed; the process has printed the traceback."""


def apart(function: str, **arguments: Any) -> Any:
    """Calls `module:function` in a new process and returns its answer. Arguments and answer are JSON values. Raises
    BadInput as the function does, and Failed for any other error."""
    with tempfile.TemporaryDirectory(prefix="reno-bench-") as scratch:
        asked, answer = Path(scratch) / "arguments.json", Path(scratch) / "answer.json"
        asked.write_text(json.dumps(arguments), encoding="utf-8")
        words = [sys.executable, "-m", "benchmarks.apart", function, str(asked), str(answer)]
        # A job's output is dropped; its warnings and the bench's own progress go to stderr.
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL)
        if done.returncode == INTERRUPTED:
            raise KeyboardInterrupt
        if done.returncode not in (0, UNUSABLE) or not answer.exists():
            raise Failed(f"{function} ended with exit status {done.returncode}")
        said = json.loads(answer.read_text(encoding="utf-8"))
    if done.returncode == UNUSABLE:
        raise BadInput(said)
    return said


def main(words: list[str]) -> int:
    name, asked, answer = words
    signal.signal(signal.SIGINT, signal.default_int_handler)
    quieten_libraries()
    module, _, function = name.partition(":")
    try:
        said = getattr(importlib.import_module(module), function)(**json.loads(Path(asked).read_text("utf-8")))
    except BadInput as error:
        Path(answer).write_text(json.dumps(str(error)), encoding="utf-8")
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    Path(answer).write_text(json.dumps(said), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
