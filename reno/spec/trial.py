"""One trial: the values that decide its outcome, and the id that is made from them."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from reno.spec.prompts import Prompt

ALGORITHM = 1
"""Version of the code that turns a spec into numbers. Raise it with every change that shifts results, so that trials
from before and after the change never get the same id."""

MOST_SEEDS = 64
"""Typed seeds that a prompt's own noise is looked for among."""

LOSS_SCALE = {"float16": 4096.0}
"""By the models' dtype: the loss is multiplied by this before its gradient is taken, and the gradient is divided by it.
float16 has no number between 0 and 6e-8, and a pixel's gradient is that small. A power of two changes no digit."""


@dataclass(frozen=True)
class TrialSpec:
    """The values that decide one trial's outcome, and nothing else: no path, batch size, device or tracker."""

    prompt: Prompt
    seed: int
    generator: str
    """Identity of the generator: of its weights, and of its kind and options where those are not the default."""
    metric: tuple[dict[str, Any], ...]
    """One entry for each term: kind, weight, options and the identity of its weights."""
    dtype: str
    method: dict[str, Any]
    """The settings that decide the outcome, as the method's module returns them; `name` is always there."""

    @property
    def identity(self) -> dict[str, Any]:
        """JSON values. The bindings are not part of it: they are used to judge an image, not to make it."""
        return {
            "algorithm": ALGORITHM,
            "generator": self.generator,
            "metric": list(self.metric),
            "dtype": self.dtype,
            **({"loss_scale": LOSS_SCALE[self.dtype]} if self.dtype in LOSS_SCALE else {}),
            "method": self.method,
            "prompt": self.prompt.text,
            **({"on_long": "cut"} if self.prompt.cut else {}),
            "seed": self.seed,
        }

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of the identity, 64 hexadecimal digits."""
        return digest(self.identity)


def digest(identity: dict[str, Any]) -> str:
    """SHA-256 of JSON values written in one canonical way: sorted keys, no spaces, ASCII."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def own_seed(text: str, seed: int) -> int:
    """The seed of a prompt's own noise, below 2^32. It depends only on the text and the seed, so it is the same in
    every job."""
    return int.from_bytes(hashlib.sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).digest()[:4], "big")


@functools.lru_cache(maxsize=1 << 16)
def typed_seed(text: str, seed: int) -> int | None:
    """The seed below MOST_SEEDS that was typed for a noise of the prompt's own; None if this is not its noise."""
    return next((typed for typed in range(MOST_SEEDS) if own_seed(text, typed) == seed), None)


def noise_name(text: str, seed: int) -> str:
    """`seed 42`; for a noise of the prompt's own `own noise, seed 0`, not the ten digits that follow from it."""
    typed = typed_seed(text, seed)
    return f"seed {seed}" if typed is None else f"own noise, seed {typed}"
