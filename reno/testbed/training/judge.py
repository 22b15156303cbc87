"""Stage `judge`: trains the learned judge, and measures how often it and the analytic one are right.

Specimens, good and bad, are drawn once into a pool, half of them through the VAE; each batch is degraded anew. The
target at every thing's centre is a Gaussian (focal loss, as CenterNet's), and the thing is named in the cells near it.
Things that people would disagree on (colours just between two, objects nearly vanished) do not count in the loss.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from torch.nn import functional

from reno.letters.output import say
from reno.spec.prompts import Binding
from reno.testbed.judges import JUNK, MIXED, SeenThing, WorldJudge, same_bindings, verdict
from reno.testbed.judges.analytic import AnalyticJudge
from reno.testbed.judges.learned import FILE, GRID, LearnedJudge, Network
from reno.testbed.judges.specimens import BAD, DEGRADATIONS, UNSURE, TrueThing, degrade, held_out, lone, specimen
from reno.testbed.training import vae as vae_stage
from reno.testbed.training.loop import claim, fingerprint, load_average, tensor_of, train
from reno.testbed.world import COLORS, OBJECTS, SIDE

POOL = 12288
MOST = 3
"""Things in a specimen."""
IGNORED = -100
SMOKE = {"steps": 2, "batch": 4, "pool": 16, "examined": 7}


def run(
    build_dir: Path, steps: int = 3000, batch: int = 32, seed: int = 3, pool: int = POOL, examined: int = 1050
) -> dict:
    """pool: number of training images. examined: number of held-out images that the judges are tested on."""
    torch.manual_seed(seed)
    model = Network()
    coder = load_average(build_dir / "vae", vae_stage.build()).requires_grad_(False)
    trained_on = specimens_fingerprint(build_dir, pool)
    claim(build_dir / "judge", trained_on)
    images, answers = _pool(build_dir / "judge" / "pool.safetensors", coder, pool, seed)

    def loss(step, rng):
        rows = torch.tensor(rng.sample(range(len(images)), batch))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(worsened(images[rows].float() / 255))
        centre, objects, colors = naming_loss(*(part.float() for part in logits), answers[rows])
        return centre + objects + colors, {
            "centre": centre.item(),
            "object": objects.item(),
            "color": colors.item(),
        }

    train("judge", model, loss, folder=build_dir / "judge", steps=steps, lr=2e-3, seed=seed, trained_on=trained_on)
    return report(build_dir, model, examined)


def specimens_fingerprint(build_dir: Path, pool: int) -> str:
    """A fingerprint of the pool: its size, some specimens, and the VAE that half of them go through."""
    rng = random.Random(5)
    drawn = [specimen(rng)[0] for _ in range(24)]
    return fingerprint(str(pool).encode(), np.stack(drawn).tobytes(), build_dir / "vae" / "average.safetensors")


def _pool(path: Path, coder, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 (size, 3, SIDE, SIDE) and answers (size, MOST, 5): x, y, size, object, colour; NaN where none."""
    if not path.exists():
        rng = random.Random(seed)
        images, answers = [], torch.full((size, MOST, 5), float("nan"))
        for start in range(0, size, 64):
            drawn = [specimen(rng, bad=0.4, small=0.12) for _ in range(min(64, size - start))]
            for row, (_, things) in enumerate(drawn, start):
                for place, thing in enumerate(things):
                    answers[row, place] = torch.tensor(_numbers(thing))
            pixels = tensor_of([image for image, _ in drawn])
            pixels[::2] = coded(coder, pixels[::2])
            images.append((pixels * 255).round().byte())
        save_file({"images": torch.cat(images).contiguous(), "answers": answers}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    stored = load_file(path)
    return stored["images"], stored["answers"]


def _numbers(thing: TrueThing) -> tuple[float, ...]:
    name = JUNK if thing.object is None else IGNORED if thing.object == UNSURE else OBJECTS.index(thing.object)
    color = MIXED if thing.color is None else IGNORED if thing.color == UNSURE else COLORS.index(thing.color)
    return thing.x, thing.y, thing.size, name, color


@torch.no_grad()
def coded(coder, pixels: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, SIDE, SIDE) in [0, 1], encoded and decoded by the VAE."""
    with torch.autocast("cpu", torch.bfloat16):
        decoded = coder.decode(coder.encode(pixels * 2 - 1).latent_dist.mean).sample
    return (decoded.float() / 2 + 0.5).clamp(0, 1)


def worsened(images: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, SIDE, SIDE) in [0, 1], each warped, blurred or sharpened, tinted and made noisy, at random
    strengths."""
    count = len(images)

    def draw(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, *shape)

    bends = functional.interpolate(torch.randn(count, 2, 7, 7), size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    axis = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), 0) + bends * draw(0, 1.2 / SIDE, 1, 1, 1) * 2
    images = functional.grid_sample(images, grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    taps = torch.tensor([0.06, 0.24, 0.4, 0.24, 0.06])
    blurred = functional.pad(images, (2, 2, 2, 2), mode="replicate")
    for kernel in (taps.view(1, 1, 5, 1), taps.view(1, 1, 1, 5)):
        blurred = functional.conv2d(blurred, kernel.expand(3, 1, -1, -1), groups=3)
    images = images + draw(-0.3, 1, 1, 1, 1) * (blurred - images)
    coarse = functional.interpolate(torch.randn(count, 3, 16, 16), size=(SIDE, SIDE), mode="bilinear")
    noise = torch.randn_like(images) * draw(0, 1, 1, 1, 1) ** 2 * 0.035 + coarse * draw(0, 1, 1, 1, 1) ** 2 * 0.03
    gain = draw(0.92, 1.06, 1, 1, 1) * draw(0.96, 1.04, 3, 1, 1)
    return (((images - 0.5) * gain + 0.5 + draw(-0.04, 0.04, 1, 1, 1)) + noise).clamp(0, 1)


def naming_loss(
    centre: torch.Tensor, objects: torch.Tensor, colors: torch.Tensor, answers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The centres' focal loss and the names' cross-entropies, from the network's logits and answers (B, MOST, 5)."""
    cells = (torch.arange(GRID) + 0.5) / GRID
    x, y, size = (answers[:, :, index, None, None] for index in range(3))
    far = ((cells - x) ** 2 + (cells[:, None] - y) ** 2).sqrt()  # (B, MOST, GRID, GRID)
    far = torch.where(far.isnan(), torch.inf, far)
    nearest = far == far.amin((2, 3), keepdim=True)
    there = nearest & far.isfinite()
    bump = torch.exp(-(far**2) / (2 * (0.13 * size.nan_to_num(1.0)).clamp(min=0.03) ** 2))
    target = torch.where(there, 1.0, bump).amax(1)
    probability = centre[:, 0].sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = (1 - probability) ** 2 * probability.log() * (target == 1)
    miss = (1 - target) ** 4 * probability**2 * (1 - probability).log() * (target < 1)
    count = there.sum().clamp(min=1)
    near = (there | (far < 0.2 * size.nan_to_num(0.0))).float()
    share = near / near.sum((2, 3), keepdim=True).clamp(min=1)
    names = []
    for logits, column in ((objects, 3), (colors, 4)):
        wanted = answers[:, :, column].nan_to_num(IGNORED).long()
        each = logits.log_softmax(1)[:, None].expand(-1, MOST, -1, -1, -1)
        index = wanted.clamp(min=0)[:, :, None, None, None].expand(-1, -1, 1, GRID, GRID)
        right = each.gather(2, index)[:, :, 0]
        names.append(-(right * share * (wanted >= 0)[:, :, None, None]).sum() / (wanted >= 0).sum().clamp(min=1))
    return -(hit + miss).sum() / count, *names


KINDS = (*DEGRADATIONS, "coded")
"""How held-out images are made worse; `coded` is by the VAE."""


@torch.no_grad()
def report(build_dir: Path, model: Network | None = None, count: int = 1050) -> dict:
    """How often each judge is right on held-out images. Draws a sheet of what they say."""
    model = model or load_average(build_dir / "judge", Network())
    coder = load_average(build_dir / "vae", vae_stage.build())
    judges = {"learned": LearnedJudge(model.eval()), "analytic": AnalyticJudge()}
    rng = random.Random(41)
    drawn = [held_out(rng, 2 + index % 2) for index in range(count)]
    kinds = [KINDS[index % len(KINDS)] for index in range(count)]
    images = np.stack([_worse(rng, coder, item[0], kind) for item, kind in zip(drawn, kinds, strict=True)])
    numbers: dict = {}
    said = {}
    for name, judge in judges.items():
        judge.look(images[:1])
        started = time.perf_counter()
        said[name] = [judge.look(image[None])[0] for image in images]
        seconds = time.perf_counter() - started
        right: Counter = Counter()
        total: Counter = Counter()
        for found, (_, asked), kind in zip(said[name], drawn, kinds, strict=True):
            judged = verdict(found, [binding for binding, _ in asked]).judgements
            for (_, truth), judgement in zip(asked, judged, strict=True):
                total[kind] += 1
                right[kind] += judgement.bound == truth
        numbers[name] = {kind: round(right[kind] / total[kind], 4) for kind in total}
        numbers[name]["all"] = round(right.total() / total.total(), 4)
        numbers[name]["ms_per_image"] = round(1000 * seconds / count, 1)
    numbers["refused"] = {
        name: {kind: refused(judge, kind, min(60, count)) for kind in BAD} for name, judge in judges.items()
    }
    numbers["agreement"] = round(_same(said, drawn), 4)
    _sheet(build_dir / "judge" / "samples.png", images[:56], [said["learned"][:56], said["analytic"][:56]])
    say(f"judge: {numbers}")
    return numbers


def refused(judge: WorldJudge, kind: str, count: int) -> float:
    """How often one of BAD, alone in an image, is bound to no colour."""
    rng = random.Random(43)
    right = 0
    for image, thing in (lone(rng, kind) for _ in range(count)):
        said = verdict(judge.look(image[None])[0], [Binding(color, thing.object) for color in COLORS])
        right += said.bound == 0
    return round(right / count, 3)


def _worse(rng: random.Random, coder, image: np.ndarray, kind: str) -> np.ndarray:
    if kind != "coded":
        return degrade(rng, image, kind)
    return (coded(coder, tensor_of([image]))[0] * 255).round().byte().permute(1, 2, 0).numpy()


def _same(said: dict[str, list[list[SeenThing]]], drawn: list) -> float:
    """The share of bindings of which both judges say the same."""
    same: list[bool] = []
    for learned, analytic, (_, asked) in zip(said["learned"], said["analytic"], drawn, strict=True):
        bindings = [binding for binding, _ in asked]
        same += same_bindings(verdict(learned, bindings), verdict(analytic, bindings))
    return sum(same) / len(same)


def _sheet(path: Path, images: np.ndarray, said: list[list[list[SeenThing]]], columns: int = 8, scale: int = 3) -> None:
    """The images, and under each a line per thing: the first judge's in black, the second's in blue."""
    side, height = SIDE * scale, SIDE * scale + 72
    sheet = Image.new("RGB", (columns * side, -(-len(images) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        left, top = index % columns * side, index // columns * height
        sheet.paste(Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST), (left, top))
        for judge, (things, ink) in enumerate(zip([each[index] for each in said], ("black", "blue"), strict=True)):
            for line, thing in enumerate(things[:3]):
                text = f"{thing.color or 'mixed'} {thing.object or 'junk'} {thing.objects.max():.2f}"
                draw.text((left + 2, top + side + 11 * (3 * judge + line)), text, fill=ink)
    sheet.save(path)


def export(build_dir: Path, folder: Path) -> None:
    """Writes the learned judge's weights in fp16, and a config that describes them."""
    model = load_average(build_dir / "judge", Network())
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, folder / FILE)
    config = {
        "network": "reno.testbed.judges.learned.Network",
        "input": [3, SIDE, SIDE],
        "objects": [*OBJECTS, "junk"],
        "colors": [*COLORS, "mixed"],
        "parameters": sum(value.numel() for value in model.parameters()),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
