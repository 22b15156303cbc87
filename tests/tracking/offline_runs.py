"""What an offline run of W&B holds, as W&B's own reader prints it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def read_back(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a run, by type."""
    reader = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(directory)]
    said = subprocess.run(reader, capture_output=True, text=True, check=True, timeout=60).stdout
    records: dict[str, list[dict[str, Any]]] = {}
    for record in map(json.loads, said.splitlines()):
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records
