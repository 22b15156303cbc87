"""What can change a trial's floats besides its spec: versions, machine, threads, the state of the code."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from reno import HOME, PACKAGE, __version__
from reno.store.records import GitState

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "safetensors", "pillow", "wandb", "hydra-core")
CODE = ("reno", "conf", "experiments")
"""The folders whose changes can change a result."""
SUFFIXES = (".py", ".yaml", ".txt", ".json")
"""Of the files in them, those that are read as code or choices. Weights have identities of their own."""


@dataclass(frozen=True)
class Environment:
    """Where a job runs. The fields are those of store/records.py's Provenance."""

    versions: dict[str, str | None]
    platform: str
    device: str
    threads: int
    cpu_capability: str
    deterministic: bool
    git: GitState | None


def environment(device: torch.device) -> Environment:
    """The environment of this process."""
    git = git_state()
    own = {"reno-bench": __version__} | ({} if git else {"reno-bench code": f"sha256:{code_digest()}"})
    packages = {name: _version(name) for name in PACKAGES} | {"torch": str(torch.__version__)}  # names its CUDA too
    return Environment(
        versions={"python": platform.python_version(), **own, **packages},
        platform=platform.platform(),
        device=_device_name(device),
        threads=torch.get_num_threads(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        # On a GPU some operations, such as the gradient of attention, do not use a deterministic kernel by default.
        deterministic=torch.are_deterministic_algorithms_enabled() and device.type == "cpu",
        git=git,
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    return f"{device.type} ({_processor()})"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def git_state(place: Path = PACKAGE.parent) -> GitState | None:
    """The commit of the code and the SHA-256 of its uncommitted changes; None outside a checkout.

    place: the folder that reno/ is in."""
    commit = _git(place, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = git_diff(place)
    return GitState(commit=commit.decode().strip(), diff=hashlib.sha256(diff).hexdigest() if diff else None)


def git_diff(place: Path = PACKAGE.parent) -> bytes:
    """The code's uncommitted changes as a patch; empty if there are none, or outside a checkout."""
    return _git(place, "diff", "HEAD", "--", *CODE) or b""


def _git(place: Path, *words: str) -> bytes | None:
    """What git answers; None if it does not keep the code. An installed copy may lie inside some checkout."""
    return _asked(place, *words) if _keeps_code(place) else None


@functools.cache
def _keeps_code(place: Path) -> bool:
    """Whether git keeps the code in `place`; asked once, because each question is a process."""
    return _asked(place, "ls-files", "--error-unmatch", "reno/__init__.py") is not None


def _asked(place: Path, *words: str) -> bytes | None:
    try:
        return subprocess.run(["git", *words], cwd=place, capture_output=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None


@functools.cache
def code_digest(package: Path = PACKAGE, home: Path = HOME) -> str:
    """SHA-256 of the code and the choices that come with it, the same in a checkout and installed.

    package: the folder of the code. home: the one that holds conf/ and experiments/."""
    total = hashlib.sha256()
    for name, path in sorted(_code_files(package, home)):
        total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _code_files(package: Path, home: Path) -> Iterator[tuple[str, Path]]:
    """Each file of CODE, and its name in a checkout."""
    for folder in CODE:
        root = package if folder == package.name else home / folder
        for path in root.rglob("*"):
            name = path.relative_to(root)
            inside = root == package and name.parts[0] in CODE  # conf/ and experiments/ of an installed copy
            if path.suffix in SUFFIXES and not inside:
                yield f"{folder}/{name.as_posix()}", path


def peak_host_bytes() -> int:
    """The largest resident size of this process so far, in bytes. On Linux it is read from /proc, because getrusage
    starts from the parent process's size."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
