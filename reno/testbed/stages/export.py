"""Stage `export`: the trained models, in the formats of diffusers and transformers, into the package; whole or not."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from pathlib import Path

MODELS = ("generator", "clip", "blip", "judge")
LIMIT = 30_000_000
"""Bytes that everything shipped may take together."""
SMOKE: dict = {}


def run(build_dir: Path, weights: Path) -> dict:
    """Writes weights/<model> of every model; one that is there is replaced once the new one is whole."""
    sizes = {}
    for name in MODELS:
        beside = weights / f".{name}.{os.getpid()}"
        shutil.rmtree(beside, ignore_errors=True)
        importlib.import_module(f"reno.testbed.stages.{name}").export(build_dir, beside)
        shutil.rmtree(weights / name, ignore_errors=True)
        beside.rename(weights / name)
        sizes[name] = size(weights / name)
    total = sum(sizes.values())
    print(f"export: {', '.join(f'{name} {bytes_:,} bytes' for name, bytes_ in sizes.items())}; {total:,} in all")
    if total > LIMIT:
        raise RuntimeError(f"the weights take {total:,} bytes together, more than {LIMIT:,}")
    return {"bytes": sizes, "total_bytes": total, "exported": time.strftime("%Y-%m-%d")}


def size(folder: Path) -> int:
    """Bytes of everything in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
