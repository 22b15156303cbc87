"""How often the intervals of shares hold the truth: the tables of docs/statistics.md, and a few cells quickly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.coverage import (
    BINDING_PARTS,
    SEED,
    WORLDS,
    Cell,
    cells,
    coverage_of_difference,
    coverage_of_level,
    coverage_with_bindings,
    main,
    table,
)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "statistics.md"
LEAST, MOST = 0.93, 0.98
LEAST_OF_THREE = 0.92
"""Of three shared noises, which show little of how noises differ: docs/statistics.md says so."""
SLACK = 0.012
"""Three standard errors of a coverage of 0.95 on 3000 data sets."""


def few_differ(cell):
    """12 prompts: an interval that holds the truth often enough has to hold it too often, for few prompts differ."""
    return cell.prompts == 12


@pytest.mark.parametrize(
    "cell",
    [
        Cell(12, 1, False, 0.05, 0.0),
        Cell(50, 1, False, 0.05, 0.0),
        Cell(50, 2, False, 0.5, 0.2),
        Cell(50, 2, True, 0.5, 0.05),
        Cell(100, 4, True, 0.5, 0.05),
    ],
)
def test_some_intervals_hold_the_truth_as_often_as_they_say(cell):
    rng = np.random.default_rng(3)
    assert LEAST - SLACK <= coverage_of_difference(cell, 800, rng) <= (1 if few_differ(cell) else MOST + SLACK)
    assert 0.92 <= coverage_of_level(cell, 800, rng) <= 1


def test_over_bindings_holds_the_truth_where_over_prompts_alone_does_not():
    both, alone = coverage_with_bindings(0.15, 500, np.random.default_rng(4))
    assert LEAST - SLACK <= both <= MOST + SLACK and alone < 0.88


def test_the_page_has_the_tables_that_the_script_prints(capsys):
    """The heads and the first columns of every line; the numbers are those of more data sets than this test draws."""
    assert main(["--worlds", "2"]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    page = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    for line in printed:
        heads = 3 if "own" in line or "shared" in line else 2
        start = line if "prompts" in line else "|".join(line.split("|")[:heads])
        assert any(one.startswith(start) for one in page), start


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_interval_holds_the_truth_as_often_as_the_page_says():
    page = PAGE.read_text("utf-8")
    for line in table(WORLDS):
        assert line in page
    for cell in cells():
        rng = np.random.default_rng([SEED, 5, cell.prompts, cell.noises, cell.shared])
        held = coverage_of_difference(cell, 3000, rng)
        least = LEAST_OF_THREE if cell.shared and cell.noises == 3 else LEAST
        assert held >= least - SLACK, (cell, held)
        assert held <= MOST + SLACK or few_differ(cell), (cell, held)
    for part in BINDING_PARTS:
        both, _ = coverage_with_bindings(part, 3000, np.random.default_rng([SEED, 6]))
        assert LEAST - SLACK <= both <= MOST + SLACK, (part, both)
