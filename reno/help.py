"""`python -m reno.run --help`: conf/config.yaml as a table. That file's comments are the only place a knob is
explained."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"

EXAMPLES = """\
examples
  python -m reno.run                                            the report's setting on the embedded models
  python -m reno.run prompt='a red car and a blue bowl' seed=[0,1]
  python -m reno.run -m metric=clip,blip lr=0.01,0.05           a sweep: one job a combination
  python -m reno.run -m +experiments=clip_vs_blip               a study of experiments/
  python -m reno.run models=sd_turbo dry_run=true               what would run, and how long it would take
  python -m reno.run models.checkpoints.clip.path=FOLDER        another checkpoint of the same format

exit status  0 all is done, 1 some trials failed, 2 the input cannot be used, 130 interrupted
"""


def knobs() -> list[tuple[str, str, str]]:
    """(name, default, explanation) of every knob, in the order of conf/config.yaml."""
    page = (CONF / "config.yaml").read_text(encoding="utf-8").split("\nhydra:")[0]
    found = []
    for line in page.splitlines():
        if match := re.fullmatch(r"(?:  - )?(\w+): +(.*?) +# (.*)", line):
            name, default, explanation = match.groups()
            if line.startswith("  - "):
                explanation += f": {', '.join(options(name))}"
            found.append((name, default, explanation))
    return found


def options(group: str) -> list[str]:
    """The choices of a config group: the files of its folder."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def help_text(width: int = 110) -> str:
    """The whole help page, as plain text of at most `width` columns."""
    lines = ["usage: python -m reno.run [-m] [knob=value ...]", "", textwrap.fill(_purpose(), width), ""]
    lines.append(f"{'knob':<15} {'default':<20} what it is")
    for name, default, explanation in knobs():
        default = re.sub(r"\$\{(.+)\}", r"of \1", default)
        indent = " " * 37
        lines.append(
            textwrap.fill(explanation, width, initial_indent=f"{name:<15} {default:<20} ", subsequent_indent=indent)
        )
    lines += ["", "experiments (with +experiments=NAME): " + ", ".join(options("experiments")), "", EXAMPLES]
    return "\n".join(lines)


def _purpose() -> str:
    return (
        "Optimises the noise of a one-step text-to-image model against an image-text metric (ReNO), over prompts "
        "x seeds, and keeps "
        "every image, curve and judgement. Running a command again does what is missing and nothing else. `-m` "
        "sweeps: every knob "
        "takes several values, separated by commas."
    )
