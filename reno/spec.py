"""What a run is asked to do, as frozen, validated values, and what makes one trial the same as another.

`job_from_config` is the only way in: it takes the composed configuration as plain Python values and answers with a
`JobSpec` or with a `BadInput` of one sentence. What is composed with Hydra ends
here: reno/compose.py and reno/run.py see its values, and no job does.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reno.errors import BadInput, did_you_mean
from reno.prompts import Binding, Prompt, load_prompts, prompt_from_text

ALGORITHM = 1
"""Version of everything that turns a spec into numbers. A change that shifts results raises it, so that trials made
before and after are never taken for each other."""

LOSS_SCALE = {"float16": 4096.0}
"""What a loss is multiplied by before its gradient is taken, by the dtype of the models, and the gradient divided by:
float16 has no number between 0 and 6e-8, and slopes of a pixel are as small. A power of two changes no digit."""

DTYPES = ("auto", "float32", "float16", "bfloat16", "float64")
OPTIMIZERS = {"adam": {"betas", "eps"}, "sgd": {"momentum", "nesterov"}}
METHODS = tuple(sorted(file.stem for file in (Path(__file__).parent / "methods").glob("[a-z]*.py")))
"""The modules of reno/methods: a new method is a file there and one in conf/method."""


@dataclass(frozen=True)
class Checkpoint:
    """Where weights come from."""

    path: str
    """A local folder, or a name on the model hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None for its main branch."""
    variant: str | None = None
    """Which of several stored precisions to load, e.g. fp16; None for the plain one."""


@dataclass(frozen=True)
class MetricTerm:
    """One model's share of a metric."""

    kind: str
    """The module in reno/metrics that computes it."""
    model: str
    """The name its checkpoint has under `models.checkpoints`."""
    checkpoint: Checkpoint
    weight: float = 1.0
    head: str | None = None


@dataclass(frozen=True)
class MetricSpec:
    name: str
    terms: tuple[MetricTerm, ...]


