"""Stage `cards`: the models' cards, weights/<model>/README.md with its pictures, written from measured numbers only.

Each stage keeps what it measured in numbers.json of its folder, and its training time in its checkpoint. A number that
was not measured is not written.
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from reno.testbed.layout import LEAK_SHARE, SPREAD, VANISH_SHARE, steering
from reno.testbed.training.loop import CHECKPOINT, minutes
from reno.testbed.training.measure import BaseRates, GainRow, Measurements, OutcomeRow
from reno.testbed.training.speed import Speed
from reno.testbed.world import COLORS, HELD_OUT, OBJECTS, TAUGHT_COLORS, TAUGHT_OBJECTS

PICTURES = {
    "generator": {"generator/samples.png": "samples.png", "vae/samples.png": "vae.png"},
    "clip": {"clip/samples.png": "samples.png", "measure/clip.png": "before_and_after.png"},
    "blip": {"blip/samples.png": "samples.png", "measure/blip.png": "before_and_after.png"},
    "judge": {"judge/samples.png": "samples.png"},
}
"""By model: what the stages drew, and its name beside the weights."""
TRAINED = ("vae", "generator", "judge", "clip", "blip")
SMOKE: dict = {}


@dataclass(frozen=True)
class StageNumbers:
    """What the stages measured."""

    build_dir: Path
    by_stage: dict[str, dict[str, Any]]
    """Of the training stages: numbers by name."""
    measured: Measurements | None
    """None where the bench was not run."""

    @classmethod
    def read(cls, build_dir: Path) -> Self:
        found = {path.parent.name: json.loads(path.read_text()) for path in build_dir.glob("*/numbers.json")}
        measured = found.pop("measure", None)
        return cls(build_dir, found, msgspec.convert(measured, Measurements) if measured else None)

    def shown(self, stage: str, key: str, form: str) -> str:
        """A stage's number in the given format, or "not measured"."""
        return shown(self.by_stage.get(stage, {}), key, form)

    def spent(self, stage: str) -> str:
        """How long a stage trained, all its lessons together."""
        folder = self.build_dir / stage
        lessons = [place for place in (folder / "first", folder / "second", folder) if (place / CHECKPOINT).exists()]
        return f"{sum(map(minutes, lessons)):.0f} minutes"

    def otherwise(self, stage: str) -> list[str]:
        """How a checkpoint differs from one that the stage trains from nothing, if `otherwise.txt` in the stage's
        folder says so. Whoever puts such a checkpoint there writes that file."""
        path = self.build_dir / stage / "otherwise.txt"
        return [path.read_text(encoding="utf-8").strip()] if path.exists() else []


def run(build_dir: Path, weights: Path) -> dict:
    """Writes a card for each model beside its weights, and one page on all of them."""
    numbers = StageNumbers.read(build_dir)
    for name, card in CARDS.items():
        for drawn, kept in PICTURES[name].items():
            if (build_dir / drawn).exists():
                shutil.copyfile(build_dir / drawn, weights / name / kept)
        (weights / name / "README.md").write_text(card(numbers), encoding="utf-8")
    (weights / "README.md").write_text(overview(weights, numbers), encoding="utf-8")
    return {}


# --- The page on all models -------------------------------------------------------------------------------------------


def overview(weights: Path, numbers: StageNumbers) -> str:
    measured = numbers.measured
    return page(
        "The models of the embedded world",
        "[generator](generator/README.md), [CLIP](clip/README.md), [BLIP](blip/README.md), [oracle](judge/README.md).",
        *(what_reno_does(measured) if measured else ["What the bench does on them was not measured."]),
        "## Size, speed and training",
        size_and_speed(weights, measured.speed if measured else None),
        "Minutes of training: " + ", ".join(f"{stage} {numbers.spent(stage)}" for stage in TRAINED) + ".",
    )


