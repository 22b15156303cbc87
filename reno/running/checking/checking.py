"""The checks of one `python -m reno.check`, one result after the other.

Models are loaded one at a time, in float32, and dropped again, so that the largest alone has to fit into memory: each
is loaded through a ModelPool of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from reno.evaluators import Evaluator
from reno.evaluators.blip_vqa import BlipVqa
from reno.evaluators.detector import Detector
from reno.evaluators.finders import WordDetector
from reno.evaluators.spatial import SpatialJudge
from reno.metrics import Metric
from reno.running.checking.libraries import LibraryProcessor, levels_between, own_and_the_pipelines_image
from reno.running.checking.measures import MEASURES
from reno.running.checking.pictures import NoPicture, PictureSource
from reno.running.checking.pipelines import PIPELINES
from reno.running.checking.published import PublishedValue, PublishedValues
from reno.running.located import LocatedEvaluator, locate_evaluator, locate_generator, locate_metric
from reno.running.pool import ModelPool
from reno.spec.errors import BadInput, reason
from reno.spec.job import Checkpoint, EvaluatorSpec, GeneratorSpec, MetricSpec, MetricTerm
from reno.weights.architectures import architecture, build
from reno.weights.checkpoints import CheckpointFinder, Located, looks_local
from reno.weights.images import Preprocessing, from_uint8

OK, DIFFERS, SKIPPED = "ok", "differs", "skipped"
NONE = "no difference"
IMAGE = 1e-3
"""Largest difference of a pixel in [0, 1] between our image and the pipeline's: a quarter of one of 255 levels. With
the tiny models it is below 2e-5."""
SIDE = 512
"""Of the test card, pixels: an image of SD-Turbo."""
LEVELS, MEAN_LEVELS = 2.0, 0.5
"""Largest and mean difference of pixel values, in levels of 255. Pillow rounds to whole levels between its two passes
and after them; our resize has a gradient and does not round."""


@dataclass(frozen=True)
class CheckResult:
    """One row of the table."""

    check: str
    verdict: Literal["ok", "differs", "skipped"]
    expected: str = ""
    measured: str = ""
    tolerance: str = ""
    why: str = ""
    """Why it was skipped, or why nothing could be measured."""
    source: str = ""
    """Who published the expected value, or which library computes it here."""


@dataclass(frozen=True)
class CheckRequest:
    """What is checked."""

    generator: GeneratorSpec
    metrics: dict[str, MetricSpec | str]
    """By name. A text says why the metric is skipped."""
    judges: tuple[EvaluatorSpec, ...]
    pictures: PictureSource
    device: torch.device
    published: PublishedValues
    finder: CheckpointFinder
    named: bool = False
    """Whether the user named the metrics and judges: then each has a row, also where there is nothing to compare."""


class NotHere(BadInput):
    """A checkpoint of the hub is not on this disk. The message says how to get it."""


def check_all(request: CheckRequest) -> Iterator[CheckResult]:
    """The results, each as soon as it is known. Raises BadInput if a folder that the user gave is not there, or an
    option is not known."""
    yield _check_generator(request)
    done: set[tuple] = set()
    for name, spec in request.metrics.items():
        located = spec if isinstance(spec, str) else _found(request, locate_metric, spec)
        if isinstance(located, str):
            yield CheckResult(f"metric {name}", SKIPPED, why=located)
            continue
        for term, checkpoint in zip(located.spec.terms, located.checkpoints, strict=True):
            key = (term.kind, term.name, str(checkpoint.folder if checkpoint else None))
            if key not in done:  # a weighted sum has the terms of other metrics
                done.add(key)
                yield from _check_term(request, term, checkpoint)
    for spec in request.judges:
        located = _found(request, locate_evaluator, spec)
        if isinstance(located, str):
            yield CheckResult(f"judge {spec.name}", SKIPPED, why=located)
        else:
            yield from _check_judge(request, located, done)


def _found(request: CheckRequest, locate_spec: Callable[..., Any], spec: Any) -> Any:
    """What `locate_spec` finds, or why a checkpoint of the hub is not there. Raises BadInput for a folder that is not
    there."""

    def find(checkpoint: Checkpoint, knob: str, folders: Sequence[str] = ("",)) -> Located:
        try:
            located = request.finder(checkpoint, knob, folders)
        except BadInput as error:
            if looks_local(checkpoint.path) or Path(checkpoint.path).is_dir():
                raise
            raise NotHere(str(error)) from None
        if located.to_fetch is not None:
            raise NotHere(
                f"not on this disk ({located.to_fetch}); download=all fetches it if it is named, {knob}.path=FOLDER "
                "gives a copy"
            )
        return located

    try:
        return locate_spec(spec, find)
    except NotHere as absent:
        return str(absent)


def _nothing_to_compare(request: CheckRequest, check: str) -> Iterator[CheckResult]:
    if request.named:
        yield CheckResult(check, SKIPPED, why="transformers has no image processor for it")


# --- The generator ----------------------------------------------------------------------------------------------------


def _check_generator(request: CheckRequest) -> CheckResult:
    spec = request.generator
    source = "computed here, by diffusers' pipeline from the same folders and latents"
    result = CheckResult("generator: an image", SKIPPED, source=source)
    located = _found(request, locate_generator, spec)
    if isinstance(located, str):
        return replace(result, why=located)
    if located.module.__name__ not in PIPELINES:
        return replace(result, why=f"no pipeline of diffusers is known here for the kind {spec.kind}")
    result = replace(result, verdict=DIFFERS, expected=NONE, tolerance=f"{IMAGE:g} of 1")
    try:
        own, pipelines = own_and_the_pipelines_image(located, request.device)
    except Exception as error:  # whatever a library says of a folder that it cannot read
        return replace(result, why=reason(error))
    between = float((own - pipelines).abs().max()) if own.shape == pipelines.shape else math.inf
    agree = between <= IMAGE and pipelines.std() > 0
    return replace(result, verdict=OK if agree else DIFFERS, measured=f"{between:.2g} at most")


# --- Metrics and judges -----------------------------------------------------------------------------------------------


def _check_term(request: CheckRequest, term: MetricTerm, checkpoint: Located | None) -> Iterator[CheckResult]:
    def load(options: dict[str, Any]) -> Metric:
        return ModelPool().term(replace(term, options=options), checkpoint, torch.float32, request.device)

    try:
        metric = load(term.options)
    except Exception as error:  # whatever a library says of weights that it cannot read
        yield CheckResult(f"{term.name}: its weights", DIFFERS, why=reason(error))
        return
    if checkpoint is None or not isinstance(getattr(metric, "preprocess", None), Preprocessing):
        yield from _nothing_to_compare(request, f"metric {term.name}")
        return
    yield _processing(term.name, metric.preprocess, checkpoint.folder)

    def loaded(options: dict[str, Any]) -> Metric:
        return load(options) if {**term.options, **options} != term.options else metric

    yield from _check_published(request, term.name, metric.model, loaded, checkpoint)


def _check_judge(request: CheckRequest, located: LocatedEvaluator, done: set[tuple]) -> Iterator[CheckResult]:
    folders = {name: checkpoint.folder for name, checkpoint in located.checkpoints.items()}
    spec = located.spec
    try:
        judge = ModelPool().evaluator(located, request.device)
    except Exception as error:  # whatever a library says of weights that it cannot read
        yield CheckResult(f"{spec.name}: its weights", DIFFERS, why=reason(error))
        return
    processings = _processings(judge, list(folders))
    if not processings:
        yield from _nothing_to_compare(request, f"judge {spec.name}")
    for name, own in processings.items():
        if (key := (spec.kind, name, str(folders[name]), str(own.size))) in done:
            continue
        done.add(key)
        yield _processing(name, own, folders[name], _reads_words(judge, name))
        model = judge.model if isinstance(judge, BlipVqa) else judge.finder.model
        with judge.on_device():
            yield from _check_published(request, name, model, lambda options: judge, located.checkpoints[name])


def _processings(judge: Evaluator, names: list[str]) -> dict[str, Preprocessing]:
    """The image processing of each of a judge's models, by the name of its checkpoint."""
    if isinstance(judge, BlipVqa):
        return dict.fromkeys(names, judge.preprocess)
    if isinstance(judge, Detector):
        return {name: _of_colors(judge) if name == "clip_vit_l" else judge.finder.preprocess for name in names}
    if isinstance(judge, SpatialJudge):
        return dict.fromkeys(names, judge.finder.preprocess)
    return {}


