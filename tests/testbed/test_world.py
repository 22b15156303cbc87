"""The embedded world: its words, its scenes, and what training may and may not show."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from reno.config.prompt_sets import load_prompts
from reno.prompts.reader import read_text
from reno.spec.errors import BadInput
from reno.spec.prompts import Prompt
from reno.testbed import layout
from reno.testbed.render import background_pixels, render, silhouette
from reno.testbed.world import (
    COLORS,
    FURTHER_PALETTE,
    HELD_OUT,
    OBJECTS,
    PALETTE,
    SIDE,
    TAUGHT_COLORS,
    TAUGHT_OBJECTS,
    Scene,
    Thing,
    bindings_of,
    caption,
    sample_pairs,
    sample_scene,
)


def scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = random.Random(seed)
    return [sample_scene(rng, 2 + index % 2) for index in range(count)]


def lab(rgb: tuple[int, int, int]) -> np.ndarray:
    """CIE L*a*b* of an sRGB colour (0 to 255), D65; from the standard's own formulas."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb) / 255]
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(matrix) @ linear / (0.9505, 1.0, 1.089)
    f = [v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_every_two_colours_are_far_apart():
    for one, other in itertools.combinations(COLORS, 2):
        assert np.linalg.norm(lab(PALETTE[one]) - lab(PALETTE[other])) > 30, (one, other)


def test_the_lessons_further_colours_are_none_of_the_worlds():
    for one, other in itertools.product(FURTHER_PALETTE, TAUGHT_COLORS):
        rgb = {**PALETTE, **FURTHER_PALETTE}
        assert one == other or np.linalg.norm(lab(rgb[one]) - lab(rgb[other])) > 25, (one, other)
    for further in (set(TAUGHT_COLORS) - set(COLORS), set(TAUGHT_OBJECTS) - set(OBJECTS)):
        for word in further:
            text = f"a red {word}" if word in TAUGHT_OBJECTS else f"a {word} car"
            with pytest.raises(BadInput, match=word):
                bindings_of(Prompt(text))


def test_the_world_has_enough_words_and_holds_out_a_fifth():
    assert len(OBJECTS) >= 12 and len(COLORS) >= 8
    assert {"bench", "clock"} <= set(OBJECTS) and {"gold", "green"} <= set(COLORS)
    assert 0.18 <= len(HELD_OUT) / (len(OBJECTS) * len(COLORS)) <= 0.22
    for name in OBJECTS:
        assert any((color, name) in HELD_OUT for color in COLORS)


def test_training_never_shows_what_is_held_out():
    rng = random.Random(1)
    shown = {pair for _ in range(3000) for pair in sample_pairs(rng, rng.choice((2, 3)))}
    assert not shown & HELD_OUT
    assert len(shown) > 0.9 * (len(OBJECTS) * len(COLORS) - len(HELD_OUT))


def test_captions_are_read_back_as_their_bindings():
    rng = random.Random(2)
    for count in (1, 2, 3):
        pairs = sample_pairs(rng, count)
        assert [(b.attribute, b.object) for b in read_text(caption(pairs)).bindings] == pairs
    assert caption([("orange", "car"), ("red", "cup")]) == "an orange car and a red cup"


def test_things_lie_inside_and_apart():
    for scene in scenes(40):
        masks = [silhouette(thing) > 0.02 for thing in scene.things]
        for one, other in itertools.combinations(masks, 2):
            assert not (one & other).any()
        assert all(mask.sum() > 40 for mask in masks)


def test_a_thing_shows_its_own_colour_and_no_other():
    """Of the pixels it covers, many are nearly its colour and hardly any is nearly another."""
    for color, name in itertools.product(COLORS, OBJECTS):
        scene = Scene((Thing(color, name, size=0.6),))
        image = render(scene)
        assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
        pixels = image[silhouette(scene.things[0]) > 0.99].astype(float)
        near = {other: (np.linalg.norm(pixels - PALETTE[other], axis=1) < 25).mean() for other in COLORS}
        assert near.pop(color) > 0.2, (color, name)
        assert max(near.values()) < 0.1, (color, name, near)
        assert background_pixels(scene.background).min() >= 200


@pytest.mark.parametrize(
    ("name", "count", "things"),
    [("pairs_dev", 50, 2), ("pairs_test", 100, 2), ("triples_dev", 50, 3), ("triples_test", 50, 3)],
)
def test_prompt_sets_are_of_this_world(name, count, things):
    prompts = load_prompts(name).prompts
    assert len({prompt.text for prompt in prompts}) == len(prompts) == count
    for prompt in prompts:
        pairs = [(binding.attribute, binding.object) for binding in bindings_of(prompt)]
        assert len(pairs) == things == len({c for c, _ in pairs}) == len({o for _, o in pairs})
        assert caption(pairs) == prompt.text
        assert all((pair in HELD_OUT) == name.endswith("test") for pair in pairs)


def test_the_reports_prompts_are_of_this_world():
    prompts = load_prompts("report").prompts
    assert len(prompts) == 12 and prompts[0].text == "a gold bench and a green clock"
    for prompt in prompts:
        assert len(bindings_of(prompt)) == 2


def test_an_unknown_word_is_named_with_the_known_ones():
    with pytest.raises(BadInput, match=r"no object 'clok'.*did you mean 'clock'"):
        bindings_of(Prompt("a gold clok and a red car"))
    with pytest.raises(BadInput, match=r"no object 'sofa'") as another:
        bindings_of(Prompt("a green cat and a red sofa"))
    assert "did you mean" not in str(another.value)  # neither a car nor a star is meant
    with pytest.raises(BadInput, match=r"no colour 'teal'.*gold"):
        bindings_of(Prompt("a teal car"))
    with pytest.raises(BadInput) as caught:
        bindings_of(Prompt("a teal car and a gold clok and a teal zebra"))
    assert str(caught.value).startswith(
        "the testbed has no colour 'teal' and no object 'clok' and no object 'zebra'; its"
    )
    with pytest.raises(BadInput, match="finds no coloured object"):
        bindings_of(Prompt("dogs playing in a park at night"))


def test_the_cosine_basis_is_orthonormal_so_that_coefficients_of_noise_are_noise():
    basis = layout.cosines()
    np.testing.assert_allclose(basis @ basis.T, np.eye(8), atol=1e-12)
    noise = np.random.default_rng(0).standard_normal((8, 8, 8))
    np.testing.assert_allclose(np.linalg.norm(layout.coefficients(noise)), np.linalg.norm(noise))


def test_noise_decides_the_scene_and_the_faults_at_about_the_stated_rate():
    rng, draw = random.Random(3), np.random.default_rng(3)
    leaks, others, swaps, shown, asked = 0, 0, 0, 0, 0
    for _ in range(400):
        pairs = sample_pairs(rng, 2)
        things = layout.scene_of(draw.standard_normal((8, 8, 8)), pairs).things
        asked, shown = asked + 2, shown + len(things)
        shares = [thing.leak[1] for thing in things]
        leaks, others = leaks + sum(share > 0.2 for share in shares), others + sum(share > 0.5 for share in shares)
        swaps += len(shares) == 2 and min(shares) > 0.5
    assert abs(1 - shown / asked - layout.VANISH_SHARE) < 0.06
    assert abs(leaks / shown - layout.LEAK_SHARE[2]) < 0.08
    assert swaps / others < 0.15  # where one thing has mostly the other's colour, its neighbour seldom does


def test_a_leak_grows_with_its_map_until_there_is_no_other_colour():
    beyond = np.linspace(-2, layout.DEPTH + 2, 200)
    shares = np.array([layout.leaked_share(value) for value in beyond])
    assert (np.diff(shares) >= 0).all() and shares[0] < 1e-3 and shares[-1] == pytest.approx(1, abs=1e-6)
    assert layout.leaked_share(0.0) == pytest.approx(layout.BEGINNING / 2)
    deep = (beyond > 0.5) & (beyond < layout.DEPTH)
    assert np.gradient(shares, beyond)[deep].min() > 0.2  # a gradient has something to follow all the way


def test_a_scene_changes_smoothly_with_the_noise():
    """A small step of the noise moves the scene a little: a gradient has something to follow."""
    pairs = [("gold", "bench"), ("green", "clock")]
    draw = np.random.default_rng(4)
    for _ in range(20):
        noise, step = draw.standard_normal((2, 8, 8, 8))
        one, other = (layout.scene_of(noise + epsilon * step, pairs) for epsilon in (0.0, 1e-4))
        for before, after in zip(one.things, other.things, strict=True):
            assert np.hypot(before.x - after.x, before.y - after.y) < 2e-2
            assert abs(before.leak[1] - after.leak[1]) < 2e-2