def what_reno_does(measured: Measurements) -> list[str]:
    """ReNO beside best of n, with every metric at every setting."""
    parts = [
        "## What ReNO does on them",
        f"""Prompts of held-out combinations, {measured.iterations} iterations, judged by the oracle; the number of
trials is in brackets. `best of n` makes as many images from fresh noise and keeps the one that the metric scores
highest. `within 3 sd`: the norm of the best image's noise is within 3 standard deviations of its mean under N(0, I),
which is 22.6 with a standard deviation of 0.7.""",
    ]
    for name, rows in measured.outcomes.items():
        head = ["how", "metric", "bound before", "after", "objects there", "swapped", "mixed", "junk", "within 3 sd"]
        body = [_outcome_line(row) for row in rows if row.trials]
        parts += [f"### `{name}`", table([head, *body]), *gained(measured.reno_minus_best_of_n[name])]
    return parts


def _outcome_line(row: OutcomeRow) -> list[str]:
    after = (row.bound_after, row.there_after, row.swapped_after, row.mixed_after, row.junk_after)
    shares = [f"{share:.1%}" for share in (row.bound_before, *after, row.noise_within_3_sd)]
    return [row.setting, f"{row.metric} ({row.trials})", *shares]


def gained(rows: list[GainRow]) -> list[str]:
    """ReNO minus best of n."""
    body = [
        [row.setting, f"{row.metric} ({row.pairs})", f"{row.difference:+.1%}", f"[{row.low:+.1%}, {row.high:+.1%}]"]
        for row in rows
        if row.pairs
    ]
    if not body:
        return []
    return [
        "Share fully bound by ReNO minus that by best of n, paired on prompt and seed; the interval is from a "
        "bootstrap over prompts:",
        table([["how", "metric", "difference", "95% interval"], *body]),
    ]


def size_and_speed(weights: Path, speed: Speed | None) -> str:
    size = sum(path.stat().st_size for path in weights.rglob("*.safetensors")) / 1e6
    said = f"{size:.1f} MB of fp16 safetensors."
    if speed:
        said += (
            f" Loaded in {speed.load_seconds} seconds, {speed.first_load_seconds} with the first import of their "
            f"libraries. On {speed.threads} CPU threads a trial takes {speed.clip_alone} seconds by CLIP and "
            f"{speed.blip_alone} by BLIP alone, {speed.clip_batch_of_4} and {speed.blip_batch_of_4} in a batch of four."
        )
    return said


# --- A card for each model --------------------------------------------------------------------------------------------


def generator(numbers: StageNumbers) -> str:
    return page(
        "A one-step generator of the embedded world",
        f"""A `StableDiffusionPipeline` (CLIPTextModel, UNet2DConditionModel, AutoencoderKL, EulerDiscreteScheduler)
that makes a 64 x 64 image of coloured objects from noise 8 x 8 x 8 and a caption. It is called as SD-Turbo is: one
step, guidance 0, trailing spacing. It knows {len(OBJECTS)} objects ({", ".join(OBJECTS)}) in {len(COLORS)} colours
({", ".join(COLORS)}), in captions such as "a gold bench and a green clock". Training never showed {len(HELD_OUT)} of
the {len(OBJECTS) * len(COLORS)} combinations, nor any pair whose swapped colours would be one of them.""",
        """![Above, the scenes that the law asks for; below each, what the generator made of that noise](samples.png)

Rows in pairs: above, the scenes that the law asks for; below, what the generator makes of the same noise.""",
        "## An instrument with known causes",
        f"""Its faults are built in. They say nothing about the faults of SD-Turbo. There is no teacher model: a law
(`reno/testbed/layout.py`) says which scene a noise means, and the generator is regressed on the encoded drawing of that
scene. Of the 512 dimensions of the noise, {int(steering().sum())} low cosine coefficients decide the scene: where the
things lie, their sizes and tilts, the background, and two smooth maps that are read where each thing lies. Where the
leak map is above a threshold, the next thing's colour mixes into the thing's own: the higher the map, the more, up to
all of it (a fifth or more for {LEAK_SHARE[2]:.0%} of things in pairs, {LEAK_SHARE[3]:.0%} in triples). Every second
thing reads the map with its sign turned, so colours are seldom swapped. Where the vanish map is above a threshold, the
thing is half its size or less, or not drawn ({VANISH_SHARE:.0%}). Thresholds are gradual, and they differ from colour
to colour and object to object (standard deviation {SPREAD:g}), so some prompts are hard. The generator adds errors of
its own: blurred or half-drawn things, colours between two.""",
        "## Training",
        f"""VAE: 64 x 64 to 8 x 8 x 8; L1, squared error and gradient L1, KL weight 2e-6; {numbers.spent("vae")}.
Held-out scenes come back at {numbers.shown("vae", "psnr", "{:.1f} dB")} (the worst twentieth at
{numbers.shown("vae", "psnr_worst_5%", "{:.1f} dB")}). Text encoder and U-Net: L1 + squared error / 2 on the latents of
the law's scenes. In a first lesson the noise that decides nothing is faded in; in a second it is larger than its prior,
by up to a quarter; {numbers.spent("generator")}. Mean absolute difference to the law's scenes on unseen noise:
{numbers.shown("generator", "l1_to_law", "{:.4f}")} of 1.""",
        *numbers.otherwise("generator"),
        *(rates(numbers.measured.base) if numbers.measured else []),
    )


