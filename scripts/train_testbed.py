"""Train the embedded world's models, stage by stage. A stage that was stopped goes on where it stopped.

    python scripts/train_testbed.py vae generator                # to build/testbed-training
    python scripts/train_testbed.py --steps 4 vae generator      # does the chain hold together?
    python scripts/train_testbed.py --export FOLDER generator    # also write the StableDiffusionPipeline folder

Each stage prints what it reached and draws samples.png in its folder. The metrics and the judges have no stage yet;
until they do, models=testbed runs on random weights (scripts/make_checkpoints.py).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

if __name__ == "__main__":  # so that it runs from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

STAGES = ("vae", "generator")
"""In the order they need each other."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the models of the embedded world.")
    parser.add_argument("stages", nargs="+", choices=STAGES, help="which, in this order")
    parser.add_argument("--build", type=Path, default=Path("build/testbed-training"), help="where checkpoints are kept")
    parser.add_argument("--steps", type=int, help="optimiser steps of each stage (default: the stage's own)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--export", type=Path, help="write the trained generator here, as a pipeline in float16")
    options = parser.parse_args(arguments)
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    settings = {} if options.steps is None else {"steps": options.steps}
    for stage in (stage for stage in STAGES if stage in options.stages):
        importlib.import_module(f"reno.testbed.stages.{stage}").run(options.build, **settings)
    if options.export is not None:
        importlib.import_module("reno.testbed.stages.generator").export(options.build, options.export)
    return 0


if __name__ == "__main__":
    sys.exit(main())
