"""A Slurm of one node on this machine, for tests: its daemons listen on loopback, on ports of their own, and keep all
of their files in one folder. Debian: apt-get install slurm-wlm munge."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo", "squeue")
PARTITION = "main"
LAUNCHED = ("hydra/launcher=slurm", f"hydra.launcher.partition={PARTITION}", "hydra.launcher.gpus_per_node=null",
            "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=4")  # fmt: skip
"""What a command is given to run its jobs there."""


def lacking() -> list[str]:
    """The programs that this machine lacks."""
    return [program for program in PROGRAMS if _found(program) is None]


def _found(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


class OneNode:
    """The daemons, from `start` to `stop`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.daemons: list[subprocess.Popen] = []

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which Slurm's commands find this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Raises AssertionError if the node is not idle within a minute."""
        self.folder.chmod(0o755)
        socket_of_munge, key = self.folder / "munge.socket", self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.conf.write_text(self._conf(socket_of_munge))
        files = {"key-file": key, "socket": socket_of_munge, "pid-file": self.folder / "munge.pid",
                 "seed-file": self.folder / "munge.seed", "log-file": self.folder / "munge.log"}  # fmt: skip
        self._launch("munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items()))
        _wait(socket_of_munge.exists, "munged does not answer")
        self._launch("slurmctld", "-D", "-f", str(self.conf))
        self._launch("slurmd", "-D", "-f", str(self.conf))
        _wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T", check=False), "the node is not idle")

    def stop(self) -> None:
        if len(self.daemons) == 3:
            self.ask("scancel", f"--user={getpass.getuser()}", check=False)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.send_signal(signal.SIGKILL)
                daemon.wait()

    def ask(self, *words: str, check: bool = True) -> str:
        """What one of Slurm's commands prints."""
        own = {**os.environ, **self.environment}
        return subprocess.run(words, env=own, check=check, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> list[str]:
        """The ids of the jobs that are queued or run."""
        return self.ask("squeue", "--noheader", "--array", "--format=%i").split()

    def _launch(self, program: str, *words: str) -> None:
        log = (self.folder / f"{program}.out").open("wb")
        own = {**os.environ, **self.environment}
        self.daemons.append(subprocess.Popen([_found(program), *words], stdout=log, stderr=log, env=own))

    def _conf(self, munge: Path) -> str:
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        control, node = _free_port(), _free_port()
        memory = psutil.virtual_memory().total // 2**20 - 1024
        return f"""
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={munge},cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={self.folder / "state"}
SlurmdSpoolDir={self.folder / "spool"}
SlurmctldPidFile={self.folder / "slurmctld.pid"}
SlurmdPidFile={self.folder / "slurmd.pid"}
ReturnToService=2
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory} State=UNKNOWN
PartitionName={PARTITION} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(true, why: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, why
        time.sleep(0.2)
