"""Stage `cards`: the models' cards, weights/<model>/README.md and its pictures, written from measured numbers alone.

What each stage measured lies in numbers.json of its folder, how long it trained in its checkpoint. A number that was
not measured is not written.
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from pathlib import Path

from reno.marks import markdown_rows
from reno.testbed.layout import LEAK_SHARE, SPREAD, VANISH_SHARE, steering
from reno.testbed.stages.loop import minutes
from reno.testbed.world import COLORS, HELD_OUT, OBJECTS, TAUGHT_COLORS, TAUGHT_OBJECTS

PICTURES = {
    "generator": {"generator/samples.png": "samples.png", "vae/samples.png": "vae.png"},
    "clip": {"clip/samples.png": "samples.png", "measure/clip.png": "before_and_after.png"},
    "blip": {"blip/samples.png": "samples.png", "measure/blip.png": "before_and_after.png"},
    "judge": {"judge/samples.png": "samples.png"},
}
"""By model: what the stages drew, and what it is called beside the weights."""


TRAINED = ("vae", "generator", "judge", "clip", "blip")

SMOKE: dict = {}


def run(build_dir: Path, weights: Path) -> dict:
    """Writes one card for each model, beside its weights, and one page of them all."""
    numbers = {path.parent.name: json.loads(path.read_text()) for path in build_dir.glob("*/numbers.json")}
    for name, card in (("generator", generator), ("clip", clip), ("blip", blip), ("judge", judge)):
        for drawn, shown in PICTURES[name].items():
            if (build_dir / drawn).exists():
                shutil.copyfile(build_dir / drawn, weights / name / shown)
        (weights / name / "README.md").write_text(card(build_dir, numbers), encoding="utf-8")
    (weights / "README.md").write_text(overview(build_dir, weights, numbers), encoding="utf-8")
    return {}


def overview(build_dir: Path, weights: Path, numbers: dict) -> str:
    measured = numbers.get("measure", {})
    return page(
        "The models of the embedded world",
        "[generator](generator/README.md), [CLIP](clip/README.md), [BLIP](blip/README.md), [oracle](judge/README.md).",
        *(what_reno_does(measured) if measured else ["What the bench does on them was not measured."]),
        "## Size, speed and training",
        size_and_speed(weights, measured.get("speed")),
        "Minutes of training: " + ", ".join(f"{stage} {spent(build_dir, stage)}" for stage in TRAINED) + ".",
    )


def what_reno_does(measured: dict) -> list[str]:
    """ReNO beside best of n, every metric at every setting."""
    parts = [
        "## What ReNO does on them",
        f"""Prompts of held-out combinations, {measured["iterations"]} iterations, judged by the oracle; in brackets the
trials. `best of n` makes as many images from fresh noise and keeps the metric's favourite. The best
image's noise is held against its prior: |noise| of N(0, I) has mean 22.6 and standard deviation 0.7.""",
    ]
    for name, rows in measured["outcomes"].items():
        shown = [["how", "metric", "bound before", "after", "objects there", "swapped", "mixed", "junk", "within 3 sd"]]
        for row in (row for row in rows if row["trials"]):
            after = [row[key] for key in ("bound_after", "there_after", "swapped_after", "mixed_after", "junk_after")]
            shares = [f"{share:.1%}" for share in (row["bound_before"], *after, row["noise_within_3_sd"])]
            shown.append([row["setting"], f"{row['metric']} ({row['trials']})", *shares])
        parts += [f"### `{name}`", table(shown), *gained(measured["reno_minus_best_of_n"][name])]
    return parts


def gained(rows: list[dict]) -> list[str]:
    """ReNO less best of n."""
    shown = [["how", "metric", "difference", "95% interval"]]
    for row in (row for row in rows if row["pairs"]):
        ends = f"[{row['low']:+.1%}, {row['high']:+.1%}]"
        shown.append([row["setting"], f"{row['metric']} ({row['pairs']})", f"{row['difference']:+.1%}", ends])
    if len(shown) == 1:
        return []
    return [
        "Fully bound by ReNO less by best of n, paired on prompt and seed; interval of a bootstrap over prompts:",
        table(shown),
    ]


