"""The records on disk, typed: trial.json, job.json and the files of later judgements. Everything that writes or reads
them goes through these classes.

    record = TrialRecord.from_json(json_values)     # raises ValueError, saying which value is wrong and where
    record.scores.best["clip"]

Fields that older stores lack have defaults. Unknown keys are ignored.

The last key of a file is `sha256`, the digest of the record's own bytes, so that one changed bit is noticed. Files of
older versions lack it and are read without.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from reno.spec.errors import BadInput
from reno.spec.judgements import Verdict
from reno.spec.prompts import Binding, Prompt, Wanted
from reno.spec.suites import Suite
from reno.spec.trial import ALGORITHM, TrialSpec

SCHEMA = 1
"""Version of trial.json."""
JUDGED = ("initial", "best")
"""The images of a trial that judges see."""
SCORED = ("initial", "best", "last")
"""The images of a trial that metrics score."""
DONE, FAILED, STORED_BEFORE, NOT_RUN = "done", "failed", "stored before", "not run"
ELSEWHERE = "done by another worker"
"""The states of a trial at the end of a job."""
MOST_NESTED = 50
"""Lists and objects inside one another that a file may have; a record has about ten."""

Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count, a size or a place."""
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class Record(msgspec.Struct, frozen=True):
    """JSON values with checked types."""

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values, keys in the order of the fields."""
        return _with_lists(msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, values: object) -> Self:
        """The record of JSON values. Raises ValueError, which names the first value that is missing or of another
        type."""
        return msgspec.convert(values, cls)


def _with_lists(value: Any) -> Any:
    """JSON has lists and no tuples."""
    if isinstance(value, dict):
        return {key: _with_lists(one) for key, one in value.items()}
    return [_with_lists(one) for one in value] if isinstance(value, list | tuple) else value


class TrialIdentity(Record, kw_only=True):
    """The values that decided a trial's outcome; its id is made from them."""

    algorithm: int
    generator: str
    metric: tuple[dict[str, Any], ...]
    dtype: str
    loss_scale: float | UnsetType = UNSET
    method: dict[str, Any]
    prompt: str
    on_long: str | UnsetType = UNSET
    """`cut` if a text encoder read only the beginning of the prompt."""
    seed: Whole
    picture: str | UnsetType = UNSET
    """SHA-256 of the pixels of a picture that was made elsewhere."""


class Labels(Record, kw_only=True):
    """Readable names. They are not part of the identity."""

    models: str
    metric: str
    method: str
    prompts: str | None = None
    """The prompt set; None if the prompts were typed."""
    study: str | None = None
    random_weights: bool = False


class Scores(Record, kw_only=True):
    """Scores of three images of a trial, by metric. None: the score was not finite."""

    initial: dict[str, float | None]
    best: dict[str, float | None]
    last: dict[str, float | None]


class JudgedTrial(Record, kw_only=True):
    """One judge's verdicts on a trial's initial and best image."""

    kin: str
    """The metric family that the judge is related to and may favour; `none` for none."""
    initial: Verdict
    best: Verdict
    identity: dict[str, Any] | None = None
    """The judge's version, kind, settings and weights; None if they are not recorded."""

    def __post_init__(self) -> None:
        _check_same_bindings(self.initial, self.best)


class Timings(Record, kw_only=True):
    seconds: float
    """Wall seconds of the optimisation: those of the batch divided by its size."""
    batch_seconds: float
    batch_size: Positive
    images: Positive


class Memory(Record, kw_only=True):
    peak_host_bytes: Whole
    peak_device_bytes: Whole | None


class GitState(Record, kw_only=True):
    commit: str
    diff: str | None
    """SHA-256 of the uncommitted changes; None if there are none."""


class ExecutionRecord(Record, kw_only=True):
    checkpointing: bool | None = None
    compile: bool = False
    channels_last: bool = False
    graph: bool | UnsetType = UNSET
    """Whether iterations were replayed as a CUDA graph; absent if not."""
    reasons: dict[str, str] | UnsetType = UNSET
    """Why, by knob, for each that the job left open; absent if it left none open."""


class Origin(Record, kw_only=True):
    """Where a checkpoint was loaded from."""

    model: str | UnsetType = UNSET
    """Its name under models.checkpoints; absent for the generator's own weights."""
    source: str
    commit: str | None
    variant: str | None
    identity: str
    inside: str | UnsetType = UNSET
    """Where in it the weights are; absent if they are in its own folder, or in those of a pipeline."""


