"""Changes made to a batch of pictures during pre-training; each draws its randomness from the generator given.

Scan-mode conversion shows a linear scan as a convex one would and the other way round, after the idea of the paper. All
that moves pixels is one map from a pixel of the new picture to a place in the old one, so pictures are read once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from ultrafm.geometry.frames import ScanFrames
from ultrafm.geometry.published import INNER_PIXELS, OPENING_DEGREES

HALF_OPENING = (math.radians(50 / 2), math.radians(90 / 2))  # of sectors made of rectangles
INNER_SHARE = (0.15, 0.45)  # their inner radius as a share of the outer
FILLED = 0.95  # share of its frame that a rectangle fills, but for blackened text; a fan of unknown sides fills less
PUBLISHED_HEIGHT = 224  # pixels of the picture that INNER_PIXELS belongs to
NOWHERE = -3.0  # outside every picture, as grid_sample counts, which reads as 0


@dataclass(frozen=True)
class Crop:
    """A square of each picture, enlarged to the whole picture and perhaps mirrored; see `ScanFrames.zoomed`."""

    side: torch.Tensor
    shift: torch.Tensor
    mirror: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Crop:
        return Crop(self.side[rows], self.shift[rows], self.mirror[rows])

    def to(self, device: torch.device) -> Crop:
        """The same numbers on another device."""
        return Crop(self.side.to(device), self.shift.to(device), self.mirror.to(device))


@dataclass(frozen=True)
class Conversion:
    """How n pictures change their scan mode: the beams of `source` are shown in `target`.

    target is in pixels of a canvas (width, height) that is stretched to the picture; `shown`, what is said of the new
    picture, in pixels of the picture. turned: depth upside down and left on the right.
    """

    source: ScanFrames
    target: ScanFrames
    shown: ScanFrames
    canvas: tuple[int, int]
    turned: bool = False


def random_crop_and_flip(
    pictures: torch.Tensor, sectors: torch.Tensor, smallest: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Zoom into a random square of each picture (side at least `smallest` of it) and mirror half of them left to right.

    `pictures` and `sectors` are (B, 1, S, S) floats; both are resampled the same way. Depth stays downwards.
    """
    return _sampled(pictures, sectors, _crop_grid(_draw_crop(len(pictures), smallest, generator), pictures))


def augment(
    pictures: torch.Tensor, inside: torch.Tensor, frames: ScanFrames, smallest: float, conversion: str, share: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, ScanFrames, torch.Tensor]:  # fmt: skip
    """Convert a random `share` of the pictures to another scan mode, then `random_crop_and_flip`, in one resampling.

    `pictures` (values 0 to 1) and `inside` (1 in the scan) are (B, 1, S, S) floats, `frames` where the scan lies in
    them. `conversion` is one of three. "none": nothing but crops and mirror images. "correct": a sector becomes the
    rectangle of its beams and a rectangle a symmetric sector; depth stays down, left stays left, and a circle at half
    of the depth stays round. A scan without a found sector that does not fill its frame is no rectangle, and is left as
    it is. "published": what geometry/published.py describes, for an ablation; its frames are those which that code
    would believe in.

    Returns pictures, inside (0 outside the new scan), their frames, and zoom: (B,) pixels that a pixel of the old
    picture fills along a line, so that the side of a pixel in millimetres is divided by it. The number of random draws
    depends on B and on whether `conversion` is "none". Raises ValueError for another conversion.
    """
    if conversion not in ("none", *(name for name, _curved in CHANGES)):
        raise ValueError(f"conversion {conversion!r}: expected 'none', 'correct' or 'published'")
    batch, size, device = len(pictures), pictures.shape[-1], pictures.device
    crop = _draw_crop(batch, smallest, generator)
    grid = _crop_grid(crop, pictures)
    crop, frames = crop.to(device), frames.to(device)
    zoom = 1 / crop.side
    if conversion != "none":
        chosen = (torch.rand(batch, generator=generator) < share).to(device)
        wideness = torch.rand(batch, generator=generator).to(device)
        if conversion == "correct":
            chosen &= frames.curved | (_filled(inside, frames) >= FILLED)
        for curved, rows in ((True, chosen & frames.curved), (False, chosen & ~frames.curved)):
            numbers = rows.nonzero()[:, 0]
            if len(numbers):
                change = CHANGES[conversion, curved](frames[numbers], wideness[numbers], size)
                grid[numbers] = _converted_grid(change, crop[numbers], size)
                zoom[numbers] *= change.shown.depths() / change.source.depths()
                frames = frames.replaced(numbers, change.shown)
    pictures, inside = _sampled(pictures, inside, grid)
    return pictures, inside, frames.zoomed(crop.side, crop.shift, crop.mirror, size), zoom


