"""Images as tensors: the resize and normalisation of a model's image processor, differentiable and deterministic.

Shapes: images are (B, 3, H, W) in [0, 1]; pixel values are a vision model's input, normalised by channel.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reno.spec.errors import BadInput, typed_line
from reno.weights.files import read_json

KERNELS = {2: "bilinear", 3: "bicubic"}
"""PIL's resampling codes, as preprocessor_config.json stores them."""


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Images (B, 3, H, W) in [0, 1] as uint8 (B, H, W, 3), rounded to the nearest level."""
    return levels(images).cpu().numpy()


def levels(images: torch.Tensor) -> torch.Tensor:
    """The same as a tensor on the images' device."""
    return (images.detach().float() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def from_uint8(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) as float32 images (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


@functools.lru_cache(maxsize=32)
def resize_matrix(source: int, target: int, kernel: str) -> np.ndarray:
    """The (target, source) matrix of PIL's antialiased resize along one axis; rows sum to 1.

    A resize as two matrix products has an exact, deterministic backward on every device, which the interpolation
    kernels of torch do not have on CUDA.
    """
    weigh, support = {"bilinear": (_triangle, 1.0), "bicubic": (_cubic, 2.0)}[kernel]
    scale = source / target
    stretch = max(scale, 1.0)  # shrinking widens the kernel: antialiasing
    matrix = np.zeros((target, source))
    for row in range(target):
        centre = (row + 0.5) * scale
        first = max(int(centre - support * stretch + 0.5), 0)
        last = min(int(centre + support * stretch + 0.5), source)
        weights = weigh((np.arange(first, last) - centre + 0.5) / stretch)
        matrix[row, first:last] = weights / weights.sum()
    return matrix


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.clip(1 - np.abs(x), 0, None)


def _cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys' cubic convolution kernel (1981, equation 4 generalised to `a`), with PIL's a = -0.5."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@dataclass(frozen=True)
class Preprocessing:
    """A checkpoint's image processing. The pixel values are within two of 255 levels of the image processor's own,
    which rounds to whole levels between and after its two passes; rounding has no gradient."""

    size: tuple[int, int] | int
    """(height, width) to resize to, or the length of the shortest edge."""
    crop: tuple[int, int] | None
    """(height, width) of the central crop."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    kernel: str

    @classmethod
    def from_folder(cls, folder: Path) -> Preprocessing:
        """Reads preprocessor_config.json, or what transformers 5 writes in its place. Raises BadInput if it cannot be
        read, or asks for what is not done here."""
        path, config = _processor_config(folder)
        try:
            resample = config.get("resample", 3)
            if resample not in KERNELS:
                raise BadInput(
                    f"{path} asks for resample={resample}; only bilinear (2) and bicubic (3) are differentiable here"
                )
            for step in ("do_resize", "do_rescale", "do_normalize"):
                if not config.get(step, True):
                    raise BadInput(f"{path} asks for {step}=false; images are always resized, in [0, 1] and normalised")
            if not math.isclose(config.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-3):
                raise BadInput(f"{path} asks for rescale_factor={config['rescale_factor']}; only 1/255 is known")
            size, crop = _size(config.get("size", 224)), None
            if config.get("do_center_crop", "crop_size" in config) and config.get("crop_size") is not None:
                crop = _size(config["crop_size"])
                crop = (crop, crop) if isinstance(crop, int) else crop
            mean, std = (_three(config[key]) for key in ("image_mean", "image_std"))
            if min(std) <= 0:
                raise ValueError(f"image_std is {list(std)}")
        except BadInput:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path} does not describe an image processor ({typed_line(error)}); copy it again from the checkpoint"
            ) from None
        return cls(size, crop, mean, std, KERNELS[resample])

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that an image of this height and width is resized to, before the crop."""
        if isinstance(self.size, tuple):
            return self.size
        if height <= width:
            return self.size, int(self.size * width / height)
        return int(self.size * height / width), self.size

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) in [0, 1] to pixel values (B, 3, h, w), on the images' device and in their dtype."""
        height, width = images.shape[-2:]
        target_height, target_width = self.resized(height, width)
        rows, columns = (0, target_height), (0, target_width)
        if self.crop is not None:
            rows, columns = _centre(target_height, self.crop[0]), _centre(target_width, self.crop[1])
        if (target_height, target_width) != (height, width):
            # Cropping the matrices instead of the image resizes only what is kept.
            vertical = _as_tensor(height, target_height, self.kernel, rows, images.dtype, images.device)
            horizontal = _as_tensor(width, target_width, self.kernel, columns, images.dtype, images.device)
            across = (images @ horizontal.T).clamp(0, 1)  # PIL's order, and its clipping after each pass
            images = (vertical @ across).clamp(0, 1)
        else:
            images = images[..., slice(*rows), slice(*columns)]
        return (images - _channels(self.mean, images.dtype, images.device)) / _channels(
            self.std, images.dtype, images.device
        )


def _processor_config(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The description of a checkpoint's image processor and its file. A processor that transformers 5 saved together
    with its tokenizer has no file of its own."""
    path, joint = folder / "preprocessor_config.json", folder / "processor_config.json"
    if not path.exists() and joint.exists():
        inner = read_json(joint).get("image_processor")
        if isinstance(inner, dict):
            return joint, inner
    return path, read_json(path)


def _size(value: Any) -> tuple[int, int] | int:
    """(height, width), or the length of the shortest edge, as the versions of transformers write them."""
    if isinstance(value, dict):
        value = value["shortest_edge"] if "shortest_edge" in value else (value["height"], value["width"])
    lengths = value if isinstance(value, list | tuple) else (value,)
    if len(lengths) > 2 or not all(type(length) is int and length > 0 for length in lengths):
        raise ValueError(f"a size is {value!r}")
    return tuple(lengths) if len(lengths) == 2 else lengths[0]


def _three(values: Any) -> tuple[float, float, float]:
    """One finite number per channel."""
    red, green, blue = values
    numbers = (float(red), float(green), float(blue))
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{values!r} are not finite")
    return numbers


def _centre(length: int, crop: int) -> tuple[int, int]:
    """First row kept by a central crop, and the first after it."""
    if crop > length:
        raise BadInput(
            f"the image processor crops {crop} pixels out of {length}; its size and crop_size do not fit together"
        )
    start = (length - crop) // 2
    return start, start + crop


@functools.lru_cache(maxsize=32)
def _as_tensor(
    source: int, target: int, kernel: str, kept: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    matrix = resize_matrix(source, target, kernel)[slice(*kept)]
    return torch.tensor(matrix, dtype=dtype, device=device)


@functools.lru_cache(maxsize=32)
def _channels(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """One value per channel, shaped (3, 1, 1). Cached, because making a new tensor waits for the device."""
    return torch.tensor(values, dtype=dtype, device=device)[:, None, None]


def forget_constants() -> None:
    """Drops the cached tensors; they are made again when they are needed."""
    _as_tensor.cache_clear()
    _channels.cache_clear()
