"""On what a part is measured: the models, as knobs of reno.run, and how much effort they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from reno.models import Models
    from reno.plan import Plan
    from reno.spec import JobSpec

COLOURS, OBJECTS = ("red", "blue", "green", "pink"), ("car", "cup", "clock", "star")
PROMPTS = tuple(
    f"a {one} {this} and a {other} {that}"
    for this, that in permutations(OBJECTS, 2)
    for one, other in permutations(COLOURS, 2)
)
"""In the words of the embedded world, and as good as any to a model with random weights."""
FULL_SIZE = {"cpu": ("sd_turbo", "clip", "blip"), "cuda": ("sd_turbo", "clip", "blip", "blip_large", "clip_vit_h")}
"""The checkpoints that a device's parts need."""


@dataclass(frozen=True)
class Setting:
    """One pair of models on one device. It is passed to a part's process as JSON."""

    name: str
    """As the table has it."""
    words: tuple[str, ...]
    """Knobs that choose models, metric, device and threads."""
    effort: str
    """quick, testbed, full or gpu: how often and how long each part measures."""

    def job(self, *overrides: str) -> JobSpec:
        """A job of these models: nothing recorded or judged but what the overrides ask for."""
        from reno.compose import composed

        return composed([*self.words, "record=[]", "evaluators=[]", *overrides])


def setting_from(values: dict) -> Setting:
    return Setting(values["name"], tuple(values["words"]), values["effort"])


def prompts(count: int) -> str:
    """A knob with the first `count` of PROMPTS."""
    return f"prompt=[{','.join(PROMPTS[:count])}]"


def seeds(count: int) -> str:
    """A knob with `count` seeds."""
    return f"seed={list(range(count))}".replace(" ", "")


def loaded(job: JobSpec) -> tuple[Plan, Models, torch.device]:
    """The job's plan and models, as run_job loads them; loaded once a process."""
    from reno.models import load_models
    from reno.plan import make_plan
    from reno.reproducibility import choose_device, make_deterministic

    plan = make_plan(job)
    make_deterministic(job.threads)
    device = choose_device(job.device)
    return plan, load_models(plan, device), device


def testbed(threads: int | None, quick: bool) -> Setting:
    """The embedded generator with the embedded CLIP, on the CPU."""
    return Setting("testbed, CLIP", ("models=testbed", *_run_on("cpu", threads)), "quick" if quick else "testbed")


def full_size(folder: Path, device: str, threads: int | None) -> Setting:
    """SD-Turbo's size with CLIP ViT-B/32, in float32 on the CPU and float16 on a GPU. What the folder lacks is made,
    with random weights in float16; what it has is used as it is. Raises BadInput."""
    from benchmarks.timing import say
    from scripts.make_checkpoints import make_checkpoint

    names = FULL_SIZE[device]
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
