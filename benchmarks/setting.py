"""The setting of a measurement: the models, as knobs of reno.run, and how much effort to spend on them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.spec.job import JobSpec

COLOURS, OBJECTS = ("red", "blue", "green", "pink"), ("car", "cup", "clock", "star")
PROMPTS = tuple(
    f"a {one} {this} and a {other} {that}"
    for this, that in permutations(OBJECTS, 2)
    for one, other in permutations(COLOURS, 2)
)
"""In the words of the embedded world; for a model with random weights any words do."""
FULL_SIZE = ("sd_turbo", "clip", "blip")
"""The checkpoints that the parts need."""
LARGER = ("blip_large", "clip_vit_h")
"""Those that only the parts for a GPU need, and not the shortest of them."""


@dataclass(frozen=True)
class Setting:
    """One pair of models on one device. It is passed to a part's process as JSON."""

    name: str
    """Its name in the table."""
    words: tuple[str, ...]
    """Knobs that choose models, metric, device and threads."""
    effort: str
    """quick, testbed, full or gpu: how often and how long each part measures."""

    def job(self, *overrides: str) -> JobSpec:
        """A job of these models. Nothing is recorded or judged unless the overrides ask for it."""
        words = parse(RUN, [*self.words, "record=[]", "evaluators=[]", *overrides])
        return job_from_config(composed(RUN, words), words.conf)


def setting_from(values: dict) -> Setting:
    return Setting(values["name"], tuple(values["words"]), values["effort"])


def prompts(count: int) -> str:
    """A knob with the first `count` of PROMPTS."""
    return f"prompt=[{','.join(PROMPTS[:count])}]"


def seeds(count: int) -> str:
    """A knob with `count` seeds."""
    return f"seed={list(range(count))}".replace(" ", "")


def testbed(threads: int | None, quick: bool) -> Setting:
    """The embedded generator with the embedded CLIP, on the CPU."""
    return Setting("testbed, CLIP", ("models=testbed", *_run_on("cpu", threads)), "quick" if quick else "testbed")


def full_size(folder: Path, device: str, threads: int | None, others: bool = False) -> Setting:
    """SD-Turbo's size with CLIP ViT-B/32, in float32 on the CPU and float16 on a GPU. Checkpoints that the folder lacks
    are made, with random weights in float16; those that it has are used as they are. others: the larger metrics too.
    Raises BadInput."""
    from benchmarks.timing import say
    from scripts.make_checkpoints import make_checkpoint

    names = FULL_SIZE + (LARGER if others else ())
    for name in names:
        if not (folder / name).exists():
            say(f"making {name} at full size in {folder}")
            make_checkpoint(name, "full", folder, "float16")
    variant = "fp16" if list((folder / "sd_turbo" / "unet").glob("*.fp16.*")) else "null"
    words = ["models=sd_turbo", f"models.generator.variant={variant}"]
    words += [f"models.generator.path={folder.resolve() / 'sd_turbo'}"]
    words += [f"models.checkpoints.{name}.path={folder.resolve() / name}" for name in names[1:]]
    gpu = device == "cuda"
    name = f"full size, CLIP ViT-B/32, {'float16' if gpu else 'float32'}"
    return Setting(name, (*words, *_run_on(device, threads)), "gpu" if gpu else "full")


def _run_on(device: str, threads: int | None) -> tuple[str, ...]:
    return (f"device={device}", threads_knob(threads))


def threads_knob(threads: int | None) -> str:
    """A knob; None leaves the number of CPU threads to torch."""
    return f"threads={'null' if threads is None else threads}"
