"""Find the object, then name its colour: after GenEval (Ghosh et al., NeurIPS 2023, arXiv 2310.11513, section 3).

A detector finds the objects; CLIP ViT-L/14 names the colour of each by zero-shot classification of its crop. As in the
paper's code, detections count if their score is above `threshold` (0.3), at most 16 per class; the crop is the
detection's box with grey (#999) outside its mask; a colour's text feature is the mean over three templates; the most
probable colour is taken; and if the prompt names an object n times, its n detections with the highest scores count. The
detector is Mask2Former with a Swin-S backbone, at the 800 pixels of the paper's configuration (`image_size`).

Unlike there, gold and every colour of the prompt are among the colours; a detection's score is computed on the mask at
the image's own size; and the checkpoint is transformers' instead of mmdet's. An open-vocabulary detector
(conf/evaluator/detector_open.yaml) can look for any object; it finds boxes without masks, so that the crops show more
background.

Per binding: the object is there if it is detected; the attribute is somewhere if any detection has that colour (of any
class Mask2Former knows; an open-vocabulary detector looks only for the prompt's objects); the binding holds if one of
the object's detections has that colour. Confidences: of the object, the highest score of its detections, above the
threshold or not; of the attribute, the colour's highest probability among detections; of the binding, the highest
product of score and probability. Two attributes are swapped if each object is detected in the other's colour.

A prompt with GenEval's `include` and `exclude` also gets GenEval's verdict (reno/evaluators/geneval.py): whether the
image shows all of it, with counts and places, by its own thresholds and ten colours.

CLIP names the colours: the judge may favour images that were optimised against a CLIP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import msgspec
import torch
from PIL import ImageColor
from torch.nn.functional import normalize

from reno.evaluators import Evaluator, geneval
from reno.evaluators.finders import Detection, Finder, ObjectNames, load_finder, read_names
from reno.metrics.clip import ClipMetric
from reno.prompts.geneval import COLORS as GENEVALS
from reno.spec.errors import TYPO, BadInput, did_you_mean
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding, Prompt

COLORS = (*GENEVALS, "gold")
"""GenEval's ten colours, and gold."""

TEMPLATES = ("a photo of a {color} {object}", "a photo of a {color}-colored {object}", "a photo of a {color} object")
MOST = 16
"""The most detections that count of one of the prompt's objects, and of all other classes together."""
BLANK = 0x99 / 255
"""Grey level outside the mask."""
CROPS_AT_ONCE = 32


@dataclass(frozen=True)
class Painted:
    """A detection whose colour has been read."""

    object: str
    score: float
    colors: dict[str, float]
    """Probability of each colour; they sum to 1."""

    @property
    def color(self) -> str:
        return max(self.colors, key=self.colors.get)


class ColorReader:
    """CLIP as a zero-shot classifier of a crop's colour."""

    def __init__(self, folder: Path, device: torch.device):
        self.clip = ClipMetric(folder, dtype=torch.float32, device=device)
        self.device = device
        self._classes: dict[tuple[str, tuple[str, ...]], torch.Tensor] = {}

    @torch.no_grad()
    def read(self, image: torch.Tensor, found: Sequence[Detection], colors: Sequence[str]) -> list[dict[str, float]]:
        """Probabilities of the colours, for each detection in one image (3, H, W) in [0, 1]."""
        probabilities = []
        for start in range(0, len(found), CROPS_AT_ONCE):
            part = found[start : start + CROPS_AT_ONCE]
            pixels = torch.cat([self.clip.preprocess(crop_of(image, detection)[None]) for detection in part])
            features = self.clip.model.get_image_features(pixel_values=pixels.to(self.device)).pooler_output
            classes = torch.stack([self._class_features(detection.object, tuple(colors)) for detection in part])
            cosines = (classes @ normalize(features, dim=-1)[..., None]).squeeze(-1)
            probabilities += (self.clip.model.logit_scale.exp() * cosines).cpu().double().softmax(-1).tolist()
        return [dict(zip(colors, each, strict=True)) for each in probabilities]

    def _class_features(self, name: str, colors: tuple[str, ...]) -> torch.Tensor:
        """Unit features (colours, D): each the mean over the templates, as in CLIP's prompt ensembling."""
        key = (name, colors)
        if key not in self._classes:
            texts = [template.format(color=color, object=name) for color in colors for template in TEMPLATES]
            features = self.clip.encode(texts).unflatten(0, (len(colors), len(TEMPLATES)))
            self._classes[key] = normalize(features.mean(1), dim=-1)
        return self._classes[key]