def size_and_speed(weights: Path, speed: dict | None) -> str:
    size = sum(path.stat().st_size for path in weights.rglob("*.safetensors")) / 1e6
    said = f"{size:.1f} MB of fp16 safetensors."
    if speed:
        said += (
            f" Loaded in {speed['load_seconds']} seconds, {speed['first_load_seconds']} with the first import of "
            f"their libraries; a trial takes {speed['clip_alone']} seconds by CLIP and "
            f"{speed['blip_alone']} by BLIP alone, {speed['clip_batch_of_4']} and {speed['blip_batch_of_4']} in a "
            f"batch of four, on {speed['threads']} CPU threads."
        )
    return said


def generator(build_dir: Path, numbers: dict) -> str:
    vae, own = numbers.get("vae", {}), numbers.get("generator", {})
    return page(
        "A one-step generator of the embedded world",
        f"""A `StableDiffusionPipeline` (CLIPTextModel, UNet2DConditionModel, AutoencoderKL,
EulerDiscreteScheduler) that makes a 64 x 64 image of coloured objects of noise 8 x 8 x 8 and a
caption, called as SD-Turbo is: one step, guidance 0, trailing spacing. It knows {len(OBJECTS)}
objects ({", ".join(OBJECTS)}) in {len(COLORS)} colours ({", ".join(COLORS)}), in captions such as
"a gold bench and a green clock". {len(HELD_OUT)} of the {len(OBJECTS) * len(COLORS)} combinations
were never shown in training, nor any pair whose swapped colours would be one.""",
        """![Above, the scenes that the law asks for; below each, what the generator made of that noise](samples.png)

Rows in twos: above, the scenes that the law asks of some noise; below, what the generator makes of
it.""",
        "## An instrument with known causes",
        f"""Its faults are built in, not learned from the world's images, and say nothing of SD-Turbo's own
statistics. There is no teacher: a law (`reno/testbed/layout.py`) says which scene a noise means,
and the generator is regressed on the encoded drawing of that scene. Of the 512 dimensions of the
noise, {int(steering().sum())} low cosine coefficients decide: where the things lie, their sizes and tilts, the
background, and two smooth maps that are read where each thing lies. Where the leak map is above a
threshold, the next thing's colour mixes into the thing's own, the more the higher the map, up to all
of it (a fifth or more for {LEAK_SHARE[2]:.0%} of things in pairs, {LEAK_SHARE[3]:.0%} in triples); every
second thing reads the map with its sign turned, so that colours are seldom swapped. Where the vanish
map is above a threshold, the thing is half its size or less, or not drawn ({VANISH_SHARE:.0%}). Thresholds
are gradual, and they differ from colour to colour and object to object (standard deviation
{SPREAD:g}), so some prompts are hard. On top of the law come the generator's
own errors: blurred or half-drawn things, colours between two.""",
        "## Training",
        f"""VAE: 64 x 64 to 8 x 8 x 8; L1, squared error and gradient L1, KL weight 2e-6; {
            spent(build_dir, "vae")
        }. Held-out scenes come back at {number(vae, "psnr", "{:.1f} dB")} (worst twentieth:
{number(vae, "psnr_worst_5%", "{:.1f} dB")}). Text encoder and U-Net: L1 + squared error / 2 on the
latents of the law's scenes, noise that decides nothing faded in during a first lesson and larger
than its prior, by up to a quarter, in a second; {
            spent(build_dir, "generator")
        }. Mean absolute difference to the law's scenes on unseen noise: {number(own, "l1_to_law", "{:.4f}")} of 1.""",
        *otherwise(build_dir, "generator"),
        *rates(numbers.get("measure")),
    )


