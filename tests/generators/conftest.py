"""The large generators with random weights, made when a test asks for one."""

from __future__ import annotations

import pytest
import torch

from scripts.make_checkpoints import make_checkpoint


@pytest.fixture(scope="session")
def large(tiny):
    """large(name): the folder of a tiny checkpoint, one for all tests of a session."""
    return lambda name: make_checkpoint(name, "tiny", tiny)


@pytest.fixture(scope="session")
def loaded():
    """loaded(module, folder, dtype, ...): a generator, whose text encoders read prompts one by one. It is loaded once:
    a test that changes how it runs changes it back."""
    kept = {}

    def load(module, folder, dtype=torch.float32, **options):
        key = (module, folder, dtype, repr(sorted(options.items())))
        if key not in kept:
            kept[key] = anew(module, folder, dtype, options)
        return kept[key]

    def anew(module, folder, dtype, options):
        how = {"variant": None, "dtype": dtype, "device": torch.device("cpu")}
        encoders = []

        def embeddings(prompts):
            with torch.no_grad():
                encoders[:] = encoders or [module.text_encoders(folder, **how)]
                return tuple(torch.cat(column) for column in zip(*map(encoders[0], prompts), strict=True))

        return module.load(folder, **how, embeddings=embeddings, **options)

    return load


@pytest.fixture(scope="session")
def check_gradient():
    """check_gradient(generator, conditioning, step, rtol): the gradient of an image's weighted mean at the noise agrees
    with finite differences along random directions."""

    def check(generator, conditioning, step, rtol):
        seeded = torch.Generator().manual_seed(0)
        noise = torch.randn(1, *generator.latent_shape, dtype=torch.float64, generator=seeded).requires_grad_(True)
        weights = torch.randn(1, 3, *generator.image_size, dtype=torch.float64, generator=seeded)

        def value(noise):
            return (weights * generator(noise, conditioning)).sum()

        (gradient,) = torch.autograd.grad(value(noise), noise)
        assert gradient.isfinite().all() and (gradient != 0).all()
        for _ in range(2):
            direction = torch.randn(noise.shape, dtype=torch.float64, generator=seeded)
            direction /= direction.norm()
            with torch.no_grad():
                slope = (value(noise + step * direction) - value(noise - step * direction)) / (2 * step)
            torch.testing.assert_close(
                (gradient * direction).sum(), slope, rtol=rtol, atol=rtol * float(gradient.norm())
            )

    return check
