"""Stage `export`: writes the trained models into the package, in the formats of diffusers and transformers."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time
from pathlib import Path

from reno.letters.output import say

MODELS = ("generator", "clip", "blip", "judge")
LIMIT = 30_000_000
"""Bytes that everything shipped may take together."""
SMOKE: dict = {}


def run(build_dir: Path, weights: Path) -> dict:
    """Writes weights/<model> of every model. A folder that is there is replaced once the new one is complete."""
    sizes = {}
    for name in MODELS:
        beside = weights / f".{name}.{os.getpid()}"
        shutil.rmtree(beside, ignore_errors=True)
        importlib.import_module(f"reno.testbed.training.{name}").export(build_dir, beside)
        load_in_float32(beside)
        shutil.rmtree(weights / name, ignore_errors=True)
        beside.rename(weights / name)
        sizes[name] = size(weights / name)
    total = sum(sizes.values())
    say(f"export: {', '.join(f'{name} {bytes_:,} bytes' for name, bytes_ in sizes.items())}; {total:,} in all")
    if total > LIMIT:
        raise RuntimeError(f"the weights take {total:,} bytes together, more than {LIMIT:,}")
    return {"bytes": sizes, "total_bytes": total, "exported": time.strftime("%Y-%m-%d")}


def load_in_float32(folder: Path) -> None:
    """Makes each config name float32: weights are stored in float16 but computed with in float32. transformers loads in
    the precision that a config names and diffusers in float32, so the parts of one pipeline would not fit together."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        for part in (config, *(value for value in config.values() if isinstance(value, dict))):
            if "dtype" in part:
                part["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2) + "\n")


def size(folder: Path) -> int:
    """Bytes of everything in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
