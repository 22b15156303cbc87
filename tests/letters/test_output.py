"""A line is printed whatever it holds, whatever the encoding, and whether or not there is anyone to read it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reno.letters.output import ready, say, warn

ROOT = Path(__file__).resolve().parent.parent.parent
LINE = "café · 17.1 → 18.5 ± 0.2 ━━╸ 车 “a” \x1b[31m \udc80"
SHOWN = {
    "ascii": r'caf\xe9 - 17.1 -> 18.5 +- 0.2 --- \u8f66 "a" \x1b[31m \udc80',
    "latin-1": r'café · 17.1 -> 18.5 ± 0.2 --- \u8f66 "a" \x1b[31m \udc80',
    "utf-8": r"café · 17.1 → 18.5 ± 0.2 ━━╸ 车 “a” \x1b[31m \udc80",
}


@pytest.mark.parametrize("encoding", SHOWN)
def test_a_stream_shows_what_it_can_and_a_stand_in_for_the_rest(encoding, monkeypatch):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    ready()
    say(LINE)
    warn(LINE)
    for stream in streams.values():
        assert stream.buffer.getvalue().decode(encoding) == SHOWN[encoding] + "\n"


# Prints two lines to each stream, then opens a file, whose number must not be that of a closed stream.
PROGRAM = """
import os, sys
from reno.letters.output import ready, say, warn
ready()
for line in ("one", "two"):
    say(line); warn(line)
with open(sys.argv[1], "w") as file:
    os.write(1, b"of a library")
    file.write(f"{file.fileno() > 2}")
"""


@pytest.mark.parametrize("shell", ["{} >&-", "{} >&- 2>&-", "{} 2>&-", "{} >/dev/full", "{} 2>&1 | head -c0", "{} <&-"])
def test_output_that_cannot_be_written_costs_only_the_output(tmp_path, shell):
    if "/dev/full" in shell and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = f"set -o pipefail; {shell.format(f'{sys.executable} {tmp_path}/program.py {tmp_path}/made')}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made").read_text() == "True"
    assert b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr
