"""Finders of objects in an image: a segmenter of known classes, or a detector of any words.

`load_finder` chooses by the checkpoint's own config.json: `mask2former` (Cheng et al. 2022; masks, of the classes it
was trained on), `owlv2` or `owlvit` (Minderer et al. 2023 and 2022; boxes, of any words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import interpolate, pad

from reno.spec.errors import BadInput, did_you_mean
from reno.weights.images import Preprocessing
from reno.weights.loading import load_model, model_type
from reno.weights.texts import TextReader, check_length, load_tokenizer, read_config, text_limit

READER = "the detector's text encoder"
MASK_STRIDE = 32
"""Mask2Former's coarsest features are this many pixels apart; the image's sides become multiples of it."""
PADDING = 0.5
"""The value with which OWLv2's own code pads an image to a square. transformers 4 does so too; transformers 5 pads with
0. Images of a run are squares already, unless the generator's are not."""


@dataclass(frozen=True)
class Detection:
    """One object that was found in an image of H x W pixels."""

    object: str
    score: float
    """The finder's confidence, in [0, 1]."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom, pixels; the right and the bottom are the first outside."""
    mask: np.ndarray | None = None
    """bool (H, W), True at its pixels; None if the finder gives boxes only."""


OTHER_NAMES = {
    "computer mouse": "mouse", "tv remote": "remote", "computer keyboard": "keyboard",
    "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "tv",
}  # fmt: skip
"""COCO's names of objects, by other names: GenEval's first, then those of checkpoints of transformers."""


def coco_name(name: str) -> str:
    """The name as COCO spells it."""
    return OTHER_NAMES.get(name, name)


class Finder(Protocol):
    counts: bool
    """Whether each object is found once, so that its detections can be counted."""
    device: torch.device
    parts: tuple[torch.nn.Module, ...]
    """The modules that have to be on the device while it looks."""

    def known_as(self, name: str) -> str:
        """The name that its detections of this object have."""
        ...

    def check(self, name: str) -> None:
        """Raises BadInput if an object of this name cannot be looked for."""
        ...

    def find(self, images: torch.Tensor, objects: Sequence[Sequence[str]]) -> list[list[Detection]]:
        """The detections in each of the images (B, 3, H, W) in [0, 1], of any score, highest first. objects: the names
        to look for in each image; a finder of known classes does not use them."""
        ...


def load_finder(folder: Path, device: torch.device, image_size: int | None) -> Finder:
    """image_size: pixels of the shorter side of the model's input, None for the checkpoint's own. Raises BadInput."""
    kind = finder_kind(folder)
    if kind == "mask2former":
        return Segmenter(folder, device, image_size)
    return WordDetector(folder, device, image_size, square=kind == "owlv2")


def finder_kind(folder: Path) -> str:
    """mask2former, owlv2 or owlvit. Raises BadInput for another."""
    kind = model_type(folder)
    if kind not in ("mask2former", "owlv2", "owlvit"):
        found = f"{folder} holds a {kind} model" if kind else f"{folder / 'config.json'} names no model_type"
        raise BadInput(f"{found}; the detector can use mask2former, owlv2 or owlvit")
    return kind


def check_label(name: str, labels: Sequence[str]) -> None:
    """Raises BadInput if a finder that knows these objects does not know `name`."""
    if coco_name(name) not in labels:
        raise BadInput(
            f"the detector knows {len(labels)} objects and {name!r} is not one of them"
            f"{did_you_mean(name, labels)}; detector_open and blip_vqa judge any object"
        )


def query(name: str) -> str:
    """The words that a detector of any words looks for."""
    return f"a photo of a {name}"


class ObjectNames:
    """Which objects a finder can look for, without its weights."""

    device, parts = torch.device("cpu"), ()

    def __init__(self, labels: Sequence[str] | None, reader: TextReader):
        """labels: None for a finder of any words."""
        self._labels, self._reader = labels, reader

    def check(self, name: str) -> None:
        """Raises BadInput as Finder.check does."""
        if self._labels is None:
            self._reader.check_prompt(query(name))
        else:
            check_label(name, self._labels)


def read_names(folder: Path) -> ObjectNames:
    """The names that the finder in a folder knows, by its config.json. Raises BadInput for another model."""
    labels = None
    if finder_kind(folder) == "mask2former":
        labels = [coco_name(label) for label in read_config(folder).get("id2label", {}).values()]
    return ObjectNames(labels, TextReader(READER, folder))


