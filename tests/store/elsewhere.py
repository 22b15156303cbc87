"""A store in this process's memory, and machines that have copies of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reno.spec.addresses import copy_folder
from reno.store import copies
from reno.store.remote import file_system
from reno.store.store import Store

ADDRESS = "memory://study"


class There:
    """The store at ADDRESS: its objects, and what is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path):
        self.fs = file_system("memory")
        self.fs.store.clear()
        self.fs.pseudo_dirs[:] = [""]
        copies._copies.clear()
        self.asked: Counter[str] = Counter()
        self.written: list[str] = []
        """Keys, in the order in which they were written."""
        self.refuses = lambda key: False
        """Whether writing a key fails."""
        self._patch, self._folder = monkeypatch, folder
        for name in ("find", "cat", "pipe_file", "info"):
            monkeypatch.setattr(self.fs, name, self._counted(name, getattr(self.fs, name)))
        monkeypatch.setattr("reno.store.remote.WAITS", (0.0, 0.0))
        monkeypatch.setattr("reno.store.remote._away", [0.0])

    def _counted(self, name, act):
        def counted(path, *args, **named):
            self.asked[name] += len(path) if isinstance(path, list) else 1
            if name == "pipe_file":
                key = path.removeprefix("study/")
                if self.refuses(key):
                    raise OSError("the line is cut")
                act(path, *args, **named)
                self.written.append(key)
                return None
            return act(path, *args, **named)

        return counted

    def machine(self, name: str) -> Store:
        """The store, as a machine of this name sees it."""
        self._patch.setenv("RENO_STORES", str(self._folder / name))
        return Store(copy_folder("results", ADDRESS))

    def held(self, folder: str = "") -> list[str]:
        """The keys of the objects below a folder."""
        return sorted(path.removeprefix("/study/") for path in self.fs.store if path.startswith(f"/study/{folder}"))