class Origins(Record, kw_only=True):
    generator: Origin | None
    decoder: Origin | UnsetType = UNSET
    """Of the generator's small decoder; absent if it has none."""
    parts: dict[str, Origin] | UnsetType = UNSET
    """Of the generator's parts that are from checkpoints of their own, by name; absent if it has none."""
    metric: tuple[Origin | None, ...]
    """One for each term; None for a term without weights."""
    asked: dict[str, tuple[Origin | None, ...]] | UnsetType = UNSET
    """Of the metrics that the method asks besides, by name, as `metric`; absent if it asks none."""


class Cut(Record, kw_only=True):
    """How many trials were to run side by side, and why."""

    size: Positive
    reason: str
    automatic: bool


class BatchMate(Record, kw_only=True):
    id: str
    prompt: str = ""
    bindings: tuple[Binding, ...] = ()
    cut: tuple[str, ...] | UnsetType = UNSET
    seed: Whole = 0

    @property
    def asked(self) -> Prompt:
        return Prompt(self.prompt, self.bindings, cut=self.cut or ())


class BatchRecord(Record, kw_only=True):
    """The trials that ran side by side."""

    size: Positive
    place: Whole
    shape: Positive | UnsetType = UNSET
    """How many ran side by side with the copies that filled the batch up; absent if there were none."""
    cut: Cut | UnsetType = UNSET
    trials: tuple[BatchMate, ...]

    @property
    def side_by_side(self) -> int:
        """How many ran side by side, copies included."""
        return self.size if self.shape is UNSET else self.shape


class OwnGenerator(Record, kw_only=True):
    """What a generator is besides its weights."""

    kind: str
    options: dict[str, Any]


