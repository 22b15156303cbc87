"""Train the embedded world's models from nothing, measure them, and write them and their cards into the package.

    make testbed                                       # everything: hours, on two cores
    python scripts/train_testbed.py vae generator      # some stages, to build/training
    python scripts/train_testbed.py --smoke --weights build/smoke/weights --build build/smoke   # a few steps of each

A stage that was stopped continues where it stopped. Each stage prints what it reached, keeps its numbers in
numbers.json and draws samples.png in its folder. Stages that do not need each other run side by side with one thread
each, which uses two cores better than one stage with two threads. `export` writes the weights. `measure` runs the bench
on them (reno.run, into build/training/results). `cards` writes what was measured of every model.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

from reno.config.script import Options, a_path, run_script, threads
from reno.screen.quiet import quieten_libraries
from reno.spec.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent

WAVES = (("vae",), ("generator", "judge"), ("clip", "blip"), ("export",), ("measure",), ("cards",))
"""The stages in order. Those of one wave do not need each other."""
STAGES = tuple(stage for wave in WAVES for stage in wave)


def main(arguments: list[str] | None = None) -> int:
    """Trains. Returns the exit status: 0, 2 if a stage failed or the input cannot be used, 130 if it was stopped."""
    return run_script(lambda: _train(arguments))


def _train(arguments: list[str] | None) -> int:
    parser = Options(description="Train the models of the embedded world.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"which of {', '.join(STAGES)} (default: all)")
    parser.add_argument("--build", type=a_path, default=ROOT / "build" / "training", help="where checkpoints are kept")
    parser.add_argument(
        "--weights",
        type=a_path,
        default=ROOT / "reno" / "testbed" / "weights",
        help="where `export` writes the models",
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps of every stage, to see that it runs")
    parser.add_argument("--threads", type=threads, help="CPU threads of a stage that runs alone")
    options = parser.parse_args(arguments)
    if unknown := [stage for stage in options.stages if stage not in STAGES]:
        parser.error(f"no stage is called {unknown[0]!r}; there are {', '.join(STAGES)}")
    wanted = options.stages or list(STAGES)
    for wave in WAVES:
        stages = [stage for stage in wave if stage in wanted]
        if len(stages) == 1:
            run_stage(stages[0], options)
        elif stages:
            run_side_by_side(stages, options)
    return 0


def run_stage(name: str, options: argparse.Namespace) -> None:
    """Runs one stage in this process and keeps its numbers."""
    quieten_libraries()  # before torch and the stage import them
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    stage = importlib.import_module(f"reno.testbed.training.{name}")
    settings = stage.SMOKE if options.smoke else {}
    if name in ("export", "measure", "cards"):
        settings = {**settings, "weights": options.weights}
    numbers = stage.run(options.build, **settings)
    (options.build / name).mkdir(parents=True, exist_ok=True)
    (options.build / name / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")


def run_side_by_side(stages: list[str], options: argparse.Namespace) -> None:
    """Runs each stage in a process of its own, one thread each. Raises BadInput naming those that failed."""
    common = ["--build", str(options.build), "--weights", str(options.weights), "--threads", "1"]
    common += ["--smoke"] * options.smoke
    running = {stage: subprocess.Popen([sys.executable, __file__, stage, *common]) for stage in stages}
    try:
        failed = [stage for stage, process in running.items() if process.wait() != 0]
    except KeyboardInterrupt:
        for process in running.values():
            process.wait()  # the terminal has interrupted them too
        raise
    if failed:
        raise BadInput(f"stage {' and '.join(failed)} failed; see above, then run the same command again")


if __name__ == "__main__":
    sys.exit(main())
