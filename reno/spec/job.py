"""One job: the checked values of one composed configuration. reno/config makes a JobSpec; everything below reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reno.spec.prompts import Prompt
from reno.spec.suites import Suite
from reno.spec.trial import own_seed

ON_LONG = ("refuse", "skip", "cut")
DTYPES = ("auto", "float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True)
class Checkpoint:
    """Where weights come from."""

    path: str
    """A local folder, or a name on the model hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None for its main branch."""
    variant: str | None = None
    """Which of several stored precisions to load, e.g. fp16; None for the files without one in their name."""
    inside: str = ""
    """Where in it the weights are, for a part of a generator: a subfolder, or one file in safetensors format."""


@dataclass(frozen=True)
class NamedCheckpoint:
    """A checkpoint as the configuration names it."""

    name: str
    """Its name in the YAML of the metric or the judge, and under `models.checkpoints`."""
    checkpoint: Checkpoint
    knob: str
    """The knob that, with `.path` after it, gives another checkpoint."""
    options: dict[str, Any] = field(default_factory=dict)
    """How it was trained, as options of the metric's term that loads it. They hold where the term leaves them out or
    null."""
    shared: frozenset[str] = frozenset()
    """Those of `options` that are for every metric that loads the checkpoint: they are in the file of the models. A
    metric that has no such option does without; any other option must be one of the metric's."""


@dataclass(frozen=True)
class GeneratorSpec:
    """A generator: its kind, its weights and its options."""

    kind: str
    """A module of reno/generators, or the dotted path of a user's own."""
    model: NamedCheckpoint | None
    """None for a generator without weights."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the kind's `load`."""
    decoder: NamedCheckpoint | None = None
    """A small decoder that makes the drafts; None: the generator's own makes all images."""
    parts: tuple[NamedCheckpoint, ...] = ()
    """Parts that are not those of `model`, such as a U-Net of its own; the name is the part's."""


@dataclass(frozen=True)
class MetricTerm:
    """One model of a metric, with its weight."""

    kind: str
    """A module of reno/metrics, or the dotted path of a user's own."""
    model: NamedCheckpoint | None = None
    """None for a metric without weights."""
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the kind's `load`."""

    @property
    def name(self) -> str:
        """The term's name in traces and reports: its model's name, else the last part of its kind."""
        return self.model.name if self.model else self.kind.rpartition(".")[2]


@dataclass(frozen=True)
class MetricSpec:
    """A metric that is optimised or recorded: one term, or a weighted sum of several."""

    name: str
    terms: tuple[MetricTerm, ...]


@dataclass(frozen=True)
class Stop:
    """When a trial ends before its method's last image. None: never for that reason."""

    patience: int | None = None
    """After so many images in a row without a better score."""
    score: float | None = None
    """After the first image with at least this score."""
    seconds: float | None = None
    """After the image at which the batch's seconds, divided by the trials side by side, are at least as many."""
    images: int | None = None
    """After so many images. Not a knob: a trial that runs again ends where it ended."""


@dataclass(frozen=True)
class MethodSettings:
    """How the noise is chosen and updated."""

    method: str
    """Its name in conf/method."""
    iterations: int
    lr: float
    regularization: float
    """Weight lambda of the noise-norm regulariser."""
    grad_clip: float | None
    """Largest gradient norm of one trial; None: not clipped."""
    optimizer: str
    optimizer_settings: dict[str, Any] = field(default_factory=dict)
    kind: str = ""
    """A module of reno/methods, or the dotted path of a user's own; empty: the module with the method's name."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings that only this method has: keyword arguments of its `steps`."""
    stop: Stop = Stop()


@dataclass(frozen=True)
class JudgeNeeds:
    """What a judge takes with its published weights, as its file says. It decides nothing."""

    gb: float
    """10^9 bytes of weights."""
    gib: float
    """The most that it holds on a GPU beside the weights of the loop, 2^30 bytes."""
    tflop: float
    """Floating-point operations for the two images of a trial, at most, 10^12; in float32."""


@dataclass(frozen=True)
class EvaluatorSpec:
    """A judge: its kind, its weights and its options."""

    name: str
    kind: str
    """A module of reno/evaluators, or a dotted path: the testbed's oracle, or a user's own."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the kind's `load`."""
    models: tuple[NamedCheckpoint, ...] = ()
    needs: JudgeNeeds | None = None
    """None for weights of the user's own, or where the file does not say."""


@dataclass(frozen=True)
class Execution:
    """How the models run. It decides time and memory; results change only by the rounding of kernels."""

    checkpointing: bool | None = None
    """Run blocks again in the backward pass instead of keeping their activations; None: only if memory is short
    (reno/running/execution.py)."""
    compile: bool | None = False
    """Compile the generator's blocks with torch.compile; None: replay iterations as a CUDA graph where that pays."""
    graph: bool = False
    """Replay iterations as a CUDA graph."""
    channels_last: bool = False
    """Keep the generator's convolutions in channels-last memory."""


@dataclass(frozen=True)
class JobSpec:
    """One composed configuration: trials that share models, metric and method."""

    prompts: tuple[Prompt, ...]
    prompt_set: str | None
    """The set or file that the prompts came from; None if they were typed."""
    suite: Suite | None
    """The suite that they are, or a part of it; None if they are of no suite."""
    prompt_notes: tuple[str, ...]
    """What was left out of that file, or chosen in it, in words."""
    on_long: str
    """What happens to a prompt that is too long for a text encoder: one of ON_LONG."""
    seeds: tuple[int, ...]
    own_noise: bool
    """Whether each prompt gets its own initial noises, instead of all prompts sharing the same ones."""
    models: str
    generator: GeneratorSpec
    metric: MetricSpec
    recorded: tuple[MetricSpec, ...]
    evaluators: tuple[EvaluatorSpec, ...]
    settings: MethodSettings
    batch_size: int | None
    """Trials side by side; None: the fastest number that fits into memory (reno/running/sizing.py)."""
    device: str
    dtype: str
    threads: int | None
    results: Path
    study: str | None
    claims: tuple[dict[str, Any], ...]
    """The claims that the report decides, as analysis/numbers/stated_claims.py reads them."""
    tracking: dict[str, Any]
    """The knobs of reno/tracking, which checks them."""
    dry_run: bool
    execution: Execution = Execution()
    reference_seconds: float | None = None
    """Seconds per image with these models, for the estimate of a first dry run; None: unknown."""
    reference_bytes: float | None = None
    """Bytes that a trial with these models writes per image, likewise."""
    save_every: int | None = None
    """Images after which the state of a running batch is saved; None: never (reno/running/saving.py)."""
    usual_judges: bool = False
    """Whether the judges are those that the models come with. They leave out a prompt that they cannot judge, and a
    note says so. A judge that was asked for refuses it, and so does the judge of a closed world."""

    def seeds_for(self, prompt: Prompt) -> tuple[int, ...]:
        """The seeds of one prompt's trials, one for each of `seeds`."""
        return tuple(own_seed(prompt.text, seed) for seed in self.seeds) if self.own_noise else self.seeds
