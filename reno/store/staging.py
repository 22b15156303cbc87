"""What a process is still writing, under a name that says which process, and the clearing of what dead processes left.

A name ends with the machine, the process id, the time that the process started, and 32 hexadecimal digits. So a process
of this machine is known to be alive or dead, also if its id was given to another process. Of a process of another
machine only the age of what it wrote is known. That age is told by the clock of the file server, because a machine's
own clock may be wrong.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HALF_WRITTEN_SECONDS = 86400
"""Age from which what another machine was writing is taken to be abandoned."""
SCRATCH = "reno-"
"""How the names of this program's folders under TMPDIR begin."""
PART = ".part"
"""How the names of half-written files end."""
_WRITER = re.compile(r"(?:.*~)?(?P<machine>[^~@]+)@(?P<pid>\d+)\.(?P<start>\d*)-[0-9a-f]{32}(?:\.part)?")


def own_name() -> str:
    """A new name that says that this process made it."""
    return f"{_machine()}@{os.getpid()}.{_start_of(os.getpid())}-{uuid.uuid4().hex}"


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all, to the disk itself. Raises OSError."""
    part = path.with_name(f".{path.name}~{own_name()}{PART}")
    try:
        write_through(part, data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_through(path: Path, data: bytes) -> None:
    """Writes a file and waits until it is on the disk. Raises OSError."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A new folder under TMPDIR, which is removed afterwards. Those of dead processes are removed before the first."""
    clear_scratch()
    folder = Path(tempfile.gettempdir()) / f"{SCRATCH}{purpose}~{own_name()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_scratch() -> None:
    """Removes the folders under TMPDIR of processes of this machine that have ended. This process does so once: TMPDIR
    may hold a great many files of others."""
    _clear_scratch_in(tempfile.gettempdir())


@cache
def _clear_scratch_in(folder: str) -> None:
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(SCRATCH) and writer_is_dead(entry.name):
                shutil.rmtree(entry.path, ignore_errors=True)


def clear(folder: Path, now: float) -> None:
    """Removes from a folder what dead processes were writing. now: the file server's time, in seconds."""
    for entry in _entries(folder):
        with contextlib.suppress(OSError):
            if _abandoned(entry, now):
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def clear_parts(folder: Path, now: float) -> None:
    """Removes the half-written files of dead processes from a folder and all folders in it. now: as for `clear`."""
    for entry in _entries(folder):
        with contextlib.suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                clear_parts(Path(entry.path), now)
            elif entry.name.endswith(PART) and _abandoned(entry, now):
                os.unlink(entry.path)


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # a folder that cannot be read is told of where its files are needed
        return []


def _abandoned(entry: os.DirEntry, now: float) -> bool:
    """Whether what a process was writing will not be finished."""
    dead = writer_is_dead(entry.name)
    try:
        return now - entry.stat(follow_symlinks=False).st_mtime > HALF_WRITTEN_SECONDS if dead is None else dead
    except OSError:
        return False


def writer_is_dead(name: str) -> bool | None:
    """Whether the process that made this name has ended; None if it is a process of another machine, or unknown."""
    writer = _WRITER.fullmatch(name)
    if writer is None or writer["machine"] != _machine():
        return None
    return not _alive(int(writer["pid"])) or _start_of(int(writer["pid"])) != writer["start"]


def machine_of(name: str) -> str:
    """The name of the machine on which the process ran that made this name."""
    return name.partition("@")[0].rpartition("~")[2].rsplit(".", 2)[0]


@cache
def _machine() -> str:
    """This machine since it was started, and the space of process ids that this process sees: containers of one machine
    have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "").strip()[:16]
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no Linux
        boot, space = f"{uuid.getnode():012x}", 0
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40]
    return f"{host}.{boot}.{space}"


def _start_of(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty if the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