def crop_of(image: torch.Tensor, detection: Detection) -> torch.Tensor:
    """The detection's box of an image (3, H, W), with everything outside its mask grey."""
    left, top, right, bottom = detection.box
    crop = image[:, top:bottom, left:right]
    if detection.mask is None:
        return crop
    mask = torch.from_numpy(detection.mask[top:bottom, left:right]).to(image.device)
    return torch.where(mask, crop, torch.full_like(crop, BLANK))


class Detector(Evaluator):
    kin = "clip"

    def __init__(
        self,
        name: str,
        finder: Finder | ObjectNames,
        reader: ColorReader | None,
        *,
        threshold: float,
        colors: Sequence[str],
    ):
        self.name, self.finder, self.reader = name, finder, reader
        self.threshold, self.colors = threshold, tuple(colors)
        self.device, self.parts = finder.device, finder.parts

    def bring(self) -> None:
        super().bring()
        self.reader.clip.bring()  # its text encoder is on the device only while it reads

    def leave(self) -> None:
        super().leave()
        self.reader.clip.leave()

    def check_prompt(self, prompt: Prompt) -> None:
        """Raises BadInput for an attribute that is not a known colour, or an object that the finder cannot look for."""
        known = [*self.colors, *ImageColor.colormap]
        asked = [binding.attribute for binding in prompt.bindings] + [one.color for one in prompt.wanted if one.color]
        for color in asked:
            if color not in known:
                raise BadInput(
                    f"{self.name} judges colours and does not know {color!r}"
                    f"{did_you_mean(color, known, TYPO)}; add it to the judge's colors, or use blip_vqa"
                )
        for name in _objects(prompt):
            self.finder.check(name)

    def judge(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
        """Judges images (B, 3, H, W) in [0, 1] against their B prompts. Raises BadInput as `check_prompt` does."""
        for prompt in prompts:
            self.check_prompt(prompt)
        found = self.finder.find(images, [_objects(prompt) for prompt in prompts])
        return [self._verdict(*each) for each in zip(images, prompts, found, strict=True)]

    def work_hardest(self, images: torch.Tensor, prompts: Sequence[Prompt]) -> None:
        """Looks for the objects, and reads the colours of as many detections as count, each as large as the image."""
        self.finder.find(images, [_objects(prompt) for prompt in prompts])
        whole = (0, 0, images.shape[-1], images.shape[-2])
        for image, prompt in zip(images, prompts, strict=True):
            found = [Detection(name, 1.0, whole) for name in _objects(prompt) for _ in range(MOST)]
            self.reader.read(image, found, self.colors)

    def _verdict(self, image: torch.Tensor, prompt: Prompt, found: Sequence[Detection]) -> Verdict:
        """The verdict on one image (3, H, W). A prompt may call one object of the finder's by several names."""
        bindings = [replace(one, object=self.finder.known_as(one.object)) for one in prompt.bindings]
        objects = [binding.object for binding in bindings]
        counted = _counted(found, objects, self.threshold)
        colors = dict.fromkeys([*self.colors, *(binding.attribute for binding in bindings)])
        read = self.reader.read(image, self._spelled(prompt, counted), list(colors))
        painted = [Painted(one.object, one.score, colors) for one, colors in zip(counted, read, strict=True)]
        highest = {name: max((one.score for one in found if one.object == name), default=0.0) for name in objects}
        said = verdict(bindings, painted, highest)
        named = zip(said.judgements, prompt.bindings, strict=True)
        return Verdict(
            tuple(msgspec.structs.replace(one, object=binding.object) for one, binding in named),
            said.faults,
            correct=self._correct(image, prompt, found),
        )

    def _correct(self, image: torch.Tensor, prompt: Prompt, found: Sequence[Detection]) -> bool | None:
        """GenEval's verdict; None if the prompt has no `include` and `exclude`, or the finder's detections cannot be
        counted."""
        if not self.finder.counts or not (prompt.wanted or prompt.unwanted):
            return None
        colors = list(dict.fromkeys([*GENEVALS, *(one.color for one in prompt.wanted if one.color)]))
        wanted, unwanted = (
            tuple(replace(one, object=self.finder.known_as(one.object)) for one in clauses)
            for clauses in (prompt.wanted, prompt.unwanted)
        )

        def color_of(one: Detection) -> str:
            (read,) = self.reader.read(image, self._spelled(prompt, [one]), colors)
            return max(read, key=read.get)

        return geneval.correct(replace(prompt, wanted=wanted, unwanted=unwanted), found, color_of)

    def _spelled(self, prompt: Prompt, found: Sequence[Detection]) -> list[Detection]:
        """The detections under the names that the prompt uses, for the words that their colours are read with."""
        names = {self.finder.known_as(name): name for name in reversed(_objects(prompt))}
        return [replace(one, object=names.get(one.object, one.object)) for one in found]


def _objects(prompt: Prompt) -> list[str]:
    """What a prompt's bindings and GenEval's lists name, each once."""
    named = (*prompt.bindings, *prompt.wanted, *prompt.unwanted)
    return list(dict.fromkeys(one.object for one in named))


def _counted(found: Sequence[Detection], objects: Sequence[str], threshold: float) -> list[Detection]:
    """The detections above the threshold, at most MOST of each object asked for and MOST of all others together."""
    seen: Counter[str] = Counter()
    counted = []
    for detection in found:
        group = detection.object if detection.object in objects else ""
        if detection.score > threshold and seen[group] < MOST:
            seen[group] += 1
            counted.append(detection)
    return counted


def verdict(bindings: Sequence[Binding], painted: Sequence[Painted], highest: dict[str, float]) -> Verdict:
    """The verdict that follows from the detections, highest score first. highest: each object's
    highest score, above the threshold or not."""
    times = Counter(binding.object for binding in bindings)
    own = {name: [one for one in painted if one.object == name][:count] for name, count in times.items()}

    def shows(name: str, color: str) -> bool:
        return any(one.color == color for one in own[name])

    def instead(name: str) -> str | None:
        """The colour of the surest detection; one whose colour is asked of another object of this name comes last."""
        asked = {binding.attribute for binding in bindings if binding.object == name}
        return next((one.color for one in sorted(own[name], key=lambda one: one.color in asked)), None)

    judgements = tuple(
        Judgement(
            attribute=binding.attribute,
            object=binding.object,
            object_present=bool(own[binding.object]),
            attribute_present=any(one.color == binding.attribute for one in painted),
            bound=shows(binding.object, binding.attribute),
            object_confidence=highest[binding.object],
            attribute_confidence=max((one.colors[binding.attribute] for one in painted), default=0.0),
            bound_confidence=max(
                (one.score * one.colors[binding.attribute] for one in own[binding.object]), default=0.0
            ),
            instead=None if shows(binding.object, binding.attribute) else instead(binding.object),
        )
        for binding in bindings
    )
    faults = {
        "swapped": any(
            one.object != other.object
            and one.attribute != other.attribute
            and shows(one.object, other.attribute)
            and shows(other.object, one.attribute)
            for one, other in combinations(bindings, 2)
        ),
        "missing": not all(judgement.object_present for judgement in judgements),
    }
    return Verdict(judgements, faults)


def load(
    name: str,
    checkpoints: dict[str, Path],
    device: torch.device,
    threshold: float = 0.3,
    image_size: int | None = None,
    colors: Sequence[str] = COLORS,
) -> Detector:
    """checkpoints: `clip_vit_l` names the colours, the other finds the objects. threshold: the score that a detection
    must exceed; image_size: pixels of the shorter side of the finder's input, None for its own. Raises BadInput."""
    folders = dict(checkpoints)
    reader = ColorReader(folders.pop("clip_vit_l"), device)
    (folder,) = folders.values()
    return Detector(name, load_finder(folder, device, image_size), reader, threshold=threshold, colors=colors)


def reader(
    name: str, checkpoints: dict[str, Path], colors: Sequence[str] = COLORS, threshold: float = 0.3, **_: object
) -> Detector:
    """What checks prompts, without the weights: it cannot judge. Raises BadInput."""
    (folder,) = (folder for model, folder in checkpoints.items() if model != "clip_vit_l")
    return Detector(name, read_names(folder), None, threshold=threshold, colors=colors)
