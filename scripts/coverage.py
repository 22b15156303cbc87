"""Measures how often the intervals of shares hold the truth, on made-up data; prints the tables of docs/statistics.md.

    python scripts/coverage.py                  # some minutes
    python scripts/coverage.py --worlds 500     # quick, and less exact

An image is right where a normal score is below its side's threshold. The score is the sum of what belongs to the
prompt, to the prompt and the metric, to the noise, to the noise and the metric, and a rest. Their variances are those
of SPLIT; with the rest they sum to 1. In the table of bindings, what belongs to a binding and the metric takes the
place of the noise.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a while; a checkout need not be installed
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from reno import end_on_interrupt

    end_on_interrupt()

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from analysis.marks import markdown_rows
from analysis.numbers.design import FEWEST_NOISES, Design
from analysis.numbers.shares import Share, ShareDifference, share, share_difference
from analysis.numbers.statistics import LEVEL
from analysis.text import number
from reno.config.prompt_sets import load_prompts
from reno.config.script import Options, run_script, whole
from reno.letters.output import say

PROMPTS, NOISES, BASES, DIFFERENCES = (12, 50, 100), (1, 2, 3, 4), (0.05, 0.5, 0.95), (0.0, 0.05, 0.2)
SPLIT = {"prompt": 0.3, "prompt and metric": 0.1, "noise": 0.1, "noise and metric": 0.1}
"""Parts of the score's variance; the rest belongs to the single image."""
BINDING_PARTS = (0.0, 0.05, 0.15, 0.3)
"""Of the variance, what belongs to a prompt's bindings and the metric."""
WORLDS = 4000
SEED = 20240604


@dataclass(frozen=True)
class Cell:
    """One line and column of the table: how the made-up data are."""

    prompts: int
    noises: int
    shared: bool
    """All prompts start from the same noises; else each has its own."""
    base: float
    difference: float
    """Of the two sides: base and base + difference; base - difference where base is above 0.9."""

    @property
    def sides(self) -> tuple[float, float]:
        if self.base > 0.9:
            return self.base, self.base - self.difference
        return self.base + self.difference, self.base

    @property
    def design(self) -> Design:
        prompt = np.repeat(np.arange(self.prompts), self.noises)
        noise = np.tile(np.arange(self.noises), self.prompts) if self.shared else np.arange(len(prompt))
        return Design(prompt, noise)

    @property
    def over_noises(self) -> bool:
        """Whether the truth is over other noises too; of one or two shared noises it is that on these."""
        return not self.shared or self.noises >= FEWEST_NOISES


def cells() -> Iterator[Cell]:
    for shared, noises, prompts, base, difference in product((False, True), NOISES, PROMPTS, BASES, DIFFERENCES):
        yield Cell(prompts, noises, shared, base, difference)


