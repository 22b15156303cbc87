"""The algorithms that choose a noise. A method is one module here and one file in conf/method.

The module has

    steps(problem, settings) -> Iterator[Step]      # a Step has one image of each trial
    identity(settings) -> dict                      # optional: the settings that decide the outcome; default: all
    images(settings) -> int                         # optional: the number of images per trial; default: iterations + 1
    check(settings) -> None                         # optional: raises BadInput for values that cannot be used
    asked(settings) -> tuple[str, ...]              # optional: names of recorded metrics that it asks, as
                                                    # `problem.others`, besides the one that is optimised; default: none
    shortened(settings, iterations) -> settings     # optional: the same kinds of steps in as few images as can be, to
                                                    # foretell memory and time; default: at most so many iterations
    STATIC = True                                   # optional: it climbs by reno.climb and draws no number meanwhile;
                                                    # a CUDA graph can replay its iterations; default: False
    DECODES = True                                  # optional: it makes images with `problem.decode`; default: False
    RESUMES = True                                  # optional: a killed batch can go on in it (reno/methods/_tape.py):
                                                    # it makes images by `unoptimised` or by reno.climb, looks at their
                                                    # scores only, and draws by `problem.draw`; default: False

Keyword arguments of `steps` after the first two are the method's own settings; conf/method/NAME.yaml gives them values.
`kind:` in that file may be the dotted path of a module elsewhere.

A method knows nothing of files, trackers or progress bars. Tensors have the trials of one batch in their first
dimension, and no trial's numbers depend on another's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reno.spec.job import MethodSettings, Stop
from reno.weights.kinds import check_options, module_of

if TYPE_CHECKING:
    from reno.methods._ahead import Ahead
    from reno.methods._tape import Tape

STOPS = ("patience", "score", "seconds")
"""What may end a trial early, as in reno/spec/job.py:Stop."""


@dataclass(frozen=True)
class TermScores:
    """A metric's scores of B images. Higher is better."""

    total: torch.Tensor
    """(B,), the score that is optimised."""
    terms: torch.Tensor
    """(B, T), before weighting: the score of each of the metric's terms."""


@dataclass(frozen=True)
class Problem:
    """The problem that a method solves, for a batch of B trials."""

    noise: torch.Tensor
    """Initial noise (B, C, h, w) ~ N(0, I), float32 or wider."""
    draw: Callable[[], torch.Tensor]
    """Draws a fresh noise of the same shape, from each trial's own random generator."""
    generate: Callable[[torch.Tensor], torch.Tensor]
    """Noise to images (B, 3, H, W) in [0, 1], through the whole generator."""
    decode: Callable[[torch.Tensor], torch.Tensor]
    """Noise to images by the generator's image decoder alone."""
    score: Callable[[torch.Tensor], TermScores]
    """Scores images against the trials' prompts."""
    loss: Callable[[torch.Tensor], torch.Tensor]
    """Total scores to losses (B,)."""
    loss_scale: float = 1.0
    """The loss is multiplied by this while its gradient is taken. A power of two; more than 1 if the gradient passes
    through float16, which would round its small numbers to zero."""
    dtype: str = "float32"
    """The number format of the models, for what is advised when a number is not finite."""
    others: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)
    """The metrics of the method's `asked`, by name: from images (B, 3, H, W) to their scores (B,), without a
    gradient."""
    ahead: Ahead | None = None
    """How the device runs ahead of the host; None: each step is read before the next one begins."""
    tape: Tape | None = None
    """Where the models' answers are written down, and come from if the batch was begun before; None: nowhere."""


@dataclass(frozen=True)
class Step:
    """One image of each trial of the batch, and its score."""

    iteration: int
    noise: torch.Tensor
    """(B, C, h, w), detached; the next step changes it in place."""
    images: torch.Tensor
    """(B, 3, H, W) in [0, 1], detached."""
    scores: TermScores
    """Detached."""
    losses: torch.Tensor
    """(B,), of the metric alone, without the regulariser."""
    regularizer: torch.Tensor
    """(B,), the weighted regulariser, which is added to the loss; NaN where it was not computed."""
    grad_norm: torch.Tensor
    """(B,), before clipping; NaN where no gradient was taken."""
    failures: dict[int, str] = field(default_factory=dict)
    """Why a trial cannot go on, by its place in the batch. Its noise no longer changes."""
    pixels: np.ndarray | None = None
    """The images rounded to uint8 (B, H, W, 3), if the host has them already."""

    @property
    def noise_norm(self) -> torch.Tensor:
        """(B,), the norm of each trial's noise."""
        return self.noise.flatten(1).norm(dim=1)


def unoptimised(problem: Problem, noise: torch.Tensor, iteration: int) -> Step:
    """The step of a noise that is scored, without a gradient."""
    with torch.no_grad():
        images, scores = _looked(problem, noise)
    total = scores.total
    blank = torch.full_like(total, float("nan"))
    return Step(iteration, noise, images, scores, problem.loss(total), torch.zeros_like(total), blank)


def _looked(problem: Problem, noise: torch.Tensor) -> tuple[torch.Tensor, TermScores]:
    tape = problem.tape
    if tape and (answer := tape.next(noise.device)):
        return answer.blank(), TermScores(answer.total, answer.terms)
    images = problem.generate(noise)
    scores = problem.score(images)
    if tape:
        tape.add(images, scores.total, scores.terms)
    return images, scores


