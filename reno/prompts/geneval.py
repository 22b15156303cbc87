"""GenEval's 553 prompts (Ghosh et al., NeurIPS 2023, arXiv 2310.11513), made by the paper's rule.

The benchmark draws its prompts from COCO's 80 classes and ten colours with numpy's generator, seed 43: every class once
and 100 draws of each further task. It leaves out what it drew twice. The same draws in the same order give the same
prompts, with the same `include` and `exclude` as the benchmark's evaluation_metadata.jsonl, line by line.
"""

from __future__ import annotations

from collections.abc import Iterator

from reno.spec.prompts import Binding, Prompt, Wanted, with_article

SEED, DRAWS = 43, 100
TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
NUMBERS = ("two", "three", "four")
RELATIONS = ("left of", "right of", "above", "below")
CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv",
    "laptop", "computer mouse", "tv remote", "computer keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's classes in COCO's order, as GenEval spells them."""


def geneval_prompts() -> tuple[Prompt, ...]:
    """The benchmark's prompts in its order, each with its task as the category."""
    return tuple(dict.fromkeys(_drawn()))


def _drawn() -> Iterator[Prompt]:
    import numpy as np

    rng = np.random.default_rng(SEED)
    count = len(CLASSES)
    for index in rng.choice(count, size=count, replace=False):
        name = CLASSES[index]
        yield _prompt("single_object", with_article(name), Wanted(name))
    for _ in range(DRAWS):
        one, two = (CLASSES[index] for index in rng.choice(count, size=2, replace=False))
        yield _prompt("two_object", f"{with_article(one)} and {with_article(two)}", Wanted(one), Wanted(two))
    for _ in range(DRAWS):
        name, number = CLASSES[rng.choice(count)], int(rng.integers(2, 4, endpoint=True))
        plural = f"{name}es" if name.endswith("s") else f"{name}s"
        more = (Wanted(name, number + 1),)
        yield _prompt("counting", f"{NUMBERS[number - 2]} {plural}", Wanted(name, number), unwanted=more)
    for _ in range(DRAWS):
        name = CLASSES[rng.choice(count - 1) + 1]  # no coloured person
        color = COLORS[rng.choice(len(COLORS))]
        yield _prompt("colors", f"{with_article(color)} {name}", Wanted(name, 1, color))
    for _ in range(DRAWS):
        one, two = (CLASSES[index] for index in rng.choice(count, size=2, replace=False))
        relation = RELATIONS[rng.choice(len(RELATIONS))]
        text = f"{with_article(one)} {relation} {with_article(two)}"
        yield _prompt("position", text, Wanted(two), Wanted(one, 1, None, (relation, 0)))
    for _ in range(DRAWS):
        one, two = (CLASSES[index] for index in rng.choice(count - 1, size=2, replace=False) + 1)
        first, second = (COLORS[index] for index in rng.choice(len(COLORS), size=2, replace=False))
        text = f"{with_article(first)} {one} and {with_article(second)} {two}"
        yield _prompt("color_attr", text, Wanted(one, 1, first), Wanted(two, 1, second))


def _prompt(task: str, phrase: str, *wanted: Wanted, unwanted: tuple[Wanted, ...] = ()) -> Prompt:
    bindings = tuple(Binding(each.color, each.object) for each in wanted if each.color)
    return Prompt(f"a photo of {phrase}", bindings, task, wanted, unwanted)
