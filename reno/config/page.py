"""The knobs of a command are the keys of its page in conf/; their help texts are the page's comments.

conf/config.yaml is the page of reno.run and reno.memory; evaluate.yaml, reproduce.yaml and the like are those of
the commands with these names; report.yaml is that of `python -m analysis`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

import yaml

from reno.config.conf import OWN, Conf

LINE = re.compile(r"^(?:  - )?(\w+):(?:[ \t]+([^\s#].*?))?(?:[ \t]+# (.*))?$", re.M)
"""A line of a page: a key, its value, its comment."""


@dataclass(frozen=True)
class Knob:
    """One key of a page."""

    name: str
    default: str
    """As it is written in the page."""
    help: str
    """Its comment; empty if it has none."""
    group: bool
    """Whether its values are the files of a folder of conf/."""


@dataclass(frozen=True)
class Page:
    """The page of one command."""

    name: str
    """Its file in conf/, without the suffix."""
    usage: str
    purpose: str
    examples: str
    """Example commands and exit statuses, printed as they are."""
    positional: tuple[str, ...] = ()
    """Knobs that may be given as words without `knob=`, in this order."""
    all_words: str = ""
    """The knob that takes all words without `knob=`, as a list."""
    lists: tuple[str, ...] = ()
    """Knobs that take several values separated by commas, without brackets."""
    texts: tuple[str, ...] = ()
    """Knobs whose value is any text: a folder, a name."""
    sweeps: bool = False
    """Whether -m sweeps over several values of a knob, separated by commas."""
    resumes: bool = False
    """Whether the same command goes on where an interrupted one stopped."""
    detailed: tuple[str, ...] = ()
    """Knobs whose choices all have the same keys; help lists those too, as `tracking.tags`."""
    studies: bool = False
    """Whether +experiments=NAME chooses a study."""

    def knobs(self) -> list[Knob]:
        """Every knob, in the order of the page."""
        return list(_knobs_of((OWN / f"{self.name}.yaml").read_text(encoding="utf-8")))

    def details(self, knob: Knob) -> list[Knob]:
        """The keys of a detailed knob's default choice; empty for another knob."""
        if knob.name not in self.detailed:
            return []
        text = (OWN / knob.name / f"{knob.default}.yaml").read_text(encoding="utf-8")
        return _knobs_in(text, yaml.safe_load(text))

    def names(self) -> list[str]:
        return [knob.name for knob in self.knobs()]

    def help(self, conf: Conf, width: int = 110) -> str:
        """The help page as plain text of at most `width` columns."""
        lines = [f"usage: {self.usage}", "", textwrap.fill(self.purpose, width), ""]
        lines.append(f"{'knob':<15} {'default':<20} what it is")
        indent = " " * 37
        for knob in self.knobs():
            default = re.sub(r"\$\{oc\.select:(.+),(.+)\}", r"\1, or \2", knob.default)
            default = re.sub(r"\$\{(.+)\}", r"of \1", default)
            default = "keys" if default.startswith("{") else default  # its help names them
            said = knob.help + (f": {', '.join(conf.options(knob.name))}" if knob.group else "")
            first = f"{knob.name:<15} {default:<20} "
            lines.append(textwrap.fill(said or "-", width, initial_indent=first, subsequent_indent=indent))
            for one in self.details(knob):
                first = f"  {f'.{one.name}':<13} {one.default:<20} "
                lines.append(textwrap.fill(one.help, width, initial_indent=first, subsequent_indent=indent))
        if self.studies:
            studies = ", ".join(conf.options("experiments"))
            lines += ["", textwrap.fill(f"experiments (with +experiments=NAME): {studies}", width)]
        return "\n".join([*lines, "", self.examples])


@lru_cache(maxsize=32)
def _knobs_of(text: str) -> tuple[Knob, ...]:
    """The knobs of a page's text. They are asked for several times a job."""
    values = yaml.safe_load(text)
    chosen = [item for item in values.pop("defaults", []) if isinstance(item, dict)]
    groups = [name for item in chosen for name in item if not name.startswith("override ")]
    values.pop("hydra", None)
    return tuple(_knobs_in(text, (*groups, *values), groups))


def _knobs_in(text: str, names: Iterable[str], groups: Collection[str] = ()) -> list[Knob]:
    """The knobs of these names, with the default and the comment of their lines."""
    lines = {match[1]: match for match in LINE.finditer(text)}
    found = []
    for name in names:
        match = lines.get(name)
        default, said = (match[2] or "", match[3] or "") if match else ("", "")
        found.append(Knob(name, default, said, name in groups))
    return found


RUN = Page(
    name="config",
    sweeps=True,
    resumes=True,
    studies=True,
    detailed=("tracking",),
    texts=("results", "prompts", "study"),
    usage="python -m reno.run [-m] [-cd FOLDER] [knob=value ...]",
    purpose=(
        "Optimises the noise of a one-step text-to-image model against an image-text metric (ReNO), for prompts x "
        "seeds, and stores every image, curve and judgement. The same command again runs only the trials that are "
        "missing. `-m` sweeps: each knob may have several values, separated by commas; a value that holds a comma has "
        'two pairs of quotes, as in prompt=\'"a, b","c"\'. `-cd FOLDER` adds a folder like '
        "conf/ with your own metrics, judges, methods, models, prompt sets and experiments."
    ),
    examples="""\
examples
  python -m reno.run                                            the report's setting on the embedded models
  python -m reno.run prompt='a gold car and a blue bowl' seed=[0,1]
  python -m reno.run -m metric=clip,blip lr=0.01,0.05           a sweep: one job per combination
  python -m reno.run -m +experiments=clip_vs_blip               a study of experiments/
  python -m reno.run models=sd_turbo dry_run=true               what would run, and how long it would take
  python -m reno.run models.checkpoints.clip.path=FOLDER        another checkpoint of the same format
  python -m reno.run models=sd_turbo models.generator.decoder=taesd    a small decoder while noise is optimised: a third
                                                                of the arithmetic, other trials (docs/memory.md)

exit status  0 all trials are stored, 1 some failed, 2 the input cannot be used, 130 interrupted
""",
)