class Provenance(Record, kw_only=True):
    """What can change floats besides the spec, and where the weights came from."""

    versions: dict[str, str | None]
    platform: str | UnsetType = UNSET
    device: str | None = None
    threads: Positive | None = None
    cpu_capability: str | UnsetType = UNSET
    deterministic: bool | UnsetType = UNSET
    git: GitState | None = None
    execution: ExecutionRecord | UnsetType = UNSET
    device_type: Annotated[str, msgspec.Meta(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """The device that was asked for."""
    checkpoints: Origins | UnsetType = UNSET
    generator: OwnGenerator | UnsetType = UNSET
    """Of a generator that its weights alone do not identify."""
    batch: BatchRecord


class FileEntry(Record, kw_only=True):
    bytes: Whole
    sha256: str


class TrialRecord(Record, kw_only=True):
    """trial.json"""

    schema: int = SCHEMA
    id: str
    spec: TrialIdentity
    bindings: tuple[Binding, ...]
    cut: tuple[str, ...] | UnsetType = UNSET
    """For each text encoder that read only the beginning of the prompt, a sentence."""
    category: str | UnsetType = UNSET
    """The prompt's, in its file or suite."""
    wanted: tuple[Wanted, ...] | UnsetType = UNSET
    unwanted: tuple[Wanted, ...] | UnsetType = UNSET
    labels: Labels
    scores: Scores
    best_iteration: Whole
    stopped: str | UnsetType = UNSET
    """Why it ended before its method's last image: patience, score or seconds; absent if it did not."""
    judgements: dict[str, JudgedTrial] = {}
    """The judgements made while the job ran, by judge."""
    timings: Timings
    memory: Memory
    finished: str | None = None
    """When, ISO 8601 in UTC."""
    provenance: Provenance
    files: dict[str, FileEntry] = {}
    """Sizes and digests of the trial's other files, which the store fills in."""

    @property
    def prompt(self) -> Prompt:
        return Prompt(
            self.spec.prompt,
            self.bindings,
            category=self.category or "",
            wanted=self.wanted or (),
            unwanted=self.unwanted or (),
            cut=self.cut or (),
        )

    @property
    def trial(self) -> TrialSpec:
        """The spec of this trial. Raises BadInput if another version of the algorithm made it."""
        return self._spec_of(self.prompt, self.spec.seed)

    @property
    def batch(self) -> tuple[TrialSpec, ...]:
        """The trials of its batch, itself among them. Raises BadInput as `trial` does."""
        mates = self.provenance.batch.trials
        return tuple(self._spec_of(mate.asked, mate.seed) for mate in mates)

    def _spec_of(self, prompt: Prompt, seed: int) -> TrialSpec:
        if self.spec.algorithm != ALGORITHM:
            raise BadInput(
                f"the trial was made by version {self.spec.algorithm} of the algorithm and this is version "
                f"{ALGORITHM}; check out the commit named in its provenance"
            )
        spec = self.spec
        return TrialSpec(prompt, seed, spec.generator, spec.metric, spec.dtype, spec.method)


class JobTrial(Record, kw_only=True):
    id: str
    prompt: str
    seed: Whole
    on_long: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    """Of the prompt in the job's file or suite."""
    state: str
    """DONE, FAILED, STORED_BEFORE, ELSEWHERE or NOT_RUN."""
    reason: str | UnsetType = UNSET
    """Why it failed."""

    @property
    def own(self) -> dict[str, Any]:
        """The part of the identity that is the trial's own; JobRecord.spec is the rest."""
        cut = {} if self.on_long is UNSET else {"on_long": self.on_long}
        return {"prompt": self.prompt, "seed": self.seed, **cut}


class JobRecord(Record, kw_only=True):
    """job.json: the command, its trials, and how each ended. It is written when the job begins, and again at its
    end."""

    group: str = ""
    labels: Labels
    spec: dict[str, Any] = {}
    """The part of the identity that all trials of the job share."""
    command: str = ""
    status: int | None = None
    """Exit status; None if the job runs, or was killed."""
    seconds: float = 0.0
    trials: tuple[JobTrial, ...]
    suite: Suite | UnsetType = UNSET
    """The suite that the prompts are, or a part of it."""
    claims: tuple[dict[str, Any], ...] | UnsetType = UNSET
    """The claims that the job's study decides, if it names its own."""


class JudgementRecord(Record, kw_only=True):
    """A judgement of a stored trial, made after its job."""

    trial: str
    judge: str
    images: dict[str, str]
    """SHA-256 of the image files that were judged, by image."""
    kin: str
    identity: dict[str, Any] | None
    initial: Verdict
    best: Verdict
    judged: str
    """When, ISO 8601 in UTC."""
    provenance: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check_same_bindings(self.initial, self.best)

    @property
    def judged_trial(self) -> JudgedTrial:
        return JudgedTrial(kin=self.kin, initial=self.initial, best=self.best, identity=self.identity)


def _check_same_bindings(initial: Verdict, best: Verdict) -> None:
    first, second = ([(one.attribute, one.object) for one in verdict.judgements] for verdict in (initial, best))
    if first != second:
        raise ValueError("the initial and the best image are judged for different bindings")


# --- Bytes ------------------------------------------------------------------------------------------------------------

_SEAL = re.compile(rb',\n "sha256": "([^"]*)"\n}\Z')


def sealed_bytes(record: Record) -> bytes:
    """A record as the store writes it: its JSON, whose last key is the SHA-256 of the bytes without that key."""
    plain = record_bytes(record.to_json())
    return plain.removesuffix(b"\n}") + f',\n "sha256": "{hashlib.sha256(plain).hexdigest()}"\n}}'.encode()


def record_bytes(values: dict[str, Any]) -> bytes:
    """JSON values in UTF-8, with a prompt's undecodable bytes as they were typed.

    Raises ValueError for a number that is not finite, which JSON does not have."""
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


_LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""A whole number with as many digits may not fit into 64 bits, and msgspec makes another type of it."""


def read_json(path: Path) -> Any:
    """The values of a record's file, without its `sha256`. Raises OSError if it cannot be read, and ValueError, which
    says why, if it is not what was written or not JSON."""
    data = path.read_bytes()
    seal = _SEAL.search(data)
    if seal is not None:
        data = data[: seal.start()] + b"\n}"
        if hashlib.sha256(data).hexdigest() != seal[1].decode("ascii", "replace"):
            raise ValueError("it is not what was written")
        if not _LONG_NUMBER.search(data):
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # a prompt's bytes may be no UTF-8
                return msgspec.json.decode(data)
    else:
        _check_nesting(data)
    try:
        return json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_not_finite, parse_float=_finite)
    except UnicodeDecodeError:
        raise ValueError("it is not a text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}" if data else "it is empty") from None


_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.S)
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")


def _check_nesting(data: bytes) -> None:
    """Raises ValueError for JSON so deep that reading it would end in a RecursionError."""
    brackets = data.translate(None, _NO_BRACKETS)
    for _ in range(MOST_NESTED):  # peels the innermost pairs; a few quick passes clear almost every file
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return
    depth = 0  # too deep, or brackets in a text
    for token in _TOKENS.findall(data):
        depth += (token in b"[{") - (token in b"]}")
        if depth > MOST_NESTED:
            raise ValueError(f"it has more than {MOST_NESTED} lists or objects inside one another")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), -float("inf")):
        raise ValueError(f"{number} is larger than any number that can be read")
    return value


def _not_finite(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON has")