def draw(cell: Cell, worlds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whether each image is right: (2 sides, worlds, trials). And the true shares: (2 sides, worlds)."""
    noise_sets = 1 if cell.shared else cell.prompts
    prompt = _normal(rng, SPLIT["prompt"], (worlds, cell.prompts, 1))
    noise = _normal(rng, SPLIT["noise"], (worlds, noise_sets, cell.noises))
    rest = 1 - sum(SPLIT.values())
    of_noise = SPLIT["noise"] + SPLIT["noise and metric"]
    right, truth = [], []
    for level in cell.sides:
        moved = noise + _normal(rng, SPLIT["noise and metric"], noise.shape)
        own = _normal(rng, SPLIT["prompt and metric"], prompt.shape)
        score = prompt + own + moved + _normal(rng, rest, (worlds, cell.prompts, cell.noises))
        threshold = stats.norm.ppf(level)
        right.append((score < threshold).reshape(worlds, -1).astype(float))
        on_these = stats.norm.cdf((threshold - moved) / np.sqrt(1 - of_noise)).mean(axis=(1, 2))
        truth.append(np.full(worlds, level) if cell.over_noises else on_these)
    return np.array(right), np.array(truth)


def draw_with_bindings(part: float, worlds: int, rng: np.random.Generator) -> tuple[Design, np.ndarray]:
    """The layout of pairs_test, one noise of its own each; differences of two sides of which 0.55 and 0.5 are right."""
    prompts = load_prompts("pairs_test").prompts
    asked = [tuple((one.attribute, one.object) for one in prompt.bindings) for prompt in prompts]
    names = sorted({name for own in asked for name in own})
    uses = np.array([[float(name in own) for own in asked] for name in names])  # (bindings, prompts)
    shared = _normal(rng, 0.25, (worlds, len(prompts)))
    sides = []
    for level in (0.55, 0.5):
        of_bindings = _normal(rng, part / 2, (worlds, len(names))) @ uses
        score = shared + of_bindings + _normal(rng, 0.75 - part, shared.shape)
        sides.append((score < stats.norm.ppf(level)).astype(float))
    places = np.arange(len(prompts))
    return Design(places, places, tuple(asked)), sides[0] - sides[1]


def coverage_of_difference(cell: Cell, worlds: int, rng: np.random.Generator) -> float:
    (a, b), truth = draw(cell, worlds, rng)
    return _held(share_difference(a - b, cell.design), truth[0] - truth[1])


def coverage_of_level(cell: Cell, worlds: int, rng: np.random.Generator) -> float:
    """Of the side whose share is the base."""
    right, truth = draw(cell, worlds, rng)
    place = cell.sides.index(cell.base)
    return _held(share(right[place], cell.design), truth[place])


def coverage_with_bindings(part: float, worlds: int, rng: np.random.Generator) -> tuple[float, float]:
    """Of the interval over prompts and bindings, and of that over prompts alone."""
    design, moved = draw_with_bindings(part, worlds, rng)
    alone = Design(np.arange(design.prompts), np.arange(design.prompts))
    truth = np.full(worlds, 0.55 - 0.5)
    return _held(share_difference(moved, design), truth), _held(share_difference(moved, alone), truth)


def _held(of: Share | ShareDifference, truth: np.ndarray) -> float:
    """How often the interval holds the truth."""
    low, high = of.interval(LEVEL)
    return float(((low <= truth) & (truth <= high)).mean())


def _normal(rng: np.random.Generator, variance: float, shape: tuple[int, ...]) -> np.ndarray:
    return np.sqrt(variance) * rng.standard_normal(shape, dtype=np.float32)


def table(worlds: int) -> list[str]:
    """The lines of the table of differences and levels."""
    signs = [(base, -difference if base > 0.9 else difference) for base, difference in product(BASES, DIFFERENCES)]
    heads = [f"{base:g} {number(difference, 2, signed=True)}" for base, difference in signs]
    names = ["noises", "prompts", *heads, *(f"level {base:g}" for base in BASES)]
    rows = []
    for shared, noises, prompts in product((False, True), NOISES, PROMPTS):
        rng = np.random.default_rng([SEED, shared, noises, prompts])
        row = [f"{noises} {'shared' if shared else 'own'}", f"{prompts}"]
        for base, difference in product(BASES, DIFFERENCES):
            cell = Cell(prompts, noises, shared, base, difference)
            row.append(f"{coverage_of_difference(cell, worlds, rng):.3f}")
        for base in BASES:
            row.append(f"{coverage_of_level(Cell(prompts, noises, shared, base, 0.0), worlds, rng):.3f}")
        rows.append(row)
    return markdown_rows(names, [False, *[True] * (len(names) - 1)], rows)


def bindings_table(worlds: int) -> list[str]:
    rng = np.random.default_rng([SEED, 1])
    found = [(part, *coverage_with_bindings(part, worlds, rng)) for part in BINDING_PARTS]
    rows = [[f"{part:.0%}", f"{both:.3f}", f"{alone:.3f}"] for part, both, alone in found]
    return markdown_rows(["variance that bindings have", "over prompts and bindings", "over prompts"], [True] * 3, rows)


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables. Exit status 0, or 2 with one sentence if the arguments cannot be used."""
    return run_script(lambda: _print(arguments), "interrupted; nothing was written")


def _print(arguments: list[str] | None) -> int:
    parser = Options(description="Measure how often the intervals of shares hold the truth, on made-up data.")
    parser.add_argument("--worlds", type=whole(1), default=WORLDS, help="made-up data sets for each number")
    options = parser.parse_args(arguments)
    for line in (*table(options.worlds), "", *bindings_table(options.worlds)):
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
