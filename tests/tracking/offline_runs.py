"""What an offline run of W&B holds, as W&B's own reader prints it: `wandb leet inspect --json`, without the start of
the `wandb` command, which takes longer than the reading."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from wandb.util import get_core_path


def read_back(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a run, by type."""
    (log,) = directory.glob("run-*.wandb")
    reader = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", log, directory.parent]
    said = subprocess.run(reader, capture_output=True, text=True, check=True, timeout=60).stdout
    records: dict[str, list[dict[str, Any]]] = {}
    for record in map(json.loads, said.splitlines()):
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records