def finite_or_lowest(scores: torch.Tensor) -> torch.Tensor:
    """Scores with minus infinity for those that are not finite, so that they rank below all others."""
    return scores.masked_fill(~scores.isfinite(), float("-inf"))


def leaders(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The places of each trial's highest scores, best first; of equal ones the first. scores: (N, B), without NaN;
    gives (count, B)."""
    return scores.argsort(dim=0, descending=True, stable=True)[:count]


def picked(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """values (N, B, ...) at each trial's own places (count, B): (count, B, ...)."""
    return values[places, torch.arange(values.shape[1], device=values.device)]


def better(scores: torch.Tensor, than: torch.Tensor) -> torch.Tensor:
    """Where scores (B,) are higher than others (B,). A score that is not finite is lower than any that is."""
    return finite_or_lowest(scores) > finite_or_lowest(than)


def by_trial(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """One value a trial (B,), in a shape that broadcasts against `like` (B, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def lost_in(values: torch.Tensor) -> set[int]:
    """The trials, by place in the batch, of whose values (B, ...) one is not finite."""
    return set((~values.isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist())


def wider_dtype(dtype: str) -> list[str]:
    """The knob that helps where numbers in `dtype` overflow; empty if the dtype is wide already."""
    return ["dtype=float32"] if dtype in ("float16", "bfloat16") else []


def try_these(advice: Sequence[str]) -> str:
    """The end of a sentence that says what to try; empty if there is nothing."""
    return f"; try {' or '.join(advice)}" if advice else ""


# --- By name ----------------------------------------------------------------------------------------------------------


def steps(problem: Problem, settings: MethodSettings) -> Iterator[Step]:
    """The steps of the method that `settings` names."""
    return load_method(settings).steps(problem, settings, **settings.options)


def identity(settings: MethodSettings) -> dict[str, Any]:
    """The settings that decide the method's outcome, as JSON values: part of a trial's identity. Raises BadInput for
    settings that cannot be used."""
    module = load_method(settings)
    if hasattr(module, "check"):
        module.check(settings)
    return getattr(module, "identity", whole_identity)(settings) | _stop_identity(settings.stop)


def _stop_identity(stop: Stop) -> dict[str, Any]:
    """What of a stop decides the outcome, under keys of its own; nothing if the trial makes all its images."""
    return {f"stop_{name}": getattr(stop, name) for name in STOPS if getattr(stop, name) is not None}


def images(settings: MethodSettings) -> int:
    """The number of images per trial; a trial that stops early makes fewer."""
    return getattr(load_method(settings), "images", lambda settings: settings.iterations + 1)(settings)


def asked(settings: MethodSettings) -> tuple[str, ...]:
    """The names of the recorded metrics that the method asks besides the one that is optimised."""
    return getattr(load_method(settings), "asked", lambda settings: ())(settings)


def decodes(settings: MethodSettings) -> bool:
    """Whether the method makes its images by the generator's own decoder alone."""
    return getattr(load_method(settings), "DECODES", False)


def resumes(settings: MethodSettings) -> bool:
    """Whether a killed batch can go on in the method."""
    return getattr(load_method(settings), "RESUMES", False)


def shortened(settings: MethodSettings, iterations: int) -> MethodSettings:
    """Settings that make the same kinds of steps as these in as few images as can be, with at most so many iterations
    of each kind: enough to foretell memory and time."""
    found = getattr(load_method(settings), "shortened", _with_fewer_iterations)(settings, iterations)
    return dataclasses.replace(found, stop=Stop())


def _with_fewer_iterations(settings: MethodSettings, iterations: int) -> MethodSettings:
    return dataclasses.replace(settings, iterations=min(settings.iterations, iterations))


def load_method(settings: MethodSettings) -> ModuleType:
    """The method's module. Raises BadInput if there is none, or if it lacks one of the given options."""
    module = module_of("method", settings.kind or settings.method, "reno.methods")
    check_options(f"method {settings.method}", settings.options, module.steps, besides=("problem", "settings"))
    return module


def whole_identity(settings: MethodSettings) -> dict[str, Any]:
    """An identity with every setting."""
    return {
        "name": settings.method,
        **({"kind": settings.kind} if settings.kind else {}),
        "iterations": settings.iterations,
        "lr": settings.lr,
        "regularization": settings.regularization,
        "grad_clip": settings.grad_clip,
        "optimizer": {"name": settings.optimizer, **settings.optimizer_settings},
        **({"options": settings.options} if settings.options else {}),
    }


def identity_of_search(settings: MethodSettings) -> dict[str, Any]:
    """An identity without the settings of a gradient: that of a method that takes none."""
    kept = ("name", "kind", "iterations", "options")
    return {name: value for name, value in whole_identity(settings).items() if name in kept}


def settings_of(identity: dict[str, Any]) -> MethodSettings:
    """The settings that a stored trial's identity was made from. A setting that it lacks did not affect the trial."""
    optimizer = dict(identity.get("optimizer", {"name": "adam"}))
    return MethodSettings(
        identity["name"],
        identity.get("iterations", 0),
        identity.get("lr", 1.0),
        identity.get("regularization", 0.0),
        identity.get("grad_clip"),
        optimizer.pop("name"),
        optimizer,
        identity.get("kind", ""),
        identity.get("options", {}),
        Stop(**{name: identity.get(f"stop_{name}") for name in STOPS}),
    )
