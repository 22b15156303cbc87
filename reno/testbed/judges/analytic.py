"""The judge that has learned nothing. It separates blobs from the background and finds the drawing that fits each best.

A blob is cut out, moved and scaled to a standard frame, and compared with drawings of every object at several tilts. A
drawing's pixels are linear in its colour, so the best colour of each drawing has a closed form. A blob that no drawing
explains is junk. The fitted colour, and the colours of the pixels without shade, decide the colour's name. The
thresholds were set on renders, degraded ones and ones coded by the VAE.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from reno.testbed.judges import MIXED, PURE, SeenThing, color_names, lab
from reno.testbed.render import SUPERSAMPLE, outline, placed
from reno.testbed.world import COLORS, OBJECTS, SIDE, Thing

FRAME = 24
"""Samples along the standard frame's side."""
REACH = 2.5
"""Half the frame's side, in root-mean-square radii of the blob."""
TILTS = (-15, -10, -5, 0, 5, 10, 15)
RADII = (2.2, 3.2, 4.5, 6.0, 8.0, 11.0)
"""Scales at which drawings are kept, as root-mean-square radii in pixels."""
BLUR = 0.7
"""Sigma, in pixels, of the smoothing of blobs and drawings. Sharpness then hardly matters."""
NOISE = 6.0
"""Level (0 to 255) below which a pixel's difference from a drawing does not count."""
VISIBLE = 11.0
"""Lab distance from the background that makes a pixel part of a blob."""
SMALLEST = 14
"""Pixels of the smallest blob."""
MISFIT = 0.12
"""Largest share of a blob that its drawing may leave unexplained; else the blob is junk."""
UNIQUE = 0.55
"""The best drawing must leave less than this share of what the next best object's leaves; else the blob is junk, too.
"""
MISFIT_WIDTH = 0.01
"""Difference in misfit that makes one reading e times as likely as another."""
PURE_WIDTH = 0.03
SECOND_COLOR = 0.22
"""Share of pixels in a second colour from which a thing is two-toned."""


class AnalyticJudge:
    def look(self, images: np.ndarray) -> list[list[SeenThing]]:
        """The things in each image, uint8 (B, SIDE, SIDE, 3)."""
        return [things_in(image.astype(np.float32)) for image in images]


def things_in(image: np.ndarray) -> list[SeenThing]:
    """`image`: float32 (SIDE, SIDE, 3), 0 to 255."""
    background = background_of(image)
    blobs = blobs_in(image, background)
    found = []
    for mask in blobs:
        others = np.any([blob for blob in blobs if blob is not mask], axis=0) if len(blobs) > 1 else None
        found += _read(image, background, mask, others)
    return found


def background_of(image: np.ndarray) -> np.ndarray:
    """The light background behind the things, (SIDE, SIDE, 3): a quadratic surface through what fits one."""
    axis = np.linspace(-1, 1, SIDE)
    x, y = np.meshgrid(axis, axis)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1).reshape(-1, 6)
    pixels = image.reshape(-1, 3).astype(np.float64)
    darkest = pixels.min(1)
    kept = darkest > np.quantile(darkest, 0.9) - 45
    for degree, limit in ((3, 30), (6, 18), (6, 12), (6, 10)):  # a plane first: a bent surface would follow the things
        fit, *_ = np.linalg.lstsq(terms[kept][:, :degree], pixels[kept], rcond=None)
        surface = terms[:, :degree] @ fit
        kept = np.abs(pixels - surface).max(1) < limit
    return np.clip(surface, 0, 255).reshape(image.shape)


def blobs_in(image: np.ndarray, background: np.ndarray) -> list[np.ndarray]:
    """Masks (SIDE, SIDE) of the connected pixels that are not background, holes filled."""
    distance = np.linalg.norm(lab(image) - lab(background), axis=-1)
    labels, count = ndimage.label(ndimage.binary_fill_holes(distance > VISIBLE), np.ones((3, 3)))
    masks = [labels == index for index in range(1, count + 1)]
    return [mask for mask in masks if mask.sum() >= SMALLEST and distance[mask].max() > 1.8 * VISIBLE]