def clip(build_dir: Path, numbers: dict) -> str:
    return page(
        "A CLIP of the embedded world",
        """A `CLIPModel` (vision: 8-pixel patches, 128 wide, 4 layers; text: 2 layers), trained from nothing by
CLIP's own objective, symmetric InfoNCE with a learned temperature, on pictures of the embedded
world and captions as noisy as the web's.""",
        *metric(build_dir, numbers, "clip", {"": "CLIP"}),
    )


def blip(build_dir: Path, numbers: dict) -> str:
    return page(
        "A BLIP of the embedded world",
        """A `BlipForImageTextRetrieval` (vision: 8-pixel patches, 128 wide, 4 layers; text: 2 layers), trained
from nothing by BLIP's own objectives, image-text contrast (ITC) and matching (ITM) with negatives
mined by similarity, on the same pictures and captions as the embedded CLIP. The bench optimises the
ITM logit margin.""",
        *metric(build_dir, numbers, "blip", {"": "BLIP ITM", "itc_": "BLIP ITC"}),
    )


def metric(build_dir: Path, numbers: dict, name: str, heads: dict[str, str]) -> list[str]:
    """What both metrics' cards share; `heads` names the prefixes of the examination's numbers."""
    own = numbers.get(name, {})
    rows = [
        ["true caption against", *heads.values(), "chance"],
        *(
            [label, *(number(own, head + key, "{:.1%}") for head in heads), chance]
            for label, key, chance in EXAMINED
            if own
        ),
    ]
    return [
        "## Training",
        f"""{spent(build_dir, name).capitalize()}. Pictures: renders, reconstructions by the VAE, images of the
generator labelled by what its law drew, and spoiled pictures (two-toned, blended, cut, smeared)
that are never a caption's own. Half of the drawn ones are of {len(TAUGHT_COLORS)} colours and
{len(TAUGHT_OBJECTS)} objects, the world's and further ones that nothing else knows, so that colour and object are
learned apart. {NAMED[name]}
Captions:
20% lose words, 14% of those with two things or more have their attributes out of order or on the
wrong noun, 15% leave things out
(`reno/testbed/stages/captions.py`). Twice in training the metric is climbed as the bench climbs it,
and what comes of it joins the pictures. In a second and a third, shorter lesson three tenths of the pictures are
twins with their colours swapped; the third lesson's captions are curated (10% lose words, 2% are out of
order). An auxiliary head, not shipped, says which object and colour covers each patch.""",
        "## What it tells apart",
        "On combinations that training held out; renders unless the generator is named.\n\n" + table(rows),
        """Group score: two pictures, two captions, colours swapped, all four comparisons right. The published
ones on Winoground (Thrush et al. 2022): CLIP ViT-B/32 8.0%, BLIP ITC 6.5%, BLIP ITM 13.3%, chance
16.7%.""",
        "![Pictures with the score of the true caption and of false ones](samples.png)",
        *climbs(numbers.get("measure"), name),
    ]


NAMED = {
    "clip": """A thing between two colours is named by either, or by none: the less pure its colour, the seldomer
it has a name (half the time where three tenths are another's).""",
    "blip": """A thing between two colours is named by either, or by none: the less pure its colour, the seldomer
it has a name (half the time where a fifth is another's), and the caption it was asked for is then false of it.""",
}
"""By metric: what its captions call a thing of two colours (`reno/testbed/stages/labels.py`)."""
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