def random_gain(pictures: torch.Tensor, spread: float, generator: torch.Generator) -> torch.Tensor:
    """Multiply each picture (values 0 to 1) by a random gain in [1 - spread, 1 + spread] and clip to the range."""
    gain = 1 + spread * (2 * torch.rand(len(pictures), 1, 1, 1, generator=generator) - 1)
    return (pictures * gain.to(pictures.device)).clamp(0, 1)


def _draw_crop(batch: int, smallest: float, generator: torch.Generator) -> Crop:
    side = smallest + (1 - smallest) * torch.rand(batch, generator=generator)
    shift = (2 * torch.rand(batch, 2, generator=generator) - 1) * (1 - side)[:, None]
    mirror = torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0)
    return Crop(side, shift, mirror)


def _crop_grid(crop: Crop, pictures: torch.Tensor) -> torch.Tensor:
    """Where each pixel of the cropped pictures is read, as grid_sample counts: (B, S, S, 2)."""
    affine = torch.zeros(len(pictures), 2, 3)
    affine[:, 0, 0], affine[:, 1, 1], affine[:, :, 2] = crop.side * crop.mirror, crop.side, crop.shift
    return functional.affine_grid(affine.to(pictures.device), list(pictures.shape), align_corners=False)


def _sampled(pictures: torch.Tensor, inside: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    both = functional.grid_sample(torch.cat([pictures, inside], dim=1), grid, mode="bilinear", align_corners=False)
    return both[:, :1], both[:, 1:]


def _filled(inside: torch.Tensor, frames: ScanFrames) -> torch.Tensor:
    """Share of the pixels of each rectangle's frame that are inside the scan: (B,); of sectors it says nothing."""
    left, top, right, bottom = frames.numbers[:, :4].unbind(1)
    return inside.sum((1, 2, 3)) / ((right - left + 1) * (bottom - top + 1))


def _converted_grid(change: Conversion, crop: Crop, size: int) -> torch.Tensor:
    """Where each pixel of the converted and cropped pictures is read, as grid_sample counts: (n, S, S, 2)."""
    middle = (size - 1) / 2
    across = torch.arange(size, dtype=torch.float32, device=crop.side.device) - middle
    shift, stretch = crop.shift * (size / 2) + size / 2, (change.canvas[0] / size, change.canvas[1] / size)
    columns = (across * (crop.side * crop.mirror)[:, None] + shift[:, :1]) * stretch[0] - 0.5
    rows = (across * crop.side[:, None] + shift[:, 1:]) * stretch[1] - 0.5
    depth, line = change.target.to_unit(columns[:, None, :], rows[:, :, None])
    outside = (depth < 0) | (depth > 1) | (line < 0) | (line > 1)
    if change.turned:
        depth, line = 1 - depth, 1 - line
    places = torch.stack(change.source.to_pixels(depth, line), dim=-1) * (2 / size) + (1 / size - 1)
    return places.masked_fill(outside[..., None], NOWHERE)


def _to_rectangle(frames: ScanFrames, wideness: torch.Tensor, size: int) -> Conversion:
    """The beams of sectors side by side, as wide as they are at half of the depth, as large as fits, in the middle."""
    wide, deep = frames.widths(), frames.depths()
    scale = (size - 1) / torch.maximum(wide, deep)
    width, height, end = wide * scale, deep * scale, size - 1
    zeros = torch.zeros_like(wide)
    numbers = [(end - width) / 2, (end - height) / 2, (end + width) / 2, (end + height) / 2, zeros, zeros]
    target = ScanFrames(torch.zeros_like(frames.curved), torch.stack(numbers, dim=1))
    return Conversion(frames, target, target, (size, size))


def _to_sector(frames: ScanFrames, wideness: torch.Tensor, size: int) -> Conversion:
    """Rectangles fanned out into the largest symmetric sectors that fit, by `wideness` (n,) from 0 to 1.

    Opening and inner radius are drawn together: among those in HALF_OPENING and INNER_SHARE, the ones that keep the
    proportion of width and depth at half of the depth. Proportions below 0.6 or above 2.0 are out of their reach.
    """
    proportion = frames.widths() / frames.depths().clamp(min=1)
    least, most = ((1 + inner) / (1 - inner) for inner in INNER_SHARE)  # proportion / half opening in radians
    narrowest, widest = (proportion / most).clamp(*HALF_OPENING), (proportion / least).clamp(*HALF_OPENING)
    half = narrowest + wideness * (widest - narrowest)
    inner = (1 - 2 / (proportion / half + 1)).clamp(*INNER_SHARE)
    top, end = inner * half.cos(), size - 1  # as geometry.sectors.fitting_sector has it
    outer = torch.minimum(end / (2 * half.sin()), end / (1 - top))
    degrees = half.rad2deg()
    numbers = [torch.full_like(half, end / 2), end / 2 - outer * (1 + top) / 2, inner * outer, outer, -degrees, degrees]
    target = ScanFrames(torch.ones_like(frames.curved), torch.stack(numbers, dim=1))
    return Conversion(frames, target, target, (size, size))


def _published_to_rectangle(frames: ScanFrames, wideness: torch.Tensor, size: int) -> Conversion:
    whole = _whole(frames, size)
    return Conversion(_believed(frames, size), whole, whole, (size, size))


def _published_to_sector(frames: ScanFrames, wideness: torch.Tensor, size: int) -> Conversion:
    inner, half = INNER_PIXELS / PUBLISHED_HEIGHT * size, OPENING_DEGREES / 2
    outer = inner + size
    side, top = outer * math.sin(math.radians(half)), inner * math.cos(math.radians(half))
    target = _same(frames, True, [side, -top, inner, outer, -half, half])
    canvas = round(2 * side) + 1, round(outer - top) + 1
    return Conversion(_whole(frames, size), target, _believed(frames, size), canvas, turned=True)


def _whole(frames: ScanFrames, size: int) -> ScanFrames:
    """As many frames of rectangles that fill the picture."""
    return _same(frames, False, [0, 0, size - 1, size - 1, 0, 0])


def _believed(frames: ScanFrames, size: int) -> ScanFrames:
    """As many frames of the sector that the published code takes every convex scan for."""
    half = OPENING_DEGREES / 2
    return _same(frames, True, [size / 2, 0, 0, size - 1, -half, half])


def _same(frames: ScanFrames, curved: bool, numbers: list[float]) -> ScanFrames:
    return ScanFrames(torch.full_like(frames.curved, curved), frames.numbers.new_tensor(numbers).repeat(len(frames), 1))


CHANGES: dict[tuple[str, bool], Callable[[ScanFrames, torch.Tensor, int], Conversion]] = {
    ("correct", True): _to_rectangle, ("correct", False): _to_sector,
    ("published", True): _published_to_rectangle, ("published", False): _published_to_sector,
}  # fmt: skip  # conversion, and whether the scan is a sector
