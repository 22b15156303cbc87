"""Frozen one-step text-to-image models: noise and a prompt in, an image out, differentiable in the noise."""
