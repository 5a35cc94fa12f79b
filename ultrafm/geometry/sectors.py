"""Scan conversion between a sector found in a picture, in pixels, and the rectangle of its beams; both directions.

A row of the rectangle is a depth, the skin first; a column is a beam, the left one first. So depth stays down and left
stays left. The first and the last row and column lie on the sector's arcs and sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from ultrafm.errors import UltraFMError
from ultrafm.geometry.pixels import SectorInPixels

NOWHERE = -10.0  # a place outside every picture, which reads as 0


def sector_to_rectangle(
    pictures: np.ndarray, sector: SectorInPixels, samples: int, lines: int, *, is_mask: bool = False
) -> np.ndarray:
    """The beams of a sector as rectangles (samples, lines), from one picture (H, W) or a batch (N, H, W).

    Grey values are interpolated linearly, masks (`is_mask`) take the nearest pixel.
    What lies outside the picture is 0. uint8 and float32 keep their type, bool becomes uint8, all others float32.
    Raises UltraFMError for arrays of other shapes and sizes below 2.
    """
    _require_sizes("sector_to_rectangle", samples, lines)
    return _converted(
        "sector_to_rectangle", pictures, is_mask, lambda _height, _width: rectangle_map(sector, samples, lines)
    )


def rectangle_to_sector(
    rectangles: np.ndarray, sector: SectorInPixels, height: int, width: int, *, is_mask: bool = False
) -> np.ndarray:
    """The pictures (height, width) whose `sector` shows a rectangle (samples, lines), or a batch of them; 0 outside.

    The inverse of `sector_to_rectangle`, with the same types and errors.
    """
    _require_sizes("rectangle_to_sector", height, width)
    return _converted(
        "rectangle_to_sector", rectangles, is_mask,
        lambda samples, lines: sector_map(sector, height, width, samples, lines),
    )  # fmt: skip


def fitting_sector(height: int, width: int, opening_degrees: float, inner_share: float) -> SectorInPixels:
    """The largest symmetric sector in a picture (height, width), centred.

    `opening_degrees` between the sides, above 0 and below 180; `inner_share` is the inner radius as a share of the
    outer, from 0 to below 1. Raises UltraFMError outside these ranges.
    """
    if not (0 < opening_degrees < 180 and 0 <= inner_share < 1):
        found = f"{opening_degrees:g} degrees, inner share {inner_share:g}"
        raise UltraFMError("fitting_sector", found, "0 < degrees < 180 and 0 <= share < 1")
    half = math.radians(opening_degrees / 2)
    top = inner_share * math.cos(half)  # of the outer radius, below the apex
    outer = min((width - 1) / (2 * math.sin(half)), (height - 1) / (1 - top))
    row = (height - 1) / 2 - outer * (1 + top) / 2
    return SectorInPixels((width - 1) / 2, row, inner_share * outer, outer, -opening_degrees / 2, opening_degrees / 2)


@lru_cache(maxsize=32)
def rectangle_map(sector: SectorInPixels, samples: int, lines: int) -> tuple[np.ndarray, np.ndarray]:
    """Column and row in the picture of each sample of each beam: two (samples, lines) float32; shared, read-only."""
    depth = np.linspace(0, 1, samples, dtype=np.float32)[:, None]
    line = np.linspace(0, 1, lines, dtype=np.float32)[None, :]
    return _read_only(*sector.to_pixels(depth, line))


@lru_cache(maxsize=32)
def sector_map(
    sector: SectorInPixels, height: int, width: int, samples: int, lines: int
) -> tuple[np.ndarray, np.ndarray]:
    """Beam and sample of each pixel of a picture: two (height, width) float32; shared, read-only.

    Pixels outside the sector point outside the rectangle.
    """
    inside = sector.inside(np.arange(width), np.arange(height))
    rows, columns = (places.astype(np.float32) for places in np.nonzero(inside))
    depth, line = sector.to_unit(columns, rows)
    beam, sample = (np.full((height, width), NOWHERE, np.float32) for _axis in range(2))
    beam[inside] = np.clip(line, 0, 1) * np.float32(lines - 1)
    sample[inside] = np.clip(depth, 0, 1) * np.float32(samples - 1)
    return _read_only(beam, sample)


def _read_only(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = (np.ascontiguousarray(array, dtype=np.float32) for array in np.broadcast_arrays(*arrays))
    first.setflags(write=False)
    second.setflags(write=False)
    return first, second


def _require_sizes(where: str, first: int, second: int) -> None:
    if min(first, second) < 2:
        raise UltraFMError(where, f"a size of {first} x {second}", "at least 2 x 2")


def _converted(
    where: str, arrays: np.ndarray, is_mask: bool, map_for: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """One array (H, W) or each of a batch (N, H, W) sampled where the map for H and W says."""
    arrays = np.asarray(arrays)
    if arrays.ndim not in (2, 3) or min(arrays.shape[-2:]) < 2:
        raise UltraFMError(where, f"an array of shape {arrays.shape}", "(H, W) or (N, H, W), H and W at least 2")
    if arrays.dtype == bool:
        arrays = arrays.view(np.uint8)
    elif arrays.dtype != np.uint8:
        arrays = arrays.astype(np.float32, copy=False)
    first, second = map_for(*arrays.shape[-2:])
    how = cv2.INTER_NEAREST if is_mask else cv2.INTER_LINEAR
    if arrays.ndim == 2:
        return cv2.remap(arrays, first, second, how, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    result = np.empty((len(arrays), *first.shape), arrays.dtype)
    for number, array in enumerate(arrays):
        cv2.remap(array, first, second, how, dst=result[number], borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return result
