"""The same seed gives the same noise, whatever it is drawn beside."""

from __future__ import annotations

import torch

from reno.running.noise import NoiseSource, further_noises
from reno.spec.trial import own_seed

CPU = torch.device("cpu")


def drawn(seed, shape, times=1):
    generator = torch.Generator("cpu").manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float32) for _ in range(times)]


def test_a_trials_noise_comes_from_its_own_seed_alone():
    source = NoiseSource([7, 3, 7], (4, 2, 2), CPU)
    first, second = source.draw(), source.draw()
    assert first.shape == (3, 4, 2, 2) and first.dtype == torch.float32
    for place, seed in enumerate((7, 3, 7)):
        for noise, expected in zip((first, second), drawn(seed, (4, 2, 2), 2), strict=True):
            assert torch.equal(noise[place], expected)


def test_noise_goes_to_its_device_and_is_drawn_on_the_cpu():
    assert NoiseSource([7], (5, 3), torch.device("meta")).draw().is_meta


def test_a_wider_default_dtype_changes_nothing():
    """A number drawn in float64 is another number, from 16 numbers on."""
    try:
        torch.set_default_dtype(torch.float64)
        noise = NoiseSource([7], (5, 7), CPU).draw()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(noise[0], drawn(7, (5, 7))[0])


def test_wider_noise_has_the_same_float32_values():
    noise = NoiseSource([7], (5, 3), CPU, torch.float64).draw()
    assert noise.dtype == torch.float64
    assert torch.equal(noise[0], drawn(7, (5, 3))[0].double())


def test_further_noises_are_a_trials_own_and_leave_those_that_a_method_draws():
    source = NoiseSource([7, 3], (4, 2, 2), CPU, torch.float64)
    further = further_noises([7, 3], 3, source)
    assert further.shape == (2, 3, 4, 2, 2) and further.dtype == torch.float64
    for place, seed in enumerate((7, 3)):
        for noise, expected in zip(further[place], drawn(own_seed("further noises", seed), (4, 2, 2), 3), strict=True):
            assert torch.equal(noise, expected.double())
    assert torch.equal(further_noises([3], 1, source)[0, 0], further[1, 0])  # beside others or alone, one or several
    assert torch.equal(source.draw()[0], drawn(7, (4, 2, 2))[0].double())