def _reads_words(judge: Evaluator, name: str) -> bool:
    """Whether a checkpoint is a word detector's."""
    finds = isinstance(judge, Detector | SpatialJudge) and name != "clip_vit_l"
    return finds and isinstance(judge.finder, WordDetector)


def _of_colors(judge: Detector) -> Preprocessing:
    return judge.reader.clip.preprocess


def _processing(name: str, own: Preprocessing, folder: Path, words: bool = False) -> CheckResult:
    """words: whether it is a word detector's. OWLv2's processor resizes with scipy: it mirrors the image at its edges,
    where Pillow and we repeat it, and smooths otherwise what it shrinks. So only the mean counts, and the card is
    enlarged as an image of SD-Turbo is, from 512 to 960 pixels."""
    side = own.size[0] * SIDE // 960 if words and isinstance(own.size, tuple) else SIDE
    tolerance = f"mean {MEAN_LEVELS:g} of 255" if words else f"{LEVELS:g} of 255, mean {MEAN_LEVELS:g}"
    source = "computed here, by transformers' image processor from the same folder, on a test card"
    result = CheckResult(f"{name}: pixel values", DIFFERS, NONE, "", tolerance, source=source)
    try:
        found = levels_between(own, LibraryProcessor.from_folder(folder, own), side)
    except Exception as error:  # whatever a library says of a folder that it cannot read
        return replace(result, why=reason(error))
    if found is None:
        return replace(result, why="the two resize to different sizes")
    most, mean = found
    agree = mean <= MEAN_LEVELS and (words or most <= LEVELS)
    return replace(result, verdict=OK if agree else DIFFERS, measured=f"{most:.2f} at most, mean {mean:.2f}")