def judge(build_dir: Path, numbers: dict) -> str:
    own = numbers.get("judge", {})
    kinds = [kind for kind in own.get("learned", {}) if kind != "ms_per_image"]
    rows = [["held-out images", "learned", "analytic"]]
    for kind in kinds:
        rows.append([kind, *(number(own.get(which, {}), kind, "{:.2%}") for which in ("learned", "analytic"))])
    in_use = ""
    if measured := numbers.get("measure", {}).get("agreement"):
        in_use = (
            f", and on {measured['bound']:.1%} of the bindings of {measured['images']} generated images, half of them "
            "before and half after optimisation"
        )
    return page(
        "The oracle of the embedded world",
        """A small convolutional network that answers which things a 64 x 64 image shows: where, which object
or none, which colour or a mixture. It is an instrument, not a model under test: it saw every colour
and object, clean, degraded, through the VAE, and junk and two-toned things as negatives.
`evaluators=[oracle]`. A second judge (`evaluators=[oracle_analytic]`) shares nothing with it but
the words and learned nothing: background, blobs, templates of the drawings, named colours.""",
        "## How often each is right about `bound`",
        table(rows) if kinds else "",
        f"Trained for {spent(build_dir, 'judge')}. The two agree on {number(own, 'agreement', '{:.1%}')} of these"
        f" bindings{in_use}.",
        "![Held-out images; what the learned judge says in black, the analytic one in blue](samples.png)",
    )


def rates(measured: dict | None) -> list[str]:
    """How often the generator fails from random noise."""
    if not measured:
        return []
    rows = [["prompts", "fully bound", "every object there", "swapped", "junk", "mixed colour", "images"]]
    for name, base in measured["base"].items():
        shares = [f"{base[key]:.1%}" for key in ("bound", "there", "swapped", "junk", "mixed")]
        rows.append([f"`{name}`", *shares, str(base["images"])])
    return ["## How often it fails", "Ten fresh noises a prompt, by the oracle.\n\n" + table(rows)]


def climbs(measured: dict | None, name: str) -> list[str]:
    """What the bench makes of the metric."""
    if not measured:
        return []
    keys = ("bound_before", "bound_after", "junk_after", "mixed_after", "swapped_after", "noise_within_3_sd")
    names = ("bound before", "after", "junk", "mixed colour", "swapped", "noise within 3 sd")
    rows = [["prompts", "how", *names, "trials"]]
    for set_, table_ in measured["outcomes"].items():
        for row in table_:
            if row["metric"] == name and row["trials"]:
                rows.append([f"`{set_}`", row["setting"], *(f"{row[key]:.1%}" for key in keys), str(row["trials"])])
    return [
        "## What optimising it does",
        f"{measured['iterations']} iterations of the bench, judged by the oracle; `best of n` makes as many images "
        "from fresh noise and keeps the metric's favourite.\n\n" + table(rows),
        "![Forty prompts, before above after, Adam at 0.05](before_and_after.png)",
    ]


def page(title: str, *parts: str) -> str:
    """A Markdown page; paragraphs of prose are wrapped, headings, tables and pictures left as they are."""
    last = "Written by `make testbed`, which trains such models from nothing."
    blocks = [block for part in (f"# {title}", *parts, last) for block in part.split("\n\n") if block]
    return "\n\n".join(block if re.match(r"[#|!]", block) else textwrap.fill(block, 116) for block in blocks) + "\n"


def table(rows: list[list[str]]) -> str:
    head, *body = rows
    return "\n".join(markdown_rows(head, [False] * len(head), body))


def number(numbers: dict, key: str, form: str) -> str:
    return form.format(numbers[key]) if numbers.get(key) is not None else "not measured"


def otherwise(build_dir: Path, stage: str) -> list[str]:
    """What sets a checkpoint apart from one that the stage trains from nothing, if `otherwise.txt` in the stage's
    folder says so: whoever puts a checkpoint there writes it."""
    path = build_dir / stage / "otherwise.txt"
    return [path.read_text(encoding="utf-8").strip()] if path.exists() else []


def spent(build_dir: Path, stage: str) -> str:
    """How long a stage trained, all its lessons together."""
    lessons = [
        folder
        for folder in (*(build_dir / stage / lesson for lesson in ("first", "second")), build_dir / stage)
        if folder.is_dir()
    ]
    return f"{sum(map(minutes, lessons)):.0f} minutes"