def _read(image: np.ndarray, background: np.ndarray, mask: np.ndarray, others: np.ndarray | None) -> list[SeenThing]:
    """What a blob is: one thing, or else two or three, if cutting it in parts explains it and one drawing does not."""
    whole = _match(image, background, mask, others)
    if whole.explained:
        return [whole.found()]
    for parts in _splits(image, mask):
        matches = []
        for part in parts:
            rest = mask & ~part
            matches.append(_match(image, background, part, rest if others is None else rest | others))
        if all(match.explained for match in matches):
            return [match.found() for match in matches]
    return [whole.found()]


def _splits(image: np.ndarray, mask: np.ndarray) -> list[list[np.ndarray]]:
    """Ways to cut a blob in parts: at thin places, and by colour."""
    splits = []
    for depth in (1, 2, 3):
        cores, _ = ndimage.label(ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=depth))
        sizes = np.bincount(cores[cores > 0], minlength=1)
        large = np.flatnonzero(sizes > max(3, 0.15 * sizes.max()))
        if len(large) in (2, 3):
            splits.append(_nearest_core(mask, np.where(np.isin(cores, large), cores, 0)))
    names = np.where(mask, color_names(image)[0], MIXED)
    commonest = np.argsort(-np.bincount(names[mask], minlength=MIXED))[:2]
    patches = [ndimage.binary_opening(names == name, np.ones((2, 2))) for name in commonest]
    if min(patch.sum() for patch in patches) >= SMALLEST:
        splits.append(_nearest_core(mask, patches[0] + 2 * patches[1]))
    return splits


def _nearest_core(mask: np.ndarray, cores: np.ndarray) -> list[np.ndarray]:
    """Cuts a mask into the parts nearest to each core; cores are numbered from 1."""
    nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
    owner = cores[tuple(nearest)]
    return [mask & (owner == index) for index in np.unique(cores[cores > 0])]


@dataclass(frozen=True)
class Match:
    """How well the best drawing of each object explains a blob."""

    x: float
    y: float
    misfits: np.ndarray
    """(objects,), 0 is perfect and 1 nothing in common."""
    color: tuple[np.ndarray, float, float]
    """sRGB of the best drawing's fill, and the shares of its pixels in the most and the second most frequent colour."""

    @property
    def limit(self) -> float:
        """The misfit above which the blob is junk."""
        return min(MISFIT, UNIQUE * float(np.partition(self.misfits, 1)[1]))

    @property
    def explained(self) -> bool:
        return float(self.misfits.min()) < self.limit

    def found(self) -> SeenThing:
        rgb, second = self.color[0], self.color[2]
        objects = _softmax(-np.append(self.misfits, self.limit) / MISFIT_WIDTH)
        nearest, way = color_names(rgb)
        pure = 1 / (1 + np.exp((way - PURE) / PURE_WIDTH)) / (1 + np.exp((second - SECOND_COLOR) / PURE_WIDTH))
        colors = np.zeros(MIXED + 1)
        colors[int(nearest)], colors[MIXED] = pure, 1 - pure
        return SeenThing(self.x, self.y, objects, colors)


def _softmax(values: np.ndarray) -> np.ndarray:
    exponentials = np.exp(values - values.max())
    return exponentials / exponentials.sum()