# --- Published values -------------------------------------------------------------------------------------------------


def _check_published(
    request: CheckRequest,
    name: str,
    model: torch.nn.Module,
    loaded: Callable[[dict[str, Any]], Metric | Evaluator],
    checkpoint: Located,
) -> Iterator[CheckResult]:
    """name: of the checkpoint, under models.checkpoints. loaded: a function from a metric's options to the loaded
    metric, or to the judge."""
    values = [value for value in request.published.values if value.checkpoint == name]
    if not values:
        return
    named = architecture(name).published
    if checkpoint.random:
        yield CheckResult(f"{name}: published values", SKIPPED, why=f"the weights are random and not those of {named}")
        return
    if not has_shapes_of(model, name, values[0].size):
        yield CheckResult(f"{name}: published values", SKIPPED, why=f"the checkpoint has other sizes than {named}")
        return
    for picture, of_it in itertools.groupby(sorted(values, key=lambda one: one.picture), lambda one: one.picture):
        known = request.published.pictures[picture]
        try:
            pixels = np.array(request.pictures.find(known))
        except NoPicture as error:
            yield CheckResult(f"{name}: published values of {known.file}", SKIPPED, why=str(error))
            continue
        image = from_uint8(pixels[None]).to(request.device)
        for value in of_it:
            try:
                with torch.no_grad():
                    measured = _measured(value, loaded(value.options), image, checkpoint.folder)
            except Exception as error:  # a want of memory, above all
                yield CheckResult(title(value), DIFFERS, why=reason(error), source=value.source)
            else:
                yield from compared(value, measured)


def _measured(value: PublishedValue, loaded: Any, image: torch.Tensor, folder: Path) -> list[Any]:
    """What a loaded model says of a picture, with the pixel values of transformers' own processor, except OWLv2's."""
    owner = loaded.finder if isinstance(loaded, Detector) else loaded
    own = owner.preprocess
    try:
        if not isinstance(owner, WordDetector):
            # Mask2Former's value is of the checkpoint's own size, BLIP-VQA's of the judge's.
            like = Preprocessing.from_folder(folder) if isinstance(loaded, Detector) else own
            owner.preprocess = LibraryProcessor.from_folder(folder, like)
        return MEASURES[value.measure](loaded, image, value.ask)
    finally:
        owner.preprocess = own


def has_shapes_of(model: torch.nn.Module, name: str, size: str = "full") -> bool:
    """Whether a model's weights have the names and shapes of the published checkpoint's."""
    with torch.device("meta"):
        published = build(architecture(name, size).parts[0])
    return _shapes(model) == _shapes(published)


def _shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def compared(value: PublishedValue, measured: list[Any]) -> list[CheckResult]:
    """One result for each of the published numbers or texts."""
    results = []
    for place, (expected, found) in enumerate(zip(value.expected, measured, strict=True)):
        asked = value.ask[place] if len(value.ask) == len(value.expected) else str(place + 1)
        verdict = OK if agrees(expected, found, value.atol, value.rtol) else DIFFERS
        texts = (_shown(expected), _shown(found, expected), _tolerance(value))
        results.append(CheckResult(title(value, asked), verdict, *texts, source=value.source))
    return results


def title(value: PublishedValue, asked: str = "") -> str:
    """What is compared, in a few words."""
    options = ", ".join(str(option) for option in value.options.values())
    about = f"{value.checkpoint}: {value.measure.replace('_', ' ')}" + (f" ({options})" if options else "")
    return about + (f" {asked!r}" if asked and not asked.isdigit() else f" {asked}".rstrip())


def agrees(expected: Any, found: Any, atol: float | tuple[float, float], rtol: float) -> bool:
    """Whether two texts are equal, or each of two rows of numbers is within its tolerance."""
    if isinstance(expected, str):
        return expected == found
    first, others = atol if isinstance(atol, tuple) else (atol, atol)
    pairs = list(zip(_row(expected), _row(found), strict=True))
    limits = [(first if place == 0 else others) + rtol * abs(pair[0]) for place, pair in enumerate(pairs)]
    return all(abs(wanted - got) <= limit for (wanted, got), limit in zip(pairs, limits, strict=True))


def _row(value: Any) -> list[float]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _shown(value: Any, like: Any = None) -> str:
    """A text, or numbers with the published digits; those that were measured have one digit more."""
    if isinstance(value, str):
        return value
    if like is None:
        return " ".join(str(number) for number in _row(value))
    digits = [len(str(number).partition(".")[2]) + 1 for number in _row(like)]
    return " ".join(f"{number:.{count}f}" for number, count in zip(_row(value), digits, strict=True))


def _tolerance(value: PublishedValue) -> str:
    if all(isinstance(expected, str) for expected in value.expected):
        return "the same words"
    absolute = " and ".join(f"{limit:g}" for limit in _row(value.atol))
    relative = f" + {100 * value.rtol:g}%" if value.rtol else ""
    return absolute + relative + ("" if value.tolerance_of == "source" else " (ours)")