def rates(base: dict[str, BaseRates]) -> list[str]:
    """How often the generator fails from random noise."""
    rows = [["prompts", "fully bound", "every object there", "swapped", "junk", "mixed colour", "images"]]
    for name, rate in base.items():
        shares = [f"{share:.1%}" for share in (rate.bound, rate.there, rate.swapped, rate.junk, rate.mixed)]
        rows.append([f"`{name}`", *shares, str(rate.images)])
    return ["## How often it fails", "Ten fresh noises a prompt, by the oracle.\n\n" + table(rows)]


def clip(numbers: StageNumbers) -> str:
    return page(
        "A CLIP of the embedded world",
        """A `CLIPModel` (vision: 8-pixel patches, 128 wide, 4 layers; text: 2 layers), trained from nothing by CLIP's
own objective, symmetric InfoNCE with a learned temperature, on pictures of the embedded world and captions as noisy as
the web's.""",
        *metric(numbers, "clip", {"": "CLIP"}),
    )


def blip(numbers: StageNumbers) -> str:
    return page(
        "A BLIP of the embedded world",
        """A `BlipForImageTextRetrieval` (vision: 8-pixel patches, 128 wide, 4 layers; text: 2 layers), trained from
nothing by BLIP's own objectives, image-text contrast (ITC) and matching (ITM) with negatives mined by similarity, on
the same pictures and captions as the embedded CLIP. The bench optimises the margin of the ITM logits.""",
        *metric(numbers, "blip", {"": "BLIP ITM", "itc_": "BLIP ITC"}),
    )


NAMED = {
    "clip": """A thing between two colours is named by either of them, or by none: the less pure its colour, the less
often it has a name (half the time where three tenths are another's).""",
    "blip": """A thing between two colours is named by either of them, or by none: the less pure its colour, the less
often it has a name (half the time where a fifth is another's). The caption that it was asked for is then false of
it.""",
}
"""By metric: what its captions call a thing of two colours (reno/testbed/training/labels.py)."""
EXAMINED = (
    ("another object", "object", "50%"),
    ("another colour", "color", "50%"),
    ("swapped colours", "swap", "50%"),
    ("another object, generated images", "painted_object", "50%"),
    ("another colour, generated images", "painted_color", "50%"),
    ("swapped colours, generated images", "painted_swap", "50%"),
    ("the same caption on a spoiled picture", "whole", "50%"),
    ("group score of swapped colours", "group", "16.7%"),
)
"""(label, key of the examination, chance)."""


def metric(numbers: StageNumbers, name: str, heads: dict[str, str]) -> list[str]:
    """What both metrics' cards have. heads: by prefix of the examination's numbers, the name of the score."""
    rows = [["true caption against", *heads.values(), "chance"]]
    if name in numbers.by_stage:
        rows += [
            [label, *(numbers.shown(name, head + key, "{:.1%}") for head in heads), chance]
            for label, key, chance in EXAMINED
        ]
    return [
        "## Training",
        f"""{numbers.spent(name).capitalize()}. Pictures: renders, reconstructions by the VAE, images of the generator
labelled by what its law drew, and spoiled pictures (two-toned, blended, cut, smeared) that never have a caption of
their own. Half of the drawn ones use {len(TAUGHT_COLORS)} colours and {len(TAUGHT_OBJECTS)} objects, the world's and
further ones that only the metrics know, so colour and object are learned apart. {NAMED[name]} Captions: 20% lose words,
14% of those with two things or more have their attributes out of order or on the wrong noun, 15% leave things out
(`reno/testbed/training/captions.py`). Twice in training, images are optimised against the metric as the bench does it,
and the results join the pictures. In a second and a third, shorter lesson three tenths of the pictures are twins with
their colours swapped. The third lesson's captions are curated (10% lose words, 2% are out of order). A patch head,
which is not shipped, says which object and colour cover each patch.""",
        "## What it tells apart",
        "On combinations that training held out; renders, unless the generator is named.\n\n" + table(rows),
        """Group score: two pictures with their colours swapped and their two captions, all four comparisons right. On
Winoground (Thrush et al. 2022) the published scores are: CLIP ViT-B/32 8.0%, BLIP ITC 6.5%, BLIP ITM 13.3%, chance
16.7%.""",
        "![Pictures with the score of the true caption and of false ones](samples.png)",
        *(optimising(numbers.measured, name) if numbers.measured else []),
    ]