def _match(image: np.ndarray, background: np.ndarray, mask: np.ndarray, others: np.ndarray | None) -> Match:
    weights = mask.astype(np.float64)
    total = weights.sum()
    axis = np.arange(SIDE)
    x, y = (weights.sum(0) @ axis) / total, (weights.sum(1) @ axis) / total
    square = (weights.sum(0) @ (axis - x) ** 2 + weights.sum(1) @ (axis - y) ** 2) / total
    radius = max(
        1.5, np.sqrt(square) - 0.3
    )  # the soft edge counts as whole pixels, which makes a blob that much too wide
    behind = background[mask].mean(0).astype(np.float32)
    near = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=2)
    if others is not None:
        near &= ~ndimage.binary_dilation(others, np.ones((3, 3))) | mask
    alone = np.where(near[..., None], image - background, 0) + behind
    alone = ndimage.gaussian_filter(alone, (BLUR, BLUR, 0)).astype(np.float32)
    bank = drawings()[int(np.argmin(np.abs(np.log(np.array(RADII) / radius))))]
    first, _ = _fit(bank, *_sampled(alone, x, y, radius), behind)
    lowest = np.array([first[bank.object == index].min() for index in range(len(OBJECTS))])
    likely = [index for index in np.argsort(lowest)[:LIKELY] if lowest[index] < lowest.min() + 0.12]
    misfits, best = lowest.copy(), (np.inf,)
    for index in likely:
        at = np.array([x, y, radius])
        tilts = np.flatnonzero(bank.object == index)
        chosen = bank.only(tilts[np.argsort(first[tilts])[:3]])
        for steps in STEPS:
            tried = [at * (1, 1, 1 + scale) + np.array([dx, dy, 0]) * radius for dx, dy, scale in steps]
            samples = [_sampled(alone, *place) for place in tried]
            fits = [_fit(chosen, *sample, behind) for sample in samples]
            step = int(np.argmin([values.min() for values, _ in fits]))
            at = tried[step]
        values, colors = fits[step]
        misfits[index] = values.min()
        if values.min() < best[0]:
            drawing = int(values.argmin())
            best = (values.min(), chosen.only([drawing]), *samples[step], colors[drawing])
    return Match((x + 0.5) / SIDE, (y + 0.5) / SIDE, misfits, _fill(*best[1:], behind))


STEPS = (
    [(0, 0, scale) for scale in (-0.12, -0.06, 0, 0.06)],
    [(dx, dy, 0) for dx in (-0.1, 0, 0.1) for dy in (-0.1, 0, 0.1)],
    [(0, 0, scale) for scale in (-0.05, 0, 0.05)],
)
"""How a drawing is moved and scaled to fit: shares of the radius, one set after another."""
LIKELY = 3