@dataclass(frozen=True)
class MethodSettings:
    """How the noise is chosen and moved."""

    method: str
    iterations: int
    lr: float
    regularization: float
    """Weight lambda of the noise-norm regulariser."""
    grad_clip: float | None
    """Largest gradient norm of one trial; None: not clipped."""
    optimizer: str
    optimizer_settings: dict[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Only what decides the method's outcome: a control does not depend on a learning rate."""
        if self.method == "none":
            return {"name": "none"}
        if self.method == "best_of_n":
            return {"name": "best_of_n", "iterations": self.iterations}
        return {
            "name": self.method,
            "iterations": self.iterations,
            "lr": self.lr,
            "regularization": self.regularization,
            "grad_clip": self.grad_clip,
            "optimizer": {"name": self.optimizer, **self.optimizer_settings},
        }

    @classmethod
    def from_identity(cls, identity: dict[str, Any]) -> MethodSettings:
        """The settings that a stored trial's identity was made from; what it left out does not matter to it."""
        optimizer = dict(identity.get("optimizer", {"name": "adam"}))
        return cls(
            identity["name"],
            identity.get("iterations", 0),
            identity.get("lr", 1.0),
            identity.get("regularization", 0.0),
            identity.get("grad_clip"),
            optimizer.pop("name"),
            optimizer,
        )


@dataclass(frozen=True)
class EvaluatorModel:
    """One of the models that a judge looks with."""

    name: str
    """The name its checkpoint has in conf/evaluator and under `models.checkpoints`."""
    checkpoint: Checkpoint
    knob: str
    """What a user types, before `.path`, to give another checkpoint."""


@dataclass(frozen=True)
class EvaluatorSpec:
    name: str
    kind: str
    """The module in reno/evaluators."""
    options: dict[str, Any] = field(default_factory=dict)
    models: tuple[EvaluatorModel, ...] = ()


@dataclass(frozen=True)
class Execution:
    """How the models are run: it decides time and memory, and what a trial comes to only by the rounding of kernels."""

    checkpointing: bool | None = None
    """Whether blocks are run again in the backward pass instead of kept; None: where the images are large."""
    compile: bool = False
    """Whether torch.compile is to make kernels for U-Net and VAE decoder."""
    channels_last: bool = False
    """Whether their convolutions see the channels of a pixel side by side in memory."""


@dataclass(frozen=True)
class JobSpec:
    """One composed configuration: trials that share models, metric and method."""

    prompts: tuple[Prompt, ...]
    prompt_set: str | None
    """The set or file the prompts came from; None where they were typed."""
    seeds: tuple[int, ...]
    own_noise: bool
    """Whether each prompt has noises of its own instead of those that every prompt has."""
    models: str
    generator: Checkpoint
    metric: MetricSpec
    recorded: tuple[MetricSpec, ...]
    evaluators: tuple[EvaluatorSpec, ...]
    settings: MethodSettings
    batch_size: int | None
    """Trials side by side; None: as many as are fastest on the machine and fit (reno/batch_size.py)."""
    device: str
    dtype: str
    threads: int | None
    results: Path
    study: str | None
    tracking: dict[str, Any]
    """Options of reno/tracking, checked there."""
    dry_run: bool
    execution: Execution = Execution()

    def seeds_for(self, prompt: Prompt) -> tuple[int, ...]:
        """The seeds of one prompt's trials, as many as `seeds`. Its own ones are below 2^32 and come from its text and
        from `seeds` alone, so they are the same in every job, whatever other prompts it has."""
        return tuple(_own_seed(prompt.text, seed) for seed in self.seeds) if self.own_noise else self.seeds


@dataclass(frozen=True)
class TrialSpec:
    """What decides one trial's outcome, and nothing else: no path, batch size, device, way to run it or tracker."""

    prompt: Prompt
    seed: int
    generator: str
    """Identity of the loaded weights: `name@commit` on the hub or the digest of a local folder."""
    metric: tuple[dict[str, Any], ...]
    """One entry a term: kind, head, weight and the identity of its weights."""
    dtype: str
    method: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """JSON values; the bindings are not part of it: they judge an image, they do not make it."""
        return {
            "algorithm": ALGORITHM,
            "generator": self.generator,
            "metric": list(self.metric),
            "dtype": self.dtype,
            **({"loss_scale": LOSS_SCALE[self.dtype]} if self.dtype in LOSS_SCALE else {}),
            "method": self.method,
            "prompt": self.prompt.text,
            "seed": self.seed,
        }

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of the identity, 64 hexadecimal digits."""
        canonical = json.dumps(self.identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def from_record(cls, spec: dict[str, Any], bindings: list[dict[str, str]]) -> TrialSpec:
        """The spec of a stored trial. Raises BadInput if another version of the algorithm made it."""
        if spec["algorithm"] != ALGORITHM:
            raise BadInput(
                f"the trial was made by version {spec['algorithm']} of the algorithm and this is version {ALGORITHM}; "
                "check out the commit named in its provenance"
            )
        prompt = Prompt(spec["prompt"], tuple(Binding(**binding) for binding in bindings))
        return cls(prompt, spec["seed"], spec["generator"], tuple(spec["metric"]), spec["dtype"], spec["method"])


def job_from_config(config: dict[str, Any]) -> JobSpec:
    """Checks a composed configuration, as plain values, and freezes it. Raises BadInput."""
    models = config["models"]
    prompts, prompt_set = _prompts(config["prompt"], config["prompts"])
    optimizer = dict(config["optimizer"])
    name = _choice("optimizer", optimizer.pop("name"), tuple(OPTIMIZERS))
    if foreign := set(optimizer) - OPTIMIZERS[name]:
        raise BadInput(
            f"optimizer {name} has no setting {sorted(foreign)[0]!r}; it has {', '.join(sorted(OPTIMIZERS[name]))}"
        )
    settings = MethodSettings(
        method=_choice("method", config["method"]["name"], METHODS),
        iterations=whole_number("iterations", config["iterations"], at_least=0),
        lr=_number("lr", config["lr"], above=0.0),
        regularization=_number("regularization", config["regularization"], at_least=0.0),
        grad_clip=None if config["grad_clip"] is None else _number("grad_clip", config["grad_clip"], above=0.0),
        optimizer=name,
        optimizer_settings=_optimizer_settings(optimizer),
    )
    return JobSpec(
        prompts=prompts,
        prompt_set=prompt_set,
        seeds=_seeds(config["seed"]),
        own_noise=_flag("own_noise", config["own_noise"]),
        models=str(models["name"]),
        generator=_checkpoint("models.generator", models["generator"]),
        metric=_metric(config["metric"], models),
        recorded=tuple(_metric(metric, models) for metric in config["record"]),
        evaluators=tuple(evaluator_from_config(judge, models["checkpoints"]) for judge in config["evaluators"]),
        settings=settings,
        batch_size=_batch_size(config["batch_size"]),
        device=device_name(config["device"]),
        dtype=_choice("dtype", config["dtype"], DTYPES),
        threads=None if config["threads"] is None else whole_number("threads", config["threads"], at_least=1),
        results=results_folder(config["results"]),
        study=None if config["study"] is None else str(config["study"]),
        tracking=dict(config["tracking"]),
        dry_run=_flag("dry_run", config["dry_run"]),
        execution=Execution(
            checkpointing=_checkpointing(config["checkpointing"]),
            compile=_flag("compile", config["compile"]),
            channels_last=_flag("channels_last", config["channels_last"]),
        ),
    )


def _batch_size(value: object) -> int | None:
    if isinstance(value, str) and value != "auto":
        raise BadInput(f"batch_size must be auto or a whole number, 1 or more, not {value!r}")
    return None if value == "auto" else whole_number("batch_size", value, at_least=1)


def _checkpointing(value: object) -> bool | None:
    if value != "auto" and not isinstance(value, bool):
        raise BadInput(f"checkpointing must be auto, true or false, not {value!r}")
    return None if value == "auto" else value


def _prompts(prompt: object, prompts: object) -> tuple[tuple[Prompt, ...], str | None]:
    if prompt is not None:
        texts = prompt if isinstance(prompt, list) else [prompt]
        if not texts:
            raise BadInput("prompt=[] holds no prompt; give one text, or leave it out to use prompts")
        return _distinct(prompt_from_text(text, "prompt") for text in texts), None
    if not isinstance(prompts, str):
        raise BadInput(f"prompts must name one set or file, not {prompts!r}; to type several prompts use prompt=[a,b]")
    return _distinct(load_prompts(prompts)), prompts


def _distinct(values) -> tuple:
    return tuple(dict.fromkeys(values))


def _seeds(seed: object) -> tuple[int, ...]:
    seeds = seed if isinstance(seed, list) else [seed]
    if not seeds:
        raise BadInput("seed=[] holds no seed; give one whole number or a list such as seed=[0,1]")
    return _distinct(whole_number("seed", value, at_least=0, below=2**63) for value in seeds)


def _own_seed(text: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).digest()[:4], "big")


def _metric(metric: dict[str, Any], models: dict[str, Any]) -> MetricSpec:
    name = _metric_name(metric)
    return MetricSpec(name, tuple(_term(name, term, models) for term in metric["terms"]))


def _metric_name(metric: dict[str, Any]) -> str:
    """The metric's name; with the contrastive head a BLIP is another metric than the one recorded beside it."""
    contrastive = any(term.get("head") == "itc" for term in metric["terms"])
    return f"{metric['name']}_itc" if contrastive else str(metric["name"])


def _term(metric: str, term: dict[str, Any], models: dict[str, Any]) -> MetricTerm:
    known = models["checkpoints"]
    if term["model"] not in known:
        raise BadInput(
            f"models={models['name']} has no checkpoint for metric {metric}: it has {', '.join(known)}; choose "
            f"one of these, "
            f"another models, or add +models.checkpoints.{term['model']}.path=FOLDER"
        )
    return MetricTerm(
        kind=str(term["kind"]),
        model=str(term["model"]),
        checkpoint=_checkpoint(f"models.checkpoints.{term['model']}", known[term["model"]]),
        weight=_number("weight of metric " + metric, term.get("weight", 1.0), above=0.0),
        head=_head(metric, term["head"]) if "head" in term else None,
    )


def _head(metric: str, head: object) -> str:
    if head not in ("itm", "itc"):
        raise BadInput(f"metric.head={head!r} is not a head of {metric}; use itm (matching) or itc (contrastive)")
    return str(head)


def evaluator_from_config(evaluator: dict[str, Any], checkpoints: dict[str, Any]) -> EvaluatorSpec:
    """A judge of conf/evaluator. Its checkpoints are the file's own, unless `checkpoints` (of conf/models) has others
    under the same names. Raises BadInput."""
    options = {key: value for key, value in evaluator.items() if key not in ("name", "kind", "checkpoints")}
    models = []
    for name, own in evaluator.get("checkpoints", {}).items():
        given = {key: value for key, value in checkpoints.get(name, {}).items() if value is not None}
        knob = f"{'' if name in checkpoints else '+'}models.checkpoints.{name}"
        # Another path is another checkpoint: the revision of the file's own is not one of its.
        models.append(EvaluatorModel(name, _checkpoint(knob, given if "path" in given else {**own, **given}), knob))
    return EvaluatorSpec(str(evaluator["name"]), str(evaluator["kind"]), options, tuple(models))


def _checkpoint(where: str, checkpoint: dict[str, Any]) -> Checkpoint:
    path = checkpoint.get("path")
    if not isinstance(path, str) or not path:
        raise BadInput(f"{where}.path must be a folder or a name on the model hub, not {path!r}")
    return Checkpoint(
        path, *(None if checkpoint.get(key) is None else str(checkpoint[key]) for key in ("revision", "variant"))
    )


def _optimizer_settings(settings: dict[str, Any]) -> dict[str, Any]:
    checked = dict(settings)
    if "betas" in checked:
        betas = checked["betas"]
        if not isinstance(betas, list) or len(betas) != 2:
            raise BadInput(f"optimizer.betas must be two numbers, not {betas!r}; for example [0.9,0.999]")
        checked["betas"] = [_number("optimizer.betas", beta, at_least=0.0, below=1.0) for beta in betas]
    if "eps" in checked:
        checked["eps"] = _number("optimizer.eps", checked["eps"], at_least=0.0)
    if "momentum" in checked:
        checked["momentum"] = _number("optimizer.momentum", checked["momentum"], at_least=0.0, below=1.0)
    if "nesterov" in checked:
        checked["nesterov"] = _flag("optimizer.nesterov", checked["nesterov"])
        if checked["nesterov"] and not checked.get("momentum"):
            raise BadInput("optimizer.nesterov=true needs optimizer.momentum > 0; for example 0.9")
    return checked


def results_folder(results: object) -> Path:
    """The folder that the knob `results` names. Raises BadInput."""
    if not isinstance(results, str) or not results.strip():
        raise BadInput(f"results must be a folder, not {results!r}; for example results=results")
    return Path(results).expanduser()


def device_name(device: object) -> str:
    """The name of a device that torch could have. Raises BadInput."""
    kind, _, index = str(device).partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise BadInput(f"device={device} is not a device; use auto, cpu, cuda, cuda:N or mps")
    return str(device)


def _choice(knob: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise BadInput(
            f"{knob}={value} is not known; use one of {', '.join(known)}{did_you_mean(str(value), list(known))}"
        )
    return str(value)


def _flag(knob: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"{knob} must be true or false, not {value!r}")
    return value


def whole_number(knob: str, value: object, at_least: int, below: float = math.inf) -> int:
    """The value of a knob that is a whole number. Raises BadInput."""
    if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value < below:
        limit = f", less than {below}" if below < math.inf else ""
        raise BadInput(
            f"{knob} must be a whole number, {at_least} or more{limit}, not {value!r}; for example "
            f"{knob}={max(at_least, 1)}"
        )
    return value


def _number(
    knob: str, value: object, *, above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf
) -> float:
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("at least", at_least), ("below", below))
        if math.isfinite(limit)
    ]
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not (above < value and at_least <= value < below):
        raise BadInput(f"{knob} must be a number {' and '.join(limits)}, not {value!r}")
    return float(value)


def as_json(spec: object) -> Any:
    """A frozen spec as JSON values, for records and trackers."""
    return json.loads(json.dumps(asdict(spec), default=str))