class Segmenter:
    """Mask2Former for instance segmentation. A detection's score is its class probability times the mean probability of
    its mask's pixels (Cheng et al. 2022), as in transformers' own post-processing."""

    counts = True

    def __init__(self, folder: Path, device: torch.device, image_size: int | None):
        from transformers import Mask2FormerForUniversalSegmentation

        self.model = load_model(Mask2FormerForUniversalSegmentation, folder, torch.float32, device)
        self.parts = (self.model,)
        self.preprocess = Preprocessing.from_folder(folder)
        if image_size is not None:
            self.preprocess = replace(self.preprocess, size=image_size, crop=None)
        self.device = device
        self.labels = [coco_name(name) for _, name in sorted(self.model.config.id2label.items())]

    def known_as(self, name: str) -> str:
        return coco_name(name)

    def check(self, name: str) -> None:
        check_label(name, self.labels)

    @torch.no_grad()
    def find(self, images: torch.Tensor, objects: Sequence[Sequence[str]]) -> list[list[Detection]]:
        height, width = images.shape[-2:]
        pixels = self.preprocess(images.to(self.device, torch.float32))
        rows, columns = pixels.shape[-2:]
        pixels = pad(pixels, (0, -columns % MASK_STRIDE, 0, -rows % MASK_STRIDE))
        seen = self.model(pixel_values=pixels)
        found = []
        for logits, masks in zip(seen.class_queries_logits, seen.masks_queries_logits, strict=True):
            masks = masks[None]
            if pixels.shape[-2:] != (rows, columns):
                masks = interpolate(masks, pixels.shape[-2:], mode="bilinear")[..., :rows, :columns]
            found.append(self._read(logits, interpolate(masks, (height, width), mode="bilinear")[0]))
        return found

    def _read(self, logits: torch.Tensor, masks: torch.Tensor) -> list[Detection]:
        """The Q most probable detections of Q queries. logits: (Q, classes + 1), masks: logits (Q, H, W)."""
        inside = masks > 0
        area = inside.flatten(1).sum(1).cpu()
        quality = (masks.sigmoid() * inside).flatten(1).sum(1).cpu().double() / area.clamp(min=1)
        probability = logits.cpu().double().softmax(-1)[:, :-1]
        likeliest = probability.flatten().topk(len(logits)).indices.tolist()
        found = []
        for index in likeliest:
            query, label = divmod(index, probability.shape[1])
            if area[query]:
                mask = inside[query].cpu().numpy()
                score = float(probability[query, label] * quality[query])
                found.append(Detection(self.labels[label], score, _box_of(mask), mask))
        return sorted(found, key=lambda detection: -detection.score)


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box around a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class WordDetector:
    """OWLv2 or OWL-ViT: each patch of the image is compared with the words "a photo of a bench". Several patches may
    find one object."""

    counts = False

    def __init__(self, folder: Path, device: torch.device, image_size: int | None, square: bool):
        import transformers

        kind = transformers.Owlv2ForObjectDetection if square else transformers.OwlViTForObjectDetection
        self.model = load_model(kind, folder, torch.float32, device)
        self.parts = (self.model,)
        self.tokenizer = load_tokenizer(folder)
        self.preprocess = Preprocessing.from_folder(folder)
        own = self.model.config.vision_config.image_size
        if image_size is not None and image_size != own:
            raise BadInput(f"{folder} takes images of {own} pixels only; set image_size to null")
        self.limit = text_limit(self.tokenizer, self.model.config.text_config)
        self.device, self.square = device, square

    def known_as(self, name: str) -> str:
        return name

    def check(self, name: str) -> None:
        check_length(self.tokenizer, query(name), self.limit, READER)

    @torch.no_grad()
    def find(self, images: torch.Tensor, objects: Sequence[Sequence[str]]) -> list[list[Detection]]:
        return [
            self._find(image[None], list(dict.fromkeys(names))) for image, names in zip(images, objects, strict=True)
        ]

    def _find(self, image: torch.Tensor, names: list[str]) -> list[Detection]:
        height, width = image.shape[-2:]
        scores, corners = self.look(image, names)
        found = []
        for score, corner in zip(scores.tolist(), corners.tolist(), strict=True):
            box = _inside(corner, height, width)
            if box is not None:
                found += [Detection(name, each, box) for name, each in zip(names, score, strict=True)]
        return sorted(found, key=lambda detection: -detection.score)

    @torch.no_grad()
    def look(self, image: torch.Tensor, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """What each patch of an image (1, 3, H, W) in [0, 1] finds: its scores (patches, names), and its box's left,
        top, right and bottom (patches, 4) in pixels of the image, neither rounded nor cut at the edges. float64."""
        height, width = image.shape[-2:]
        image = image.to(self.device, torch.float32)
        across, down = width, height
        if self.square:
            across = down = max(height, width)
            image = pad(image, (0, across - width, 0, down - height), value=PADDING)
        words = [query(name) for name in names]
        tokens = self.tokenizer(words, padding="max_length", max_length=self.limit, return_tensors="pt").to(self.device)
        seen = self.model(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, pixel_values=self.preprocess(image)
        )
        centres, sides = seen.pred_boxes[0].cpu().double().split(2, dim=-1)  # (patches, 2) each, shares of the image
        corners = torch.cat([centres - sides / 2, centres + sides / 2], -1) * torch.tensor([across, down, across, down])
        return seen.logits[0].cpu().double().sigmoid(), corners


def _inside(corner: Sequence[float], height: int, width: int) -> tuple[int, int, int, int] | None:
    """A box in whole pixels, cut at the image's edges; None if nothing is left."""
    left, top = (max(0, round(value)) for value in corner[:2])
    right, bottom = min(width, round(corner[2])), min(height, round(corner[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None