def optimising(measured: Measurements, name: str) -> list[str]:
    """What the bench reaches with the metric."""
    names = ("bound before", "after", "junk", "mixed colour", "swapped", "noise within 3 sd")
    rows = [["prompts", "how", *names, "trials"]]
    for prompt_set, outcomes in measured.outcomes.items():
        for row in outcomes:
            if row.metric == name and row.trials:
                after = (row.bound_after, row.junk_after, row.mixed_after, row.swapped_after)
                shares = [f"{share:.1%}" for share in (row.bound_before, *after, row.noise_within_3_sd)]
                rows.append([f"`{prompt_set}`", row.setting, *shares, str(row.trials)])
    return [
        "## What optimising it does",
        f"{measured.iterations} iterations of the bench, judged by the oracle; `best of n` makes as many images from "
        "fresh noise and keeps the one that the metric scores highest.\n\n" + table(rows),
        "![Forty prompts, before above after, Adam at 0.05](before_and_after.png)",
    ]


def judge(numbers: StageNumbers) -> str:
    own = numbers.by_stage.get("judge", {})
    learned, analytic = own.get("learned", {}), own.get("analytic", {})
    rows = [["held-out images", "learned", "analytic"]]
    rows += [
        [kind, shown(learned, kind, "{:.2%}"), shown(analytic, kind, "{:.2%}")]
        for kind in learned
        if kind != "ms_per_image"
    ]
    in_use = ""
    if numbers.measured:
        agreed = numbers.measured.agreement
        in_use = (
            f", and on {agreed.bound:.1%} of the bindings of {agreed.images} generated images, half of them before and "
            "half after optimisation"
        )
    return page(
        "The oracle of the embedded world",
        """A small convolutional network that says which things a 64 x 64 image shows: where they are, which object or
none, which colour or a mixture. It is an instrument, not a model under test: it was trained on every colour and object,
clean, degraded and coded by the VAE, with junk and two-toned things as negatives. `evaluators=[oracle]` uses it. A
second judge (`evaluators=[oracle_analytic]`) has learned nothing: it uses background, blobs, templates of the drawings
and named colours, and shares nothing with the first but the words.""",
        "## How often each is right about `bound`",
        table(rows) if learned else "",
        f"Trained for {numbers.spent('judge')}. The two agree on "
        f"{numbers.shown('judge', 'agreement', '{:.1%}')} of these bindings{in_use}.",
        "![Held-out images; what the learned judge says in black, the analytic one in blue](samples.png)",
    )


CARDS: dict[str, Callable[[StageNumbers], str]] = {
    "generator": generator,
    "clip": clip,
    "blip": blip,
    "judge": judge,
}


# --- Markdown ---------------------------------------------------------------------------------------------------------


def page(title: str, *parts: str) -> str:
    """A Markdown page. Paragraphs of prose are wrapped; headings, tables and pictures stay as they are."""
    last = "Written by `make testbed`, which trains such models from nothing."
    blocks = [block for part in (f"# {title}", *parts, last) for block in part.split("\n\n") if block]
    return "\n\n".join(block if re.match(r"[#|!]", block) else textwrap.fill(block, 116) for block in blocks) + "\n"


def table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def shown(numbers: dict[str, Any], key: str, form: str) -> str:
    """A number in the given format, or "not measured"."""
    return form.format(numbers[key]) if numbers.get(key) is not None else "not measured"