def _sampled(image: np.ndarray, x: float, y: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The standard frame about (x, y) in an image (SIDE, SIDE, C), sampled bilinearly, (FRAME * FRAME, C); and which
    samples lie inside the image, 0 or 1, (FRAME * FRAME,)."""
    steps = np.linspace(-REACH, REACH, FRAME, dtype=np.float32) * np.float32(radius)
    inside = []
    for axis, centre in enumerate((y, x)):
        at = steps + np.float32(centre)
        inside.append((at > -0.6) & (at < SIDE - 0.4))
        at = np.clip(at, 0, SIDE - 1)
        low = np.minimum(at.astype(int), SIDE - 2)
        share = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = np.take(image, low, axis) * (1 - share) + np.take(image, low + 1, axis) * share
    return image.reshape(FRAME * FRAME, -1), np.outer(*inside).ravel().astype(np.float32)


@dataclass(frozen=True)
class Drawings:
    """Drawings in the standard frame, as pixels = (1 - cover) * background + light + gain * colour."""

    object: np.ndarray  # (T,), index in OBJECTS
    cover: np.ndarray  # (T, FRAME * FRAME), 0 to 1
    light: np.ndarray  # (T, FRAME * FRAME), 0 to 255, what the lighter shades add
    gain: np.ndarray  # (T, FRAME * FRAME), 0 to 1

    def only(self, chosen: np.ndarray) -> Drawings:
        return Drawings(self.object[chosen], self.cover[chosen], self.light[chosen], self.gain[chosen])


def _fit(bank: Drawings, pixels: np.ndarray, inside: np.ndarray, behind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each drawing's misfit (T,) to sampled pixels, and its colour (T, 3), fitted by least squares."""
    base = (1 - bank.cover)[..., None] * behind + bank.light[..., None]  # (T, F, 3)
    gain = bank.gain * inside
    power = (gain**2).sum(1) + 1e-6
    colors = np.clip(np.einsum("tf,tfc->tc", gain, pixels - base) / power[:, None], 0, 255)
    drawn = base + bank.gain[..., None] * colors[:, None]
    residual = (inside @ np.maximum(np.abs(pixels - drawn) - NOISE, 0)).sum(-1)
    shown = (inside @ np.abs(pixels - behind)).sum() + (inside @ np.abs(drawn - behind)).sum(-1)
    return residual / (shown + 1e-6), colors


def _fill(
    drawing: Drawings, pixels: np.ndarray, inside: np.ndarray, fitted: np.ndarray, behind: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """The fill's colour, and the shares of the two most frequent colours, from the pixels well inside the unshaded
    part."""
    gain, light = drawing.gain[0], drawing.light[0]
    wide = (gain > 0.5) & (light < 0.3 * gain * 255) & (inside > 0)
    if wide.sum() < 4:
        return fitted, 1.0, 0.0
    rest = (1 - drawing.cover[0])[wide, None] * behind + light[wide, None]
    colors = np.clip((pixels[wide] - rest) / gain[wide, None], 0, 255)
    core = gain[wide] >= np.quantile(gain[wide], 0.5)
    names, _ = color_names(colors)
    shares = np.sort(np.bincount(names, minlength=len(COLORS)) / wide.sum())
    return np.median(colors[core], 0), float(shares[-1]), float(shares[-2])


@cache
def drawings() -> tuple[Drawings, ...]:
    """For every radius of RADII, every object at every tilt."""
    drawn: list[list[tuple]] = [[] for _ in RADII]
    for index, name in enumerate(OBJECTS):
        for tilt in TILTS:
            unit = _moments(_raster(name, tilt, 0.8)[0])[2] / 0.8  # radius of the object at size 1
            for rows, radius in zip(drawn, RADII, strict=True):
                rows.append((index, *_layers(name, tilt, radius / unit)))
    return tuple(Drawings(np.array(names), *np.float32(layers)) for names, *layers in _columns(drawn))


def _columns(tables: list[list[tuple]]) -> list[tuple]:
    return [tuple(zip(*rows, strict=True)) for rows in tables]


def _layers(name: str, tilt: float, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One drawing's cover, light and gain in the standard frame."""
    layers = _raster(name, tilt, size)
    smooth = ndimage.gaussian_filter(np.stack(layers, -1), (BLUR, BLUR, 0))
    return tuple(_sampled(smooth, *_moments(layers[0]))[0].T)


def _raster(name: str, tilt: float, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cover, light and gain as an image's pixels."""
    thing = Thing(COLORS[0], name, 0.5, 0.5, size, tilt)
    canvases = [Image.new("F", (SIDE * SUPERSAMPLE, SIDE * SUPERSAMPLE)) for _ in range(3)]
    for points, shade in outline(name):
        for canvas, value in zip(canvases, (1.0, 255.0 * max(shade, 0.0), 1 - abs(shade)), strict=True):
            ImageDraw.Draw(canvas).polygon(placed(points, thing), fill=value)
    return tuple(np.asarray(canvas.reduce(SUPERSAMPLE), np.float64) for canvas in canvases)


def _moments(cover: np.ndarray) -> tuple[float, float, float]:
    """Centre and root-mean-square radius, in pixels."""
    axis = np.arange(SIDE)
    total = cover.sum()
    x, y = cover.sum(0) @ axis / total, cover.sum(1) @ axis / total
    return x, y, float(np.sqrt((cover.sum(0) @ (axis - x) ** 2 + cover.sum(1) @ (axis - y) ** 2) / total))
